"""What a source tells, kept as the state of the cluster it describes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Synced, Upserted
from nodeproxy.model.wire import ApiObject
from nodeproxy.sources.apiserver.backoff import BackoffLimits
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.source import ApiServerSource
from nodeproxy.sources.base import SourceStatus
from tests.support.apiserver.waiting import Bell

PATIENCE_SECONDS = 20
"""Longer than anything here takes; a test that waits in vain fails instead of hanging."""

QUICK_RETRIES = WatchLimits(
    stream_stall_seconds=0.2, backoff=BackoffLimits(first=0.01, base=0.01, maximum=0.05)
)
"""Failures are followed at once, so that tests of many of them are short."""

IMPATIENT = WatchLimits(
    silence_limit_seconds=0.12,
    grace_seconds=0.1,
    probe_timeout_seconds=2.0,
    recheck_seconds=0.05,
    stream_stall_seconds=2.0,
    backoff=BackoffLimits(first=0.01, base=0.01, maximum=0.05),
)
"""Silence is doubted at once."""


class Follower:
    """The sink of a source: what it has told so far, and what of it still holds."""

    def __init__(self, source: ApiServerSource, namespace: str = "") -> None:
        self.source = source
        self.objects: dict[tuple[Kind, str], ApiObject] = {}
        """By kind and name; of one namespace, and of none."""
        self.events: list[SourceEvent] = []
        """Everything told, of every namespace."""
        self.batches = 0
        self._namespace = namespace
        self._bell = Bell()

    def put(self, events: Sequence[SourceEvent]) -> None:
        """See `EventSink`."""
        self.batches += 1
        self.events += events
        for event in events:
            self._apply(event)
        self._bell.ring()

    def _apply(self, event: SourceEvent) -> None:
        if isinstance(event, Upserted) and self._is_followed(event.namespace):
            self.objects[event.kind, event.name] = event.object
        elif isinstance(event, Removed) and self._is_followed(event.namespace):
            del self.objects[event.kind, event.name]

    def _is_followed(self, namespace: str) -> bool:
        return not self._namespace or namespace in ("", self._namespace)

    @property
    def synced(self) -> list[Kind]:
        """Kinds that are complete, in the order in which they were said to be."""
        return [event.kind for event in self.events if isinstance(event, Synced)]

    @property
    def rejected(self) -> list[Rejected]:
        """Objects that could not be decoded."""
        return [event for event in self.events if isinstance(event, Rejected)]

    def names(self, kind: Kind) -> set[str]:
        """The objects of a kind that are there now."""
        return {name for found, name in self.objects if found is kind}

    def status(self, kind: Kind) -> SourceStatus:
        """What the source says about a kind."""
        return next(found for found in self.source.statuses() if found.kind is kind)

    def mark(self) -> int:
        """The present moment, for `since`."""
        return len(self.events)

    def since(self, mark: int) -> list[str]:
        """What was told after a mark, in short: `+web` there, `-web` gone, `!web` malformed."""
        signs = {Upserted: "+", Removed: "-", Rejected: "!"}
        return [
            signs[type(event)] + event.name
            for event in self.events[mark:]
            if isinstance(event, Upserted | Removed | Rejected)
            and self._is_followed(event.namespace)
        ]

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on what was told."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._bell.wait_until(condition)

    async def wait_synced(self) -> None:
        """Wait until all four kinds are complete."""
        await self.wait(lambda: len(self.synced) == 4)

    async def wait_names(self, kind: Kind, *names: str) -> None:
        """Wait until exactly these objects of a kind are there."""
        await self.wait(lambda: self.names(kind) == set(names))


@asynccontextmanager
async def following(source: ApiServerSource, namespace: str = "") -> AsyncIterator[Follower]:
    """Run a source meanwhile; it must still be running at the end."""
    follower = Follower(source, namespace)
    task = asyncio.create_task(source.run(follower), name="source")
    try:
        yield follower
        if task.done():
            task.result()
            raise AssertionError("the source has ended")
    finally:
        task.cancel()
        await asyncio.wait([task])


class Journal(logging.Handler):
    """What the agent logs, to be waited for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []
        self._bell = Bell()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._bell.ring()

    @property
    def messages(self) -> list[str]:
        """Every line so far."""
        return [record.getMessage() for record in self.records]

    @property
    def warnings(self) -> list[str]:
        """The lines an operator is to care about."""
        return [r.getMessage() for r in self.records if r.levelno >= logging.WARNING]

    async def wait(self, text: str) -> None:
        """Wait for a line that contains a text."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._bell.wait_until(lambda: any(text in line for line in self.messages))
