"""The requests that list and watch one collection; no state but what they cost.

Four questions are asked of the API server, and the parameters of each say what it may answer:

- a page of a list, from its watch cache (resourceVersion 0) or as new as a given version,
- a watch from a position,
- a streaming list: a watch that begins with everything there is,
- has anything happened since a position; has it reached that position at all?
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from nodeproxy.model.wire import ApiObject
from nodeproxy.sources.apiserver.client import Query, Stream
from nodeproxy.sources.apiserver.decode import Codec, ListMeta, Malformed
from nodeproxy.sources.apiserver.failures import ApiGarbled
from nodeproxy.sources.apiserver.limits import WatchLimits
from nodeproxy.sources.apiserver.lines import LineAssembler
from nodeproxy.sources.apiserver.listing import ListReader
from nodeproxy.sources.apiserver.resources import Resource

FROM_CACHE = "0"
"""A list that may be as old as the API server's watch cache: no question to etcd."""
NEWEST = ""
"""A list that must not be older than this moment."""

TakeItems = Callable[[Sequence[ApiObject | Malformed], int], None]
"""Called with items as they arrive, and the number of bytes received for them."""

_PROBE_SECONDS = 1
"""The shortest watch that can be asked for; it ends in order, so its connection serves again."""


class ServerTraits:
    """What was learned about the API server; mutable, shared by the kinds of one source."""

    def __init__(self, *, streams_lists: bool) -> None:
        self.streams_lists = streams_lists
        """True until a streaming list was refused."""


class HttpClient(Protocol):
    """What is needed of `ApiClient`."""

    async def open(
        self, subject: str, path: str, query: Query = (), timeout_seconds: float | None = None
    ) -> Stream:
        """Open a stream, see `ApiClient.open`."""

    async def fetch(
        self, subject: str, path: str, query: Query, take: Callable[[bytes], None]
    ) -> None:
        """Fetch a document in chunks, see `ApiClient.fetch`."""


class Remote:
    """One collection on one API server."""

    def __init__(self, resource: Resource, client: HttpClient, limits: WatchLimits) -> None:
        self.resource = resource
        self.codec = Codec(resource.kind, resource.wire_type)
        self._client = client
        self._limits = limits
        self._reads_incrementally = True

    async def page(self, list_from: str, limit: int, token: str, take: TakeItems) -> ListMeta:
        """Fetch one page of a list.

        Args:
            list_from: FROM_CACHE, NEWEST, or the resourceVersion it must not be older than.
            limit: objects in the page, 0 for all; a list from the cache may ignore it.
            token: where the page begins; empty for the first.
            take: gets the items as they arrive, and how many bytes that were.

        Raises:
            ApiError: no page, or only a part of it; `is_expired` if the token is too old.
        """
        if token:
            query = [("continue", token)]
        elif list_from in (FROM_CACHE, NEWEST):
            query = _version(list_from)
        else:
            query = [*_version(list_from), ("resourceVersionMatch", "NotOlderThan")]
        if limit:
            query.append(("limit", str(limit)))
        reader = ListReader(self.codec, is_incremental=self._reads_incrementally)
        resource = self.resource
        try:
            await self._client.fetch(
                f"list {resource.permission}",
                resource.path,
                [*resource.selector, *query],
                lambda chunk: take(reader.feed(chunk), len(chunk)),
            )
            items, metadata = reader.finish()
        except ApiGarbled:
            # If it was the cutting that garbled it, the next attempt will be better.
            self._reads_incrementally = False
            raise
        take(items, 0)
        return metadata

    async def watch(self, position: str, seconds: int) -> Stream:
        """Open a watch that continues from a position and ends after some seconds.

        Raises:
            ApiError: it does not open.
        """
        query = [*_version(position), ("timeoutSeconds", str(seconds))]
        return await self._watch([("allowWatchBookmarks", "true"), *query])

    async def streaming_list(self, list_from: str, seconds: int) -> Stream:
        """Open a watch that begins with every object and a bookmark behind the last one.

        Raises:
            ApiError: it does not open; many servers refuse it in various ways.
        """
        query = [
            ("allowWatchBookmarks", "true"),
            ("sendInitialEvents", "true"),
            ("resourceVersionMatch", "NotOlderThan"),
            *_version(list_from),
            ("timeoutSeconds", str(seconds)),
        ]
        return await self._watch(query)

    async def shows_changes_since(self, position: str) -> bool:
        """Look with a short watch whether anything happened since a position.

        Raises:
            ApiError: it cannot be told.
        """
        query = [*_version(position), ("timeoutSeconds", str(_PROBE_SECONDS))]
        timeout = self._limits.probe_timeout_seconds
        body = await self._watch(query, timeout)
        try:
            # Not every server ends a watch in time; what counts has arrived by then.
            async with asyncio.timeout(_PROBE_SECONDS + timeout):
                return await self._has_changes(body)
        except TimeoutError:
            return False
        finally:
            body.close()

    async def _has_changes(self, body: Stream) -> bool:
        lines = LineAssembler()
        while chunk := await body.read():
            found = self.codec.events(lines.feed(chunk))
            if any(event.type != "BOOKMARK" for event in found.events):
                return True
            if found.end is not None:
                raise found.end
        return False

    async def require_reached(self, position: str) -> None:
        """Make sure that the server has reached a position.

        One restored from a backup counts from a lower number. It would answer a watch from our
        position with silence until it gets there, and everything until then would be missed.

        Raises:
            ApiRefused: it has not, see `is_version_too_large`.
            ApiError: it cannot be told.
        """
        resource = self.resource
        query = [("resourceVersionMatch", "NotOlderThan"), ("limit", "1")]
        await self._client.fetch(
            f"list {resource.permission}",
            resource.path,
            [*resource.selector, *_version(position), *query],
            lambda chunk: None,
        )

    async def _watch(self, query: Query, timeout_seconds: float | None = None) -> Stream:
        resource = self.resource
        return await self._client.open(
            f"watch {resource.permission}",
            resource.path,
            [*resource.selector, ("watch", "1"), *query],
            timeout_seconds,
        )


def _version(resource_version: str) -> list[tuple[str, str]]:
    return [("resourceVersion", resource_version)] if resource_version else []
