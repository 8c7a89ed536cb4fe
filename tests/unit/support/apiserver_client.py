"""A client for the tests of the API server stand-in: aiohttp, so that the HTTP is checked too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from tests.support.apiserver import ApiServerStandIn

PATIENCE_SECONDS = 10
"""Longer than anything here takes; a test that waits in vain fails instead of hanging."""


class Answer(msgspec.Struct, frozen=True):
    """A complete response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return msgspec.json.decode(self.body, type=dict[str, Any])

    def names(self) -> list[str]:
        """The names of a list's items, in order."""
        return [item["metadata"]["name"] for item in self.document()["items"]]


class Stream:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self._rest = b""

    async def line(self) -> bytes:
        """The next line with its newline; what is left when the stream ends, then b""."""
        while b"\n" not in self._rest:
            chunk = await self.response.content.readany()
            if not chunk:
                rest, self._rest = self._rest, b""
                return rest
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return line + b"\n"

    async def event(self) -> dict[str, Any]:
        """The next event."""
        return msgspec.json.decode(await self.line(), type=dict[str, Any])

    async def news(self) -> tuple[str, str]:
        """Type and object name of the next event; bookmarks have the resourceVersion instead."""
        event = await self.event()
        metadata = event["object"]["metadata"]
        return event["type"], metadata.get("name") or metadata["resourceVersion"]

    async def rest(self) -> list[bytes]:
        """All further lines until the server ends the stream."""
        lines = []
        while line := await self.line():
            lines.append(line)
        return lines


class Client:
    """Asks one stand-in."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET a path with its encoded query."""
        async with self._session.get(self._address(target), headers=headers) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def post(self, path: str, document: object) -> Answer:
        """POST a JSON document."""
        data = msgspec.json.encode(document)
        async with self._session.post(self._address(path), data=data) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    @asynccontextmanager
    async def watch(self, target: str) -> AsyncIterator[Stream]:
        """Open a watch; returns when its headers have come."""
        async with self._session.get(self._address(target)) as response:
            yield Stream(response)

    def _address(self, target: str) -> URL:
        return URL(self.url + target, encoded=True)


@asynccontextmanager
async def client_of(server: ApiServerStandIn) -> AsyncIterator[Client]:
    """Run a stand-in and connect to it, within reasonable time."""
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        server.running() as url,
        aiohttp.ClientSession() as session,
    ):
        yield Client(url, session)
