"""The API server stand-in: real HTTP, the real protocol, and faults on demand."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import InitVar, dataclass
from typing import Any

from tests.support.apiserver.answers import Answerer, send_body
from tests.support.apiserver.behaviour import Behaviour
from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.events import EventBook
from tests.support.apiserver.faults import Faults
from tests.support.apiserver.http import Connection, RecordedRequest, Response
from tests.support.apiserver.statuses import ApiError
from tests.support.apiserver.store import DEFAULT_HISTORY_LIMIT, Store
from tests.support.apiserver.waiting import Bell
from tests.support.apiserver.watches import Watch


@dataclass(kw_only=True, eq=False)
class ApiServerStandIn(Behaviour):
    """Serves Services, Endpoints, EndpointSlices, Nodes and ServiceCIDRs over real HTTP.

    Objects are put and deleted by the test, in the same event loop::

        server = ApiServerStandIn()
        async with server.running() as url:
            server.put(obj)
            ...
            server.compact()
            server.reset_watches("EndpointSlice")

    What the server can do is set by the attributes of `Behaviour`, which may change while it
    runs; what goes wrong, by `faults` and by the methods that strike open watches. Objects
    survive `running`: a stand-in can be filled before and run more than once.
    """

    resource_version: InitVar[int] = 1000
    """Where the counter starts; watches from before it are told 410."""
    history_limit: InitVar[int] = DEFAULT_HISTORY_LIMIT
    """Events each kind remembers."""
    control: Callable[[RecordedRequest], bytes] | None = None
    """Answers requests below /_control/ with JSON when set; may raise ApiError."""

    def __post_init__(self, resource_version: int, history_limit: int) -> None:
        self.store = Store(resource_version, history_limit)
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        """Every request so far, in order of arrival."""
        self._bell = Bell()
        self._book = EventBook()
        self._answerer = Answerer(self, self.store, self._book, self.faults, self._bell)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._listener: asyncio.Server | None = None
        self._ssl_context: ssl.SSLContext | None = None

    # Running

    @asynccontextmanager
    async def running(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> AsyncIterator[str]:
        """Listen, and give the URL; ends every connection afterwards.

        Args:
            host: address to listen on.
            port: 0 takes a free one.
            sock: a bound socket to listen on instead, for example of another network namespace.
            ssl_context: serve HTTPS with it.
        """
        self._ssl_context = ssl_context
        sock = sock or socket.create_server((host, port))
        address = sock.getsockname()
        await self._listen(sock)
        try:
            yield f"{'https' if ssl_context else 'http'}://{address[0]}:{address[1]}"
        finally:
            await self._stop()

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Be away meanwhile: connections are dropped and new ones refused. Same port after."""
        assert self._listener is not None
        address = self._listener.sockets[0].getsockname()
        await self._stop()
        try:
            yield
        finally:
            await self._listen(socket.create_server(address[:2]))

    async def _listen(self, sock: socket.socket) -> None:
        self._listener = await asyncio.start_server(
            self._serve_connection, sock=sock, ssl=self._ssl_context, backlog=256
        )

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        tasks = list(self._connections.values())
        for connection, task in self._connections.items():
            connection.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.wait_closed()

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = Connection(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            while (request := await connection.read_request()) is not None:
                if not await self._respond(request, connection):
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client left in the middle of an answer, or the server stops
        finally:
            del self._connections[connection]
            with suppress(asyncio.CancelledError):
                await connection.close()

    async def _respond(self, request: RecordedRequest, connection: Connection) -> bool:
        if request.path.startswith("/_control/") and self.control is not None:
            return await self._answer_control(self.control, request, connection)
        self.requests.append(request)
        self._bell.ring()
        return await self._answerer.respond(request, connection)

    async def _answer_control(
        self,
        control: Callable[[RecordedRequest], bytes],
        request: RecordedRequest,
        connection: Connection,
    ) -> bool:
        response = Response(connection, lambda _: None)
        try:
            return await send_body(response, 200, {}, control(request))
        except ApiError as refused:
            return await send_body(response, refused.code, {}, refused.body())

    # Objects

    def put(self, obj: Mapping[str, Any]) -> int:
        """Create or replace an object; returns its resourceVersion, already sent to watches.

        The server adds uid, resourceVersion, creationTimestamp and a missing namespace
        ("default"). Anything but kind, name and namespace may be malformed.
        """
        return self.store.put(obj)

    def delete(self, kind: str, namespace: str, name: str) -> int:
        """Remove an object; returns the resourceVersion of the removal.

        Raises:
            KeyError: there is no such object.
        """
        return self.store.delete(kind, namespace, name)

    def compact(self) -> None:
        """Forget the history: older resourceVersions and continue tokens are told 410."""
        self.store.compact()

    def restart(self, *, resource_version: int | None = None) -> None:
        """Drop every connection and all history; go on at another resourceVersion if given."""
        self.store.rewind(self.store.version if resource_version is None else resource_version)
        for connection in self._connections:
            connection.abort()

    # Open watches

    def watches(self, kind: str | None = None) -> list[Watch]:
        """The open watches, of one kind or all; silenced ones and those just ended don't count."""
        return [
            watch
            for watch in self._answerer.watches
            if watch.is_open and kind in (None, watch.collection.resource.kind)
        ]

    def bookmark(self, kind: str | None = None) -> None:
        """Send a bookmark now to every watch that allows them."""
        for watch in self.watches(kind):
            watch.send_bookmark()

    def send_line(self, line: bytes, kind: str | None = None) -> None:
        """Send a line of any content to open watches: garbage, malformed objects."""
        for watch in self.watches(kind):
            watch.send_line(line)

    def end_watches(self, kind: str | None = None) -> None:
        """End open watches in the orderly way, as a timeout does."""
        for watch in self.watches(kind):
            watch.response.ended.set()

    def reset_watches(self, kind: str | None = None) -> None:
        """End open watches with a TCP reset."""
        for watch in self.watches(kind):
            watch.response.connection.reset()

    def silence_watches(self, kind: str | None = None) -> None:
        """Let open watches stay open and never say anything again (a half-open connection)."""
        for watch in self.watches(kind):
            watch.is_silent = True

    # Looking and waiting

    @property
    def bytes_sent(self) -> Counter[str]:
        """Bytes written to clients, headers and framing included, by path."""
        return self._answerer.bytes_sent

    @property
    def events(self) -> list[JsonObject]:
        """Events that clients have posted, as they are now, in order of their creation."""
        return self._book.events

    def expire_events(self) -> None:
        """Forget the Events, as API servers do after an hour."""
        self._book.forget()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on requests, Events or watches, looked at when those change."""
        await self._bell.wait_until(condition)

    async def wait_watched(self, *kinds: str) -> None:
        """Wait until every one of these kinds has an open watch."""
        await self.wait_until(lambda: all(self.watches(kind) for kind in kinds))
