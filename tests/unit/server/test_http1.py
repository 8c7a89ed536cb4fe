from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodeproxy.server.http1 import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    Answer,
    Connection,
    Connections,
    Request,
    Route,
)


class Client:
    """Talks to one server, in bytes."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)

    async def tell(self, text: bytes) -> bytes:
        """Send and read until the server closes the connection."""
        reader, writer = await self.open()
        writer.write(text)
        answer = await reader.read()
        writer.close()
        return answer


def echo(request: Request) -> Answer:
    text = f"{request.method} {request.path} {request.query} ".encode()
    return Answer(200, "text/plain", text + request.body)


@asynccontextmanager
async def serving(
    route: Route = echo, connections: Connections | None = None
) -> AsyncIterator[Client]:
    known = connections or Connections()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(route, known), "127.0.0.1", 0)
    async with asyncio.timeout(20):
        try:
            yield Client(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            known.close_all()


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_a_request_is_taken_apart():
    async with serving() as client:
        answer = await client.tell(
            b"PUT /a%20b?x=1&verbose&x=2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
            b"Content-Length: 3\r\n\r\nabc"
        )

    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert body_of(answer) == b"PUT /a b {'x': '2', 'verbose': ''} abc"


async def test_requests_on_one_connection_are_answered_in_order():
    async with serving() as client:
        answer = await client.tell(
            b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.0\r\n\r\n"
        )

    places = [answer.index(path) for path in (b"GET /1", b"GET /2", b"GET /3")]
    assert places == sorted(places)


async def test_a_request_may_come_in_pieces():
    async with serving() as client:
        reader, writer = await client.open()
        for piece in (b"GET /1 HT", b"TP/1.1\r\nContent-Le", b"ngth: 2\r\n\r", b"\na", b"b"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(len(b"GET /1 {} ab"))
        writer.close()

    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b"GET /1 {} ab"


async def test_a_later_answer_keeps_the_order():
    finish = asyncio.Event()

    async def later(request: Request) -> Answer:
        await finish.wait()
        return echo(request)

    def route(request: Request) -> object:
        if request.path == "/slow":
            return later(request)
        finish.set()
        return echo(request)

    async with serving(route) as client:  # type: ignore[arg-type]  # object is wider
        slow = asyncio.create_task(
            client.tell(b"GET /slow HTTP/1.1\r\n\r\nGET /2 HTTP/1.0\r\n\r\n")
        )
        other = await client.tell(b"GET /quick HTTP/1.0\r\n\r\n")
        answer = await slow

    assert body_of(other) == b"GET /quick {} "
    assert answer.index(b"GET /slow") < answer.index(b"GET /2")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), b"413"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES, b"431"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    request_: bytes, status: bytes
):
    async with serving() as client:
        answer = await client.tell(request_)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nConnection: close\r\n" in answer


async def test_a_route_that_fails_is_told_and_the_next_request_answered(
    caplog: pytest.LogCaptureFixture,
):
    def route(request: Request) -> Answer:
        if request.path == "/defect":
            raise ValueError("a defect")
        return echo(request)

    async with serving(route) as client:
        answer = await client.tell(b"GET /defect HTTP/1.1\r\n\r\nGET /2 HTTP/1.0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"GET /2" in answer
    assert "path=/defect" in caplog.text


async def test_a_client_that_asks_nothing_is_closed():
    async with serving(connections=Connections(idle_seconds=0.001)) as client:
        reader, writer = await client.open()
        writer.write(b"GET / HTTP/1.1\r\n")

        rest = await reader.read()

        writer.close()
    assert rest == b""


async def test_beyond_the_limit_the_connection_silent_longest_makes_room():
    connections = Connections(limit=2)
    async with serving(connections=connections) as client:
        used, used_writer = await client.open()
        used_writer.write(b"GET /1 HTTP/1.1\r\n\r\n")
        await used.readuntil(b"GET /1")
        silent, silent_writer = await client.open()
        used_writer.write(b"GET /2 HTTP/1.1\r\n\r\n")
        await used.readuntil(b"GET /2")

        further, further_writer = await client.open()
        further_writer.write(b"GET /3 HTTP/1.1\r\n\r\n")
        answer = await further.readuntil(b"GET /3")
        rest_of_silent = await silent.read()
        used_writer.write(b"GET /4 HTTP/1.1\r\n\r\n")
        answer_of_used = await used.readuntil(b"GET /4")
        for writer in (used_writer, silent_writer, further_writer):
            writer.close()

    assert answer.endswith(b"GET /3")
    assert rest_of_silent == b""
    assert answer_of_used.endswith(b"GET /4")


async def test_of_head_only_the_length_is_told():
    async with serving() as client:
        answer = await client.tell(b"HEAD / HTTP/1.0\r\n\r\n")

    assert b"\r\nContent-Length: 10\r\n" in answer
    assert body_of(answer) == b""
