"""The real kernel, and other people's hands in our table."""

from __future__ import annotations

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.backends.nftables.cleanup import cleanup
from tests.kernel.reading import a_bit_of_everything, listed, loaded
from tests.support.builders import service
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel

FOREIGN = {
    "flush-ruleset": "flush ruleset",
    "delete-table": "delete table ip nodeproxy",
    "flush-chain": "flush chain ip nodeproxy services",
    "rule-added": "add rule ip nodeproxy services counter",
    "rule-inserted": "insert rule ip6 nodeproxy masquerading drop",
    "chain-added": "add chain ip nodeproxy theirs",
    "chain-with-jump-to-it": "add chain ip nodeproxy theirs\n"
    "add rule ip nodeproxy services jump theirs",
    "chains-that-jump": "add chain ip nodeproxy one\nadd chain ip nodeproxy two\n"
    "add rule ip nodeproxy two jump one\nadd rule ip nodeproxy one jump services",
    "base-chain-added": "add chain ip nodeproxy theirs "
    "{ type filter hook input priority 5; policy drop; }",
    "base-chain-deleted": "flush chain ip nodeproxy nat-prerouting\n"
    "delete chain ip nodeproxy nat-prerouting",
    "base-chain-moved": "flush chain ip nodeproxy nat-output\n"
    "delete chain ip nodeproxy nat-output\nadd chain ip nodeproxy nat-output "
    "{ type nat hook output priority 7; }\nadd rule ip nodeproxy nat-output jump services",
    "policy-changed": "chain ip nodeproxy filter-forward { policy drop; }",
    "table-dormant": "add table ip nodeproxy { flags dormant; }",
    "set-added": "add set ip nodeproxy theirs { type ipv4_addr; }",
    "set-used-by-our-chain": "add set ip nodeproxy theirs { type ipv4_addr; }\n"
    "add rule ip nodeproxy services ip daddr @theirs drop",
    "verdict-map-to-their-chain": "add chain ip nodeproxy theirs\n"
    "add map ip nodeproxy their-map "
    "{ type ipv4_addr : verdict; elements = { 1.1.1.1 : jump theirs }; }",
    "element-added": "add element ip nodeproxy cluster-ips { 10.96.9.9 }",
    "element-deleted": "delete element ip nodeproxy cluster-ips { 10.96.0.2 }",
    "set-flushed": "flush set ip nodeproxy services-2",
    "map-flushed": "flush map ip nodeproxy service-endpoints",
    "slot-deleted": "delete element ip nodeproxy service-endpoints { 10.96.0.10 . tcp . 80 . 2 }",
    "slot-redirected": "delete element ip nodeproxy service-endpoints "
    "{ 10.96.0.10 . tcp . 80 . 2 }\nadd element ip nodeproxy service-endpoints "
    "{ 10.96.0.10 . tcp . 80 . 2 : 9.9.9.9 . 99 }",
    "slot-added": "add element ip nodeproxy service-endpoints "
    "{ 10.96.0.10 . tcp . 80 . 77 : 9.9.9.9 . 99 }",
    "slot-absurd": "add element ip nodeproxy service-endpoints "
    "{ 10.96.0.10 . tcp . 80 . 4000000000 : 9.9.9.9 . 99 }",
    "set-of-another-layout": "delete table ip nodeproxy\nadd table ip nodeproxy\n"
    "add set ip nodeproxy cluster-ips { type ipv6_addr; }",
    "set-with-timeout": "delete table ip nodeproxy\nadd table ip nodeproxy\n"
    "add set ip nodeproxy cluster-ips { type ipv4_addr; timeout 1h; }",
}


@pytest.mark.parametrize("commands", FOREIGN.values(), ids=FOREIGN)
async def test_a_foreign_change_is_repaired(
    namespace: Namespace, node: ProgrammedNode, commands: str
) -> None:
    await node.take(*a_bit_of_everything())
    before = listed(namespace)
    nft.load(namespace, commands)
    assert listed(namespace) != before

    node.backend.mark_stale("a foreign change")
    await node.backend.commit()

    assert listed(namespace) == before


async def test_a_change_nobody_announced_is_found_by_the_refusal(
    namespace: Namespace, node: ProgrammedNode
) -> None:
    await node.take(*a_bit_of_everything())
    nft.load(namespace, "flush ruleset")

    await node.take(service("late").cluster_ip("10.96.0.77", "fd00:96::77").port(80).upserted())

    assert listed(namespace) == loaded(node.backend.render())


async def test_a_restart_changes_nothing(namespace: Namespace, node: ProgrammedNode) -> None:
    await node.take(*a_bit_of_everything())
    generation = nft.generation(namespace)

    report = await node.restart()

    assert report.operations == 0
    assert nft.generation(namespace) == generation


async def test_tables_of_others_stay(namespace: Namespace, node: ProgrammedNode) -> None:
    nft.load(
        namespace,
        "table ip theirs {\nchain services {\ncounter\n}\n"
        "set cluster-ips {\ntype ipv4_addr\nelements = { 1.1.1.1 }\n}\n}\n"
        "table inet nodeproxy {\nchain c {\naccept\n}\n}",
    )
    theirs = listed(namespace)

    await node.take(*a_bit_of_everything())
    node.backend.mark_stale("look again")
    report = await node.backend.commit()
    with namespace.entered():
        removed = await cleanup()

    assert report.operations == 0
    assert removed == ["table ip nodeproxy", "table ip6 nodeproxy"]
    assert listed(namespace) == theirs


async def test_cleaning_up_twice_finds_nothing(namespace: Namespace, node: ProgrammedNode) -> None:
    await node.take()

    with namespace.entered():
        await cleanup()
        assert await cleanup() == []
