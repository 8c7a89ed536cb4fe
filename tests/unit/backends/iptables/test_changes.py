"""What a change of the cluster makes of the tables, and what it leaves alone."""

from __future__ import annotations

import pytest

from nodeproxy.backends.iptables.objects import HOOKS, SERVICE_PORT_CHAIN, Table
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Refusal
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.types import PlanKey
from tests.support.builders import service, slice_
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_clusters import OPTIONS, every_kind_of_rule
from tests.support.iptables_programming import IptablesNode


@pytest.fixture
def node() -> IptablesNode:
    return IptablesNode(families=(Family.IPV4,))


def web(*endpoints: str):
    pods = slice_("web-1", service="web").port(8080)
    for endpoint in endpoints:
        pods.endpoint(endpoint)
    return pods.upserted()


WEB = service("web").cluster_ip("10.96.0.10").port(80).upserted()
DNS = service("dns").cluster_ip("10.96.0.53").port(53).upserted()
DNS_PODS = slice_("dns-1", service="dns").port(53).endpoint("10.244.0.53").upserted()


def nat(node: IptablesNode) -> dict[str, list[str]]:
    return node.tables.tables[Family.IPV4, Table.NAT]


def targets(node: IptablesNode) -> set[str]:
    """All endpoints that anybody can reach."""
    rules = [rule for rules in nat(node).values() for rule in rules]
    return {rule.split()[-1] for rule in rules if "DNAT --to" in rule}


def written_chains(text: str) -> set[str]:
    return {line.split()[0][1:] for line in text.splitlines() if line.startswith(":")}


async def test_the_first_sync_is_one_restore_for_each_family():
    node = IptablesNode(options=OPTIONS)

    await node.take(*every_kind_of_rule())

    assert len(node.tables.restores) == len(FAMILIES)


async def test_a_changed_endpoint_writes_the_chain_of_its_pool_only(node: IptablesNode):
    await node.take(WEB, DNS, web("10.244.0.1", "10.244.0.2"), DNS_PODS)

    await node.take(web("10.244.0.1", "10.244.0.3"))

    (chain,) = written_chains(node.tables.restores[-1])
    assert chain.startswith("NP-SVC-")
    assert "*filter" not in node.tables.restores[-1]
    assert targets(node) == {"10.244.0.1:8080", "10.244.0.3:8080", "10.244.0.53:53"}


async def test_a_service_that_goes_takes_its_chains_along(node: IptablesNode):
    await node.take(DNS, DNS_PODS)
    before = dict(nat(node))

    await node.take(WEB, web("10.244.0.1"))
    await node.take(service("web").removed(), slice_("web-1", service="web").removed())

    assert nat(node) == before


async def test_a_service_that_loses_its_endpoints_is_refused_before_it_is_not_translated(
    node: IptablesNode,
):
    await node.take(WEB, web("10.244.0.1"))

    await node.take(web())

    text = node.tables.restores[-1]
    assert text.index("*filter") < text.index("*nat")


async def test_a_service_that_gets_endpoints_is_translated_before_it_is_not_refused(
    node: IptablesNode,
):
    await node.take(WEB)

    await node.take(web("10.244.0.1"))

    text = node.tables.restores[-1]
    assert text.index("*nat") < text.index("*filter")


async def test_services_may_swap_their_addresses(node: IptablesNode):
    other = service("dns").cluster_ip("10.96.0.10").port(80).upserted()
    await node.take(WEB, DNS, web("10.244.0.1"), DNS_PODS)
    swapped = service("web").cluster_ip("10.96.0.53").port(53).upserted()

    await node.take(swapped, other)

    fresh = IptablesNode(families=(Family.IPV4,))
    await fresh.take(swapped, other, web("10.244.0.1"), DNS_PODS)
    assert node.tables.tables == fresh.tables.tables


async def test_a_restart_finds_everything_as_it_is():
    node = IptablesNode(options=OPTIONS)
    await node.take(*every_kind_of_rule())

    report = await node.restart()

    assert (report.operations, report.read_backs) == (0, 2)


async def test_a_restart_removes_what_nobody_wants_any_more(node: IptablesNode):
    await node.take(WEB, web("10.244.0.1"))
    nat(node)["NP-SVC-AAAAAAAAAAAAAAAA"] = [" -j ACCEPT"]
    nat(node)["NP-S"].append(" -d 10.96.9.9/32 -g NP-SVC-AAAAAAAAAAAAAAAA")

    await node.restart()

    fresh = IptablesNode(families=(Family.IPV4,))
    await fresh.take(WEB, web("10.244.0.1"))
    assert node.tables.tables == fresh.tables.tables


async def test_what_others_have_in_the_tables_stays(node: IptablesNode):
    nat(node)["POSTROUTING"].append(" -j CNI-OUT")
    nat(node)["CNI-OUT"] = [" -j MASQUERADE"]

    await node.take(WEB, web("10.244.0.1"))
    await node.restart()

    assert nat(node)["POSTROUTING"] == [" -j NP-POSTROUTING", " -j CNI-OUT"]
    assert nat(node)["CNI-OUT"] == [" -j MASQUERADE"]


async def test_a_foreign_flush_is_undone_once_it_is_noticed(node: IptablesNode):
    await node.take(WEB, web("10.244.0.1"))
    wanted = {name: list(rules) for name, rules in nat(node).items()}
    node.tables.flush(Family.IPV4)

    node.backend.mark_stale("somebody flushed the tables")
    report = await node.backend.commit()

    assert nat(node) == wanted
    assert report.read_backs == 1


async def test_missing_and_doubled_jumps_are_put_in_order(node: IptablesNode):
    await node.take(WEB)
    nat(node)["OUTPUT"].clear()
    nat(node)["PREROUTING"].append(" -j NP-SERVICES")
    node.tables.tables[Family.IPV4, Table.FILTER]["INPUT"].append(" -p tcp -j NP-FORWARD")

    node.backend.mark_stale("somebody was here")
    await node.backend.commit()

    for hook in HOOKS:
        rules = node.tables.rules(Family.IPV4, hook.table, hook.builtin)
        assert rules == [f"-j {hook.chain}"]


async def test_a_restore_that_failed_is_made_up_for_by_the_next_commit(node: IptablesNode):
    await node.take(WEB, web("10.244.0.1"))
    node.tables.fails_next = "the xtables lock was held"

    with pytest.raises(BackendError, match="lock"):
        await node.take(web("10.244.0.2"))
    await node.backend.commit()

    assert targets(node) == {"10.244.0.2:8080"}


async def test_a_failure_of_one_family_does_not_hold_up_the_other():
    """DP-82."""

    class NoIpv6(FakeXtables):
        def restore(self, family: Family, text: str) -> Refusal | None:
            if family is Family.IPV6:
                raise BackendError("ip6tables-restore: no such table")
            return super().restore(family, text)

    tables = NoIpv6()
    node = IptablesNode(tables, options=OPTIONS)

    with pytest.raises(BackendError, match="ip6tables"):
        await node.take(*every_kind_of_rule())

    assert "NP-SERVICES" in tables.tables[Family.IPV4, Table.NAT]


def plan_key(name: str) -> PlanKey:
    return PlanKey(Family.IPV4, ServicePortKey("default", name, "", Protocol.TCP))


@pytest.mark.parametrize("names_lines", [True, False], ids=["line named", "table refused"])
async def test_a_refused_service_is_quarantined_and_the_others_go_in(
    node: IptablesNode, *, names_lines: bool
):
    node.tables.names_lines = names_lines
    node.tables.refuses = lambda line: "10.244.6.6" in line
    others = [
        event
        for number in range(20)
        for event in (
            service(f"s{number}").cluster_ip(f"10.96.1.{number}").port(80).upserted(),
            slice_(f"s{number}-1", service=f"s{number}")
            .port(80)
            .endpoint(f"10.244.1.{number}")
            .upserted(),
        )
    ]

    report = await node.take(WEB, web("10.244.6.6"), *others)

    assert set(report.quarantined) == {plan_key("web")}
    assert targets(node) == {f"10.244.1.{number}:80" for number in range(20)}


@pytest.mark.parametrize("names_lines", [True, False], ids=["line named", "table refused"])
async def test_a_quarantined_service_keeps_its_former_state(
    node: IptablesNode, *, names_lines: bool
):
    node.tables.names_lines = names_lines
    await node.take(WEB, DNS, DNS_PODS, web("10.244.0.1"))
    node.tables.refuses = lambda line: "10.244.6.6" in line

    report = await node.take(
        web("10.244.6.6"),
        slice_("dns-1", service="dns").port(53).endpoint("10.244.0.54").upserted(),
    )

    assert set(report.quarantined) == {plan_key("web")}
    assert targets(node) == {"10.244.0.1:8080", "10.244.0.54:53"}


async def test_a_service_leaves_quarantine_with_its_next_change(node: IptablesNode):
    node.tables.refuses = lambda line: "10.244.6.6" in line
    await node.take(WEB, web("10.244.6.6"))

    report = await node.take(web("10.244.0.7"))

    assert report.quarantined == {}
    assert targets(node) == {"10.244.0.7:8080"}


async def test_without_any_service_at_fault_nothing_is_quarantined(node: IptablesNode):
    node.tables.refuses = lambda line: "MASQUERADE" in line

    with pytest.raises(BackendError, match="frame"):
        await node.take(WEB, web("10.244.0.1"))

    assert node.backend.quarantined() == {}


async def test_other_settings_change_the_rules_that_depend_on_them():
    node = IptablesNode(families=(Family.IPV4,), mode=IptablesOptions(drops_invalid=False))

    await node.take(WEB)

    rules = node.tables.rules(Family.IPV4, Table.FILTER, "NP-FORWARD")
    assert not [rule for rule in rules if "--ctstate INVALID -j" in rule]


async def test_rendering_does_not_depend_on_the_order_of_events():
    forwards, backwards = IptablesNode(options=OPTIONS), IptablesNode(options=OPTIONS)
    events = every_kind_of_rule()

    forwards.stage(*events)
    for event in reversed(events):
        backwards.stage(event)

    assert forwards.backend.render() == backwards.backend.render()


async def test_what_is_rendered_is_what_is_installed():
    node = IptablesNode(options=OPTIONS, families=(Family.IPV4,))
    await node.take(*every_kind_of_rule())
    other = FakeXtables()

    refusal = other.restore(Family.IPV4, node.backend.render().partition("\n")[2])

    assert refusal is None
    assert other.tables == node.tables.tables


async def test_every_chain_is_written_behind_those_it_leads_to():
    """Names fall among service ports' chains: iptables-nft-restore is fast with that."""
    node = IptablesNode(options=OPTIONS, families=(Family.IPV6,))

    await node.take(*every_kind_of_rule())

    (text,) = node.tables.restores
    known: list[str] = []
    for line in text.splitlines():
        if line.startswith(":"):
            known.append(line[1:].split()[0])
        elif line.startswith("-A"):
            assert line.split()[1] == known[-1]
            target = line.split()[-1]
            assert target in known or not target.startswith("NP-")
    own = [name for name in known if SERVICE_PORT_CHAIN.fullmatch(name)]
    assert own == sorted(own, reverse=True)
