"""Just enough HTTP/1.1 to be an API server, and to misbehave like a broken one.

Written on asyncio streams because the faults need the wire in hand: half a chunk, a byte at a
time, a reset instead of an end. One request at a time per connection, keep-alive, no compression.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from tests.support.apiserver.faults import Drip, Truncate

INLINE_LIMIT = 2048
"""Bytes up to which Go's server knows the length of a body and sends Content-Length."""


class RecordedRequest(msgspec.Struct, frozen=True):
    """One request as it arrived, for assertions."""

    method: str
    path: str
    query: dict[str, str]
    """Decoded; a repeated parameter keeps its last value."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""

    @property
    def is_watch(self) -> bool:
        """True if the request asks for a stream of events."""
        return self.query.get("watch", "").lower() in ("1", "true")


class Connection:
    """One client connection: reads requests, and can end in more ways than one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def read_request(self) -> RecordedRequest | None:
        """The next request, or None when the client has closed the connection."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            return await self._parse(head)
        except asyncio.IncompleteReadError:
            return None

    async def _parse(self, head: bytes) -> RecordedRequest:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length) if length else b""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return RecordedRequest(method, unquote(url.path), query, headers, body)

    async def wait_closed_by_client(self) -> None:
        """Return when the client closes or resets; meanwhile nothing it sends is answered."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(4096):
                pass

    def abort(self) -> None:
        """Drop the connection; what was not sent yet is lost."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Drop the connection with a TCP reset."""
        sock = cast("socket.socket | None", self.writer.get_extra_info("socket"))
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    async def close(self) -> None:
        """End the connection in the orderly way and wait until it is gone."""
        self.writer.close()
        with contextlib.suppress(ConnectionError, TimeoutError):
            await self.writer.wait_closed()


class Response:
    """One answer on its way to the client."""

    def __init__(
        self,
        connection: Connection,
        count: Callable[[int], None],
        drip: Drip | None = None,
        cut: Truncate | None = None,
    ) -> None:
        self.connection = connection
        self.is_cut = False
        """True once `Truncate` has struck; nothing more is sent."""
        self.ended = asyncio.Event()
        """Set when the server side wants a watch to end."""
        self._count = count
        self._cut = cut
        self._sent = 0  # bytes of body
        self._is_chunked = False
        self._dripper = _Dripper(connection.writer, drip) if drip else None

    @property
    def is_breaking(self) -> bool:
        """True if the connection has to break where the body was cut."""
        return self.is_cut and self._cut is not None and not self._cut.is_orderly

    def start(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        """Send status line and headers; without a length the body is chunked."""
        # A body that is to be cut in the orderly way must not have promised its length.
        self._is_chunked = length is None or self._cut is not None
        framing = (
            {"Transfer-Encoding": "chunked"}
            if self._is_chunked
            else {"Content-Length": str(length)}
        )
        fields = {**headers, "Date": formatdate(usegmt=True), **framing}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode())

    def send(self, body: bytes) -> None:
        """Send a part of the body; never waits, a slow client's bytes are kept in memory."""
        if self.is_cut or not body:
            return
        if self._cut is not None and self._sent + len(body) > self._cut.after_bytes:
            body = body[: self._cut.after_bytes - self._sent]
            self.is_cut = True
            self.ended.set()
        self._sent += len(body)
        if body:
            self._write(b"%x\r\n%b\r\n" % (len(body), body) if self._is_chunked else body)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was sent."""
        if self._dripper is not None:
            await self._dripper.wait_empty()
        await self.connection.writer.drain()

    async def finish(self) -> None:
        """End the body so that the connection can take the next request."""
        if self._is_chunked:
            self._write(b"0\r\n\r\n")
        await self.drain()

    def close(self) -> None:
        """Stop whatever still works on this answer in the background."""
        if self._dripper is not None:
            self._dripper.cancel()

    def _write(self, data: bytes) -> None:
        if self.connection.writer.transport.is_closing():
            return
        self._count(len(data))
        if self._dripper is not None:
            self._dripper.put(data)
        else:
            self.connection.writer.write(data)


class _Dripper:
    """Sends what it is given in tiny pieces, from a task of its own."""

    def __init__(self, writer: asyncio.StreamWriter, drip: Drip) -> None:
        self._writer = writer
        self._drip = drip
        self._backlog = bytearray()
        self._has_work = asyncio.Event()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._task = asyncio.create_task(self._run(), name="drip")

    def put(self, data: bytes) -> None:
        self._backlog += data
        self._is_empty.clear()
        self._has_work.set()

    async def wait_empty(self) -> None:
        await self._is_empty.wait()

    def cancel(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await self._has_work.wait()
                await self._send_piece()
        except ConnectionError:
            self._is_empty.set()  # nobody is there any more to wait for

    async def _send_piece(self) -> None:
        await self._drip.pause()
        self._writer.write(bytes(self._backlog[: self._drip.chunk_bytes]))
        del self._backlog[: self._drip.chunk_bytes]
        await self._writer.drain()
        if not self._backlog:
            self._has_work.clear()
            self._is_empty.set()
