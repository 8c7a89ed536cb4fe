"""The kernel and the commands take what the backend writes, and print it the same way."""

from __future__ import annotations

import pytest

from lab.namespace import Namespace
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import SourceEvent
from tests.support.builders import service, slice_
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_clusters import OPTIONS, every_kind_of_rule
from tests.support.iptables_programming import IptablesNode

pytestmark = pytest.mark.kernel


@pytest.fixture(params=Flavour)
def tool(request: pytest.FixtureRequest, namespace: Namespace) -> Commands:
    return Commands(request.param, ("nsenter", f"--net={namespace.path}"))


def rules(saved: str) -> list[str]:
    """The rules, chain by chain; the order of chains is the command's own business."""
    return sorted(
        (line for line in saved.splitlines() if line.startswith("-A")),
        key=lambda line: line.split()[1],
    )


@pytest.mark.parametrize("family", FAMILIES)
async def test_every_rule_is_printed_as_it_was_written(tool: Commands, family: Family):
    node = IptablesNode(tool, (family,), OPTIONS)
    in_memory = IptablesNode(families=(family,), options=OPTIONS)

    await node.take(*every_kind_of_rule())
    await in_memory.take(*every_kind_of_rule())

    for table in Table:
        assert rules(tool.save(family, table)) == rules(in_memory.tables.save(family, table))


async def test_a_restart_changes_nothing(tool: Commands):
    node = IptablesNode(tool, options=OPTIONS)
    await node.take(*every_kind_of_rule())

    report = await node.restart()

    assert (report.operations, report.read_backs) == (0, 2)


async def test_changes_lead_to_what_a_fresh_start_gives(tool: Commands):
    node = IptablesNode(tool, options=OPTIONS)
    await node.take(*every_kind_of_rule())
    more: list[SourceEvent] = [
        slice_("web-4", service="web").port(8080, "p").endpoint("10.244.1.9").upserted(),
        service("dns").removed(),
        slice_("empty-4", service="empty").port(80).endpoint("10.244.6.1").upserted(),
        *(service(f"s{n}").cluster_ip(f"10.96.4.{n}").port(80).upserted() for n in range(40)),
    ]

    await node.take(*more)

    fresh = IptablesNode(options=OPTIONS)
    await fresh.take(*every_kind_of_rule(), *more)
    for family in FAMILIES:
        for table in Table:
            assert rules(tool.save(family, table)) == rules(fresh.tables.save(family, table))


async def test_a_flush_by_hand_is_undone(tool: Commands, namespace: Namespace):
    node = IptablesNode(tool, options=OPTIONS)
    await node.take(*every_kind_of_rule())
    before = {table: rules(tool.save(Family.IPV4, table)) for table in Table}
    for table in Table:
        for verb in ("-F", "-X"):
            namespace.run(f"iptables-{tool.flavour}", "-t", table, verb)

    node.backend.mark_stale("somebody flushed the tables")
    await node.backend.commit()

    assert {table: rules(tool.save(Family.IPV4, table)) for table in Table} == before


async def test_a_table_that_cannot_be_read_is_not_taken_for_an_empty_one(namespace: Namespace):
    tool = Commands(Flavour.NFT, ("nsenter", f"--net={namespace.path}"))
    node = IptablesNode(tool, (Family.IPV4,), OPTIONS)
    await node.take(*every_kind_of_rule())
    namespace.run("nft", "add rule ip nat POSTROUTING numgen random mod 2 0 accept")

    node.backend.mark_stale("somebody was here")
    with pytest.raises(BackendError, match="written with nft"):
        await node.backend.commit()

    assert node.backend.needs_commit


REFUSALS = {
    "unknown-chain": "*nat\n:NP-A - [0:0]\n-A NP-A -j NP-NOWHERE\nCOMMIT\n",
    "unknown-option": "*nat\n:NP-A - [0:0]\n-A NP-A --what\nCOMMIT\n",
    "chain-missing": "*nat\n:NP-A - [0:0]\n-A NP-B -j RETURN\nCOMMIT\n",
}


@pytest.mark.parametrize("text", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_names_a_line_and_changes_nothing(tool: Commands, text: str):
    refusal = tool.restore(Family.IPV4, text)

    assert refusal is not None
    assert refusal.line in (3, 4), refusal
    assert "NP-A" not in tool.save(Family.IPV4, Table.NAT)


def test_the_tables_in_memory_refuse_the_same():
    for text in (REFUSALS["unknown-chain"], REFUSALS["chain-missing"]):
        tables = FakeXtables()

        refusal = tables.restore(Family.IPV4, text)

        assert refusal is not None
        assert refusal.line == 3
        assert "NP-A" not in tables.save(Family.IPV4, Table.NAT)
