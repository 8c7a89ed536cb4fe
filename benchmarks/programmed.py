"""The agent without its sources and servers: from events to confirmed rules, in this process.

take(events) -> Inbox -> SyncLoop.turn (state, plan, difference, transaction) -> Applied
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.measure import BenchmarkFailed
from benchmarks.objects import NODE_NAME
from lab.namespace import Namespace
from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.sync import SyncLoop
from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.model.addresses import FAMILIES, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.channel import Channel, NetfilterListener, NetfilterSocket
from nodeproxy.netlink.messages import KernelError, Received
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import Changes, ClusterState

_OPTIONS = PlanOptions(cluster_cidrs=(parse_cidr("10.128.0.0/9"), parse_cidr("10.244.0.0/16")))


class Applied(NamedTuple):
    """What one round of events took."""

    seconds: float
    """From the events to the kernel's confirmation."""
    kernel_seconds: float
    """The part of it that was spent in netlink."""
    operations: int
    """Elements, rules and chains added or removed."""


class ProgrammedNode:
    """State, planner and backend under the agent's own sync loop."""

    # Mutable state: the parts of the agent, and what the last turn took.
    def __init__(self, channel: Channel) -> None:
        self._channel = TimedChannel(channel)
        self._observer = _Observer()
        self._inbox = Inbox()
        state = ClusterState(NODE_NAME)
        backend = NftablesBackend(self._channel, FAMILIES)
        self._loop = SyncLoop(self._inbox, state, Planner(state, _OPTIONS), backend, self._observer)

    async def load(self, events: Sequence[SourceEvent]) -> Applied:
        """Take everything there is for the first time, as the agent does when it starts."""
        gc.disable()  # the loop turns it on again after its first sync
        return await self.take(events)

    async def take(self, events: Sequence[SourceEvent]) -> Applied:
        """Bring these events into the kernel.

        Raises:
            BenchmarkFailed: the kernel refused, so that the time says nothing.
        """
        self._channel.seconds = 0.0
        self._observer.begin()
        started = time.perf_counter()
        self._inbox.put(events)
        await self._loop.turn()
        seconds = time.perf_counter() - started
        return Applied(seconds, self._channel.seconds, self._observer.operations())


@contextlib.contextmanager
def open_programmed(namespace: Namespace) -> Iterator[ProgrammedNode]:
    """Program the tables of a namespace while the block runs.

    A listener for foreign changes is open as with the agent: the kernel then writes a
    notification for every element, which is part of what a change costs.
    """
    with contextlib.ExitStack() as stack:
        with namespace.entered():
            channel = stack.enter_context(NetfilterSocket())
            stack.callback(NetfilterListener(channel.portid).close)
        yield ProgrammedNode(channel)


class TimedChannel:
    """Passes everything on and adds up how long it took."""

    # Mutable state: the seconds so far; set to zero by the one who reads them.
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.seconds = 0.0

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        """See Channel.transact."""
        started = time.perf_counter()
        try:
            return self._channel.transact(batch, last_seq)
        finally:
            self.seconds += time.perf_counter() - started

    def dump(self, kind: int, family: int, body: bytes = b"") -> list[Received]:
        """See Channel.dump."""
        started = time.perf_counter()
        try:
            return self._channel.dump(kind, family, body)
        finally:
            self.seconds += time.perf_counter() - started


class _Observer:
    """Hears from the sync loop how a turn ended; see agent.sync.Observer."""

    # Mutable state: what was heard since `begin`.
    def __init__(self) -> None:
        self._report: CommitReport | None = None
        self._has_failed = False

    def begin(self) -> None:
        """Forget the turn before."""
        self._report, self._has_failed = None, False

    def operations(self) -> int:
        """Operations of the turn; 0 if there was nothing to do.

        Raises:
            BenchmarkFailed: not everything is in the kernel.
        """
        if self._has_failed:
            raise BenchmarkFailed("the kernel refused a change")
        if self._report is None:
            return 0
        if self._report.quarantined:
            key, reason = next(iter(self._report.quarantined.items()))
            raise BenchmarkFailed(f"the kernel refused {key}: {reason}")
        return self._report.operations

    def took_events(self, events: Sequence[SourceEvent]) -> None:
        """Nothing to note."""

    def decided(self, _changes: Changes, _delta: PlanDelta) -> None:
        """Nothing to note."""

    def installed(self) -> None:
        """Nothing to note."""

    def queued(self) -> None:
        """Nothing to note."""

    def synced(self, report: CommitReport, _seconds: float) -> None:
        """The turn ended well."""
        self._report = report

    def failed(self, _seconds: float) -> None:
        """The turn ended with a refusal."""
        self._has_failed = True
