"""When the first rules may be written (EP-60, EP-62, design invariant 3)."""

from __future__ import annotations

import pytest

from nodeproxy.agent.gate import StartGate, is_synced
from nodeproxy.model.events import Kind

NEEDED = {Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE}


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], False),
        ([Kind.SERVICE, Kind.NODE], False),
        ([Kind.SERVICE, Kind.ENDPOINT_SLICE], False),
        ([Kind.ENDPOINT_SLICE, Kind.NODE], False),
        ([Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE], True),
        ([Kind.SERVICE, Kind.ENDPOINTS, Kind.NODE], True),
    ],
)
def test_synced_means_services_one_kind_of_endpoints_and_the_node(
    kinds: list[Kind], *, expected: bool
):
    assert is_synced(kinds) is expected


def test_it_opens_at_once_when_everything_was_told():
    gate = StartGate(patience_seconds=2.0)

    assert gate.is_open({*NEEDED, Kind.SERVICE_CIDR}, now=100.0)


def test_service_cidrs_are_waited_for_but_not_for_long():
    gate = StartGate(patience_seconds=2.0)

    opens = [gate.is_open(NEEDED, now) for now in (100.0, 101.9, 102.0)]

    assert opens == [False, False, True]


def test_patience_begins_when_nothing_else_is_missing():
    gate = StartGate(patience_seconds=2.0)
    before = gate.is_open({Kind.SERVICE, Kind.NODE}, now=0.0), gate.seconds_left(now=0.0)

    after = gate.is_open(NEEDED, now=100.0), gate.seconds_left(now=100.5)

    assert (before, after) == ((False, None), (False, 1.5))


def test_service_cidrs_alone_open_nothing():
    gate = StartGate(patience_seconds=0.0)

    assert not gate.is_open({Kind.SERVICE_CIDR}, now=0.0)
