"""What we write, libnftables reads as we meant it; what we render, it loads to the same."""

from __future__ import annotations

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.backends.nftables.sets import Shape
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.text import rule_text
from nodeproxy.model.addresses import FAMILIES, Addr, Cidr, Family, parse_addr, parse_cidr
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.types import FamilySettings, LocalDetector, NodePortAddresses, PlanDelta
from tests.kernel.reading import a_bit_of_everything, json_listing, listed, loaded
from tests.support.builders import service, slice_
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel


async def test_elements_read_as_they_were_meant(namespace: Namespace, node: ProgrammedNode) -> None:
    in_memory = ProgrammedNode()

    await node.take(*a_bit_of_everything())
    await in_memory.take(*a_bit_of_everything())

    for family in FAMILIES:
        assert json_listing(namespace, family) == in_memory.kernel.listing(family)


async def test_endpoints_read_as_they_were_said(namespace: Namespace, node: ProgrammedNode) -> None:
    web = service("web").cluster_ip("10.96.0.10").port(80)

    await node.take(
        web.upserted(),
        slice_("w", service="web").port(8080).endpoint("10.0.0.1").endpoint("10.0.0.2").upserted(),
    )

    listing = json_listing(namespace, Family.IPV4)
    assert listing["service-endpoints"] == {
        "10.96.0.10 tcp 80 0": "10.0.0.1 8080",
        "10.96.0.10 tcp 80 1": "10.0.0.2 8080",
    }
    assert listing["services-2"] == {"10.96.0.10 tcp 80": "default/web"}


def v4(text: str) -> Cidr:
    return parse_cidr(text)


def host(text: str) -> Addr:
    return parse_addr(text)


SETTINGS = {
    "plain": FamilySettings(Family.IPV4),
    "mark": FamilySettings(Family.IPV4, masquerade_mark=1 << 15),
    "masquerade-all": FamilySettings(Family.IPV6, masquerade_all=True),
    "pods-by-cidr": FamilySettings(
        Family.IPV4, local_detector=LocalDetector(cidr=v4("10.244.0.0/16"))
    ),
    "pods-by-odd-cidr": FamilySettings(
        Family.IPV4, local_detector=LocalDetector(cidr=v4("10.244.16.0/20"))
    ),
    "pods-by-cidr-ipv6": FamilySettings(
        Family.IPV6, local_detector=LocalDetector(cidr=v4("fd00:244::/50"))
    ),
    "pods-by-interface": FamilySettings(
        Family.IPV4, local_detector=LocalDetector(interface="cbr0")
    ),
    "pods-by-prefix": FamilySettings(
        Family.IPV6, local_detector=LocalDetector(interface_prefix="veth")
    ),
    "node-ports": FamilySettings(
        Family.IPV4,
        node_ports=NodePortAddresses(
            primary=(host("192.168.0.2"),), cidrs=(v4("10.0.0.0/8"), v4("172.16.0.0/12"))
        ),
    ),
    "node-ports-ipv6": FamilySettings(
        Family.IPV6, node_ports=NodePortAddresses(primary=(host("fd00::2"),), cidrs=(v4("::/0"),))
    ),
    "service-cidrs": FamilySettings(
        Family.IPV4, service_cidrs=(v4("10.96.0.0/12"), v4("10.200.0.0/16"))
    ),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_rules_for_any_settings_are_those_nft_makes_of_the_rendering(
    namespace: Namespace, node: ProgrammedNode, settings: FamilySettings
) -> None:
    node.stage(*a_bit_of_everything())
    node.backend.stage(PlanDelta({}, set(), {settings.family: settings}))

    await node.backend.commit()

    assert listed(namespace) == loaded(node.backend.render())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
async def test_rules_list_as_the_text_says(
    namespace: Namespace, node: ProgrammedNode, settings: FamilySettings
) -> None:
    """Nft leaves out matches that others imply; all other rules it prints word by word."""
    node.backend.stage(PlanDelta({}, set(), {settings.family: settings}))

    await node.backend.commit()

    text = nft.list_ruleset(namespace)
    for chain in build_skeleton(settings, Shape()).chains:
        for rule in chain.rules:
            line = rule_text(rule, settings.family)
            if "meta l4proto tcp" not in line and "/0" not in line:
                assert f"\t\t{line}\n" in text


async def test_what_a_history_leaves_is_what_rendering_says(
    namespace: Namespace, node: ProgrammedNode
) -> None:
    """Slots and the order of chains may differ; classes out of use stay until a rebuild."""
    await node.take(*a_bit_of_everything())
    pods = slice_("dns-4", service="dns").port(5353, "dns", "UDP").port(5354, "tcp", "TCP")

    await node.take(pods.endpoint("10.0.1.9").endpoint("10.0.1.1").upserted())

    assert listed(namespace) == loaded(node.backend.render())


async def test_a_saved_listing_loads_to_the_same(
    namespace: Namespace, node: ProgrammedNode
) -> None:
    await node.take(*a_bit_of_everything())

    saved = nft.list_ruleset(namespace)

    assert loaded(saved) == listed(namespace)


async def test_a_name_that_would_break_the_syntax_lists(
    namespace: Namespace, node: ProgrammedNode
) -> None:
    odd = service('a"b\\c', namespace="x\n\u00e9" + "y" * 200).cluster_ip("10.96.0.10").port(80)

    await node.take(odd.upserted())

    assert list(json_listing(namespace, Family.IPV4)["no-endpoint-services"])
    assert listed(namespace) == loaded(node.backend.render())


async def test_a_large_pool_is_written_and_read_back(
    namespace: Namespace, node: ProgrammedNode, channel: NetfilterSocket
) -> None:
    """More than one message, more than one answer."""
    web = service("web").cluster_ip("10.96.0.10").port(80)
    pods = slice_("w", service="web").port(8080)
    for number in range(3000):
        pods.endpoint(f"10.1.{number // 250}.{number % 250}")
    await node.take(web.upserted(), pods.upserted())

    generation = nft.generation(namespace)
    report = await node.restart()

    assert report.operations == 0
    assert nft.generation(namespace) == generation
    assert len(json_listing(namespace, Family.IPV4)["service-endpoints"]) == 3000
