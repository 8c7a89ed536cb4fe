r"""Which reports to post as Events, and when: aggregated, in series, and not too many; pure.

    report ---> new?  ---> letter: create an Event           a token of the bucket each
           \--> known ---> letter: raise its series' count   and once a minute at most

A report that repeats is one Event whose series counts it (events.k8s.io/v1), until it has been
quiet for some minutes. Reports that arrive faster than they may be posted wait here, equal ones
as one, and there are never more than a fixed number of different ones.
"""

from __future__ import annotations

import hashlib
import random
from datetime import datetime

import msgspec

from nodeproxy.model.reports import Report, ServiceEvent


class OutboxLimits(msgspec.Struct, frozen=True):
    """How much may be posted; times in seconds."""

    burst: int = 25
    """Events that may be posted at once after a quiet time."""
    refill_seconds: float = 20.0
    """One more each."""
    series_pause_seconds: float = 60.0
    """The least time between two updates of one series."""
    series_ends_seconds: float = 360.0
    """A report that comes again after this long is a new Event, as kube-proxy's are."""
    capacity: int = 100
    """Different reports that are remembered; API servers keep Events for an hour, no longer."""


class Letter(msgspec.Struct, frozen=True):
    """One Event to create or to update."""

    report: Report
    name: str
    """Of the Event; stays the same when posting is tried again."""
    count: int
    """How often it was reported so far."""
    first_at: datetime
    last_at: datetime
    is_update: bool


class _Thread:
    """What is known of one report; mutable, owned by its Outbox."""

    def __init__(self, name: str, at: datetime) -> None:
        self.name = name
        self.first_at = at
        self.last_at = at
        self.count = 0
        self.told = 0
        """The count the API server knows; 0 as long as the Event is not there."""
        self.heard = 0.0
        self.due = 0.0


class Outbox:
    """Reports that wait or may come again; mutable, owned by its EventRecorder.

    All methods take `now`, monotonic seconds.
    """

    def __init__(self, limits: OutboxLimits, rng: random.Random) -> None:
        self._limits = limits
        self._rng = rng
        self._threads: dict[Report, _Thread] = {}
        self._tokens = float(limits.burst)
        self._counted_at = 0.0
        self.dropped = 0
        """Reports that found no room."""

    def add(self, report: Report, now: float, at: datetime) -> None:
        """Take a report that was made at a wall-clock time."""
        thread = self._threads.get(report)
        if thread is None or self._has_ended(thread, now):
            self._threads.pop(report, None)
            if not self._has_room(now):
                self.dropped += 1
                return
            thread = self._threads[report] = _Thread(self._name(report, at), at)
        thread.count += 1
        thread.heard = now
        thread.last_at = at

    def next(self, now: float) -> Letter | None:
        """What to post now; the same again until one of the methods below says what came of it."""
        if self._available(now) < 1:
            return None
        for report, thread in self._threads.items():
            if thread.count > thread.told and thread.due <= now:
                return Letter(
                    report,
                    thread.name,
                    thread.count,
                    thread.first_at,
                    thread.last_at,
                    is_update=thread.told > 0,
                )
        return None

    def seconds_left(self, now: float) -> float | None:
        """How long until `next` has something; None if nothing waits."""
        due = [t.due for t in self._threads.values() if t.count > t.told]
        if not due:
            return None
        missing_tokens = 1 - self._available(now)
        return max(0.0, min(due) - now, missing_tokens * self._limits.refill_seconds)

    def posted(self, letter: Letter, now: float) -> None:
        """The API server has it."""
        self._tokens = self._available(now) - 1
        self._counted_at = now
        thread = self._threads[letter.report]
        thread.told = letter.count
        thread.due = now + self._limits.series_pause_seconds

    def refused(self, letter: Letter) -> None:
        """The API server will never take it."""
        del self._threads[letter.report]

    def forgotten(self, letter: Letter) -> None:
        """The API server has forgotten the Event to update: create it anew."""
        old = self._threads[letter.report]
        new = self._threads[letter.report] = _Thread(
            self._name(letter.report, old.last_at), old.last_at
        )
        new.count = old.count - old.told
        new.heard = old.heard

    def _available(self, now: float) -> float:
        refilled = (now - self._counted_at) / self._limits.refill_seconds
        return min(float(self._limits.burst), self._tokens + refilled)

    def _has_ended(self, thread: _Thread, now: float) -> bool:
        return (
            thread.told == thread.count and now - thread.heard >= self._limits.series_ends_seconds
        )

    def _has_room(self, now: float) -> bool:
        if len(self._threads) >= self._limits.capacity:
            for report, thread in tuple(self._threads.items()):
                if self._has_ended(thread, now):
                    del self._threads[report]
        return len(self._threads) < self._limits.capacity

    def _name(self, report: Report, at: datetime) -> str:
        """A name no other Event has.

        What every node reports in the same words has the same name on all of them: the first to
        post it wins, and a cluster of thousands of nodes has one Event.
        """
        if isinstance(report, ServiceEvent) and report.is_same_everywhere:
            text = "\n".join((report.reason, report.action, report.note))
            return hashlib.sha256(text.encode()).hexdigest()[:16]
        return f"{int(at.timestamp() * 1_000_000):x}{self._rng.getrandbits(24):06x}"
