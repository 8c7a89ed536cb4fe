"""HTTP/1.1 on one connection, as much of it as health checks, scrapers and curl speak.

    bytes -> head up to an empty line -> body of Content-Length bytes -> Request -> route -> Answer

Written by hand because there may be a listener for each of a thousand Services, and because an
agent that reads manifests shall not need an HTTP library: a listener costs a few kilobytes, the
module nothing. One request is answered at a time; further ones wait in the buffer. What is larger
than these servers ever need, and what takes too long to come, ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import msgspec

_log = logging.getLogger("nodeproxy.server")

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_CONNECTIONS = 500
"""Over all listeners of one `Connections`; for a further one the one silent longest is closed."""
IDLE_SECONDS = 30.0
"""A connection that asks nothing for so long, or takes so long to ask, is closed."""

_END_OF_HEAD = b"\r\n\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Request(msgspec.Struct, frozen=True):
    """What a client asked."""

    method: str
    path: str
    query: dict[str, str] = {}
    """Of a name given twice the last value; `?verbose` has the value ""."""
    headers: dict[str, str] = {}
    """By name in small letters."""
    body: bytes = b""


class Answer(msgspec.Struct, frozen=True):
    """What is answered."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    """Further ones."""


Route = Callable[[Request], Answer | Awaitable[Answer]]
"""Answers requests, in the event loop, so it must be quick or wait."""

PLAIN = "text/plain; charset=utf-8"
NOT_FOUND = Answer(404, PLAIN, b"404 page not found\n")


class BadRequest(Exception):
    """A request that gets no further: the connection is closed after this answer."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.answer = Answer(status, PLAIN, f"{status} {_REASONS[status]}\n".encode())


class Head(msgspec.Struct, frozen=True):
    """The first part of a request."""

    method: str
    target: str
    headers: dict[str, str]
    body_bytes: int
    is_last: bool
    """The connection is to be closed after the answer."""

    def request(self, body: bytes) -> Request:
        """The whole request."""
        path, _, query = self.target.partition("?")
        pairs = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        return Request(self.method, unquote(path), pairs, self.headers, body)


def parse_head(text: bytes) -> Head:
    """Read everything before the empty line.

    Raises:
        BadRequest: it is no HTTP/1, or more than is spoken here.
    """
    first, *lines = text.decode("latin-1").split("\r\n")
    match first.split(" "):
        case [method, target, ("HTTP/1.1" | "HTTP/1.0") as version] if method and target:
            pass
        case _:
            raise BadRequest(400)
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(400)
        headers[name.strip().lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise BadRequest(411)
    connection = headers.get("connection", "").lower()
    is_last = "close" in connection if version == "HTTP/1.1" else "keep-alive" not in connection
    return Head(method, target, headers, _body_bytes(headers), is_last)


def _body_bytes(headers: dict[str, str]) -> int:
    text = headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit()):
        raise BadRequest(400)
    if len(text) > 9 or int(text) > MAX_BODY_BYTES:
        raise BadRequest(413)
    return int(text)


def format_answer(answer: Answer, *, has_body: bool = True, is_last: bool = False) -> bytes:
    """The answer as it goes over the wire; of HEAD the length is told and nothing sent."""
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
        "X-Content-Type-Options: nosniff",
        "Server: nodeproxy",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    if is_last:
        lines.append("Connection: close")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    return head + answer.body if has_body else head


class Connections:
    """The open connections of some listeners; mutable, used in one event loop."""

    def __init__(self, limit: int = MAX_CONNECTIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self.limit = limit
        self.idle_seconds = idle_seconds
        self._open: dict[Connection, None] = {}

    def touch(self, connection: Connection) -> None:
        """It is open, and was in use just now."""
        self._open.pop(connection, None)
        self._open[connection] = None

    def discard(self, connection: Connection) -> None:
        """It is closed."""
        self._open.pop(connection, None)

    def has_room(self) -> bool:
        """Whether one more may be opened; closes the one silent longest if that makes room.

        A client that holds many and asks nothing must not keep those out that ask. A connection
        whose answer is in the making stays.
        """
        if len(self._open) < self.limit:
            return True
        silent = next((c for c in self._open if not c.is_answering), None)
        if silent is not None:
            self.discard(silent)
            silent.abort()
        return silent is not None

    def close_all(self) -> None:
        """Close them; what is being answered is cut off."""
        for connection in tuple(self._open):
            connection.abort()

    def close_of(self, owner: object) -> None:
        """Close those of one owner."""
        for connection in tuple(self._open):
            if connection.owner == owner:
                connection.abort()


class Connection(asyncio.Protocol):
    """One client; see the module's text."""

    # Mutable state: what has been received and not been answered.
    def __init__(self, route: Route, connections: Connections, owner: object = None) -> None:
        self.owner = owner
        self._route = route
        self._connections = connections
        self._received = bytearray()
        self._head: Head | None = None
        self._answering: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """True while the answer to a request is in the making."""
        return self._answering is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen to the client."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._connections.has_room():
            self._wait()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        del exc
        self._connections.discard(self)
        if self._deadline:
            self._deadline.cancel()
        if self._answering:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer when a request is complete."""
        self._received += data
        self._proceed()

    def eof_received(self) -> bool:
        """True keeps the connection open for the answer that is still to come."""
        return self._answering is not None

    def abort(self) -> None:
        """Close without waiting for anything."""
        self._transport.abort()

    def _wait(self) -> None:
        """Give the client time for its next request."""
        if self._deadline:
            self._deadline.cancel()
        self._connections.touch(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._connections.idle_seconds, self.abort)

    def _proceed(self) -> None:
        """Answer all complete requests."""
        while not self._answering and not self._transport.is_closing():
            try:
                request = self._next_request()
            except BadRequest as refusal:
                self._send(refusal.answer, has_body=True, is_last=True)
                return
            if request is None:
                return
            self._answer(*request)

    def _next_request(self) -> tuple[Head, Request] | None:
        """The next complete request, None if more has to come."""
        if self._head is None:
            end = self._received.find(_END_OF_HEAD, 0, MAX_HEAD_BYTES)
            if end < 0:
                if len(self._received) >= MAX_HEAD_BYTES:
                    raise BadRequest(431)
                return None
            self._head = parse_head(bytes(self._received[:end]))
            del self._received[: end + len(_END_OF_HEAD)]
        head = self._head
        if len(self._received) < head.body_bytes:
            return None
        self._head = None
        body = bytes(self._received[: head.body_bytes])
        del self._received[: head.body_bytes]
        return head, head.request(body)

    def _answer(self, head: Head, request: Request) -> None:
        try:
            answer = self._route(request)
        except Exception:
            answer = _internal_error(request)
        if isinstance(answer, Answer):
            self._send(answer, has_body=head.method != "HEAD", is_last=head.is_last)
        else:
            if self._deadline:
                self._deadline.cancel()
            self._transport.pause_reading()
            self._answering = asyncio.ensure_future(self._answer_later(head, request, answer))

    async def _answer_later(self, head: Head, request: Request, coming: Awaitable[Answer]) -> None:
        try:
            answer = await coming
        except Exception:
            answer = _internal_error(request)
        self._answering = None
        if not self._transport.is_closing():
            self._transport.resume_reading()
        self._send(answer, has_body=head.method != "HEAD", is_last=head.is_last)
        self._proceed()

    def _send(self, answer: Answer, *, has_body: bool, is_last: bool) -> None:
        self._transport.write(format_answer(answer, has_body=has_body, is_last=is_last))
        self._wait()
        if is_last:
            self._transport.close()


def _internal_error(request: Request) -> Answer:
    """A defect of ours is told in the log, and the server goes on."""
    _log.exception("no answer path=%s; this is a defect of nodeproxy", request.path)
    return Answer(500, PLAIN, b"500 Internal Server Error\n")
