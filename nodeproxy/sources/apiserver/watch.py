"""One watch, read line by line, that finds out by itself when it has died in silence.

TCP can acknowledge for ever while nothing arrives any more: a frozen API server, a load balancer
that lost the other half. Silence alone proves nothing, as most watches are quiet most of the
time. So when nothing came for a while a second, short watch is asked for what happened since: if
it shows a change that the first one does not deliver, the first one is dead; if it shows nothing,
nothing has been missed (docs/decisions/0003-quiet-watches.md).
"""

from __future__ import annotations

import asyncio
import random
from typing import Protocol

from nodeproxy import clock
from nodeproxy.sources.apiserver.backoff import Backoff
from nodeproxy.sources.apiserver.failures import ApiError, ApiUnreachable
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.lines import LineAssembler


class Body(Protocol):
    """The body of a streamed answer; `client.Stream`, or a fake."""

    async def read(self) -> bytes:
        """What has arrived since the last call, b"" at the end.

        Raises:
            ApiUnreachable: the connection broke.
        """

    def close(self) -> None:
        """Drop what was not read."""


class SecondOpinion(Protocol):
    """What a quiet watch asks its owner."""

    async def has_missed_changes(self) -> bool:
        """True if another watch shows changes that this one has not delivered.

        Raises:
            ApiError: it cannot be told; `needs_list` errors end the watch.
        """

    def doubt(self, error: ApiError | None) -> None:
        """The watch has been silent beyond the limit and cannot be checked; None takes it back."""


class Watch:
    """Reads one body to its end; mutable, one for each watch."""

    def __init__(
        self, body: Body, opinion: SecondOpinion, limits: WatchLimits, rng: random.Random
    ) -> None:
        self._body = body
        self._opinion = opinion
        self._limits = limits
        self._rng = rng
        self._lines = LineAssembler()
        self._backoff = Backoff(limits.backoff, rng)
        self._heard_at = clock.monotonic()
        self._is_doubted = False
        self.bytes_received = 0

    async def read(self) -> bytes:
        """The next complete lines.

        Returns:
            A block that ends with a newline, or b"" when the server has ended the watch.

        Raises:
            ApiUnreachable: the connection broke, or is dead while it looks alive.
            ApiGarbled: a line without end.
            ApiRefused: the position of the watch has expired meanwhile.
        """
        while True:
            chunk = await self._next_chunk()
            if not chunk:
                return b""
            self.bytes_received += len(chunk)
            if block := self._lines.feed(chunk):
                return block

    def close(self) -> None:
        """Drop the connection."""
        self._body.close()

    async def _next_chunk(self) -> bytes:
        patience = self._rng.uniform(*self._limits.patience_seconds)
        while True:
            try:
                async with asyncio.timeout(patience):
                    chunk = await self._body.read()
            except TimeoutError:
                found, patience = await self._ask_while_reading()
                if found is None:
                    continue
                chunk = found
            self._heard()
            return chunk

    def _heard(self) -> None:
        self._heard_at = clock.monotonic()
        if self._is_doubted:
            self._is_doubted = False
            self._opinion.doubt(None)

    async def _ask_while_reading(self) -> tuple[bytes | None, float]:
        """Get a second opinion; a chunk that arrives meanwhile settles the question.

        Returns:
            That chunk or None, and how long to wait before asking again.
        """
        reading = asyncio.create_task(self._body.read(), name="quiet watch")
        asking = asyncio.create_task(self._opinion.has_missed_changes(), name="second opinion")
        try:
            await asyncio.wait((reading, asking), return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result(), 0.0
            patience = await self._judge(asking, reading)
            return (reading.result() if reading.done() else None), patience
        finally:
            await _cancel(reading, asking)

    async def _judge(self, asking: asyncio.Task[bool], reading: asyncio.Task[bytes]) -> float:
        try:
            has_missed = await asking
        except ApiError as error:
            if error.needs_list:
                raise
            return self._not_answered(error)
        self._backoff.worked()
        if has_missed:
            await asyncio.wait((reading,), timeout=self._limits.grace_seconds)
            if not reading.done():
                silence = clock.monotonic() - self._heard_at
                raise ApiUnreachable(
                    "watch", f"silent for {silence:.1f} s while others were told of changes"
                )
        return self._rng.uniform(*self._limits.patience_seconds)

    def _not_answered(self, error: ApiError) -> float:
        now = clock.monotonic()
        # One that works, perhaps, is better than none: it is not given up before there is another.
        if now - self._heard_at >= self._limits.silence_limit_seconds and not self._is_doubted:
            self._is_doubted = True
            self._opinion.doubt(error)
        return self._backoff.failed(now, error.retry_after)


async def _cancel(*tasks: asyncio.Task[bytes] | asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
