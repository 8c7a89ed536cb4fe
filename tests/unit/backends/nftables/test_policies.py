"""Which sets a frontend is in, by traffic policy and endpoints (spec 30, DP-2..DP-9)."""

from __future__ import annotations

import pytest

from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_
from tests.support.programming import OWN_NODE, ProgrammedNode
from tests.unit.backends.nftables.objects import (
    V4,
    V6,
    WEB,
    behind,
    endpoints_of,
    members,
    web,
)

VIP = "5.6.7.8 tcp 80"
NODE_PORT = "tcp 30080"
HERE, THERE = "10.0.0.1", "10.0.0.2"


def full() -> ServiceBuilder:
    """Reached by ClusterIP, VIP and NodePort."""
    return web().node_port(30080).load_balancer_ip("5.6.7.8")


def some(*, here: bool, there: bool, unready: bool = False) -> SliceBuilder:
    builder = slice_("web-1", service="web").port(8080)
    if here:
        builder.endpoint(HERE, node=OWN_NODE)
    if there:
        builder.endpoint(THERE, node="n2")
    if unready:
        builder.not_ready("10.0.0.3", node="n2")
    return builder


def sets_with(node: ProgrammedNode, key: str) -> set[str]:
    return {name for name, keys in members(node).items() if key in keys}


class TestClusterIP:
    """DP-2: internalTrafficPolicy."""

    @pytest.mark.parametrize(
        ("here", "there", "answer"),
        [
            (True, True, {HERE, THERE}),
            (False, True, {THERE}),
        ],
    )
    async def test_policy_cluster_takes_all(
        self, node: ProgrammedNode, here: bool, there: bool, answer: set[str]
    ):
        await node.take(full().upserted(), some(here=here, there=there).upserted())

        assert behind(node) == answer

    async def test_policy_local_takes_those_on_this_node(self, node: ProgrammedNode):
        events = some(here=True, there=True).upserted()

        await node.take(full().internal_local().upserted(), events)

        assert behind(node) == {HERE}
        assert sets_with(node, WEB) == {"services-1"}

    async def test_policy_local_without_one_here_drops(self, node: ProgrammedNode):
        events = some(here=False, there=True).upserted()

        await node.take(full().internal_local().upserted(), events)

        assert behind(node) == set()
        assert sets_with(node, WEB) == {"no-local-endpoint-services"}

    async def test_without_endpoints_it_refuses(self, node: ProgrammedNode):
        await node.take(full().upserted())

        assert sets_with(node, WEB) == {"no-endpoint-services"}

    async def test_with_endpoints_of_which_none_is_usable_it_refuses(self, node: ProgrammedNode):
        """EP-48."""
        await node.take(full().upserted(), some(here=False, there=False, unready=True).upserted())

        assert sets_with(node, WEB) == {"no-endpoint-services"}


class TestOutside:
    """DP-3..DP-5: externalTrafficPolicy, for VIPs and NodePorts alike."""

    async def test_policy_cluster_takes_all_and_masquerades(self, node: ProgrammedNode):
        await node.take(full().upserted(), some(here=True, there=True).upserted())

        assert behind(node, VIP) == behind(node, NODE_PORT, "nodeport") == {HERE, THERE}
        assert sets_with(node, VIP) == {"services-2", "external-services"}
        assert sets_with(node, NODE_PORT) == {"nodeports-2", "external-nodeports"}

    async def test_policy_local_has_two_pools_and_no_masquerade(self, node: ProgrammedNode):
        await node.take(full().local().upserted(), some(here=True, there=True).upserted())

        assert behind(node, VIP) == behind(node, NODE_PORT, "nodeport") == {HERE, THERE}
        assert behind(node, VIP, "local-service") == {HERE}
        assert behind(node, NODE_PORT, "local-nodeport") == {HERE}
        assert sets_with(node, VIP) == {"services-2", "local-services-1", "policy-local-services"}
        assert sets_with(node, NODE_PORT) == {
            "nodeports-2",
            "local-nodeports-1",
            "policy-local-nodeports",
        }

    async def test_policy_local_without_one_here_drops_others_but_serves_pods(
        self, node: ProgrammedNode
    ):
        """DP-5: pods and the node itself still have the cluster pool."""
        await node.take(full().local().upserted(), some(here=False, there=True).upserted())

        assert behind(node, VIP) == {THERE}
        assert "local-service" not in sets_with(node, VIP)
        assert sets_with(node, VIP) == {
            "services-1",
            "policy-local-services",
            "no-local-endpoint-services",
        }

    async def test_without_endpoints_it_refuses_by_either_policy(self, node: ProgrammedNode):
        await node.take(full().local().upserted())
        local = sets_with(node, VIP), sets_with(node, NODE_PORT)
        await node.take(full().upserted())

        assert local == ({"no-endpoint-services"}, {"no-endpoint-nodeports"})
        assert (sets_with(node, VIP), sets_with(node, NODE_PORT)) == local

    async def test_changing_the_policy_leaves_nothing_of_the_other(self, node: ProgrammedNode):
        await node.take(full().upserted(), some(here=True, there=True).upserted())
        before = members(node), endpoints_of(node)

        await node.take(full().local().upserted())
        await node.take(full().upserted())

        assert (members(node), endpoints_of(node)) == before


async def test_ipv6_frontends_have_ipv6_endpoints(node: ProgrammedNode):
    six = service("web").cluster_ip("fd00:96::10").port(53, "dns", "UDP").node_port(30053)
    pods = slice_("web-6", service="web", address_type="IPv6").port(5353, "dns", "UDP")

    await node.take(six.upserted(), pods.endpoint("fd00::1", node=OWN_NODE).upserted())

    found = endpoints_of(node, V6)
    assert found["service"] == {"fd00:96::10 udp 53": {"fd00::1 5353"}}
    assert found["nodeport"] == {"udp 30053": {"fd00::1 5353"}}
    assert members(node, V6)["hairpin-connections"] == {"fd00::1 fd00::1 udp 5353"}
    assert not any(node.kernel.listing(V4).values())


async def test_one_port_number_over_two_protocols_is_two_frontends(node: ProgrammedNode):
    both = service("dns").cluster_ip("10.96.0.10").port(53, "dns", "UDP").port(53, "dns-tcp", "TCP")
    pods = slice_("dns-1", service="dns").port(5353, "dns", "UDP").port(5354, "dns-tcp", "TCP")

    await node.take(both.upserted(), pods.endpoint("10.0.0.1").upserted())

    assert endpoints_of(node)["service"] == {
        "10.96.0.10 udp 53": {"10.0.0.1 5353"},
        "10.96.0.10 tcp 53": {"10.0.0.1 5354"},
    }


async def test_elements_say_which_service_they_serve(node: ProgrammedNode):
    await node.take(full().upserted(), some(here=True, there=False).upserted())

    listing = node.kernel.listing(V4)
    assert listing["services-1"][WEB] == "default/web"
    assert listing["nodeports-1"][NODE_PORT] == "default/web"
