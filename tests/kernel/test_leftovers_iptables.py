"""kube-proxy's leftovers in iptables, in both flavours and families of the real commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.errors import NodeproxyError
from nodeproxy.model.addresses import Family
from nodeproxy.model.leftovers import Kind, Origin, Place, Search
from nodeproxy.node.leftovers.search import search_leftovers
from nodeproxy.node.leftovers.xtables import Tables
from tests.support.kube_proxy_rules import foreign_ruleset, kube_proxy_ruleset

pytestmark = pytest.mark.kernel

EVERYWHERE = [
    pytest.param(Tables(place, family), id=f"{place}-{family}")
    for place in (Place.IPTABLES_NFT, Place.IPTABLES_LEGACY)
    for family in Family
]


@pytest.fixture(autouse=True)
def _lock_of_our_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # The lock file is the machine's; its own iptables commands should not have to wait for us.
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path_factory.mktemp("xtables") / "lock"))


@pytest.fixture
def inside(namespace: Namespace) -> Iterator[Namespace]:
    with namespace.entered():
        yield namespace


def saved(namespace: Namespace, tables: Tables) -> str:
    """The tables with counters, without the lines that tell when they were printed."""
    text = namespace.run(f"{tables.command}-save", "-c", with_warnings=False)
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def load(namespace: Namespace, tables: Tables, text: str, *options: str) -> None:
    namespace.run(f"{tables.command}-restore", *options, stdin=text)


def look() -> Search:
    return search_leftovers(Origin.KUBE_PROXY)


def remove(search: Search) -> list[str]:
    failures = []
    for found in search.leftovers:
        try:
            found.remove()
        except NodeproxyError as exc:
            failures.append(str(exc))
    return failures


@pytest.mark.parametrize("tables", EVERYWHERE)
def test_what_is_not_of_kube_proxy_stays_byte_for_byte(inside: Namespace, tables: Tables):
    load(inside, tables, foreign_ruleset(), "--counters")
    before = saved(inside, tables)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    both = saved(inside, tables)

    failures = remove(look())

    assert failures == []
    assert before != both
    assert saved(inside, tables) == before


@pytest.mark.parametrize("tables", EVERYWHERE)
def test_looking_tells_every_object_and_changes_nothing(inside: Namespace, tables: Tables):
    load(inside, tables, foreign_ruleset(), "--counters")
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    before = saved(inside, tables)

    holdings = [found.holding for found in look().leftovers]

    counts = {
        holding.table: (
            sum(item.kind is Kind.CHAIN for item in holding.items),
            sum(item.size for item in holding.items),
            sum(item.kind is Kind.JUMP for item in holding.items),
        )
        for holding in holdings
    }
    assert {(holding.place, holding.family) for holding in holdings} == {
        (tables.place, tables.family)
    }
    assert counts == {"filter": (6, 7, 9), "nat": (12, 24, 3), "mangle": (1, 0, 0)}
    assert saved(inside, tables) == before


@pytest.mark.parametrize("tables", EVERYWHERE)
def test_removing_twice_finds_nothing_the_second_time(inside: Namespace, tables: Tables):
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    found = look()
    remove(found)

    failures_of_a_late_second = remove(found)

    assert failures_of_a_late_second == []
    assert look().leftovers == ()


@pytest.mark.parametrize("tables", EVERYWHERE)
def test_a_chain_that_a_foreign_rule_leads_to_stays_empty_and_is_told(
    inside: Namespace, tables: Tables
):
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    load(
        inside,
        tables,
        "*nat\n:CNI-HOSTPORT - [0:0]\n-A CNI-HOSTPORT -p tcp -j KUBE-MARK-MASQ\nCOMMIT\n",
        "--noflush",
    )

    failures = remove(look())

    rules = [line for line in saved(inside, tables).splitlines() if "KUBE-" in line]
    assert failures == [
        "chain KUBE-MARK-MASQ is empty now and stays, because the rule "
        "`-A CNI-HOSTPORT -p tcp -j KUBE-MARK-MASQ` leads to it. "
        "Remove what is not needed of that and try again"
    ]
    assert rules == [
        ":KUBE-MARK-MASQ - [0:0]",
        "[0:0] -A CNI-HOSTPORT -p tcp -j KUBE-MARK-MASQ",
    ]


def test_looking_at_a_clean_node_makes_no_tables(inside: Namespace):
    found = look()

    assert found.leftovers == ()
    assert nft.list_ruleset(inside) == ""
    assert not (inside.run("cat", "/proc/net/ip_tables_names", check=False)).strip()


def test_both_flavours_are_cleaned_of_the_same_node(inside: Namespace):
    old = Tables(Place.IPTABLES_LEGACY, Family.IPV4)
    new = Tables(Place.IPTABLES_NFT, Family.IPV4)
    load(inside, old, kube_proxy_ruleset(Family.IPV4), "--noflush")
    load(inside, new, kube_proxy_ruleset(Family.IPV4), "--noflush")

    found = look()
    failures = remove(found)

    assert failures == []
    assert [f.holding.place for f in found.leftovers] == [Place.IPTABLES_NFT] * 3 + [
        Place.IPTABLES_LEGACY
    ] * 3
    assert "KUBE-" not in saved(inside, old) + saved(inside, new)


def test_jumps_that_were_written_twice_go_both(inside: Namespace):
    tables = Tables(Place.IPTABLES_LEGACY, Family.IPV4)
    load(inside, tables, foreign_ruleset(), "--counters")
    before = saved(inside, tables)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")

    failures = remove(look())

    assert failures == []
    assert saved(inside, tables) == before


def test_a_table_that_iptables_cannot_show_is_told_and_left_alone(inside: Namespace):
    tables = Tables(Place.IPTABLES_NFT, Family.IPV4)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    nft.load(inside, "add rule ip nat KUBE-SERVICES numgen inc mod 3 1 counter")
    before = nft.list_ruleset(inside)

    found = [f for f in look().leftovers if f.holding.table == "nat"]
    failures = remove(Search(tuple(found)))

    assert {item.name for item in found[0].holding.items} >= {"KUBE-SERVICES", "KUBE-MARK-MASQ"}
    assert re.match("iptables-nft cannot show the table, .* see nft list table ip nat", failures[0])
    assert nft.list_ruleset(inside) == before


def test_a_missing_command_matters_only_where_there_is_something(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
):
    tables = Tables(Place.IPTABLES_NFT, Family.IPV4)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    load(inside, Tables(Place.IPTABLES_LEGACY, Family.IPV6), "*nat\nCOMMIT\n")
    monkeypatch.setattr("nodeproxy.node.leftovers.xtables.shutil.which", lambda *_, **__: None)

    found = look()
    failures = remove(found)

    assert {f.holding.table for f in found.leftovers} == {"filter", "nat", "mangle"}
    assert set(failures) == {
        "iptables-nft is not installed; nothing of this table was removed, install iptables"
    }
    assert (
        "iptables-legacy, IPv6: the kernel has the tables nat, and ip6tables-legacy is not "
        "installed; they were not looked at, install iptables to have it done"
    ) in found.notes


def test_rules_of_our_own_iptables_mode_are_found_by_their_prefix(inside: Namespace):
    tables = Tables(Place.IPTABLES_LEGACY, Family.IPV4)
    load(inside, tables, foreign_ruleset(), "--counters")
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    before = saved(inside, tables)
    load(
        inside,
        tables,
        "*nat\n:NODEPROXY-SERVICES - [0:0]\n-A PREROUTING -j NODEPROXY-SERVICES\nCOMMIT\n",
        "--noflush",
    )

    found = search_leftovers(Origin.NODEPROXY_IPTABLES)
    failures = remove(found)

    assert [str(f.holding) for f in found.leftovers] == ["iptables-legacy, IPv4, table nat"]
    assert failures == []
    assert saved(inside, tables) == before


@pytest.mark.parametrize(("policy", "notes"), [("ACCEPT", 0), ("DROP", 1)])
def test_what_forwards_connections_only_by_its_rules_is_told(
    inside: Namespace, policy: str, notes: int
):
    tables = Tables(Place.IPTABLES_LEGACY, Family.IPV6)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    inside.run("ip6tables-legacy", "-P", "FORWARD", policy)

    told = [note for note in look().notes if "the policy of FORWARD is DROP" in note]

    assert len(told) == notes


def test_a_command_that_fails_is_told_and_the_other_flavour_is_looked_at(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    broken = tmp_path / "iptables-legacy-save"
    broken.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    broken.chmod(0o755)
    for place in (Place.IPTABLES_NFT, Place.IPTABLES_LEGACY):
        tables = Tables(place, Family.IPV4)
        load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    found = look()

    assert found.failures == ("iptables-legacy, IPv4: iptables-legacy-save: no such luck",)
    assert {f.holding.place for f in found.leftovers} == {Place.IPTABLES_NFT}


def test_comments_of_any_bytes_are_kept_and_can_be_shown(inside: Namespace):
    tables = Tables(Place.IPTABLES_LEGACY, Family.IPV4)
    load(inside, tables, kube_proxy_ruleset(tables.family), "--noflush")
    rule = ("-m", "comment", "--comment", "na\udcefve", "-j", "KUBE-SERVICES")
    inside.run("iptables-legacy", "-t", "nat", "-A", "OUTPUT", *rule)

    failures = remove(look())

    assert '-A OUTPUT -m comment --comment "na\ufffdve" -j KUBE-SERVICES' in failures[0]
    assert "na\udcefve" in tables.save("-t", "nat")
