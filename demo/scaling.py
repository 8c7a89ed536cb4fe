"""A Service is scaled while new connections go on: how soon they follow, and whether any fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from lab.traffic import Answer, Failure, Sample, Stream
from lab.waiting import DeadlinePassed, eventually

SETTLED_SAMPLES = 100
"""So many connections without an answer from a removed endpoint mean that it is out: with one of
three endpoints still in, the chance to see none is 2e-18."""
GO_ON_SECONDS = 0.7
"""How long the traffic goes on after each change."""


Follower = Callable[[Sequence[Sample], float], float | None]
"""Tells from the samples since a change, and its moment, how long it took; None: not yet."""


class Caller(msgspec.Struct, frozen=True, eq=False):
    """Somebody who opens one new connection after the other."""

    label: str
    stream: Stream


class Outcome(msgspec.Struct, frozen=True):
    """What one caller saw of one change."""

    followed_seconds: float | None
    """From the change to the first connection that shows it; None: it did not show."""
    connections: int
    answered: int
    refused: int
    failed: int
    """Connections that failed though an endpoint was there, or in another way than refused."""


def observe(
    callers: Sequence[Caller], changed_at: float, before: Sequence[str], after: Sequence[str]
) -> list[Outcome]:
    """Wait until the callers' connections follow a change, let them go on, and count.

    Args:
        callers: whose connections.
        changed_at: when the change was made (monotonic seconds).
        before: the endpoints' addresses before the change.
        after: those after it.

    Returns:
        What each caller saw, in their order.
    """
    follower = _follower(before, after)
    followed = [_wait_followed(caller, follower, changed_at) for caller in callers]
    time.sleep(GO_ON_SECONDS)
    return [
        _counted(caller.stream.since(changed_at), seconds, changed_at, bool(before), bool(after))
        for caller, seconds in zip(callers, followed, strict=True)
    ]


def _wait_followed(caller: Caller, follower: Follower, changed_at: float) -> float | None:
    try:
        return eventually(
            "the change in the traffic",
            lambda: follower(caller.stream.since(changed_at), changed_at),
            lambda seen: seen is not None,
        )
    except DeadlinePassed:
        return None


def _follower(before: Sequence[str], after: Sequence[str]) -> Follower:
    """Choose what shows the change: a refusal, an added endpoint, or no removed one any more."""
    if not after:
        return _first(lambda outcome: isinstance(outcome, Failure) and outcome.kind == "refused")
    added = set(after) - set(before)
    if added:
        return _first(lambda outcome: isinstance(outcome, Answer) and outcome.server in added)
    removed = set(before) - set(after)
    return lambda samples, changed_at: _last_removed(samples, changed_at, removed)


def _first(is_it: Callable[[Answer | Failure], bool]) -> Follower:
    def look(samples: Sequence[Sample], changed_at: float) -> float | None:
        return next((s.asked_at - changed_at for s in samples if is_it(s.outcome)), None)

    return look


def _last_removed(samples: Sequence[Sample], changed_at: float, removed: set[str]) -> float | None:
    """Tell when the first connection was opened after which no removed endpoint answered."""
    last = -1
    for at, sample in enumerate(samples):
        if isinstance(sample.outcome, Answer) and sample.outcome.server in removed:
            last = at
    if len(samples) - last <= SETTLED_SAMPLES:
        return None
    return samples[last + 1].asked_at - changed_at


def _counted(
    samples: Sequence[Sample],
    followed_seconds: float | None,
    changed_at: float,
    had_endpoints: bool,
    has_endpoints: bool,
) -> Outcome:
    failures = [s for s in samples if isinstance(s.outcome, Failure)]
    refused = [
        s for s in failures if isinstance(s.outcome, Failure) and s.outcome.kind == "refused"
    ]
    followed_at = changed_at + (followed_seconds or 0)
    if not has_endpoints:
        expected = refused
    elif not had_endpoints:
        expected = [s for s in refused if s.asked_at < followed_at]
    else:
        expected = []
    return Outcome(
        followed_seconds,
        len(samples),
        len(samples) - len(failures),
        len(refused),
        len(failures) - len(expected),
    )
