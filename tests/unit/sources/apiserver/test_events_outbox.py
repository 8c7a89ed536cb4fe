"""Which reports are posted when; time is given."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.reports import NodeEvent, in_conflict, starting
from nodeproxy.sources.apiserver.events_outbox import Letter, Outbox, OutboxLimits

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
STARTING = starting()
SMALL = OutboxLimits(burst=2, refill_seconds=10.0)


def note(number: int) -> NodeEvent:
    return NodeEvent("Reason", "Action", f"number {number}")


class Box(Outbox):
    """An outbox with small limits, and the moment a wall clock would show."""

    def __init__(self, limits: OutboxLimits = SMALL) -> None:
        super().__init__(limits, random.Random(1))

    def report(self, report: NodeEvent, now: float) -> None:
        self.add(report, now, AT + timedelta(seconds=now))

    def take(self, now: float) -> Letter:
        letter = self.next(now)
        assert letter is not None
        return letter

    def post(self, now: float) -> Letter:
        letter = self.take(now)
        self.posted(letter, now)
        return letter


def test_nothing_is_posted_before_something_is_reported():
    box = Box()

    assert box.next(0.0) is None
    assert box.seconds_left(0.0) is None


def test_report_is_posted_at_once_as_a_new_event():
    box = Box()
    box.report(STARTING, 5.0)

    letter = box.post(5.0)

    assert (letter.report, letter.count, letter.is_update) == (STARTING, 1, False)
    assert letter.first_at == letter.last_at == AT + timedelta(seconds=5)
    assert box.next(1000.0) is None


def test_reports_that_wait_become_one_event_with_a_count():
    box = Box()
    for moment in (1.0, 2.0, 3.0):
        box.report(STARTING, moment)

    letter = box.post(4.0)

    assert (letter.count, letter.is_update) == (3, False)
    assert letter.last_at - letter.first_at == timedelta(seconds=2)


def test_repeated_report_raises_the_count_of_its_event_once_a_minute():
    box = Box()
    box.report(STARTING, 0.0)
    first = box.post(0.0)
    for moment in (1.0, 2.0, 3.0):
        box.report(STARTING, moment)

    too_early, wait = box.next(59.0), box.seconds_left(59.0)
    update = box.post(60.0)

    assert (too_early, wait) == (None, 1.0)
    assert (update.name, update.count, update.is_update) == (first.name, 4, True)
    assert box.next(1000.0) is None


def test_report_after_a_long_quiet_time_is_a_new_event():
    box = Box()
    box.report(STARTING, 0.0)
    first = box.post(0.0)

    box.report(STARTING, 360.0)

    second = box.post(360.0)
    assert (second.count, second.is_update) == (1, False)
    assert second.name != first.name


def test_report_that_still_waits_is_kept_however_long_the_server_is_away():
    box = Box()
    box.report(STARTING, 0.0)

    box.report(STARTING, 4000.0)

    assert box.take(4000.0).count == 2


def test_posting_again_keeps_the_name_so_that_no_event_is_there_twice():
    box = Box()
    box.report(STARTING, 0.0)

    first, again = box.take(0.0), box.take(30.0)

    assert first.name == again.name


def test_burst_is_posted_and_then_one_at_a_time():
    box = Box()
    for number in range(4):
        box.report(note(number), 0.0)
    box.post(0.0)
    box.post(0.0)

    empty, wait = box.next(0.0), box.seconds_left(0.0)
    third = box.post(10.0)

    assert (empty, wait) == (None, 10.0)
    assert third.report == note(2)
    assert box.seconds_left(10.0) == 10.0


def test_tokens_do_not_pile_up_beyond_the_burst():
    box = Box()
    for number in range(4):
        box.report(note(number), 10_000.0)
    box.post(10_000.0)
    box.post(10_000.0)

    assert box.next(10_000.0) is None


def test_failed_attempts_use_up_nothing():
    box = Box()
    box.report(note(0), 0.0)
    for _ in range(10):
        box.take(0.0)

    letter = box.post(0.0)

    assert letter.report == note(0)


def test_reports_beyond_the_capacity_are_dropped_and_counted():
    box = Box(OutboxLimits(capacity=2))
    for number in range(5):
        box.report(note(number), 0.0)

    assert [box.post(0.0).report, box.post(0.0).report] == [note(0), note(1)]
    assert box.next(1000.0) is None
    assert box.dropped == 3


def test_ended_series_make_room():
    box = Box(OutboxLimits(capacity=1))
    box.report(note(0), 0.0)
    box.post(0.0)

    box.report(note(1), 359.0)
    box.report(note(2), 360.0)

    assert box.dropped == 1
    assert box.take(360.0).report == note(2)


def test_refused_report_does_not_hold_up_the_others():
    box = Box()
    box.report(note(0), 0.0)
    box.report(note(1), 0.0)

    box.refused(box.take(0.0))

    assert box.take(0.0).report == note(1)


def test_event_the_server_has_forgotten_is_created_anew_with_what_it_does_not_know():
    box = Box()
    box.report(STARTING, 0.0)
    first = box.post(0.0)
    for moment in (100.0, 110.0):
        box.report(STARTING, moment)

    box.forgotten(box.take(110.0))

    anew = box.take(110.0)
    assert (anew.count, anew.is_update) == (2, False)
    assert anew.name != first.name
    assert anew.last_at == AT + timedelta(seconds=110)


def test_what_every_node_says_has_one_name_and_what_one_node_says_another():
    conflict = in_conflict(ServiceKey("default", "web"), "10.96.0.1:80 belongs to another")
    letters = []
    for seed in (1, 2):
        box = Outbox(OutboxLimits(), random.Random(seed))
        box.add(conflict, 0.0, AT + timedelta(seconds=seed))
        box.add(STARTING, 0.0, AT)
        letter = box.next(0.0)
        assert letter is not None
        box.posted(letter, 0.0)
        letters.append((letter, box.next(0.0)))

    (conflict_a, start_a), (conflict_b, start_b) = letters

    assert conflict_a.name == conflict_b.name
    assert start_a is not None
    assert start_b is not None
    assert start_a.name != start_b.name
