"""A watch that falls silent; limits are fractions of a second, and all outcomes are waited for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from nodeproxy.sources.apiserver.backoff import BackoffLimits
from nodeproxy.sources.apiserver.failures import ApiError, ApiRefused, ApiUnreachable
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.watch import Watch

LIMITS = WatchLimits(
    silence_limit_seconds=0.06,
    grace_seconds=0.02,
    backoff=BackoffLimits(first=0.01, base=0.01, maximum=0.01),
)
LINE = b'{"type":"BOOKMARK"}\n'


class FakeBody:
    """A body whose chunks a test sends."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | ApiError] = asyncio.Queue()

    def send(self, chunk: bytes | ApiError) -> None:
        self._chunks.put_nowait(chunk)

    async def read(self) -> bytes:
        chunk = await self._chunks.get()
        if isinstance(chunk, ApiError):
            raise chunk
        return chunk

    def close(self) -> None:
        pass


class FakeOpinion:
    """What another watch shows; by default that nothing was missed."""

    def __init__(self) -> None:
        self.answer: Callable[[], bool] = lambda: False
        self.times_asked = 0
        self.doubts: list[ApiError | None] = []
        self.asked = asyncio.Event()
        self.doubted = asyncio.Event()

    async def has_missed_changes(self) -> bool:
        self.times_asked += 1
        self.asked.set()
        return self.answer()

    def doubt(self, error: ApiError | None) -> None:
        self.doubts.append(error)
        self.doubted.set()


@pytest.fixture
def body() -> FakeBody:
    return FakeBody()


@pytest.fixture
def opinion() -> FakeOpinion:
    return FakeOpinion()


@pytest.fixture
def watch(body: FakeBody, opinion: FakeOpinion) -> Watch:
    return Watch(body, opinion, LIMITS, random.Random(1))


def fails_with(error: ApiError) -> Callable[[], bool]:
    def answer() -> bool:
        raise error

    return answer


async def test_lines_come_as_they_arrive(watch: Watch, body: FakeBody):
    body.send(LINE[:5])
    body.send(LINE[5:] + LINE)

    assert await watch.read() == LINE + LINE


async def test_the_end_of_the_body_is_the_end_of_the_watch(watch: Watch, body: FakeBody):
    body.send(LINE[:5])
    body.send(b"")

    assert await watch.read() == b""


async def test_a_broken_connection_is_told(watch: Watch, body: FakeBody):
    body.send(ApiUnreachable("http://api", "connection lost"))

    with pytest.raises(ApiUnreachable, match="connection lost"):
        await watch.read()


async def test_a_quiet_watch_that_missed_nothing_goes_on(
    watch: Watch, body: FakeBody, opinion: FakeOpinion
):
    reading = asyncio.create_task(watch.read())
    await opinion.asked.wait()
    opinion.asked.clear()
    await opinion.asked.wait()

    body.send(LINE)

    assert await reading == LINE
    assert opinion.doubts == []


async def test_a_watch_that_lacks_what_another_one_shows_is_dead(
    watch: Watch, opinion: FakeOpinion
):
    opinion.answer = lambda: True

    with pytest.raises(ApiUnreachable, match="while others were told of changes"):
        await watch.read()


async def test_a_watch_that_was_only_slower_than_the_other_one_lives(
    watch: Watch, body: FakeBody, opinion: FakeOpinion
):
    def answer() -> bool:
        body.send(LINE)
        return True

    opinion.answer = answer

    assert await watch.read() == LINE


async def test_a_watch_that_speaks_before_the_other_one_answers_lives(
    watch: Watch, body: FakeBody, opinion: FakeOpinion
):
    never = asyncio.Event()

    async def has_missed_changes() -> bool:
        body.send(LINE)
        await never.wait()
        return True

    opinion.has_missed_changes = has_missed_changes  # type: ignore[method-assign]

    assert await watch.read() == LINE


async def test_a_watch_whose_position_expired_meanwhile_ends(watch: Watch, opinion: FakeOpinion):
    opinion.answer = fails_with(ApiRefused("watch services", 410, "too old"))

    with pytest.raises(ApiRefused, match="too old"):
        await watch.read()


async def test_a_silent_watch_that_cannot_be_checked_is_doubted_but_kept(
    watch: Watch, body: FakeBody, opinion: FakeOpinion
):
    """One that works, perhaps, is better than none."""
    outage = ApiUnreachable("http://api", "refused")
    opinion.answer = fails_with(outage)
    reading = asyncio.create_task(watch.read())
    await opinion.doubted.wait()

    body.send(LINE)

    assert await reading == LINE
    assert opinion.doubts == [outage, None]


async def test_a_cancelled_watch_leaves_no_task_behind(watch: Watch, opinion: FakeOpinion):
    reading = asyncio.create_task(watch.read())
    await opinion.asked.wait()

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

    assert asyncio.all_tasks() == {asyncio.current_task()}
