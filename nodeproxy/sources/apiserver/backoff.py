"""How long to wait before the next attempt; pure, time and chance come in from outside."""

from __future__ import annotations

import random

import msgspec


class BackoffLimits(msgspec.Struct, frozen=True):
    """The shape of the waiting times, all in seconds."""

    first: float = 0.4
    """The first wait is between zero and this: a single reset is followed at once, and the
    agents of a whole cluster still do not come back in the same instant."""
    base: float = 1.0
    """The second wait is around this; each one after it is twice as long."""
    maximum: float = 30.0
    healthy_after: float = 10.0
    """An attempt that lasted this long was no failure, however it ended."""
    max_retry_after: float = 120.0
    """A server's Retry-After is obeyed up to this; a wrong one must not stop the agent for days."""


class Backoff:
    """Counts failures in a row; mutable, one for each thing that is retried."""

    def __init__(self, limits: BackoffLimits, rng: random.Random) -> None:
        self._limits = limits
        self._rng = rng
        self._started_at = 0.0
        self.failures = 0
        """Failures since the last success."""

    def started(self, now: float) -> None:
        """An attempt begins."""
        self._started_at = now

    def worked(self) -> None:
        """The attempt achieved something: the next failure is the first again."""
        self.failures = 0

    def failed(self, now: float, retry_after: float | None = None) -> float:
        """The attempt failed.

        Returns:
            Seconds to wait: jittered, doubling, never shorter than what the server asked for.
        """
        if now - self._started_at >= self._limits.healthy_after:
            self.failures = 0
        wait = self._wait()
        self.failures += 1
        if retry_after is None:
            return wait
        return max(wait, min(retry_after, self._limits.max_retry_after) + self._jitter())

    def _wait(self) -> float:
        if self.failures == 0:
            return self._jitter()
        # 2**20 s is beyond any maximum; the bound keeps the power small for ever.
        doubled = self._limits.base * float(2 ** min(self.failures - 1, 20))
        return min(doubled, self._limits.maximum) * self._rng.uniform(0.5, 1.0)

    def _jitter(self) -> float:
        return self._rng.uniform(0.0, self._limits.first)
