"""One kind, listed and then watched, for ever.

::

             +--------- expired (410), garbage, the server went back in time ---------+
             v                                                                        |
    start -> list --- complete: Synced --> watch from position -- ended, broken, dead +
             ^ |                             ^                                  |
             +-+ failed: wait                +--------- wait (or not) ----------+

A list is streamed by the server as the beginning of a watch where it can do that, and fetched in
pages where it cannot. Either way the `View` turns it into the difference to what has been told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

from nodeproxy import clock
from nodeproxy.model.events import Kind, SourceEvent, Synced
from nodeproxy.model.wire import ApiObject
from nodeproxy.sources.apiserver.backoff import Backoff
from nodeproxy.sources.apiserver.client import Stream
from nodeproxy.sources.apiserver.decode import Malformed
from nodeproxy.sources.apiserver.failures import (
    ApiError,
    ApiGarbled,
    ApiRefused,
    ListNotStreamed,
    WatchTooShort,
)
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.pulse import Pulse
from nodeproxy.sources.apiserver.remote import FROM_CACHE, NEWEST, Remote, ServerTraits
from nodeproxy.sources.apiserver.view import View
from nodeproxy.sources.apiserver.watch import Watch
from nodeproxy.sources.base import EventSink

log = logging.getLogger("nodeproxy.sources.apiserver")

Locate = Callable[[], Awaitable[Remote]]
"""Finds the collection to read; asked at the start and after a 404. Raises ApiError."""

_DISPENSABLE = {
    # Services work without the Node; only topology hints and its addresses do not.
    Kind.NODE: (403,),
    # Old servers have no ServiceCIDRs; what is not known is not dropped (DP-11).
    Kind.SERVICE_CIDR: (403, 404),
}
"""Refusals after which the agent starts without a kind, which stays as unknown as it is."""


class Reflector:
    """Keeps one kind up to date; mutable, the only owner of its `View`."""

    def __init__(
        self,
        locate: Locate,
        pulse: Pulse,
        sink: EventSink,
        limits: WatchLimits,
        traits: ServerTraits,
        rng: random.Random,
        list_from: str = FROM_CACHE,
    ) -> None:
        """Prepare to read one kind.

        Args:
            locate: finds the collection.
            pulse: told how it goes.
            sink: takes what is read.
            limits: how patient to be.
            traits: what is known of the server, shared by the kinds.
            rng: for jitter.
            list_from: how old the first list may be, see `Remote.page`.
        """
        self._locate = locate
        self._pulse = pulse
        self._sink = sink
        self._limits = limits
        self._rng = rng
        self._backoff = Backoff(limits.backoff, rng)
        # A list that succeeds must not hide that every watch after it fails: lists cost most.
        self._list_backoff = Backoff(limits.backoff, rng)
        self._remote: Remote | None = None
        self._view = View(pulse.kind)
        self._traits = traits
        self._list_from = list_from
        self._is_streaming = False  # the list in progress, or the last one
        self._list_began_at = 0.0
        self._watch_ends_at = 0.0  # when the server was asked to end the open watch
        # When the server last showed that it has reached our position; None: ask before the
        # next watch, another server may answer it.
        self._reached_at: float | None = None

    async def run(self) -> None:
        """List and watch until cancelled; whatever fails is retried."""
        while True:
            self._backoff.started(clock.monotonic())
            try:
                wait = await self._list_and_watch()
            except ApiError as error:
                wait = self._failed(error)
            finally:
                self._pulse.disconnected()
            await asyncio.sleep(wait)

    async def has_missed_changes(self) -> bool:
        """A second opinion on the open watch, see `watch.SecondOpinion`."""
        if self._view.is_listing:
            return False
        remote = await self._located()
        await self._require_reached(remote)
        return await remote.shows_changes_since(self._view.position)

    def doubt(self, error: ApiError | None) -> None:
        """The open watch may be dead, see `watch.SecondOpinion`."""
        if error is None:
            self._pulse.connected()
        else:
            self._report(error, is_news=True)

    async def _list_and_watch(self) -> float:
        """Get up to date and stay so until the watch ends; returns seconds to wait then."""
        remote = await self._located()
        if not self._view.position:
            self._begin_list()
            self._is_streaming = self._traits.streams_lists
            if not self._is_streaming:
                await self._list(remote)
        return await self._watch(remote)

    async def _located(self) -> Remote:
        if self._remote is None:
            self._remote = await self._locate()
            kind = self._remote.resource.kind
            if kind is not self._view.kind:
                self._view = View(kind)
                self._pulse.kind = kind
        return self._remote

    # Lists

    def _begin_list(self) -> None:
        self._view.begin_list()
        self._list_began_at = clock.monotonic()

    async def _list(self, remote: Remote) -> None:
        """Fetch all pages, or all in one if they take longer than the server can wait."""
        try:
            await self._list_pages(remote, self._limits.page_size)
        except ApiRefused as refused:
            if not refused.is_expired:
                raise
            self._begin_list()
            await self._list_pages(remote, 0)

    async def _list_pages(self, remote: Remote, limit: int) -> None:
        token = ""
        while True:
            page = await remote.page(self._list_from, limit, token, self._take_items)
            token = page.continue_ or ""
            if not token:
                break
        self._list_complete(self._view.end_list(page.resource_version or ""))

    def _take_items(self, items: Sequence[ApiObject | Malformed], size: int) -> None:
        self._pulse.bytes_received += size
        self._pulse.heard()
        if events := self._view.listed(items):
            self._sink.put(events)

    def _list_complete(self, events: list[SourceEvent]) -> None:
        """Everything there is has been told, or is in these events."""
        now = clock.monotonic()
        self._list_from = self._view.position
        self._reached_at = now
        self._list_backoff.started(now)
        self._pulse.relists += 1
        is_first = not self._pulse.is_synced
        if is_first:
            events.append(Synced(self._view.kind))
        self._pulse.is_synced = True
        if events:
            self._sink.put(events)
        log.info(
            "source %s kind=%s objects=%d seconds=%.2f",
            "synced" if is_first else "relisted",
            self._view.kind,
            self._view.object_count,
            now - self._list_began_at,
        )

    # Watches

    async def _watch(self, remote: Remote) -> float:
        """Open a watch and read it to its end; without a position it begins with a list.

        Returns:
            Seconds to wait before the next one.

        Raises:
            WatchTooShort: it ended at once and told nothing new.
            ApiError: it did not open, or broke.
        """
        position = self._view.position
        opened_at = clock.monotonic()
        watch = Watch(await self._open(remote), self, self._limits, self._rng)
        self._pulse.connected()
        try:
            await self._read(watch, remote)
        finally:
            watch.close()
        now = clock.monotonic()
        short = self._limits.short_watch_seconds
        if now - opened_at < short and self._view.position == position:
            raise WatchTooShort(f"watch {remote.resource.permission}", now - opened_at)
        if now >= self._watch_ends_at - short:
            return 0.0
        # Before its time: the server goes away, and all agents come back.
        self._reached_at = None
        return self._rng.uniform(0.0, self._limits.backoff.first)

    async def _open(self, remote: Remote) -> Stream:
        seconds = self._rng.randint(*self._limits.watch_seconds)
        self._watch_ends_at = clock.monotonic() + seconds
        if self._view.is_listing:
            return await remote.streaming_list(self._list_from, seconds)
        await self._require_reached(remote)
        return await remote.watch(self._view.position, seconds)

    async def _require_reached(self, remote: Remote) -> None:
        now = clock.monotonic()
        if self._reached_at is None or now - self._reached_at >= self._limits.recheck_seconds:
            await remote.require_reached(self._view.position)
            self._reached_at = now

    async def _read(self, watch: Watch, remote: Remote) -> None:
        while self._view.is_listing:
            try:
                async with asyncio.timeout(self._limits.stream_stall_seconds):
                    block = await watch.read()
            except TimeoutError:
                raise ListNotStreamed(remote.resource.path) from None
            if not block:
                return
            self._take(block, remote)
        while block := await watch.read():
            self._take(block, remote)

    def _take(self, block: bytes, remote: Remote) -> None:
        """Tell the events of some lines: the hot path of the source.

        Raises:
            ApiError: a line ends the watch.
        """
        found = remote.codec.events(block)
        position = self._view.position
        was_listing = self._view.is_listing
        events = self._view.watched(found.events)
        if was_listing and not self._view.is_listing:
            self._list_complete(events)
        elif events:
            self._sink.put(events)
        self._pulse.bytes_received += len(block)
        now = self._pulse.heard()
        if self._view.position != position:
            self._reached_at = now
            self._backoff.worked()
            if not was_listing:
                self._pulse.worked()
        if found.end is not None:
            raise found.end

    # Failures

    def _failed(self, error: ApiError) -> float:
        """Decide how to go on.

        Returns:
            Seconds to wait before that.
        """
        self._reached_at = None
        if self._is_streaming and self._view.is_listing and error.is_no_streaming:
            self._fetch_pages_from_now_on(error)
            return 0.0
        self._report(error, is_news=self._is_news(error))
        if error.needs_list:
            self._view.lose_position()
        least_wait = self._refused(error) if isinstance(error, ApiRefused) else 0.0
        now = clock.monotonic()
        wait = max(self._backoff.failed(now, error.retry_after), least_wait)
        return max(wait, self._list_backoff.failed(now)) if error.needs_list else wait

    def _fetch_pages_from_now_on(self, error: ApiError) -> None:
        if self._traits.streams_lists:
            log.info("fetching lists in pages, the API server does not stream them: %s", error)
        self._traits.streams_lists = False

    def _report(self, error: ApiError, *, is_news: bool) -> None:
        resource = self._remote.resource if self._remote else None
        self._pulse.failed(error, resource, is_news=is_news)

    def _is_news(self, error: ApiError) -> bool:
        """False for what is everyday life if the next attempt works: not logged.

        That is one broken connection, and a position that has expired by the time it is back.
        """
        if not self._pulse.is_synced or isinstance(error, ApiGarbled):
            return True
        is_expired = isinstance(error, ApiRefused) and error.is_expired
        return self._backoff.failures >= (2 if is_expired else 1)

    def _refused(self, error: ApiRefused) -> float:
        """Take a refusal for what it means; returns the least seconds to wait."""
        if error.is_expired or error.is_version_too_large:
            self._list_from = NEWEST
        if error.is_version_too_large:
            # The same number may stand for something else now.
            self._view.forget_versions()
        if error.code == 404:
            self._remote = None
        if error.code in _DISPENSABLE.get(self._view.kind, ()) and not self._pulse.is_synced:
            self._pulse.is_synced = True
            self._sink.put([Synced(self._view.kind)])
        is_absent = error.code == 404 and self._view.kind is Kind.SERVICE_CIDR
        return self._limits.absent_retry_seconds if is_absent else 0.0
