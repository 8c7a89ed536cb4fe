"""Answering a watch: what happened since, then what happens, until somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from tests.support.apiserver.behaviour import Behaviour
from tests.support.apiserver.faults import BookmarksOnly, Duplicate, Silent, Struck
from tests.support.apiserver.http import Response
from tests.support.apiserver.lists import (
    parse_number,
    parse_resource_version,
    require_not_future,
)
from tests.support.apiserver.resources import Resource
from tests.support.apiserver.selectors import Selection
from tests.support.apiserver.statuses import WATCH_LIST_REFUSED, ApiError, error_line
from tests.support.apiserver.store import Store
from tests.support.apiserver.stored import Event, EventType, watch_line

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark that closes a streaming list."""
_OBJECTS_PER_WRITE = 256
_BOOKMARK_BEFORE_END_SECONDS = 2.0
"""A watch that is about to time out gets a last bookmark this long before."""


class WatchQuery(msgspec.Struct, frozen=True):
    """What a watch request asks for."""

    since: int | None
    """resourceVersion; None and 0 begin with the present objects."""
    wants_bookmarks: bool
    timeout_seconds: int
    """0 means none."""
    sends_initial_events: bool | None
    """None when the parameter is absent."""


def parse_watch_query(query: Mapping[str, str]) -> WatchQuery:
    """Read the parameters of a watch.

    Raises:
        ApiError: 400 or 422 for parameters the API server refuses.
    """
    initial = query.get("sendInitialEvents")
    if initial is not None and query.get("resourceVersionMatch") != "NotOlderThan":
        raise ApiError(422, "sendInitialEvents requires resourceVersionMatch=NotOlderThan")
    return WatchQuery(
        since=parse_resource_version(query),
        wants_bookmarks=_is_true(query.get("allowWatchBookmarks")),
        timeout_seconds=parse_number(query, "timeoutSeconds"),
        sends_initial_events=None if initial is None else _is_true(initial),
    )


def check_watch_list(query: WatchQuery, newest: int) -> None:
    """Refuse a streaming list of a resourceVersion that has not been reached.

    Raises:
        ApiError: 504.
    """
    if query.sends_initial_events and query.since:
        require_not_future(query.since, newest)


def _is_true(text: str | None) -> bool:
    return text is not None and text.lower() in ("1", "true")


class Watch:
    """One open watch: hears every event of its kind and sends what its selection shows.

    Events are written where they happen, inside `Store.put`, so that a change is on the wire
    before `put` returns.
    """

    def __init__(
        self,
        response: Response,
        store: Store,
        resource: Resource,
        version: str,
        selection: Selection,
        query: WatchQuery,
        struck: Struck,
    ) -> None:
        self.response = response
        self.collection = store.collection(resource)
        self.is_silent = struck.first(Silent) is not None
        """True once the watch is to look alive and say nothing."""
        self._store = store
        self._version = version
        self._selection = selection
        self._query = query
        self._since = query.since or 0
        self._copies = 2 if struck.first(Duplicate) else 1
        self._withholds_events = struck.first(BookmarksOnly) is not None

    @property
    def is_open(self) -> bool:
        """True while the client can expect to hear something."""
        is_closing = self.response.connection.writer.transport.is_closing()
        return not (self.is_silent or self.response.ended.is_set() or is_closing)

    def on_event(self, event: Event) -> None:
        """Send one change, unless this watch has it already or does not show it."""
        if event.version <= self._since or self._withholds_events:
            return
        event_type = event.type_for(self._selection)
        if event_type is not None:
            for _ in range(self._copies):
                self.send_line(event.line(event_type, self._version))

    def send_line(self, line: bytes) -> None:
        """Send one line of any content."""
        if not self.is_silent:
            self.response.send(line)

    def send_bookmark(self) -> None:
        """Say how far the watch has come, if the client wants to know.

        A watch that began in the future is told nothing before the counter gets there.
        """
        if self._query.wants_bookmarks and self._since <= self._store.version:
            self.send_line(self._bookmark(max(self._since, self.collection.version)))

    def begin(self, behaviour: Behaviour) -> bytes:
        """Send what comes before live events; the line that ends the watch, if it must end."""
        initial = self._query.sends_initial_events if behaviour.knows_watch_list else None
        if initial and not behaviour.supports_watch_list:
            return error_line(500, WATCH_LIST_REFUSED)
        if initial is not None:
            self._begin_watch_list(sends_objects=initial)
        elif not self._query.since:
            self._send_present()
            self._since = self.collection.version
        elif self._query.since < self.collection.floor:
            floor = self.collection.floor
            return error_line(410, f"too old resource version: {self._query.since} ({floor})")
        else:
            for event in self.collection.events_since(self._query.since):
                self.on_event(event)
        return b""

    def _begin_watch_list(self, *, sends_objects: bool) -> None:
        self._since = self._store.version
        if sends_objects:
            self._send_present()
            if self._query.wants_bookmarks:
                self.send_line(self._bookmark(self._since, is_end=True))

    def _send_present(self) -> None:
        objects = self.collection.in_order()
        # 10,000 objects take 35 ms in joined writes, 250 ms in a write each.
        for start in range(0, len(objects), _OBJECTS_PER_WRITE):
            part = objects[start : start + _OBJECTS_PER_WRITE]
            shown = [stored for stored in part if stored.is_selected(self._selection)]
            lines = [watch_line(EventType.ADDED, stored, self._version) for stored in shown]
            self.send_line(b"".join(lines))

    def _bookmark(self, resource_version: int, *, is_end: bool = False) -> bytes:
        resource = self.collection.resource
        return b'{"type":"BOOKMARK","object":{"kind":"%b","apiVersion":"%b","metadata":%b%b}}\n' % (
            resource.kind.encode(),
            resource.api_version(self._version).encode(),
            msgspec.json.encode(
                {
                    "resourceVersion": str(resource_version),
                    **({"annotations": {INITIAL_EVENTS_END: "true"}} if is_end else {}),
                }
            ),
            resource.bookmark_tail,
        )

    async def run(self, bookmark_interval: float) -> bool:
        """Stay open; True if the connection is still usable afterwards.

        Ends at timeoutSeconds, when `response.ended` is set, or when the client goes. A silent
        watch ends only in the latter two ways.
        """
        loop = asyncio.get_running_loop()
        opened_at = loop.time()
        seconds = self._query.timeout_seconds
        deadline = opened_at + seconds if seconds else None
        gone = asyncio.create_task(self.response.connection.wait_closed_by_client())
        ended = asyncio.create_task(self.response.ended.wait())
        try:
            while True:
                wake_at = _next_wake(loop.time(), deadline, bookmark_interval)
                timeout = None if self.is_silent else wake_at - loop.time()
                done, _ = await asyncio.wait(
                    (gone, ended), timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return gone not in done
                if not self.is_silent and deadline is not None and loop.time() >= deadline:
                    return True
                self.send_bookmark()
        finally:
            await _cancel((gone, ended))


def _next_wake(now: float, deadline: float | None, bookmark_interval: float) -> float:
    """When to send the next bookmark or to end, whichever is first."""
    bookmark_at = now + bookmark_interval
    if deadline is None:
        return bookmark_at
    last_bookmark_at = deadline - _BOOKMARK_BEFORE_END_SECONDS
    if now < last_bookmark_at:
        return min(bookmark_at, last_bookmark_at)
    return min(bookmark_at, deadline)


async def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
