"""The order of hooks, chains and rules, and what a translation changes for those behind it."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nodeproxy.backends.nftables.keys import address_key, target_data
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.objects import (
    Chain,
    DnatToSlot,
    Drop,
    ElementId,
    ElementValue,
    Field,
    Goto,
    Hook,
    InSet,
    Jump,
    LoadAffinity,
    Masquerade,
    MatchAddress,
    MatchInterface,
    MatchLocal,
    MatchTranslated,
    Reject,
    SetMark,
    SetSpec,
    Slots,
    Statement,
    ValueKind,
)
from nodeproxy.backends.nftables.trace.endings import Passed
from nodeproxy.backends.nftables.trace.frame import (
    UntraceableError,
    elements_by_set,
    skeleton_of,
)
from nodeproxy.backends.nftables.trace.packet import Packet
from nodeproxy.model.addresses import Family, parse_addr, parse_cidr
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink import nf_tables as nf
from tests.support.tracing import packet, summary
from tests.unit.backends.nftables.small_tables import (
    FORWARD,
    FRONTEND,
    INPUT,
    NAT_OUTPUT,
    NAT_POSTROUTING,
    NAT_PREROUTING,
    NODE,
    OUTPUT,
    OUTSIDER,
    OWN,
    POD,
    PREROUTING,
    chain,
    tracer,
)

WEB = address_key(parse_addr("10.96.0.10"), Protocol.TCP, 80)
DRAW = (DnatToSlot(FRONTEND, 1, "endpoints"),)
POSTROUTING = Hook("filter", nf.NF_INET_POST_ROUTING, 50, "hook postrouting priority 50")
EVERYWHERE = (NAT_PREROUTING, PREROUTING, INPUT, FORWARD, NAT_OUTPUT, OUTPUT, POSTROUTING)


def leading_to(address: str, port: int = 8080) -> dict[str, dict[bytes, ElementValue]]:
    """Elements that translate 10.96.0.10:80."""
    return {"endpoints": {WEB: Slots((target_data(parse_addr(address), port),))}}


def seen(number: int) -> tuple[SetMark, ...]:
    return (SetMark(1 << number),)


def visits() -> list[Chain]:
    """A chain in every hook that leaves a trace."""
    return [chain(hook.text, seen(i), hook=hook) for i, hook in enumerate(EVERYWHERE)]


PREROUTINGS = [NAT_PREROUTING.text, PREROUTING.text]
OUTPUTS = [NAT_OUTPUT.text, OUTPUT.text]


@pytest.mark.parametrize(
    ("sent", "hooks"),
    [
        (POD, [*PREROUTINGS, FORWARD.text, POSTROUTING.text]),
        (OUTSIDER, [*PREROUTINGS, INPUT.text]),
        (OWN, [*OUTPUTS, POSTROUTING.text]),
        (packet(NODE, f"{NODE}:80"), [*OUTPUTS, POSTROUTING.text, PREROUTING.text, INPUT.text]),
        (packet("127.0.0.1", "127.0.0.1:80"),
         [*OUTPUTS, POSTROUTING.text, PREROUTING.text, INPUT.text]),
    ],
    ids=["forwarded", "incoming", "outgoing", "to itself", "loopback"],
)  # fmt: skip
def test_a_packet_meets_the_hooks_on_its_way(sent: Packet, hooks: list[str]):
    (ending,) = tracer(*visits()).trace(sent)

    assert [step.chain for step in ending.path] == hooks


def test_chains_of_a_hook_are_asked_by_priority():
    late = chain("late", (Drop(),), hook=PREROUTING)
    early = chain("early", (Reject(),), hook=NAT_PREROUTING)

    endings = tracer(late, early).trace(POD)

    assert summary(endings) == {"refused": 1}


@pytest.mark.parametrize(
    ("endpoint", "hook"), [("10.244.0.12", FORWARD), (NODE, INPUT)], ids=["pod", "node"]
)
def test_a_translated_packet_is_routed_by_its_new_destination(endpoint: str, hook: Hook):
    traced = tracer(
        chain("nat", DRAW, hook=NAT_PREROUTING),
        *(chain(found.text, seen(i), hook=found) for i, found in enumerate((INPUT, FORWARD))),
        elements=leading_to(endpoint),
    )

    (ending,) = traced.trace(POD)

    assert [step.chain for step in ending.path] == ["nat", hook.text]
    assert ending.outcome == Passed(parse_addr(endpoint), 8080, True, False)


def test_filter_output_sees_the_packet_after_translation():
    old = (MatchAddress(Field.DESTINATION, parse_cidr("10.96.0.0/16")), Drop())
    traced = tracer(
        chain("nat", DRAW, hook=NAT_OUTPUT),
        chain("filter", old, hook=OUTPUT),
        elements=leading_to("10.244.0.12"),
    )

    assert summary(traced.trace(OWN)) == {"10.244.0.12:8080": 1}


def test_what_the_node_sends_to_its_own_endpoint_comes_in_by_lo():
    """The nat chains of prerouting are not asked again; the filter chains are."""
    traced = tracer(
        chain("nat", DRAW, hook=NAT_OUTPUT),
        chain("again", (Drop(),), hook=NAT_PREROUTING),
        chain("pre", (MatchInterface("lo"), MatchTranslated(), *seen(1)), hook=PREROUTING),
        chain("input", (MatchInterface("lo"), *seen(2)), hook=INPUT),
        elements=leading_to(NODE),
    )

    (ending,) = traced.trace(OWN)

    assert [step.chain for step in ending.path] == ["nat", "pre", "input"]


def test_only_the_first_translation_of_a_hook_counts():
    second = Hook("nat", nf.NF_INET_PRE_ROUTING, -99, "")
    traced = tracer(
        chain("first", DRAW, hook=NAT_PREROUTING),
        chain("second", (Drop(),), hook=second),
        chain("filter", seen(1), hook=PREROUTING),
        elements=leading_to("10.244.0.12"),
    )

    (ending,) = traced.trace(POD)

    assert [step.chain for step in ending.path] == ["first", "filter"]


def test_nat_chains_that_do_not_translate_leave_it_to_the_next():
    traced = tracer(
        chain("first", seen(1), hook=NAT_PREROUTING),
        chain("second", DRAW, hook=Hook("nat", nf.NF_INET_PRE_ROUTING, -99, "")),
        elements=leading_to("10.244.0.12"),
    )

    assert summary(traced.trace(POD)) == {"10.244.0.12:8080": 1}


def test_masquerading_follows_a_translation_of_the_destination():
    traced = tracer(
        chain("nat", DRAW, hook=NAT_PREROUTING),
        chain("masq", (MatchTranslated(), Masquerade()), hook=NAT_POSTROUTING),
        elements=leading_to("10.244.0.12"),
    )

    assert summary(traced.trace(POD)) == {"10.244.0.12:8080 masq": 1}


def test_translating_to_the_same_destination_is_no_change_to_conntrack():
    """`ct status dnat` stays false then (measured on 6.18)."""
    traced = tracer(
        chain("nat", DRAW, hook=NAT_PREROUTING),
        chain("post", (MatchTranslated(), Drop()), hook=FORWARD),
        elements=leading_to("10.96.0.10", 80),
    )

    assert summary(traced.trace(POD)) == {"10.96.0.10:80": 1}


def test_after_a_jump_the_next_rule_follows():
    traced = tracer(chain("base", (Jump("side"),), (Drop(),), hook=FORWARD), chain("side", seen(1)))

    assert summary(traced.trace(POD)) == {"dropped": 1}


def test_after_a_goto_the_chain_is_left():
    traced = tracer(
        chain("base", (Jump("middle"),), seen(2), hook=FORWARD),
        chain("middle", (Goto("side"),), (Drop(),)),
        chain("side", seen(1)),
    )

    (ending,) = traced.trace(POD)

    assert [step.chain for step in ending.path] == ["base", "middle", "side", "base"]


def test_a_goto_from_a_base_chain_accepts():
    traced = tracer(chain("base", (Goto("side"),), (Drop(),), hook=FORWARD), chain("side", seen(1)))

    assert summary(traced.trace(POD)) == {"untouched": 1}


def test_a_drop_is_final():
    traced = tracer(
        chain("drop", (Drop(),), hook=PREROUTING), chain("later", (Reject(),), hook=FORWARD)
    )

    assert summary(traced.trace(POD)) == {"dropped": 1}


def test_the_path_leaves_out_chains_that_had_nothing_to_say():
    traced = tracer(
        chain("base", (Jump("silent"),), (Jump("speaking"),), hook=FORWARD),
        chain("silent", (MatchLocal(Field.SOURCE), Drop())),
        chain("speaking", (SetMark(1), Jump("silent"))),
    )

    (ending,) = traced.trace(POD)

    assert str(ending) == (
        "untouched to 10.96.0.10:80, 100.00%\n"
        "  base: jump speaking\n"
        "  speaking: meta mark set meta mark | 0x00000001 jump silent -> mark 0x00000001"
    )


def test_ways_that_become_the_same_packet_go_on_as_one():
    """Two draws of the same pool: as if there had been one, until both fail."""
    draws = (DnatToSlot(FRONTEND, 2, "endpoints"),)
    traced = tracer(
        chain("nat", draws, draws, hook=NAT_PREROUTING), elements=leading_to("10.244.0.12")
    )

    endings = traced.trace(POD)

    assert summary(endings) == {"10.244.0.12:8080": Fraction(3, 4), "untouched": Fraction(1, 4)}
    assert len(endings) == 2


def test_the_other_family_cannot_be_traced():
    with pytest.raises(UntraceableError, match="sees no IPv6"):
        tracer().trace(packet("fd00::1", "[fd00::2]:80"))


BROKEN = {
    "chain nobody declared": [chain("c", (Jump("nowhere"),))],
    "set nobody declared": [chain("c", (InSet(FRONTEND, "unknown"), Drop()))],
    "set of the wrong kind": [chain("c", (InSet(FRONTEND, "ids"), Drop()))],
    "map of the wrong kind": [chain("c", (DnatToSlot(FRONTEND, 1, "ids"),))],
    "statement behind a verdict": [chain("c", (Drop(), SetMark(1)))],
    "hook of another type": [chain("c", hook=Hook("route", nf.NF_INET_LOCAL_OUT, 0, ""))],
}


@pytest.mark.parametrize("chains", BROKEN.values(), ids=BROKEN)
def test_what_is_not_understood_is_not_traced(chains: list[Chain]):
    with pytest.raises(UntraceableError, match="packets cannot be traced"):
        tracer(*chains)


def test_elements_of_an_undeclared_set_are_not_traced():
    with pytest.raises(UntraceableError, match="set lost: not declared"):
        tracer(elements={"lost": {}})


def test_chains_in_a_circle_are_not_traced():
    traced = tracer(chain("a", (Jump("b"),), hook=FORWARD), chain("b", (Goto("a"),)))

    with pytest.raises(UntraceableError, match="circle"):
        traced.trace(POD)


@pytest.mark.parametrize(
    ("rule", "elements"),
    [
        (DRAW, {"endpoints": {WEB: "a comment"}}),
        ((LoadAffinity(FRONTEND, "ids"),), {"ids": {WEB: Slots()}}),
    ],
)
def test_values_of_another_kind_are_not_traced(
    rule: tuple[Statement, ...], elements: dict[str, dict[bytes, ElementValue]]
):
    traced = tracer(chain("c", rule, hook=NAT_PREROUTING), elements=elements)

    with pytest.raises(UntraceableError, match="is no"):
        traced.trace(POD)


def test_a_table_with_foreign_parts_is_not_traced():
    content = Content(chains={"alien": None}, sets={})

    with pytest.raises(UntraceableError, match="foreign hand"):
        skeleton_of(content, Family.IPV4)


def test_elements_of_a_plan_are_put_together_by_set():
    spec = SetSpec("known", FRONTEND, ValueKind.NOTHING, "")
    rule = (InSet(FRONTEND, "known"), Drop())
    elements = elements_by_set({ElementId("known", WEB): "default/web"})

    endings = tracer(chain("c", rule, hook=FORWARD), elements=elements, sets=(spec,)).trace(POD)

    assert summary(endings) == {"dropped": 1}
