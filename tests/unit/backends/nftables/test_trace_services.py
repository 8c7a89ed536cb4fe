"""Packets to Services, traced through the rules as they are programmed."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nodeproxy.backends.nftables.trace.endings import Passed
from nodeproxy.model.addresses import Family, parse_cidr
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.settings import PlanOptions
from tests.support.builders import service, slice_
from tests.support.programming import OWN_NODE, ProgrammedNode
from tests.support.tracing import packet, summary, tracer_of
from tests.unit.backends.nftables.objects import local_pods, pods, pods_at, web

NODE = "192.168.0.2"
PODS = PlanOptions(cluster_cidrs=(parse_cidr("10.244.0.0/16"),), node_port_addresses=())
POD = packet("10.244.0.9", "10.96.0.10:80", interface="pod9")
UNEVENNESS = Fraction(1, 256)


@pytest.fixture
def node() -> ProgrammedNode:
    return ProgrammedNode(options=PODS)


@pytest.mark.parametrize("count", range(1, 71))
async def test_endpoints_are_drawn_evenly(node: ProgrammedNode, count: int):
    """DP-60: to within 1/256 of each share, the chance that eight draws in a row miss."""
    await node.take(web().upserted(), pods(count).upserted())

    shares = summary(tracer_of(node, Family.IPV4).trace(POD))

    assert len(shares) == count
    assert sum(shares.values()) == 1
    assert max(abs(share * count - 1) for share in shares.values()) <= UNEVENNESS


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 65])
async def test_certain_pools_are_drawn_with_equal_chances(node: ProgrammedNode, count: int):
    """Where the last draw is among all endpoints, no two of them differ at all."""
    await node.take(web().upserted(), pods(count).upserted())

    shares = summary(tracer_of(node, Family.IPV4).trace(POD))

    assert set(shares.values()) == {Fraction(1, count)}


async def test_a_history_of_the_slots_leaves_the_draw_even(node: ProgrammedNode):
    await node.take(web().upserted(), pods(7).upserted())
    await node.take(pods(5, first=2).upserted())

    shares = summary(tracer_of(node, Family.IPV4).trace(POD))

    assert set(shares.values()) == {Fraction(1, 5)}


async def test_the_path_tells_why_a_packet_goes_there(node: ProgrammedNode):
    await node.take(web().upserted(), local_pods("10.244.0.11").upserted())
    outsider = packet("192.168.0.9", "10.96.0.10:80", interface="eth0")

    (ending,) = tracer_of(node, Family.IPV4, NODE).trace(outsider)

    key = "ip daddr . meta l4proto . th dport"
    assert str(ending).splitlines() == [
        "to 10.244.0.11:8080, masqueraded, 100.00%",
        "  nat-prerouting: jump services",
        "  services: ip daddr @cluster-ips ip saddr != 10.244.0.0/16 "
        'meta mark set meta mark | 0x00004000 comment "not from a pod of this node" '
        "-> mark 0x00004000",
        "  services: jump pick-service",
        f"  pick-service: {key} @services-1 goto service-1",
        f"  service-1: dnat ip to {key} . numgen random mod 1 map @service-endpoints "
        "-> 10.244.0.11:8080",
        "  nat-postrouting: jump masquerading",
        "  masquerading: meta mark & 0x00004000 != 0x00000000 "
        "meta mark set meta mark ^ 0x00004000 masquerade fully-random -> mark 0x00000000",
    ]


async def test_the_path_tells_why_a_packet_is_dropped(node: ProgrammedNode):
    away = web().node_port(30080).local()
    await node.take(away.upserted(), pods_at("10.244.7.1").upserted())
    outsider = packet("192.168.0.9", f"{NODE}:30080", interface="eth0")

    (ending,) = tracer_of(node, Family.IPV4, NODE).trace(outsider)

    assert str(ending).splitlines() == [
        "dropped, 100.00%",
        "  filter-input: ct state new ct status ! dnat fib daddr type local "
        "ip daddr != 127.0.0.0/8 jump nodeport-check",
        "  nodeport-check: meta l4proto . th dport @no-local-endpoint-nodeports drop",
    ]


async def test_an_endpoint_reaches_itself_masqueraded(node: ProgrammedNode):
    """PP-11; towards other endpoints it keeps its address."""
    await node.take(web().upserted(), local_pods("10.244.0.9", "10.244.0.11").upserted())

    endings = summary(tracer_of(node, Family.IPV4, NODE).trace(POD))

    half = Fraction(1, 2)
    assert endings == {"10.244.0.9:8080 masq": half, "10.244.0.11:8080": half}


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        (("10.244.0.9", "pod9"), {"10.244.0.11:8080", "10.244.7.1:8080"}),
        ((NODE, None), {"10.244.0.11:8080 masq", "10.244.7.1:8080 masq"}),
        (("192.168.0.9", "eth0"), {"10.244.0.11:8080"}),
    ],
    ids=["pod", "node", "outsider"],
)
async def test_policy_local_looks_at_who_asks(
    node: ProgrammedNode, sender: tuple[str, str | None], expected: set[str]
):
    """DP-5."""
    both = slice_("web-1", service="web").port(8080)
    both.endpoint("10.244.0.11", node=OWN_NODE).endpoint("10.244.7.1", node="n2")
    await node.take(web().node_port(30080).local().upserted(), both.upserted())
    source, interface = sender

    sent = packet(source, f"{NODE}:30080", interface=interface)

    assert set(summary(tracer_of(node, Family.IPV4, NODE).trace(sent))) == expected


async def test_other_protocols_of_a_port_are_refused(node: ProgrammedNode):
    """DP-10: UDP and SCTP by ICMP, TCP by a reset."""
    await node.take(web().upserted(), pods(1).upserted())
    tracer = tracer_of(node, Family.IPV4, NODE)

    def outcome(protocol: Protocol, port: int) -> set[str]:
        sent = packet("10.244.0.9", f"10.96.0.10:{port}", protocol=protocol, interface="pod9")
        return set(summary(tracer.trace(sent)))

    assert outcome(Protocol.SCTP, 80) == outcome(Protocol.UDP, 80) == {"refused"}
    assert outcome(Protocol.TCP, 81) == {"reset"}


async def test_a_client_with_affinity_is_sent_where_it_was_before(node: ProgrammedNode):
    """DP-61, DP-62: by any frontend, until the time is over."""
    sticky = web().node_port(30080).affinity(60)
    await node.take(sticky.upserted(), pods(5).upserted())
    tracer = tracer_of(node, Family.IPV4, NODE)
    *_, first = tracer.trace(POD, now=0.0)
    by_node_port = packet("10.244.0.9", f"{NODE}:30080", interface="pod9")

    soon = tracer.trace(by_node_port, first.records, now=59.0)
    late = tracer.trace(by_node_port, first.records, now=60.0)

    (again,) = soon
    assert isinstance(again.outcome, Passed)
    assert isinstance(first.outcome, Passed)
    assert again.outcome.destination == first.outcome.destination
    assert len(late) == 5


async def test_services_do_not_see_packets_to_other_addresses(node: ProgrammedNode):
    """DP-12, DP-14."""
    shop = service("shop").cluster_ip("10.96.0.11").port(80).external_ip("198.51.100.7")
    await node.take(shop.upserted(), pods(2, "shop").upserted())
    tracer = tracer_of(node, Family.IPV4, NODE)

    def outcome(destination: str) -> set[str]:
        return set(summary(tracer.trace(packet("10.244.0.9", destination, interface="pod9"))))

    assert outcome("198.51.100.7:81") == outcome("10.0.0.2:8080") == {"untouched"}
