"""Foreign changes are repaired at once, and not without end."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from nodeproxy.agent.repairs import BURST, BURST_SECONDS, Repairs


class Timeline:
    """A clock with an agenda, and the repairs that were asked for with their times."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.repairs: list[tuple[float, str]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, len(self._agenda), action))

    def repair(self, reason: str) -> None:
        self.repairs.append((self.now, reason))

    def go_on(self, seconds: float) -> None:
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = end


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def repairs(timeline: Timeline) -> Repairs:
    return Repairs(timeline.repair, timeline.call_later, lambda: timeline.now)


def test_a_change_is_repaired_at_once(timeline: Timeline, repairs: Repairs):
    repairs.changed("table deleted by nft (pid 7)")

    assert timeline.repairs == [(1000.0, "table deleted by nft (pid 7)")]


def test_changes_far_apart_are_repaired_at_once_each(timeline: Timeline, repairs: Repairs):
    for _ in range(3 * BURST):
        repairs.changed("rule deleted")
        timeline.go_on(BURST_SECONDS / 2)

    assert len(timeline.repairs) == 3 * BURST


def test_a_fight_is_answered_once_a_second_and_the_last_change_is_repaired(
    timeline: Timeline, repairs: Repairs
):
    for number in range(600):
        repairs.changed(f"change {number}")
        timeline.go_on(0.01)
    timeline.go_on(2)

    assert BURST + 5 <= len(timeline.repairs) <= BURST + 7
    assert timeline.repairs[-1][1] == "change 599"


def test_a_fight_is_one_line_a_minute_that_counts(
    timeline: Timeline, repairs: Repairs, caplog: pytest.LogCaptureFixture
):
    for _ in range(700):
        repairs.changed("rule deleted by nodeproxy (pid 8)")
        timeline.go_on(0.125)

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == BURST + 2
    assert all("checking and repairing" in line for line in lines[:BURST])
    assert "again and again: rule deleted by nodeproxy (pid 8)" in lines[BURST]
    assert lines[-1].endswith("changes=480")


def test_after_a_fight_a_change_is_repaired_at_once_again(timeline: Timeline, repairs: Repairs):
    for _ in range(100):
        repairs.changed("rule deleted")
        timeline.go_on(0.1)
    timeline.go_on(2 * BURST_SECONDS)

    repairs.changed("table deleted")

    assert timeline.repairs[-1] == (timeline.now, "table deleted")
