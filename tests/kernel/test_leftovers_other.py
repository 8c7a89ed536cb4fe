"""kube-proxy's leftovers outside of iptables: nftables tables, ipsets, the interface kube-ipvs0."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroute2.ipset import IPSet, PortEntry

from lab import nft
from lab.namespace import Namespace
from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.model.leftovers import Item, Kind, Leftover, Origin, Place, Search
from nodeproxy.netlink.interfaces import interface_addresses, interface_index
from nodeproxy.node.leftovers.ipvs import INTERFACE, ServersLeft, search_ipvs
from nodeproxy.node.leftovers.processes import running_here
from nodeproxy.node.leftovers.search import search_leftovers

pytestmark = pytest.mark.kernel

_KUBE_PROXY_TABLE = """\
table {family} kube-proxy {{
    comment "rules for kube-proxy"
    set cluster-ips {{ type {addr}; elements = {{ {one}, {two} }}; }}
    set affinity-ULMVA6XW-ns1/svc1/tcp/p80__x/80 {{
        type {addr}; flags dynamic,timeout; timeout 3h
    }}
    map service-ips {{
        type {addr} . inet_proto . inet_service : verdict
        elements = {{ {one} . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }}
    }}
    chain service-ULMVA6XW-ns1/svc1/tcp/p80 {{
        meta l4proto tcp dnat {family} to {family} saddr map {{ {one} : {two} }}
    }}
    chain external-ULMVA6XW-ns1/svc1/tcp/p80 {{
        goto service-ULMVA6XW-ns1/svc1/tcp/p80
    }}
    chain services {{
        {family} daddr . meta l4proto . th dport vmap @service-ips
    }}
    chain nat-prerouting {{
        type nat hook prerouting priority dstnat
        jump services
    }}
}}
"""


def kube_proxy_table(family: Family) -> str:
    if family is Family.IPV4:
        return _KUBE_PROXY_TABLE.format(
            family="ip", addr="ipv4_addr", one="10.96.0.1", two="10.96.0.2"
        )
    return _KUBE_PROXY_TABLE.format(
        family="ip6", addr="ipv6_addr", one="fd00:96::1", two="fd00:96::2"
    )


@pytest.fixture
def inside(namespace: Namespace) -> Iterator[Namespace]:
    with namespace.entered():
        yield namespace


def holdings(search: Search, place: Place) -> list[Leftover]:
    return [found for found in search.leftovers if found.holding.place is place]


@contextmanager
def ipsets() -> Iterator[IPSet]:
    sets = IPSet()
    try:
        yield sets
    finally:
        sets.close()


def test_its_nftables_tables_go_and_all_others_stay(inside: Namespace):
    nft.load(
        inside,
        "table ip nodeproxy {\nchain services {\naccept\n}\n}\n"
        "table inet kube-proxy {\nchain c {\naccept\n}\n}\n"
        "table ip6 kube-proxy-of-another {\nchain c {\naccept\n}\n}\n",
    )
    before = nft.list_ruleset(inside)
    nft.load(inside, kube_proxy_table(Family.IPV4) + kube_proxy_table(Family.IPV6))

    found = holdings(search_leftovers(Origin.KUBE_PROXY), Place.NFTABLES)
    for leftover in found:
        leftover.remove()
        leftover.remove()

    assert [str(leftover.holding) for leftover in found] == [
        "nftables, IPv4, table kube-proxy",
        "nftables, IPv6, table kube-proxy",
    ]
    assert nft.list_ruleset(inside) == before


def test_its_nftables_tables_are_told_with_what_is_in_them(inside: Namespace):
    nft.load(inside, kube_proxy_table(Family.IPV6))

    (found,) = search_leftovers(Origin.KUBE_PROXY).leftovers

    name = "ULMVA6XW-ns1/svc1/tcp/p80"
    assert found.holding.items == (
        Item(Kind.CHAIN, f"external-{name}", 1, "external-*"),
        Item(Kind.CHAIN, "nat-prerouting", 1),
        Item(Kind.CHAIN, f"service-{name}", 1, "service-*"),
        Item(Kind.CHAIN, "services", 1),
        Item(Kind.SET, f"affinity-{name}__x/80", 0, "affinity-*"),
        Item(Kind.SET, "cluster-ips", 2),
        Item(Kind.MAP, "service-ips", 1),
    )


def test_its_ipsets_go_and_others_stay(inside: Namespace):
    with ipsets() as sets:
        for name in ("KUBE-NODE-PORT-TCP", "KUBE-6-NODE-PORT-UDP", "KUBE-ROUTER", "cali40all"):
            sets.create(name, stype="bitmap:port", bitmap_ports_range=(0, 65535))
        sets.add("KUBE-NODE-PORT-TCP", PortEntry(30080), etype="port")
        sets.add("KUBE-NODE-PORT-TCP", PortEntry(30090), etype="port")

        (found,) = holdings(search_leftovers(Origin.KUBE_PROXY), Place.IPSET)
        found.remove()
        found.remove()

        names = {one.get_attr("IPSET_ATTR_SETNAME") for one in sets.list()}
    assert found.holding.items == (
        Item(Kind.SET, "KUBE-6-NODE-PORT-UDP", 0),
        Item(Kind.SET, "KUBE-NODE-PORT-TCP", 2),
    )
    assert names == {"KUBE-ROUTER", "cali40all"}


def test_an_ipset_that_a_rule_refers_to_stays_and_is_told(inside: Namespace):
    with ipsets() as sets:
        sets.create("KUBE-NODE-PORT-TCP", stype="bitmap:port", bitmap_ports_range=(0, 65535))
    inside.run(
        *("iptables-legacy", "-A", "INPUT", "-m", "set", "--match-set"),
        *("KUBE-NODE-PORT-TCP", "dst", "-j", "ACCEPT"),
    )

    (found,) = holdings(search_leftovers(Origin.KUBE_PROXY), Place.IPSET)

    with pytest.raises(NetlinkError, match="destroy ipset KUBE-NODE-PORT-TCP"):
        found.remove()


def test_its_interface_goes_with_its_addresses(inside: Namespace):
    # The kernel of a test machine may have no dummy interfaces; the name is what counts.
    inside.ip(
        f"link add {INTERFACE} type bridge",
        "link add keep0 type bridge",
        f"addr add 10.96.0.10/32 dev {INTERFACE}",
        f"addr add fd00:96::10/128 dev {INTERFACE} nodad",
        "addr add 10.9.9.9/32 dev keep0",
    )
    index = interface_index(INTERFACE)
    assert index is not None
    bound = interface_addresses(index)

    (found,) = holdings(search_leftovers(Origin.KUBE_PROXY), Place.INTERFACE)
    found.remove()
    found.remove()

    assert bound == {parse_addr("10.96.0.10"), parse_addr("fd00:96::10")}
    assert found.holding.items == (Item(Kind.INTERFACE, INTERFACE, 2),)
    assert interface_index(INTERFACE) is None
    assert interface_index("keep0") is not None


def test_its_interface_stays_while_virtual_servers_with_its_addresses_do(
    inside: Namespace, tmp_path: Path
):
    inside.ip(f"link add {INTERFACE} type bridge", f"addr add 10.96.0.10/32 dev {INTERFACE}")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "ip_vs").write_text("TCP  0A60000A:0050 rr \n")

    servers, interface = search_ipvs(tmp_path).leftovers

    with pytest.raises(ServersLeft, match=r"TCP 10\.96\.0\.10:80"):
        interface.remove()
    assert servers.holding.items == (Item(Kind.VIRTUAL_SERVER, "TCP 10.96.0.10:80", 0),)
    assert interface_index(INTERFACE) is not None


def test_without_any_trace_nothing_is_found_and_no_module_is_missed(inside: Namespace):
    found = search_leftovers(Origin.KUBE_PROXY)

    assert found.leftovers == ()
    assert found.warnings == ()


def test_a_running_kube_proxy_is_seen_in_its_own_network_namespace_only(
    namespace: Namespace, tmp_path: Path
):
    program = tmp_path / "kube-proxy"
    program.symlink_to(sys.executable)
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as output, os.fdopen(reading, "rb") as printed:
        process = namespace.spawn(
            str(program), "-c", "print(flush=True); import signal; signal.pause()", output=output
        )
        printed.readline()

        elsewhere = running_here("kube-proxy")
        with namespace.entered():
            here = search_leftovers(Origin.KUBE_PROXY).warnings

        process.kill()
        process.wait()
    assert process.pid not in elsewhere
    assert here == (
        f"kube-proxy is running (pid {process.pid}) and will write its rules again; "
        "stop it first, for example by a nodeSelector of its DaemonSet",
    )


def test_without_privileges_it_says_what_is_missing(inside: Namespace):
    code = (
        "from nodeproxy.node.leftovers.search import search_leftovers\n"
        "from nodeproxy.model.leftovers import Origin\n"
        "from nodeproxy.errors import NodeproxyError\n"
        "try: search_leftovers(Origin.KUBE_PROXY)\n"
        "except NodeproxyError as exc: print(exc)\n"
    )

    said = inside.run(
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
        *(sys.executable, "-c", code),
    )

    assert "CAP_NET_ADMIN" in said
