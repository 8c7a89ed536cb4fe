"""Records of session affinity in a real kernel: read, corrected, listed."""

from __future__ import annotations

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.backends.nftables.objects import AffinityId
from nodeproxy.backends.nftables.records import Record, read_records
from nodeproxy.backends.nftables.sets import Shape
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.text import id_text, rule_text
from nodeproxy.model.addresses import FAMILIES, Family, parse_addr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.types import FamilySettings, PlanKey, PoolKind
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel

PORT = ServicePortKey("default", "web", "", Protocol.TCP)
CLIENTS = {Family.IPV4: "192.168.0.9", Family.IPV6: "2001:db8::9"}
PODS = {Family.IPV4: ("10.0.0.1", "10.0.0.2"), Family.IPV6: ("fd00::1", "fd00::2")}
TABLES = {Family.IPV4: "ip nodeproxy", Family.IPV6: "ip6 nodeproxy"}


def web(seconds: int) -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10", "fd00:96::10").port(80).affinity(seconds)


def pods(family: Family, *addresses: str) -> SliceBuilder:
    builder = slice_(f"web-{family}", service="web", address_type=str(family)).port(8080)
    for address in addresses:
        builder.endpoint(address)
    return builder


def add_record(namespace: Namespace, family: Family, endpoint: str, times: str) -> None:
    number = AffinityIds().of(PlanKey(family, PORT), PoolKind.CLUSTER)
    key = f"{CLIENTS[family]} . tcp . {id_text(AffinityId(number, ''))}"
    element = f"{key} {times} : {endpoint} . 8080"
    namespace.run("nft", f"add element {TABLES[family]} affinity {{ {element} }}")


def records(channel: NetfilterSocket, family: Family) -> list[Record]:
    return read_records(channel, family)


@pytest.mark.parametrize("family", FAMILIES)
async def test_records_are_read_as_packets_write_them(
    namespace: Namespace, channel: NetfilterSocket, node: ProgrammedNode, family: Family
) -> None:
    await node.take(web(10_800).upserted(), pods(family, *PODS[family]).upserted())
    add_record(namespace, family, PODS[family][0], "timeout 3h expires 2h")

    (record,) = records(channel, family)

    assert record.key.startswith(parse_addr(CLIENTS[family]))
    assert record.data.startswith(parse_addr(PODS[family][0]))
    assert record.timeout_ms == 10_800_000
    assert 7_000_000 < record.expires_ms <= 7_200_000


@pytest.mark.parametrize("family", FAMILIES)
async def test_records_of_an_endpoint_that_went_are_gone_with_the_commit(
    namespace: Namespace, channel: NetfilterSocket, node: ProgrammedNode, family: Family
) -> None:
    """DP-62."""
    await node.take(web(10_800).upserted(), pods(family, *PODS[family]).upserted())
    add_record(namespace, family, PODS[family][0], "timeout 3h")

    await node.take(pods(family, PODS[family][1]).upserted())

    assert records(channel, family) == []


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_new_timeout_holds_for_records_too(
    namespace: Namespace, channel: NetfilterSocket, node: ProgrammedNode, family: Family
) -> None:
    await node.take(web(10_800).upserted(), pods(family, *PODS[family]).upserted())
    add_record(namespace, family, PODS[family][0], "timeout 3h expires 10700s")

    await node.take(web(300).upserted())

    (record,) = records(channel, family)
    assert record.timeout_ms == 300_000
    assert 100_000 < record.expires_ms <= 200_000


@pytest.mark.parametrize("family", FAMILIES)
async def test_rules_of_affinity_list_as_the_text_says(
    namespace: Namespace, node: ProgrammedNode, family: Family
) -> None:
    """IPv6 rules that write a map are listed by nft 1.0.6 but cannot be loaded by it."""
    await node.take(web(10_800).upserted(), pods(family, PODS[family][0]).upserted())

    text = nft.list_ruleset(namespace)

    skeleton = build_skeleton(FamilySettings(family), Shape(timeouts=frozenset([10_800])))
    rules = [rule for chain in skeleton.chains for rule in chain.rules]
    lines = [rule_text(rule, family) for rule in rules]
    of_affinity = [line for line in lines if "priority" in line or "remember" in line]
    assert len(of_affinity) > 8
    assert [line for line in of_affinity if f"\t\t{line}\n" not in text] == []


async def test_thousands_of_records_are_corrected_in_one_go(
    namespace: Namespace, channel: NetfilterSocket, node: ProgrammedNode
) -> None:
    await node.take(web(10_800).upserted(), pods(Family.IPV4, *PODS[Family.IPV4]).upserted())
    number = AffinityIds().of(PlanKey(Family.IPV4, PORT), PoolKind.CLUSTER)
    text = id_text(AffinityId(number, ""))
    elements = ", ".join(
        f"10.1.{n // 250}.{n % 250} . tcp . {text} timeout 3h : 10.0.0.{n % 2 + 1} . 8080"
        for n in range(3_000)
    )
    nft.load(namespace, f"add element ip nodeproxy affinity {{ {elements} }}")

    await node.take(pods(Family.IPV4, "10.0.0.2").upserted())

    left = records(channel, Family.IPV4)
    assert len(left) == 1_500
    assert {record.data for record in left} == {parse_addr("10.0.0.2") + b"\x1f\x90\0\0"}
