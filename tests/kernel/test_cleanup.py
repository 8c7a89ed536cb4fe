"""`nodeproxy cleanup` in a real kernel, from the command line on."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.cli.main import main
from nodeproxy.model.addresses import Family
from nodeproxy.model.leftovers import Place
from nodeproxy.node.leftovers.xtables import Tables
from tests.kernel.reading import a_bit_of_everything, listed
from tests.support.kube_proxy_rules import foreign_ruleset, kube_proxy_ruleset
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel

_THEIRS = (
    "table ip theirs {\nchain services {\ncounter\n}\n}\n"
    "table inet nodeproxy {\nchain c {\naccept\n}\n}\n"
    "table ip kube-proxy {\nchain services {\naccept\n}\n}\n"
)


def run(
    namespace: Namespace, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """Exit code and standard output of one `nodeproxy cleanup`."""
    with namespace.entered():
        code = main(["cleanup", *arguments])
    return code, capsys.readouterr().out


def sizes_as_nft_counts(namespace: Namespace) -> Counter[tuple[str, str, str]]:
    """Rules of every chain and elements of every set of our tables."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in nft.list_ruleset_json(namespace):
        for kind in ("chain", "set", "map", "rule"):
            one: dict[str, Any] = entry.get(kind, {})
            if one.get("table") != "nodeproxy" or one["family"] == "inet":
                continue
            if kind == "rule":
                found[one["family"], "chain", one["chain"]] += 1
            else:
                found[one["family"], kind, one["name"]] += len(one.get("elem", ()))
    return found


async def test_a_dry_run_counts_what_is_there_and_changes_nothing(
    namespace: Namespace, node: ProgrammedNode, capsys: pytest.CaptureFixture[str]
):
    await node.take(*a_bit_of_everything())
    nft.load(namespace, _THEIRS)
    before = listed(namespace)

    code, text = run(namespace, capsys, "--dry-run", "--output=json")

    names = {"IPv4": "ip", "IPv6": "ip6"}
    told = {
        (names[holding["family"]], item["kind"], item["name"]): item["size"]
        for holding in json.loads(text)["found"]
        for item in holding["objects"]
    }
    assert code == 3
    assert told == dict(sizes_as_nft_counts(namespace))
    assert sum(told.values()) > 100
    assert listed(namespace) == before


async def test_our_tables_go_and_nothing_else(
    namespace: Namespace, node: ProgrammedNode, capsys: pytest.CaptureFixture[str]
):
    nft.load(namespace, _THEIRS)
    before = listed(namespace)
    await node.take(*a_bit_of_everything())

    code, text = run(namespace, capsys)
    again = run(namespace, capsys)

    assert code == 0
    assert [line.split(":")[1] for line in text.splitlines()] == [
        " nftables, IPv4, table nodeproxy",
        " nftables, IPv6, table nodeproxy",
    ]
    assert listed(namespace) == before
    assert again == (0, "nothing to remove\n")


async def test_what_kube_proxy_left_goes_and_our_rules_stay(
    namespace: Namespace, node: ProgrammedNode, capsys: pytest.CaptureFixture[str]
):
    tables = Tables(Place.IPTABLES_NFT, Family.IPV4)
    namespace.run(f"{tables.command}-restore", stdin=foreign_ruleset())
    await node.take(*a_bit_of_everything())
    before = listed(namespace)
    namespace.run(f"{tables.command}-restore", "--noflush", stdin=kube_proxy_ruleset(tables.family))
    nft.load(namespace, "table ip kube-proxy {\nchain services {\naccept\n}\n}\n")

    looked, listing = run(namespace, capsys, "--from=kube-proxy")
    removed, _ = run(namespace, capsys, "--from=kube-proxy", "--yes")
    again, _ = run(namespace, capsys, "--from=kube-proxy", "--dry-run")

    assert (looked, removed, again) == (3, 0, 0)
    assert "iptables-nft, IPv4, table nat: 12 chains with 24 rules, 3 jumps" in listing
    assert "  2 chains KUBE-SEP-*: 4 rules" in listing
    assert "nftables, IPv4, table kube-proxy: 1 chain with 1 rule" in listing
    assert listed(namespace) == before
