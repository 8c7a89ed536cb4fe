"""Dumps, filters, deletes and local routes against the real connection tracking."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pytest

from lab.conntrack import Entry, add_entries, list_entries
from lab.flows import Tuple
from lab.namespace import Namespace
from nodeproxy.model.addresses import Addr, Family, format_cidr, parse_addr
from nodeproxy.netlink.conntrack import FlowFilter, FlowReader, identity_of
from nodeproxy.netlink.conntrack_channel import ConntrackSockets
from tests.support.builders import node as node_object
from tests.support.builders import service, slice_, upserted
from tests.support.cleaning import CleanedNode

pytestmark = pytest.mark.kernel

_clients = itertools.count(1024)
_UDP = 17


@pytest.fixture
def sockets(namespace: Namespace) -> Iterator[ConntrackSockets]:
    with namespace.entered():
        sockets = ConntrackSockets()
    with sockets:
        yield sockets


def flow(to: tuple[str, int], by: tuple[str, int], protocol: str = "udp") -> Entry:
    source = "fd00:10::9" if ":" in to[0] else "10.244.9.9"
    return Entry.to(to, by, client=(source, next(_clients)), protocol=protocol)


class Told(NamedTuple):
    destination: bytes
    answerer: bytes
    identity: bytes


def told(sockets: ConntrackSockets, flow_filter: FlowFilter) -> list[Told]:
    """Everything a dump tells."""
    reader = FlowReader(flow_filter.family, flow_filter.protocol)
    sockets.start_dump(flow_filter)
    found: list[Told] = []
    while not reader.is_done:
        datagram = sockets.receive()
        for destination, answerer, offset, size in reader.read(datagram):
            found.append(Told(destination, answerer, identity_of(datagram, offset, size)))
    return found


def identities(sockets: ConntrackSockets, port: int = 0) -> list[bytes]:
    seen = told(sockets, FlowFilter(Family.IPV4, _UDP, port=port))
    return [flow.identity for flow in seen]


def _packed(addr: str, port: int) -> bytes:
    return parse_addr(addr) + port.to_bytes(2, "big")


@pytest.mark.parametrize(
    ("family", "listed"), [(Family.IPV4, "ipv4"), (Family.IPV6, "ipv6")], ids=str
)
def test_a_dump_tells_what_conntrack_lists(
    namespace: Namespace, sockets: ConntrackSockets, family: Family, listed: str
):
    """Of several datagrams, in another order perhaps."""
    service_ip, pod = ("10.96.0.10", "10.244.0.4") if listed == "ipv4" else ("fd00::a", "fd01::4")
    entries = [
        flow((service_ip, 53), (pod, 5353), protocol)
        for protocol in ("udp", "tcp", "sctp")
        for _ in range(500)
    ]
    assert add_entries(namespace, entries) == 1500

    seen = told(sockets, FlowFilter(family, _UDP))

    of_udp = [entry for entry in list_entries(namespace, listed) if entry.protocol == "udp"]
    assert sorted((flow.destination, flow.answerer) for flow in seen) == sorted(
        (
            _packed(entry.original.destination, entry.original.destination_port),
            _packed(entry.reply.source, entry.reply.source_port),
        )
        for entry in of_udp
    )
    assert len(seen) == 500


@pytest.mark.parametrize(
    ("addr", "port", "count"),
    [("", 0, 7), ("", 53, 5), ("10.96.0.10", 53, 3), ("10.96.0.10", 0, 4), ("10.96.0.12", 53, 0)],
)
def test_the_kernel_leaves_out_what_was_not_asked_for(
    namespace: Namespace, sockets: ConntrackSockets, addr: str, port: int, count: int
):
    """TS-705: any differing field leaves a flow out."""
    ways = [("10.96.0.10", 53)] * 3 + [("10.96.0.11", 53)] * 2
    ways += [("10.96.0.10", 54), ("10.96.0.11", 54)]
    add_entries(namespace, [flow(way, ("10.244.0.4", 53)) for way in ways])
    add_entries(namespace, [flow(ways[0], ("10.244.0.4", 53), "tcp")])
    wanted = parse_addr(addr) if addr else Addr(b"")

    assert len(told(sockets, FlowFilter(Family.IPV4, _UDP, wanted, port))) == count


def test_ipv6_flows_are_told_although_the_kernel_cannot_compare_their_addresses(
    namespace: Namespace, sockets: ConntrackSockets
):
    add_entries(namespace, [flow(("fd00::a", 53), ("fd01::4", 53)) for _ in range(3)])
    add_entries(namespace, [flow(("fd00::a", 54), ("fd01::4", 53))])

    seen = told(sockets, FlowFilter(Family.IPV6, _UDP, parse_addr("fd00::a"), 53))

    assert len(seen) == 3


@pytest.mark.parametrize(
    ("chosen", "deleted"),
    [(slice(0, 1), 1), (slice(1, 3), 2), (slice(0, 0), 0), (slice(None), 300)],
    ids=["one", "several", "none", "all, in several datagrams"],
)
def test_chosen_flows_are_deleted_and_counted(
    namespace: Namespace, sockets: ConntrackSockets, chosen: slice, deleted: int
):
    """TS-704."""
    add_entries(namespace, [flow(("10.96.0.10", 53), ("10.244.0.4", 53)) for _ in range(300)])

    count = sockets.delete(Family.IPV4, identities(sockets)[chosen])

    assert count == deleted
    assert len(list_entries(namespace)) == 300 - deleted


def test_flows_that_are_gone_are_not_counted(namespace: Namespace, sockets: ConntrackSockets):
    """TS-704."""
    add_entries(namespace, [flow(("10.96.0.10", 53), ("10.244.0.4", 53)) for _ in range(2)])
    both = identities(sockets)
    sockets.delete(Family.IPV4, both[:1])

    assert sockets.delete(Family.IPV4, both) == 1
    assert sockets.delete(Family.IPV4, both) == 0


def test_an_entry_that_took_the_place_of_another_stays(
    namespace: Namespace, sockets: ConntrackSockets
):
    """Between dump and delete the client may have reached an endpoint that is right."""
    client = ("10.244.9.9", 4000)
    stale = Entry.to(("10.96.0.10", 53), ("10.244.0.4", 53), client=client)
    new = Entry.to(("10.96.0.10", 53), ("10.244.0.5", 53), client=client)
    add_entries(namespace, [stale])
    old_identities = identities(sockets)
    namespace.run("conntrack", "-F")
    others = [flow(("10.96.0.11", 53), ("10.244.0.4", 53)) for _ in range(200)]
    # They take the memory of the old entry: one at the same place would have the same id.
    add_entries(namespace, [*others, new])

    assert sockets.delete(Family.IPV4, old_identities) == 0
    assert new in list_entries(namespace)


def test_partial_tuple_deletes_nothing(namespace: Namespace, sockets: ConntrackSockets):
    """TS-704: the kernel finds an entry by all of its original tuple."""
    add_entries(namespace, [flow(("10.96.0.10", 53), ("10.244.0.4", 53))])
    (identity,) = identities(sockets)
    port = (53).to_bytes(2, "big")
    at = identity.index(b"\x06\x00\x03\x00" + port)

    count = sockets.delete(Family.IPV4, [identity[:at] + identity[at:].replace(port, b"\0\0", 1)])

    assert count == 0
    assert len(list_entries(namespace)) == 1


def test_own_networks_are_those_of_the_routing_table_local(
    namespace: Namespace, sockets: ConntrackSockets
):
    namespace.ip(
        "link set lo up", "link add d0 type veth peer name d1", "link set d0 up", "link set d1 up"
    )
    namespace.ip("addr add 192.168.7.1/24 dev d0", "route add local 10.7.0.0/16 dev lo")
    namespace.ip("route add 10.9.0.0/16 dev d0", "addr add fd00:7::1/64 dev d0 nodad")

    ipv4 = {format_cidr(network) for network in sockets.own_networks(Family.IPV4)}
    ipv6 = {format_cidr(network) for network in sockets.own_networks(Family.IPV6)}

    assert ipv4 == {"127.0.0.0/8", "127.0.0.1/32", "192.168.7.1/32", "10.7.0.0/16"}
    assert {"::1/128", "fd00:7::1/128"} <= ipv6
    assert not any(network == "fd00:7::/64" for network in ipv6)


async def test_cleaner_deletes_exactly_the_stale_flows(
    namespace: Namespace, sockets: ConntrackSockets
):
    """The table of spec 50 section 1, in the kernel (CT-7, CT-9)."""
    namespace.ip(
        "link set lo up", "link add d0 type veth peer name d1", "link set d0 up", "link set d1 up"
    )
    namespace.ip("addr add 192.168.0.2/24 dev d0")
    dns, node_port, far = ("10.96.0.10", 53), ("192.168.0.2", 30053), ("198.51.100.9", 30053)
    here, gone = ("10.244.0.4", 5353), ("10.244.0.5", 5353)
    kept = [flow(dns, here), flow(node_port, here), flow(far, far), flow(dns, gone, "tcp")]
    stale = [flow(dns, gone), flow(node_port, gone), flow(dns, ("10.244.0.4", 53)), flow(dns, dns)]
    add_entries(namespace, kept + stale)
    pods = slice_("dns-1", service="dns").port(5353, "dns", "UDP").endpoint(here[0])
    published = service("dns").cluster_ip("10.96.0.10").port(53, "dns", "UDP").node_port(30053)
    cleaned = CleanedNode(sockets)

    await cleaned.take(*upserted(node_object("n1").internal_ip("192.168.0.2"), published, pods))

    assert sorted(list_entries(namespace)) == sorted(kept)
    assert cleaned.cleaner.statistics.deleted[Family.IPV4] == len(stale)


def test_the_lab_reads_back_what_it_wrote(namespace: Namespace):
    entry = Entry("udp", Tuple("10.0.0.1", 1, "10.0.0.2", 2), Tuple("10.0.0.3", 3, "10.0.0.1", 1))

    added = add_entries(namespace, [entry, entry])

    assert added == 1
    assert list_entries(namespace) == [entry]


def test_sockets_close_in_the_middle_of_a_dump(namespace: Namespace):
    add_entries(namespace, [flow(("10.96.0.10", 53), ("10.244.0.4", 53)) for _ in range(1000)])
    with namespace.entered():
        sockets = ConntrackSockets()

    with closing(sockets):
        sockets.start_dump(FlowFilter(Family.IPV4, _UDP))
        sockets.receive()

    assert len(list_entries(namespace)) == 1000
