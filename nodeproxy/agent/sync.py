r"""The sync loop: from events to rules. Read this first.

    Inbox.take_all -> ClusterState.apply -> Planner.replan -> Backend.stage | await Backend.commit
    \______________________ decide, without waiting ______________________/   \____ act ____/

One task runs it; nobody else changes the state, the plan or the rules (design invariant 1).
Between taking the events and the finished difference there is no await (invariant 2), so a
decision always sees one state of the cluster. While a commit is under way new events gather in
the inbox and become one next turn: the loop is never further behind than one commit.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from nodeproxy import clock
from nodeproxy.agent.differences import differences
from nodeproxy.agent.gate import PATIENCE_SECONDS, StartGate
from nodeproxy.agent.inbox import Inbox
from nodeproxy.backends.base import Backend, CommitReport
from nodeproxy.errors import BackendError
from nodeproxy.model.events import Kind, SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import Changes, ClusterState

_log = logging.getLogger("nodeproxy.sync")

_FIRST_RETRY_SECONDS = 0.5


class Pacing(msgspec.Struct, frozen=True):
    """How soon one sync follows another (LIFE-3, LIFE-4)."""

    least_pause_seconds: float = 0.0
    """Between the end of a sync and the next one; what comes meanwhile becomes one."""
    longest_retry_seconds: float = 30.0
    """Failed syncs are tried again after 0.5 s, then twice as long each time, up to this."""

    def retry_seconds(self, failures: int) -> float:
        """How long to wait after so many failures in a row."""
        doublings = min(failures - 1, 10)
        return min(_FIRST_RETRY_SECONDS * (1 << doublings), self.longest_retry_seconds)


class Observer(Protocol):
    """Who wants to know what the loop does: health, metrics, and parts that follow the plan."""

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        """Events were applied to the state."""

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """The plan was looked at again, perhaps with no difference; nothing is written yet."""

    def installed(self) -> None:
        """Nothing that was decided is missing in the kernel: written now, or there before."""

    def queued(self) -> None:
        """There is work for the backend."""

    def synced(self, report: CommitReport, seconds: float) -> None:
        """The kernel has what is desired."""

    def failed(self, seconds: float) -> None:
        """A commit failed and will be tried again."""


class SyncLoop:
    """See the module's text."""

    # Mutable state: whether rules may be written, and how the last commits went.
    def __init__(
        self,
        inbox: Inbox,
        state: ClusterState,
        planner: Planner,
        backend: Backend,
        observer: Observer,
        patience_seconds: float = PATIENCE_SECONDS,
        pacing: Pacing = Pacing(),  # noqa: B008 (frozen)
    ) -> None:
        """Tie the parts together.

        Args:
            inbox: where the events are.
            state: what they are applied to.
            planner: reads the state.
            backend: programs the plan.
            observer: hears how it goes.
            patience_seconds: how long ServiceCIDRs may hold up the first rules, see `StartGate`.
            pacing: how soon one sync follows another.
        """
        self._inbox = inbox
        self._state = state
        self._planner = planner
        self._backend = backend
        self._observer = observer
        self._gate = StartGate(patience_seconds)
        self._pacing = pacing
        self._new_options: PlanOptions | None = None
        self._pause_until = 0.0
        self._has_planned = False
        self._failures = 0
        self._first_sync_done = False
        self._started = clock.monotonic()

    async def run(self) -> None:
        """Turn events into rules until cancelled."""
        while True:
            await self._inbox.wait(self._wait_seconds())
            if (pause := self._pause_until - clock.monotonic()) > 0:
                await asyncio.sleep(pause)
            await self.turn()

    def reconfigure(self, options: PlanOptions, pacing: Pacing) -> None:
        """Go on with other settings; the next turn, which comes at once, plans with them."""
        self._pacing = pacing
        self._new_options = options
        self._inbox.poke()

    def _wait_seconds(self) -> float | None:
        """When to take a turn although nothing has come; None for never."""
        if not self._has_planned:
            return self._gate.seconds_left(clock.monotonic())
        return self._pacing.retry_seconds(self._failures) if self._failures else None

    async def turn(self) -> None:
        """One round: everything that has come becomes one commit."""
        started = time.perf_counter()
        self._decide(self._inbox.take_all())
        if not self._has_planned:
            return
        if not self._backend.needs_commit:
            self._observer.installed()
            return
        await self._commit(started)
        self._pause_until = clock.monotonic() + self._pacing.least_pause_seconds

    async def _commit(self, started: float) -> None:
        self._observer.queued()
        try:
            report = await self._backend.commit()
        except BackendError as exc:
            self._note_failure(exc)
            self._observer.failed(time.perf_counter() - started)
            return
        self._note_success(report)
        self._observer.installed()
        self._observer.synced(report, time.perf_counter() - started)

    def _decide(self, events: Sequence[SourceEvent]) -> None:
        """From events to what the backend shall do; no await in here."""
        changes = self._state.apply(events)
        self._observer.took_events(events)
        for problem in changes.problems:
            _log.warning("%s", problem)
        if self._has_planned or self._may_begin():
            self._plan(changes)

    def _may_begin(self) -> bool:
        if not self._gate.is_open(self._state.synced, clock.monotonic()):
            return False
        if Kind.SERVICE_CIDR not in self._state.synced:
            _log.info("starting without ServiceCIDRs, which are not known yet")
        return True

    def _plan(self, changes: Changes) -> None:
        self._has_planned = True
        if self._new_options is not None:
            self._planner.set_options(self._new_options)
            self._new_options = None
        before = dict(self._planner.plans) if changes.has_other_endpoints else {}
        delta = self._planner.replan(changes)
        for warning in (*delta.remarks, *delta.conflicts):
            _log.warning("%s", warning)
        if changes.has_other_endpoints and self._first_sync_done:
            for line in differences(before, delta, self._state.endpoints_kind):
                _log.info("%s", line)
        self._observer.decided(changes, delta)
        if not delta.is_empty:
            self._backend.stage(delta)

    def _note_failure(self, exc: BackendError) -> None:
        self._failures += 1
        if self._failures == 1:
            _log.error("rules not updated: %s; what is installed stays in force, retrying", exc)

    def _note_success(self, report: CommitReport) -> None:
        if self._failures:
            _log.info("rules updated again after=%d attempts", self._failures)
            self._failures = 0
        if not self._first_sync_done:
            self._first_sync_done = True
            _log.info(
                "first sync services=%d service_ports=%d operations=%d seconds=%.3f "
                "seconds_since_start=%.3f",
                len(self._state.services),
                len(self._planner.plans),
                report.operations,
                report.seconds,
                clock.monotonic() - self._started,
            )
            settle_memory()
        elif report.operations:
            _log.debug(
                "rules updated operations=%d seconds=%.6f", report.operations, report.seconds
            )


def settle_memory() -> None:
    """After the first sync nearly everything alive stays alive: keep the collector off it.

    Without this every full collection walks the whole state of a large cluster. It is not walked
    here either: at 100,000 endpoints that holds up every thread, health checks too, for 0.1 s,
    and finds 1,236 objects to free.
    """
    gc.freeze()
    gc.enable()
