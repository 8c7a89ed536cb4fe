"""What each statement does to a packet."""

from __future__ import annotations

from fractions import Fraction

import pytest

from nodeproxy.backends.nftables.keys import address_key, target_data
from nodeproxy.backends.nftables.objects import (
    AffinityId,
    ClearAffinity,
    ClearMark,
    DnatByMap,
    DnatToSlot,
    Drop,
    ElementValue,
    Field,
    InSet,
    Jump,
    LoadAffinity,
    Masquerade,
    MatchAddress,
    MatchInterface,
    MatchLocal,
    MatchMark,
    MatchNewConnection,
    MatchTcp,
    MatchTranslated,
    NetworkInSet,
    Reject,
    Remember,
    Reset,
    Return,
    SetMark,
    Slots,
    Statement,
)
from nodeproxy.backends.nftables.trace.packet import Packet, ping
from nodeproxy.backends.nftables.trace.records import Record, Records
from nodeproxy.model.addresses import parse_addr, parse_cidr
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink import expressions
from tests.support.tracing import packet, summary
from tests.unit.backends.nftables.small_tables import (
    CLIENT,
    FORWARD,
    FRONTEND,
    INPUT,
    NAT_POSTROUTING,
    NAT_PREROUTING,
    NODE,
    OUTPUT,
    OUTSIDER,
    OWN,
    POD,
    PREROUTING,
    chain,
    one_rule,
    tracer,
)

WEB = address_key(parse_addr("10.96.0.10"), Protocol.TCP, 80)
POD_1 = target_data(parse_addr("10.244.0.11"), 8080)
POD_2 = target_data(parse_addr("10.244.0.12"), 8080)
UDP = packet("10.244.0.11", "10.96.0.10:80", protocol=Protocol.UDP, interface="pod1")
PODS = parse_cidr("10.244.0.0/16")

MATCHES: list[tuple[Statement, Packet, bool]] = [
    (MatchAddress(Field.SOURCE, PODS), POD, True),
    (MatchAddress(Field.SOURCE, PODS), OWN, False),
    (MatchAddress(Field.DESTINATION, PODS), POD, False),
    (MatchAddress(Field.SOURCE, PODS, negate=True), POD, False),
    (MatchAddress(Field.SOURCE, PODS, negate=True), OWN, True),
    (MatchInterface("pod1"), POD, True),
    (MatchInterface("pod"), POD, False),
    (MatchInterface("pod", is_prefix=True), POD, True),
    (MatchInterface("pod", is_prefix=True), OUTSIDER, False),
    (MatchInterface("pod1", negate=True), POD, False),
    (MatchInterface("pod1"), OWN, False),
    (MatchInterface("pod1", negate=True), OWN, True),
    (MatchInterface("pod", is_prefix=True, negate=True), OWN, True),
    (MatchLocal(Field.SOURCE), OWN, True),
    (MatchLocal(Field.SOURCE), OUTSIDER, False),
    (MatchLocal(Field.DESTINATION), OUTSIDER, True),
    (MatchLocal(Field.DESTINATION), packet(NODE, "127.0.0.53:53"), True),
    (MatchNewConnection(), POD, True),
    (MatchTranslated(), POD, False),
    (MatchTcp(), POD, True),
    (MatchTcp(), UDP, False),
    (MatchMark(0x4000), packet(NODE, "10.96.0.10:80", mark=0x4001), True),
    (MatchMark(0x4000), packet(NODE, "10.96.0.10:80", mark=0x8001), False),
]


@pytest.mark.parametrize(("statement", "sent", "matches"), MATCHES)
def test_a_rule_goes_on_exactly_where_its_match_holds(
    statement: Statement, sent: Packet, matches: bool
):
    traced = one_rule((statement, Drop()), INPUT, FORWARD, OUTPUT)

    endings = summary(traced.trace(sent))

    assert endings == {"dropped" if matches else "untouched": 1}


@pytest.mark.parametrize(("port", "expected"), [(80, "dropped"), (81, "untouched")])
def test_a_key_in_a_set_is_found(port: int, expected: str):
    rule = (InSet(FRONTEND, "known"), Drop())
    traced = tracer(chain("c", rule, hook=FORWARD), elements={"known": {WEB: "default/web"}})

    endings = summary(traced.trace(packet("10.1.0.9", f"10.96.0.10:{port}", interface="eth0")))

    assert endings == {expected: 1}


@pytest.mark.parametrize(
    ("source", "is_inside"),
    [("10.1.0.0", True), ("10.1.0.99", True), ("10.1.255.255", True), ("10.0.255.255", False),
     ("10.2.0.0", False)],
)  # fmt: skip
def test_a_source_counts_as_its_network(source: str, is_inside: bool):
    rule = (NetworkInSet(16, FRONTEND, "sources"), Drop())
    elements = {"sources": {parse_addr("10.1.0.0") + WEB: "default/web"}}
    traced = tracer(chain("c", rule, hook=FORWARD), elements=elements)

    endings = summary(traced.trace(packet(source, "10.96.0.10:80", interface="eth0")))

    assert endings == {"dropped" if is_inside else "untouched": 1}


def test_what_returns_goes_on_behind_the_jump():
    traced = tracer(
        chain("base", (Jump("side"),), (Drop(),), hook=FORWARD),
        chain("side", (MatchTcp(), Return()), (Reject(),)),
    )

    assert summary(traced.trace(POD)) == {"dropped": 1}
    assert summary(traced.trace(UDP)) == {"refused": 1}


def test_a_draw_hits_each_slot_alike_and_goes_on_if_it_is_empty():
    draw = (DnatToSlot(FRONTEND, 4, "endpoints"),)
    elements: dict[str, dict[bytes, ElementValue]] = {"endpoints": {WEB: Slots((POD_1, POD_2))}}
    traced = tracer(chain("c", draw, hook=NAT_PREROUTING), elements=elements)

    endings = summary(traced.trace(POD))

    quarter = Fraction(1, 4)
    assert endings == {
        "10.244.0.11:8080": quarter,
        "10.244.0.12:8080": quarter,
        "untouched": 2 * quarter,
    }


def test_a_draw_does_not_hit_slots_beyond_its_bound():
    draw = (DnatToSlot(FRONTEND, 1, "endpoints"),)
    elements: dict[str, dict[bytes, ElementValue]] = {"endpoints": {WEB: Slots((POD_1, POD_2))}}
    traced = tracer(chain("c", draw, hook=NAT_PREROUTING), elements=elements)

    assert summary(traced.trace(POD)) == {"10.244.0.11:8080": 1}


def test_a_hole_in_the_slots_is_an_empty_slot():
    draw = (DnatToSlot(FRONTEND, 2, "endpoints"),)
    elements: dict[str, dict[bytes, ElementValue]] = {"endpoints": {WEB: Slots((None, POD_2))}}
    traced = tracer(chain("c", draw, hook=NAT_PREROUTING), elements=elements)

    half = Fraction(1, 2)
    assert summary(traced.trace(POD)) == {"10.244.0.12:8080": half, "untouched": half}


def test_a_frontend_without_slots_is_not_translated():
    traced = one_rule((DnatToSlot(FRONTEND, 4, "endpoints"),), NAT_PREROUTING)

    assert summary(traced.trace(POD)) == {"untouched": 1}


def test_a_mark_stays_with_the_packet_and_other_bits_with_the_mark():
    traced = tracer(
        chain("pre", (SetMark(0x4000),), hook=PREROUTING),
        chain("post", (MatchMark(0x4000), ClearMark(0x4000)), hook=FORWARD),
        chain("nat", (MatchMark(0x4000), Reject()), (MatchMark(1), Drop()), hook=NAT_POSTROUTING),
    )

    endings = traced.trace(packet("10.244.0.11", "10.96.0.10:80", interface="pod1", mark=1))

    assert summary(endings) == {"dropped": 1}
    assert [step.note for step in endings[0].path] == ["mark 0x00004001", "mark 0x00000001", ""]


def test_masquerading_is_told_with_the_outcome():
    traced = one_rule((Masquerade(),), NAT_POSTROUTING)

    assert summary(traced.trace(POD)) == {"untouched masq": 1}


def test_a_reset_answers_tcp_and_swallows_the_rest():
    """The kernel drops what it cannot reset."""
    traced = one_rule((Reset(),), FORWARD)

    assert summary(traced.trace(POD)) == {"reset": 1}
    assert summary(traced.trace(UDP)) == {"dropped": 1}


def test_a_reject_answers_everything():
    traced = one_rule((Reject(),), FORWARD)

    assert summary(traced.trace(UDP)) == {"refused": 1}
    assert summary(traced.trace(ping(POD.source, POD.destination, "pod1"))) == {"refused": 1}


def test_a_ping_has_its_checksum_where_others_have_their_port():
    """Kernel 6.18 compares it like a port; it is the protocol that keeps pings out of sets."""
    key = parse_addr("10.96.0.10") + bytes(4)
    rule = (InSet((Field.DESTINATION, Field.PORT), "ports"), Drop())
    traced = tracer(chain("c", rule, hook=FORWARD), elements={"ports": {key: ""}})

    endings = summary(traced.trace(ping(POD.source, POD.destination, "pod1")))

    assert endings == {"dropped": 1}


def test_a_ping_is_no_frontend():
    rule = (InSet(FRONTEND, "known"), Drop())
    traced = tracer(chain("c", rule, hook=FORWARD), elements={"known": {WEB: ""}})

    endings = summary(traced.trace(ping(POD.source, POD.destination, "pod1")))

    assert endings == {"untouched": 1}


def members(number: int) -> tuple[Statement, ...]:
    """Drop packets that carry this id, the only one in `ELEMENTS`."""
    assert expressions.host_u32(number) in ELEMENTS["members"]
    return (InSet((Field.AFFINITY,), "members"), Drop())


ELEMENTS: dict[str, dict[bytes, ElementValue]] = {
    "ids": {WEB: AffinityId(7, "default/web")},
    "members": {expressions.host_u32(7): ""},
}


def test_an_affinity_id_travels_with_the_packet():
    load = chain("load", (LoadAffinity(FRONTEND, "ids"),), hook=PREROUTING)
    traced = tracer(load, chain("c", members(7), hook=FORWARD), elements=ELEMENTS)

    endings = traced.trace(POD)

    assert summary(endings) == {"dropped": 1}
    assert endings[0].path[0].note == "affinity id 7"


def test_an_affinity_id_can_be_cleared():
    load = chain("load", (LoadAffinity(FRONTEND, "ids"),), (ClearAffinity(),), hook=PREROUTING)
    traced = tracer(load, chain("c", members(7), hook=FORWARD), elements=ELEMENTS)

    assert summary(traced.trace(POD)) == {"untouched": 1}


def test_a_frontend_without_affinity_id_ends_the_rule():
    rule = (LoadAffinity(FRONTEND, "ids"), Drop())
    traced = tracer(chain("c", rule, hook=FORWARD), elements=ELEMENTS)

    assert summary(traced.trace(UDP)) == {"untouched": 1}


def test_a_packet_may_bring_a_priority_of_its_own():
    traced = tracer(chain("c", members(7), hook=OUTPUT), elements=ELEMENTS)

    endings = summary(traced.trace(packet(NODE, "10.96.0.10:80", priority=7)))

    assert endings == {"dropped": 1}


CLIENT_KEY = POD.source + bytes((Protocol.TCP, 0, 0, 0)) + bytes(4)


def test_a_record_leads_to_its_endpoint_while_it_lives():
    traced = one_rule((DnatByMap(CLIENT, "records"),), NAT_PREROUTING)
    records = Records((Record("records", CLIENT_KEY, POD_2, 10.0),))

    assert summary(traced.trace(POD, records, now=9.9)) == {"10.244.0.12:8080": 1}
    assert summary(traced.trace(POD, records, now=10.0)) == {"untouched": 1}
    assert summary(traced.trace(UDP, records, now=9.9)) == {"untouched": 1}


def test_a_packet_leaves_a_record_of_its_destination():
    traced = one_rule((Remember(CLIENT, "records", 30),), PREROUTING)

    (ending,) = traced.trace(POD, now=5.0)

    target = target_data(POD.destination, 80)
    assert ending.records == Records((Record("records", CLIENT_KEY, target, 35.0),))


def test_a_live_record_keeps_its_endpoint_and_gets_a_new_end():
    """`update` on an element of a map renews its timeout only (measured on 6.18)."""
    traced = one_rule((Remember(CLIENT, "records", 30),), PREROUTING)
    records = Records((Record("records", CLIENT_KEY, POD_2, 10.0),))

    (ending,) = traced.trace(POD, records, now=5.0)

    assert ending.records == Records((Record("records", CLIENT_KEY, POD_2, 35.0),))


def test_an_expired_record_is_written_anew():
    traced = one_rule((Remember(CLIENT, "records", 30),), PREROUTING)
    records = Records((Record("records", CLIENT_KEY, POD_2, 10.0),))

    (ending,) = traced.trace(POD, records, now=11.0)

    assert [record.data for record in ending.records.entries] == [target_data(POD.destination, 80)]


def test_records_can_be_weeded_out():
    records = Records((Record("a", b"1", POD_1, 1.0), Record("a", b"2", POD_2, 1.0)))

    left = records.keep(lambda record: record.data == POD_2)

    assert left == Records((Record("a", b"2", POD_2, 1.0),))
