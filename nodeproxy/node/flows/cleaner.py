"""Deletes the flows of endpoints that are gone, so that clients who keep their socket reach others.

A UDP client that never closes its socket (a resolver, a statistics sender) keeps its flow alive,
and its flow keeps its endpoint: when the pod goes, what it sends goes nowhere until it pauses for
as long as the kernel's timeout. Deleting the flow makes its next packet choose anew (CT-7). TCP
notices by itself; on request its connections to endpoints that are gone are cut too.

What this costs is bounded (CT-18): one task, sockets of its own, the table read in a thread in
slices of 2 ms with pauses as long as the slices, changes of the meantime collected into the next
look, and one datagram in memory. Rules never wait for it. Why a walk over the table, and not a
record of flows: docs/decisions/0017-stale-flows-beside-the-syncs.md.

Every service port is looked at a second time a second later. A packet may have been on its way
through the old rules when they were replaced (a virtual CPU can stop for milliseconds), and
affinity records of many clients are corrected behind the commit; a flow born of these would stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TypeVar

from nodeproxy import clock
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Cidr, Family
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.keys import ServicePortKey
from nodeproxy.netlink.conntrack_channel import ConntrackChannel
from nodeproxy.node.flows.book import FlowBook, Job, SecondLooks
from nodeproxy.node.flows.judge import ABANDONED, Judge, Verdict, destination_of, verdict_on
from nodeproxy.node.flows.sweep import Sweep, filters_for
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import Changes

_log = logging.getLogger("nodeproxy.flows")

EndpointsOf = Callable[[Family, ServicePortKey], Sequence[Endpoint]]
"""All endpoints of a service port as they are now: `ClusterState.endpoints`."""

_SLICE_SECONDS = 0.002
"""A thread that reads gives the interpreter up for a moment with every datagram, but is often
quicker to take it back than the event loop is to wake: the loop may wait as long as a slice."""
_SHORTEST_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0
_PORT_BYTES = 2
_FIRST_RETRY_SECONDS = 1.0
_LONGEST_RETRY_SECONDS = 30.0

_A = TypeVar("_A")
_R = TypeVar("_R")


class FlowStatistics:
    """What was done, for metrics; written by the cleaner only."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.deleted: dict[Family, int] = dict.fromkeys(families, 0)
        """Flows, since the start."""
        self.passes: dict[Family, int] = dict.fromkeys(families, 0)
        """Looks at the table that came to their end."""
        self.failures = 0
        self.last_pass_seconds = 0.0


class FlowCleaner:
    """Keeps connection tracking free of flows to endpoints that are gone.

    The sync loop tells `decided` in every turn that planned, and `installed` when nothing that was
    decided is missing in the kernel: after a commit, or if there was nothing to commit. Both are
    quick. The rest happens in `run`.

    A turn without a new plan counts too: an endpoint that terminates has left the plan before, but
    its flows stay as long as it serves (CT-5) and become stale when it is gone.
    """

    # Mutable state: the book, what is to be looked at once more, and what is counted.
    def __init__(
        self,
        open_channel: Callable[[], ConntrackChannel],
        families: Sequence[Family],
        *,
        cleans_tcp: bool,
        endpoints: EndpointsOf,
    ) -> None:
        self.statistics = FlowStatistics(families)
        self.on_pass: Callable[[Family, float, int], None] | None = None
        """Called with family, seconds and deleted flows after each look at the table (CT-13)."""
        self._open_channel = open_channel
        self._endpoints = endpoints
        self._book = FlowBook(families, cleans_tcp=cleans_tcp)
        self._second_looks = SecondLooks()
        self._wake = asyncio.Event()
        self._failures = 0

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """The sync loop knows what to do; nothing of it is in the kernel yet."""
        self._book.note(changes.services, delta)

    def rules_were_lost(self) -> None:
        """Somebody else changed the rules: flows begun meanwhile were not translated (CT-17).

        They are looked at once the rules are repaired.
        """
        self._book.note_loss()

    def installed(self) -> None:
        """Everything decided so far is in the kernel: flows that are deleted now stay away."""
        self._book.install()
        if self._book.is_due:
            self._wake.set()

    async def run(self) -> None:
        """Look at what is due for ever; failures are told once and retried."""
        while True:
            try:
                with closing(self._open_channel()) as channel:
                    await self._work(channel)
            except BackendError as exc:
                self._note_failure(exc)
            await asyncio.sleep(self._retry_seconds())

    async def _work(self, channel: ConntrackChannel) -> None:
        """Take what is due, again and again, until a failure."""
        while True:
            await self._wait()
            busy = await self.look(channel)
            await asyncio.sleep(min(max(busy, _SHORTEST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS))

    async def _wait(self) -> None:
        """Until something is due, or due for the second time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._second_looks.seconds_left(clock.monotonic())):
                await self._wake.wait()
        self._wake.clear()

    async def look(self, channel: ConntrackChannel) -> float:
        """Do everything that is due; what fails stays due.

        Returns:
            The seconds of work, without the pauses.

        Raises:
            BackendError: the table could not be read; the channel is to be closed.
        """
        todo = deque((job, True) for job in self._book.take())
        todo.extend((job, False) for job in self._second_looks.take(clock.monotonic()))
        busy = 0.0
        try:
            while todo:
                job, wants_second_look = todo[0]
                busy += await self._do(channel, job)
                todo.popleft()
                if wants_second_look:
                    self._second_looks.add(job, clock.monotonic())
        finally:
            for job, _ in todo:
                self._book.put_back(job)
                self._wake.set()
        return busy

    async def _do(self, channel: ConntrackChannel, job: Job) -> float:
        """One look at the flows of a family and protocol; returns the seconds it worked."""
        started = clock.monotonic()
        deleted, busy = await self._sweep(channel, job)
        self._note_success(job.family, deleted, clock.monotonic() - started)
        return busy

    async def _sweep(self, channel: ConntrackChannel, job: Job) -> tuple[int, float]:
        """Returns the number of flows deleted and the seconds of work, without the pauses."""
        verdicts = await self._verdicts(job)
        if not verdicts and job.vacancies is None:
            return 0, 0.0
        own_networks: tuple[Cidr, ...] = ()
        if any(len(destination) == _PORT_BYTES for destination in verdicts):
            own_networks = await _in_thread(channel.own_networks, job.family)
        judge = Judge(
            verdicts,
            self._book.ledger_of(job).owners,
            own_networks,
            self._book.settings[job.family].node_ports,
            job.vacancies,
        )
        wants_all = job.vacancies is not None
        filters = filters_for(job.family, job.protocol, verdicts, wants_all=wants_all)
        sweep = Sweep(channel, job.family, job.protocol, filters, judge)
        busy = await _step_by_step(sweep)
        return sweep.deleted, busy

    async def _verdicts(self, job: Job) -> dict[bytes, Verdict]:
        """Who may answer now, for every destination of the job."""
        ledger = self._book.ledger_of(job)
        verdicts: dict[bytes, Verdict] = {}
        pause_at = clock.monotonic() + _SLICE_SECONDS
        for key in job.ports:
            # 20 microseconds each, but a millisecond where there are a thousand endpoints.
            if clock.monotonic() >= pause_at:
                await asyncio.sleep(0)
                pause_at = clock.monotonic() + _SLICE_SECONDS
            if plan := ledger.plans.get(key):
                verdict = verdict_on(plan, self._endpoints(job.family, key))
                verdicts.update((destination_of(f), verdict) for f in plan.frontends)
        verdicts.update((lost, ABANDONED) for lost in job.lost if lost not in ledger.owners)
        return verdicts

    def _note_success(self, family: Family, deleted: int, seconds: float) -> None:
        if self._failures:
            _log.info("stale flows are deleted again after=%d attempts", self._failures)
            self._failures = 0
        statistics = self.statistics
        statistics.deleted[family] += deleted
        statistics.passes[family] += 1
        statistics.last_pass_seconds = seconds
        if self.on_pass:
            self.on_pass(family, seconds, deleted)
        if deleted:
            _log.debug(
                "stale flows deleted family=%s flows=%d seconds=%.3f", family, deleted, seconds
            )

    def _note_failure(self, exc: BackendError) -> None:
        self._failures += 1
        self.statistics.failures += 1
        if self._failures == 1:
            _log.warning(
                "stale flows not deleted: %s; UDP clients that keep their socket may go on sending "
                "to endpoints that are gone, retrying",
                exc,
            )

    def _retry_seconds(self) -> float:
        doublings = min(self._failures - 1, 10)
        return min(_FIRST_RETRY_SECONDS * (1 << doublings), _LONGEST_RETRY_SECONDS)


async def _step_by_step(sweep: Sweep) -> float:
    """Finish a sweep in slices with pauses; returns the seconds without pauses."""
    busy = 0.0
    while True:
        started = clock.monotonic()
        has_more = await _in_thread(sweep.step, _SLICE_SECONDS)
        seconds = clock.monotonic() - started
        busy += seconds
        if not has_more:
            return busy
        await asyncio.sleep(min(seconds, _SLICE_SECONDS))


async def _in_thread(work: Callable[[_A], _R], argument: _A) -> _R:
    """Do something that blocks; if cancelled, wait for its end: it uses sockets of the caller."""
    task = asyncio.ensure_future(asyncio.to_thread(work, argument))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
