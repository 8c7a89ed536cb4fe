from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import Kind
from nodeproxy.model.node import NodeInfo
from nodeproxy.server.health import HealthReport, HealthState, rfc3339
from nodeproxy.sources.base import SourceStatus

START = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def started(*families: Family) -> HealthState:
    state = HealthState()
    state.saw_node(NodeInfo("node-1"))
    for family in families or (Family.IPV4, Family.IPV6):
        state.loop_started(family, START)
    return state


def report(state: HealthState, seconds: float) -> HealthReport:
    return state.report(1000.0 + seconds, at(seconds))


def test_an_idle_agent_stays_healthy_for_ever():
    """HZ-4."""
    state = started()

    is_good, body = report(state, 10**7).healthz()

    assert is_good
    assert json.loads(body)["lastUpdated"] == rfc3339(at(10**7))


def test_the_body_of_healthz_is_kube_proxys_with_the_sources_behind():
    """HZ-2."""
    state = started()
    state.synced(Family.IPV4, at(1.5))

    _, body = report(state, 2.25).healthz()

    assert body == (
        b'{"lastUpdated":"2026-11-23T12:00:02.250000000Z",'
        b'"currentTime":"2026-11-23T12:00:02.250000000Z",'
        b'"nodeEligible":true,"healthy":true,"status":{'
        b'"IPv4":{"lastUpdated":"2026-11-23T12:00:01.500000000Z","healthy":true},'
        b'"IPv6":{"lastUpdated":"2026-11-23T12:00:00.000000000Z","healthy":true}},"sources":{}}'
    )


def test_livez_says_nothing_about_the_node():
    """HZ-2."""
    _, body = report(started(), 1).livez()

    assert "nodeEligible" not in json.loads(body)


def test_work_pending_for_twice_the_sync_period_is_unhealthy():
    """HZ-3."""
    state = started()
    state.queued(Family.IPV4, 1000.0)

    verdicts = [report(state, seconds).livez()[0] for seconds in (59.9, 60.0)]

    assert verdicts == [True, False]


def test_another_sync_period_holds_for_what_is_pending_already():
    state = started()
    state.queued(Family.IPV4, 1000.0)

    state.set_timeout(10)

    assert [report(state, seconds).is_healthy for seconds in (9.9, 10.0)] == [True, False]


def test_the_oldest_pending_work_counts():
    """HZ-3."""
    state = started()
    state.queued(Family.IPV4, 1000.0)
    state.queued(Family.IPV4, 1050.0)

    assert not report(state, 60).is_healthy


def test_a_sync_clears_what_was_pending():
    """HZ-3."""
    state = started()
    state.queued(Family.IPV4, 1000.0)
    state.synced(Family.IPV4, at(70))

    assert report(state, 71).is_healthy


def test_one_family_does_not_clear_the_lateness_of_the_other():
    """HZ-5."""
    state = started()
    state.queued(Family.IPV4, 1000.0)
    state.synced(Family.IPV6, at(70))

    is_good, body = report(state, 71).livez()

    status = json.loads(body)["status"]
    assert not is_good
    assert (status["IPv4"]["healthy"], status["IPv6"]["healthy"]) == (False, True)


def test_an_unhealthy_answer_tells_when_anything_was_last_updated():
    """HZ-4."""
    state = started()
    state.queued(Family.IPV4, 1000.0)
    state.synced(Family.IPV6, at(40))

    _, body = report(state, 71).healthz()

    assert json.loads(body)["lastUpdated"] == rfc3339(at(40))


def test_families_that_never_started_are_not_listed():
    """HZ-3."""
    _, body = report(started(Family.IPV4), 1).livez()

    assert list(json.loads(body)["status"]) == ["IPv4"]


def test_a_node_that_is_being_deleted_is_ineligible_and_the_agent_still_healthy():
    """HZ-2, HZ-6."""
    state = started()
    state.saw_node(NodeInfo("node-1", is_being_deleted=True))

    is_good, body = report(state, 1).healthz()

    assert not is_good
    assert json.loads(body)["healthy"] is True
    assert json.loads(body)["nodeEligible"] is False
    assert report(state, 1).livez()[0]


def test_a_node_that_was_never_seen_is_ineligible():
    """HZ-6."""
    assert not HealthState().report(0, START).healthz()[0]


def test_without_a_promised_node_object_the_node_is_eligible():
    state = HealthState(is_node_required=False)

    assert state.report(0, START).healthz()[0]


def test_nothing_ever_updated_is_told_as_the_zero_time():
    _, body = HealthState().report(0, START).healthz()

    assert json.loads(body)["lastUpdated"] == "0001-01-01T00:00:00Z"


def test_a_node_that_stays_after_all_is_eligible_again():
    """TS-1107."""
    state = started()
    state.saw_node(NodeInfo("node-1", is_being_deleted=True))
    state.saw_node(NodeInfo("node-1"))

    assert report(state, 1).healthz()[0]


def test_ready_once_every_family_was_programmed():
    state = started()

    before = report(state, 1).is_ready
    state.synced(Family.IPV4, at(1))
    between = report(state, 1).is_ready
    state.synced(Family.IPV6, at(2))
    after, body = report(state, 2).readyz()

    assert (before, between, after) == (False, False, True)
    assert json.loads(body)["status"] == {"IPv4": True, "IPv6": True}


def test_not_ready_before_anything_started():
    assert not HealthState().report(0, START).is_ready


def test_late_work_does_not_make_it_unready():
    state = started(Family.IPV4)
    state.synced(Family.IPV4, at(1))
    state.queued(Family.IPV4, 1001.0)

    assert report(state, 1000).is_ready


def test_the_age_of_what_is_known_is_told_by_kind():
    statuses = [
        SourceStatus(Kind.SERVICE, True, True, 995.5, "", 1),
        SourceStatus(Kind.NODE, False, False, None, "not reached", 0),
    ]

    _, body = started().report(1000.0, START, statuses).livez()

    assert json.loads(body)["sources"] == {
        "Service": {"synced": True, "connected": True, "silentSeconds": 4.5},
        "Node": {"synced": False, "connected": False, "silentSeconds": None},
    }


class Sequence:
    """TS-1106: a timeout of 10 s, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.state = HealthState(timeout_seconds=10)
        self.state.saw_node(NodeInfo("node-1"))
        for family in FAMILIES:
            self.state.loop_started(family, START)
        self.seconds = 0.0

    def queue(self, *families: Family) -> None:
        for family in families:
            self.state.queued(family, 1000.0 + self.seconds)

    def update(self, *families: Family) -> None:
        for family in families:
            self.state.synced(family, at(self.seconds))

    def healthy_after(self, seconds: float) -> list[bool]:
        """/healthz, /livez and each family."""
        self.seconds += seconds
        report_ = report(self.state, self.seconds)
        families = [report_.families[family].is_healthy for family in FAMILIES]
        return [report_.healthz()[0], report_.livez()[0], *families]


def test_health_over_time_is_kube_proxys():
    """TS-1106."""
    v4, v6 = FAMILIES
    on = Sequence()
    steps = [on.healthy_after(0)]

    on.update(v4, v6)
    steps.append(on.healthy_after(25))
    on.queue(v4)
    steps.append(on.healthy_after(25))
    on.update(v4, v6)
    steps.append(on.healthy_after(0))
    on.queue(v6)
    steps.append(on.healthy_after(25))
    on.update(v4)
    steps.append(on.healthy_after(0))
    on.queue(v4)
    steps.append(on.healthy_after(25))
    on.update(v4, v6)
    steps.append(on.healthy_after(0))

    yes, no = True, False
    assert steps == [
        [yes, yes, yes, yes],
        [yes, yes, yes, yes],
        [no, no, no, yes],
        [yes, yes, yes, yes],
        [no, no, yes, no],
        [no, no, yes, no],
        [no, no, no, no],
        [yes, yes, yes, yes],
    ]
