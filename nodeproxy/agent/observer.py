"""What the sync loop tells, passed on: as health, as numbers, and to the parts that follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

from nodeproxy import clock
from nodeproxy.agent.reporter import Reporter
from nodeproxy.backends.base import CommitReport
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.types import PlanDelta
from nodeproxy.server.health import HealthState
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.state.cluster import Changes, ClusterState


class Follower(Protocol):
    """A part of the agent that acts on what the sync loop decides; both calls are quick."""

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """See `Observer.decided`: for what must happen before the rules change."""

    def installed(self) -> None:
        """See `Observer.installed`: for what must not happen before."""


class HealthChecks(Protocol):
    """Who tells load balancers what the plan means for them."""

    def decided(self, delta: PlanDelta) -> None:
        """The plan changed: answers that get worse change now."""

    def installed(self) -> None:
        """It is in the kernel: answers that get better change now."""


class AgentObserver:
    """An `Observer` of the sync loop that feeds the servers and the followers."""

    def __init__(
        self,
        families: tuple[Family, ...],
        state: ClusterState,
        planner: Planner,
        health: HealthState,
        metrics: AgentMetrics,
        checks: HealthChecks,
        reporter: Reporter,
        followers: Sequence[Follower] = (),
    ) -> None:
        """Pass everything on.

        Args:
            families: those that are programmed.
            state: what the loop applies events to.
            planner: what it plans with.
            health: hears of work and of its end.
            metrics: counts.
            checks: hear first of everything, so that load balancers do so before packets do.
            reporter: tells operators elsewhere.
            followers: called in this order, last of all.
        """
        self._families = families
        self._state = state
        self._planner = planner
        self._health = health
        self._metrics = metrics
        self._checks = checks
        self._reporter = reporter
        self._followers: Sequence[Follower] = (reporter, *followers)
        self._first_sync = asyncio.Event()
        for family in families:
            health.loop_started(family, clock.utc_now())

    async def wait_first_sync(self, timeout_seconds: float | None = None) -> None:
        """Wait until rules were programmed for the first time, or the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._first_sync.wait()
        except TimeoutError:
            return

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        """See `Observer.took_events`."""
        self._metrics.observe_events(events)
        if self._state.node is not None:
            self._health.saw_node(self._state.node)

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """See `Observer.decided`."""
        self._checks.decided(delta)
        self._metrics.decided(delta)
        for follower in self._followers:
            follower.decided(changes, delta)

    def queued(self) -> None:
        """See `Observer.queued`."""
        now = clock.monotonic()
        for family in self._families:
            self._health.queued(family, now)
        self._metrics.observe_queued(self._families, time.time())

    def installed(self) -> None:
        """See `Observer.installed`."""
        self._checks.installed()
        for follower in self._followers:
            follower.installed()
        self._metrics.observe_settled(self._state.take_triggers(), time.time())

    def synced(self, report: CommitReport, seconds: float) -> None:
        """See `Observer.synced`."""
        self._first_sync.set()
        at = clock.utc_now()
        for family in self._families:
            self._health.synced(family, at)
        self._reporter.refused(report.quarantined)
        self._observe_sync(report, seconds)
        self._metrics.observe_state(
            services=len(self._state.services),
            endpoints=self._state.endpoint_count,
            problems=len(self._state.problems),
            quarantined=len(report.quarantined),
            conflicts=len(self._planner.conflicts),
        )

    def failed(self, seconds: float) -> None:
        """See `Observer.failed`."""
        self._observe_sync(None, seconds)

    def _observe_sync(self, report: CommitReport | None, seconds: float) -> None:
        self._metrics.observe_sync(report, families=self._families, seconds=seconds, at=time.time())
