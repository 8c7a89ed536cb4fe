from __future__ import annotations

import pytest

from nodeproxy.model.leftovers import Item, Kind
from nodeproxy.node.leftovers.rules import (
    KUBE_PROXY,
    NODEPROXY,
    Belongings,
    belongings,
    parse_save,
    removal,
    unreadable_tables,
)
from tests.support.kube_proxy_rules import foreign_ruleset

SERVICE = "KUBE-SVC-QNLOQG4XHR5FB2TW"
ENDPOINT = "KUBE-SEP-3AVYIQNEPB7LHS5C"


def nat(*lines: str) -> str:
    builtin = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    return builtin + "".join(f"{line}\n" for line in lines) + "COMMIT\n"


def found_in(text: str) -> Belongings:
    return belongings(parse_save(text)["nat"], KUBE_PROXY)


@pytest.mark.parametrize(
    ("table", "chain"),
    [
        ("filter", "KUBE-FIREWALL"),
        ("nat", "KUBE-MARK-DROP"),
        ("mangle", "KUBE-KUBELET-CANARY"),
        ("mangle", "KUBE-IPTABLES-HINT"),
        ("nat", "KUBE-SVC-WEB"),
        ("nat", "KUBE-SVC-QNLOQG4XHR5FB2TWX"),
        ("filter", SERVICE),
        ("filter", "KUBE-MARK-MASQ"),
        ("mangle", "KUBE-SERVICES"),
        ("filter", "KUBE-ROUTER-INPUT"),
        ("filter", "KUBE-POD-FW-QNLOQG4XHR5FB2TW"),
        ("filter", "INPUT"),
    ],
)
def test_chains_of_others_are_not_of_kube_proxy(table: str, chain: str):
    assert not KUBE_PROXY.owns_chain(table, chain)


@pytest.mark.parametrize("kind", ["SVC", "SVL", "EXT", "FW", "SEP", "XLB"])
def test_chains_of_services_are_known_by_their_shape(kind: str):
    chain = f"KUBE-{kind}-QNLOQG4XHR5FB2TW"

    assert KUBE_PROXY.owns_chain("nat", chain)
    assert KUBE_PROXY.group("nat", chain) == f"KUBE-{kind}-*"


def test_chains_and_jumps_are_taken_away_in_one_transaction():
    text = nat(
        f":{ENDPOINT} - [0:0]",
        ":KUBE-SERVICES - [0:0]",
        '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-A PREROUTING -p tcp -j ACCEPT",
        f"-A KUBE-SERVICES -d 10.96.0.1/32 -j {ENDPOINT}",
        "-A KUBE-SERVICES -d 10.96.0.2/32 -j DROP",
    )

    found = found_in(text)

    assert found.items == (
        Item(Kind.CHAIN, ENDPOINT, 0, "KUBE-SEP-*"),
        Item(Kind.CHAIN, "KUBE-SERVICES", 2),
        Item(
            Kind.JUMP,
            'PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        ),
    )
    assert removal(found).splitlines() == [
        "*nat",
        f":{ENDPOINT} - [0:0]",
        ":KUBE-SERVICES - [0:0]",
        '-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        f"-X {ENDPOINT}",
        "-X KUBE-SERVICES",
        "COMMIT",
    ]


@pytest.mark.parametrize(
    "rule",
    [
        "-A OUTPUT -d 10.0.0.1/32 -j KUBE-SERVICES",
        '-A OUTPUT -m comment --comment "by an admin" -j KUBE-SERVICES',
        '-A MINE -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        "-A MINE -p udp -g KUBE-SERVICES",
    ],
)
def test_a_foreign_rule_holds_the_chain_it_leads_to(rule: str):
    found = found_in(nat(":KUBE-SERVICES - [0:0]", ":MINE - [0:0]", rule))

    assert found.jumps == ()
    assert found.held == {"KUBE-SERVICES": rule.removeprefix("-A ")}
    assert "-X" not in removal(found)
    assert ":KUBE-SERVICES - [0:0]" in removal(found)


@pytest.mark.parametrize(
    "rule",
    [
        '-A OUTPUT -m comment --comment "once -j KUBE-SERVICES" -j ACCEPT',
        '-A OUTPUT -m comment --comment "once -j KUBE-SERVICES"',
        "-A OUTPUT -j KUBE-SERVICES-OF-MINE",
    ],
)
def test_a_rule_that_only_names_a_chain_leads_nowhere(rule: str):
    found = found_in(nat(":KUBE-SERVICES - [0:0]", rule))

    assert found.jumps == ()
    assert found.held == {}


def test_among_rules_of_others_nothing_is_found():
    tables = parse_save(foreign_ruleset())

    found = [belongings(table, KUBE_PROXY) for table in tables.values()]

    assert list(tables) == ["filter", "nat", "mangle"]
    assert [one.items for one in found] == [(), (), ()]


def test_every_jump_to_a_chain_of_our_own_mode_is_ours():
    text = nat(
        ":NODEPROXY-SERVICES - [0:0]",
        ":KUBE-SERVICES - [0:0]",
        "-A OUTPUT -j NODEPROXY-SERVICES",
        "-A OUTPUT -j KUBE-SERVICES",
    )

    found = belongings(parse_save(text)["nat"], NODEPROXY)

    assert list(found.chains) == ["NODEPROXY-SERVICES"]
    assert found.jumps == (("OUTPUT", "-j NODEPROXY-SERVICES"),)


def test_tables_that_cannot_be_shown_are_named():
    text = "# Table `nat' is incompatible, use 'nft' tool.\n*filter\nCOMMIT\n"

    assert unreadable_tables(text) == ("nat",)
