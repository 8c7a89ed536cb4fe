"""What the sync loop tells, as health and as numbers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from nodeproxy import clock
from nodeproxy.backends.base import CommitReport
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import SourceEvent
from nodeproxy.server.health import HealthState
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.state.cluster import ClusterState


class AgentObserver:
    """An `Observer` of the sync loop that feeds the servers."""

    def __init__(
        self,
        families: tuple[Family, ...],
        state: ClusterState,
        health: HealthState,
        metrics: AgentMetrics,
    ) -> None:
        self._families = families
        self._state = state
        self._health = health
        self._metrics = metrics
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

    def queued(self) -> None:
        """See `Observer.queued`."""
        now = clock.monotonic()
        for family in self._families:
            self._health.queued(family, now)
        self._metrics.observe_queued(self._families, time.time())

    def synced(self, report: CommitReport, seconds: float) -> None:
        """See `Observer.synced`."""
        self._first_sync.set()
        at = clock.utc_now()
        for family in self._families:
            self._health.synced(family, at)
        self._observe_sync(report, seconds)
        self._metrics.observe_state(
            services=len(self._state.services),
            endpoints=self._state.endpoint_count,
            problems=len(self._state.problems),
            quarantined=len(report.quarantined),
        )

    def failed(self, seconds: float) -> None:
        """See `Observer.failed`."""
        self._observe_sync(None, seconds)

    def _observe_sync(self, report: CommitReport | None, seconds: float) -> None:
        self._metrics.observe_sync(report, families=self._families, seconds=seconds, at=time.time())
