"""When the changes happened that endpoints tell of (EP-31)."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Family
from nodeproxy.model.wire import ObjectMeta
from nodeproxy.state.cluster import ClusterState
from nodeproxy.state.triggers import TRIGGER_TIME_ANNOTATION, Trigger, trigger_time
from tests.support.builders import EndpointsBuilder, SliceBuilder, endpoints, slice_, upserted

BEGIN = 1_795_435_200.0  # 2026-11-23T12:00:00Z
V4, V6 = Family.IPV4, Family.IPV6


def web(address: str, time: str = "", number: int = 1) -> SliceBuilder:
    builder = slice_(f"web-{number}", service="web").port(80).endpoint(address)
    return builder.annotation(TRIGGER_TIME_ANNOTATION, time) if time else builder


def web_endpoints(*addresses: str, time: str) -> EndpointsBuilder:
    builder = endpoints("web").port(80).annotation(TRIGGER_TIME_ANNOTATION, time)
    for address in addresses:
        builder = builder.address(address)
    return builder


@pytest.fixture
def state() -> ClusterState:
    return ClusterState("n1", since=BEGIN)


def test_a_change_after_the_start_is_kept_until_it_is_taken(state: ClusterState):
    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:01.5Z")))

    first, second = state.take_triggers(), state.take_triggers()

    assert first == [Trigger(V4, BEGIN + 1.5)]
    assert second == []


@pytest.mark.parametrize("time", ["2026-11-23T12:00:00Z", "2026-11-23T11:59:59Z", "soon", ""])
def test_what_was_so_before_and_what_makes_no_sense_is_no_change(state: ClusterState, time: str):
    state.apply(upserted(web("10.0.0.1", time)))

    assert state.take_triggers() == []


def test_an_event_that_changes_nothing_has_no_trigger(state: ClusterState):
    state.apply(upserted(web("10.0.0.1")))

    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:09Z")))

    assert state.take_triggers() == []


def test_each_change_counts(state: ClusterState):
    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:01Z")))
    state.apply(upserted(web("10.0.0.2", "2026-11-23T12:00:02Z")))
    state.apply(upserted(web("10.0.0.3", "2026-11-23T12:00:02Z", number=2)))

    assert [trigger.at - BEGIN for trigger in state.take_triggers()] == [1, 2, 2]


def test_a_slice_that_goes_voids_what_its_service_collected(state: ClusterState):
    other = slice_("other-1", service="other").port(80).endpoint("10.0.0.9")
    other.annotation(TRIGGER_TIME_ANNOTATION, "2026-11-23T12:00:03Z")
    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:01Z"), other))
    state.apply(upserted(web("10.0.0.2", "2026-11-23T12:00:02Z", number=2)))

    state.apply([web("10.0.0.2", number=2).removed()])

    assert [trigger.at - BEGIN for trigger in state.take_triggers()] == [3]


def test_a_slice_that_changes_hands_voids_what_the_former_service_collected(state: ClusterState):
    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:01Z")))
    moved = slice_("web-1", service="new").port(80).endpoint("10.0.0.1")

    state.apply(upserted(moved.annotation(TRIGGER_TIME_ANNOTATION, "2026-11-23T12:00:05Z")))

    assert [trigger.at - BEGIN for trigger in state.take_triggers()] == [5]


def test_an_endpoints_object_of_two_families_is_a_change_of_both(state: ClusterState):
    state.apply(upserted(web_endpoints("10.0.0.1", "fd00::1", time="2026-11-23T12:00:01Z")))

    assert {trigger.family for trigger in state.take_triggers()} == {V4, V6}


def test_an_endpoints_object_that_goes_voids_what_it_told(state: ClusterState):
    builder = web_endpoints("10.0.0.1", time="2026-11-23T12:00:01Z")
    state.apply(upserted(builder))

    state.apply([builder.removed()])

    assert state.take_triggers() == []


def test_without_a_beginning_nothing_is_kept():
    state = ClusterState("n1")

    state.apply(upserted(web("10.0.0.1", "2026-11-23T12:00:01Z")))

    assert state.take_triggers() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T12:00:00.123456789Z", 0.123456),
        ("2026-11-23T13:00:00+01:00", 0.0),
        ("2026-11-23T12:00:00", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read_in_the_forms_of_rfc_3339(text: str | None, seconds: float | None):
    found = trigger_time(ObjectMeta(annotations={TRIGGER_TIME_ANNOTATION: text}))

    assert found == (None if seconds is None else BEGIN + seconds)
