"""The tracer follows chains as the kernel does; tests/kernel holds the rules against the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from nodeproxy.backends.iptables.objects import (
    HOOKS,
    Chain,
    Chance,
    Dnat,
    Drop,
    Goto,
    Jump,
    Known,
    Local,
    Marked,
    Masquerade,
    Note,
    Return,
    Rule,
    SetMark,
    Table,
)
from nodeproxy.backends.iptables.trace import End, Packet, Tracer
from nodeproxy.model.addresses import parse_addr
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Target

NODE = parse_addr("192.168.0.2")
POD = parse_addr("10.244.0.1")
FROM_POD = Packet(POD, parse_addr("10.96.0.1"), Protocol.TCP, 80, "eth0")
TO_A = Dnat(Target(parse_addr("10.244.0.7"), 8080))
TO_B = Dnat(Target(parse_addr("10.244.0.8"), 8080))


def tracer(*services: Rule, others: Mapping[str, tuple[Rule, ...]] | None = None) -> Tracer:
    """NP-SERVICES with these rules; chains of both tables by name."""
    names = {(hook.table, hook.chain): () for hook in HOOKS}
    rules: dict[tuple[Table, str], tuple[Rule, ...]] = {
        **names,
        (Table.NAT, "NP-SERVICES"): services,
    }
    for name, found in (others or {}).items():
        table = Table.FILTER if (Table.FILTER, name) in names else Table.NAT
        rules[table, name] = found
    chains = {
        table: [Chain(name, found) for (where, name), found in rules.items() if where is table]
        for table in Table
    }
    return Tracer(chains, frozenset({NODE}))


def test_without_a_rule_a_packet_goes_where_it_wanted():
    (ending,) = tracer().trace(FROM_POD)

    assert ending.end is End.PASSED
    assert ending.packet == FROM_POD


def test_chances_multiply_along_the_chain():
    rules = (Rule((Chance(3),), TO_A), Rule((Chance(2),), TO_A), Rule((), TO_B))

    endings = tracer(*rules).trace(FROM_POD)

    shares = {ending.packet.destination: ending.probability for ending in endings}
    assert shares == {
        TO_A.endpoint.addr: Fraction(2, 3),
        TO_B.endpoint.addr: Fraction(1, 3),
    }


def test_a_jump_comes_back_and_a_goto_does_not():
    others = {"NP-A": (Rule((), Return()),), "NP-B": ()}

    after_jump = tracer(Rule((), Jump("NP-A")), Rule((), TO_A), others=others).trace(FROM_POD)
    after_goto = tracer(Rule((), Goto("NP-B")), Rule((), TO_A), others=others).trace(FROM_POD)

    assert after_jump[0].packet.is_translated
    assert not after_goto[0].packet.is_translated


def test_a_goto_comes_back_to_the_last_jump():
    others = {"NP-A": (Rule((), Goto("NP-B")), Rule((), TO_B)), "NP-B": ()}

    (ending,) = tracer(Rule((), Jump("NP-A")), Rule((), TO_A), others=others).trace(FROM_POD)

    assert ending.packet.destination == TO_A.endpoint.addr


def test_marks_last_until_postrouting():
    others = {"NP-POSTROUTING": (Rule((Marked(4),), Masquerade()),)}

    (ending,) = tracer(Rule((), SetMark(4)), Rule((), TO_A), others=others).trace(FROM_POD)

    assert ending.packet.is_masqueraded


def test_what_comes_in_for_the_node_itself_is_never_masqueraded():
    others = {"NP-POSTROUTING": (Rule((), Masquerade()),), "NP-INPUT": (Rule((), Drop()),)}
    to_node = Packet(POD, NODE, Protocol.TCP, 80, "eth0")

    (ending,) = tracer(others=others).trace(to_node)

    assert ending.end is End.DROPPED
    assert not ending.packet.is_masqueraded


def test_what_the_node_sends_passes_output_and_what_it_sends_itself_also_input():
    others = {
        "NP-OUTPUT": (Rule((Local(is_source=False),), SetMark(8)),),
        "NP-INPUT": (Rule((Marked(8),), Drop()),),
    }

    (ending,) = tracer(others=others).trace(Packet(NODE, NODE, Protocol.TCP, 80))

    assert ending.end is End.DROPPED


def test_a_client_is_known_until_the_time_is_over():
    known = Rule((Known("L", 10, is_ipv6=False),), Goto("NP-A"))
    others = {"NP-A": (Rule((Note("L", is_ipv6=False),), TO_A),)}
    table = tracer(known, Rule((), Goto("NP-A")), others=others)
    (first,) = table.trace(FROM_POD, now=0.0)
    again = Packet(POD, FROM_POD.destination, Protocol.TCP, 80, "eth0", notes=first.packet.notes)

    (soon,) = table.trace(again, now=9.0)
    (late,) = table.trace(again, now=10.0)

    assert known in [step.rule for step in soon.path]
    assert known not in [step.rule for step in late.path]
    assert soon.packet.notes == {("L", POD, 9.0)}
