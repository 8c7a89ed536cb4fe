"""Exchanging what tells the endpoints while the agent runs, without a gap.

::

    now         reader A ---------------------------------------------> cancelled
    candidate             reader B: list ........ synced --> chosen -->
    sink        (A counts)  B is taken beside                (B counts, A is forgotten)

`EndpointSwitch` owns both readers. The candidate tells everything while the present one goes on;
what it tells does not count (see `EndpointsChosen`) until it is complete. Then the present one is
cancelled and the sink told in the same step, with no await between: no change falls into a gap,
and none is told by the wrong one.

A candidate that does not get that far in time is given up, and nothing has changed. One that turns
out to read the same kind is given up too: two readers of one kind would contradict each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from nodeproxy import clock
from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent, Synced
from nodeproxy.sources.base import EventSink

log = logging.getLogger("nodeproxy.sources")

_Reader = TypeVar("_Reader", bound="EndpointReader")


class EndpointReader(Protocol):
    """Something that tells endpoints of one kind."""

    @property
    def kind(self) -> Kind:
        """Which objects it reads; certain once it has synced."""

    @property
    def last_error(self) -> str:
        """What the last failure said; empty if it is well."""

    async def run(self, sink: EventSink) -> None:
        """Tell everything there is, Synced, then every change, until cancelled."""


class EndpointSwitch(Generic[_Reader]):
    """Runs one reader, and exchanges it on request."""

    # Mutable state: the reader that counts, and the one that was asked for last.
    def __init__(self, reader: _Reader, patience_seconds: float) -> None:
        """Begin with a reader.

        Args:
            reader: what `run` starts with.
            patience_seconds: how long a candidate may take to tell everything.
        """
        self.reader = reader
        """The one that counts."""
        self._patience_seconds = patience_seconds
        self._wanted: _Reader | None = None
        self._candidate: _Reader | None = None
        self._news = asyncio.Event()

    def request(self, reader: _Reader) -> None:
        """Let another reader take over; of several requests the last counts.

        To ask for what is being read already, to take over or because it did, changes nothing.
        """
        if self._candidate and not self._wanted and reader.kind is self._candidate.kind:
            return
        self._wanted = reader
        self._news.set()

    async def run(self, sink: EventSink) -> None:
        """Tell endpoints for ever."""
        async with asyncio.TaskGroup() as group:
            current = _Reading(self.reader, sink, group)
            while True:
                await self._news.wait()
                self._news.clear()
                wanted, self._wanted = self._wanted, None
                if wanted is None or wanted.kind is current.kind:
                    continue
                if current.is_synced:
                    current = await self._exchange(current, wanted, sink, group)
                else:
                    current = _replace(current, wanted, sink, group)
                self.reader = current.reader

    async def _exchange(
        self, current: _Reading[_Reader], wanted: _Reader, sink: EventSink, group: asyncio.TaskGroup
    ) -> _Reading[_Reader]:
        """Start a candidate and let it take over when it is complete; returns who counts now."""
        started = clock.monotonic()
        # From here on what the other kind tells is kept beside.
        sink.put([EndpointsChosen(current.kind)])
        self._candidate = wanted
        candidate = _Reading(wanted, sink, group, news=self._news, not_kind=current.kind)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_seconds):
                await self._news.wait()
        self._candidate = None
        seconds = clock.monotonic() - started
        if candidate.is_synced and candidate.kind is not current.kind:
            current.close()
            sink.put([EndpointsChosen(candidate.kind)])
            log.info(
                "endpoints are read from %s now, before from %s seconds=%.2f",
                candidate.kind,
                current.kind,
                seconds,
            )
            return candidate
        candidate.close()
        sink.put([EndpointsChosen(current.kind)])
        self._tell_failure(current, candidate, seconds)
        return current

    def _tell_failure(
        self, current: _Reading[_Reader], candidate: _Reading[_Reader], seconds: float
    ) -> None:
        if candidate.is_synced:
            log.info("endpoints are read from %s already", current.kind)
        elif self._wanted is None:
            error = candidate.reader.last_error
            log.warning(
                "%s did not tell everything within %.0f s%s; endpoints are still read from %s. "
                "Reload the configuration to try again",
                candidate.kind,
                seconds,
                f": {error}" if error else "",
                current.kind,
            )


def _replace(
    current: _Reading[_Reader], wanted: _Reader, sink: EventSink, group: asyncio.TaskGroup
) -> _Reading[_Reader]:
    """Let a reader begin instead of one that has told nothing that is in force."""
    current.close()
    sink.put([EndpointsChosen(wanted.kind)])
    return _Reading(wanted, sink, group)


class _Reading(Generic[_Reader]):
    """A reader at work; an `EventSink` that lets everything through and notes Synced."""

    def __init__(
        self,
        reader: _Reader,
        sink: EventSink,
        group: asyncio.TaskGroup,
        *,
        news: asyncio.Event | None = None,
        not_kind: Kind | None = None,
    ) -> None:
        """Start reading.

        Args:
            reader: what reads.
            sink: takes what it tells.
            group: where its task runs.
            news: set when everything has been told.
            not_kind: if it reads this one, what it tells goes nowhere.
        """
        self.reader = reader
        self.is_synced = False
        self._sink = sink
        self._news = news
        self._not_kind = not_kind
        self._is_closed = False
        self._task = group.create_task(reader.run(self), name=f"watch {reader.kind}")

    @property
    def kind(self) -> Kind:
        return self.reader.kind

    def put(self, events: Sequence[SourceEvent]) -> None:
        if self._is_closed:
            return
        if self.kind is not self._not_kind:
            self._sink.put(events)
        if any(isinstance(event, Synced) for event in events):
            self.is_synced = True
            if self._news:
                self._news.set()

    def close(self) -> None:
        """Tell nothing any more, from this moment on."""
        self._is_closed = True
        self._task.cancel()
