"""One reader of endpoints takes over from another: when, and what the sink hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import pytest

from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent, Synced
from nodeproxy.sources.base import EventSink
from nodeproxy.sources.switching import EndpointSwitch
from tests.support.builders import endpoints, slice_

SLICE = slice_("web-1", service="web").port(80).upserted()
ENDPOINTS = endpoints("web").subset().port(80).upserted()
SLICES_CHOSEN, ENDPOINTS_CHOSEN = (
    EndpointsChosen(Kind.ENDPOINT_SLICE),
    EndpointsChosen(Kind.ENDPOINTS),
)


class Reader:
    """Tells what a test has it tell."""

    def __init__(self, kind: Kind, last_error: str = "") -> None:
        self.kind = kind
        self.last_error = last_error
        self.sink: EventSink | None = None
        self.has_started = asyncio.Event()
        self.has_ended = asyncio.Event()

    async def run(self, sink: EventSink) -> None:
        self.sink = sink
        self.has_started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.has_ended.set()

    def tell(self, *events: SourceEvent) -> None:
        assert self.sink is not None
        self.sink.put(events)


class Told:
    """Keeps every event; wakes a test that waits for one."""

    def __init__(self) -> None:
        self.events: list[SourceEvent] = []
        self._news = asyncio.Event()

    def put(self, events: Sequence[SourceEvent]) -> None:
        self.events += events
        self._news.set()

    async def until_last(self, event: SourceEvent, count: int = 1) -> None:
        """Wait until an event was told so many times."""
        async with asyncio.timeout(20):
            while self.events.count(event) < count:
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def running(
    reader: Reader, patience_seconds: float = 1000.0
) -> AsyncIterator[tuple[EndpointSwitch[Reader], Told]]:
    told = Told()
    switch = EndpointSwitch(reader, patience_seconds)
    task = asyncio.create_task(switch.run(told))
    await reader.has_started.wait()
    yield switch, told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_candidate_takes_over_when_it_has_told_everything():
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(SLICE, Synced(Kind.ENDPOINT_SLICE))

        switch.request(new)
        await new.has_started.wait()
        new.tell(ENDPOINTS)
        before = list(told.events)
        new.tell(Synced(Kind.ENDPOINTS))
        await told.until_last(ENDPOINTS_CHOSEN)
        await old.has_ended.wait()

    assert before == [SLICE, Synced(Kind.ENDPOINT_SLICE), SLICES_CHOSEN, ENDPOINTS]
    assert told.events[len(before) :] == [Synced(Kind.ENDPOINTS), ENDPOINTS_CHOSEN]


async def test_the_old_reader_goes_on_until_then():
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(Synced(Kind.ENDPOINT_SLICE))
        switch.request(new)
        await new.has_started.wait()

        old.tell(SLICE)

    assert told.events[-1] == SLICE


async def test_the_old_reader_tells_nothing_afterwards():
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(Synced(Kind.ENDPOINT_SLICE))
        switch.request(new)
        await new.has_started.wait()
        new.tell(Synced(Kind.ENDPOINTS))
        await told.until_last(ENDPOINTS_CHOSEN)

        old.tell(SLICE)

    assert SLICE not in told.events


async def test_a_candidate_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture):
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS, "list endpoints: forbidden")
    async with running(old, patience_seconds=0.01) as (switch, told):
        old.tell(Synced(Kind.ENDPOINT_SLICE))

        switch.request(new)
        await told.until_last(SLICES_CHOSEN, count=2)
        await new.has_ended.wait()
        has_ended = old.has_ended.is_set()

    assert (switch.reader, has_ended) == (old, False)
    assert "Endpoints did not tell everything" in caplog.text
    assert "list endpoints: forbidden; endpoints are still read from EndpointSlice" in caplog.text


async def test_who_changes_their_mind_ends_the_attempt(caplog: pytest.LogCaptureFixture):
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(Synced(Kind.ENDPOINT_SLICE))
        switch.request(new)
        await new.has_started.wait()

        switch.request(Reader(Kind.ENDPOINT_SLICE))
        await told.until_last(SLICES_CHOSEN, count=2)

    assert switch.reader is old
    assert not caplog.records


async def test_who_asks_twice_does_not_begin_anew():
    old, new, again = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(Synced(Kind.ENDPOINT_SLICE))
        switch.request(new)
        await new.has_started.wait()

        switch.request(again)
        new.tell(Synced(Kind.ENDPOINTS))
        await told.until_last(ENDPOINTS_CHOSEN)

    assert switch.reader is new
    assert not again.has_started.is_set()


async def test_a_candidate_that_reads_the_same_after_all_is_given_up(
    caplog: pytest.LogCaptureFixture,
):
    """An API server without EndpointSlices, and the gate no longer set."""
    old, new = Reader(Kind.ENDPOINTS), Reader(Kind.ENDPOINT_SLICE)
    async with running(old) as (switch, told):
        old.tell(Synced(Kind.ENDPOINTS))
        switch.request(new)
        await new.has_started.wait()

        with caplog.at_level(logging.INFO):
            new.kind = Kind.ENDPOINTS
            new.tell(ENDPOINTS, Synced(Kind.ENDPOINTS))
            await told.until_last(ENDPOINTS_CHOSEN, count=2)

    assert ENDPOINTS not in told.events
    assert switch.reader is old
    assert "endpoints are read from Endpoints already" in caplog.text


async def test_before_anything_is_complete_there_is_nothing_to_keep():
    old, new = Reader(Kind.ENDPOINT_SLICE), Reader(Kind.ENDPOINTS)
    async with running(old) as (switch, told):
        old.tell(SLICE)

        switch.request(new)
        await old.has_ended.wait()
        await new.has_started.wait()
        new.tell(ENDPOINTS)

    assert switch.reader is new
    assert told.events == [SLICE, ENDPOINTS_CHOSEN, ENDPOINTS]
