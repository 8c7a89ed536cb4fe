"""The HTTP of the client, against the stand-in and against answers given byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodeproxy import __version__
from nodeproxy.sources.apiserver.client import ApiClient
from nodeproxy.sources.apiserver.credentials import Credentials, Identity
from nodeproxy.sources.apiserver.failures import ApiRefused, ApiUnreachable
from nodeproxy.sources.apiserver.resources import services
from tests.support.apiserver import ApiServerStandIn, Fail, Hang, Reset, Truncate
from tests.support.apiserver.recordings import RECORDINGS, recording

SERVICES = "/api/v1/services"


class Tokens:
    """Gives one token after the other, the last one for ever."""

    def __init__(self, url: str, *tokens: str) -> None:
        self.url = url
        self.tokens = list(tokens)
        self.loads = 0

    async def __call__(self) -> Identity:
        token = self.tokens[min(self.loads, len(self.tokens) - 1)] if self.tokens else ""
        self.loads += 1
        return Identity(self.url, authorization=f"Bearer {token}" if token else "")


def client(load: Tokens, seconds: float = 10.0) -> ApiClient:
    return ApiClient(Credentials(load), timeout_seconds=seconds, connect_timeout_seconds=seconds)


@asynccontextmanager
async def canned(answer: bytes) -> AsyncIterator[str]:
    """A server that gives one answer to everything, then closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


async def test_a_document_arrives_whole():
    server = ApiServerStandIn()

    async with server.running() as url, client(Tokens(url)) as api:
        body = await api.get("list services", SERVICES, services().selector)

    assert body.startswith(b'{"kind":"ServiceList"')


async def test_requests_say_who_asks_and_what_for():
    server = ApiServerStandIn(token="secret")

    async with server.running() as url, client(Tokens(url, "secret")) as api:
        await api.get("list services", SERVICES, services().selector)

    [request] = server.requests
    assert request.headers["user-agent"] == f"nodeproxy/{__version__}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["authorization"] == "Bearer secret"
    assert "cookie" not in request.headers


async def test_selectors_are_encoded_as_a_real_server_was_asked():
    server = ApiServerStandIn()

    async with server.running() as url, client(Tokens(url)) as api:
        await api.get("list services", SERVICES, [*services().selector, ("resourceVersion", "0")])

    [request] = server.requests
    recorded = recording("list-services").target
    for name, value in request.query.items():
        assert f"{name}=" in recorded
        assert value.replace("!", "%21").replace("/", "%2F").replace("=", "%3D") in recorded


async def test_a_refused_identity_is_exchanged_once_and_the_request_repeated():
    server = ApiServerStandIn(token="new")

    async with server.running() as url:
        load = Tokens(url, "old", "new")
        async with client(load) as api:
            await api.get("list services", SERVICES)

    assert [request.headers["authorization"] for request in server.requests] == [
        "Bearer old",
        "Bearer new",
    ]


async def test_an_identity_that_is_never_accepted_is_not_tried_for_ever():
    server = ApiServerStandIn(token="right")

    async with server.running() as url, client(Tokens(url, "wrong")) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.get("list services", SERVICES)

    assert (caught.value.code, caught.value.message) == (401, "Unauthorized")
    assert len(server.requests) == 2


async def test_a_refusal_carries_the_message_of_the_server_and_its_wish_to_be_left_alone():
    server = ApiServerStandIn()
    server.faults.inject(Fail(429, retry_after=7, message="too many requests"))

    async with server.running() as url, client(Tokens(url)) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.get("list services", SERVICES)

    error = caught.value
    assert (error.code, error.retry_after) == (429, 7.0)
    assert str(error) == ("list services: API server said 429 Too Many Requests: too many requests")


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-3", "soon", "²"])
async def test_a_retry_after_that_is_no_number_is_ignored(text: str):
    answer = http("503 Service Unavailable", b"{}", f"Retry-After: {text}")

    async with canned(answer) as url, client(Tokens(url)) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.get("list services", SERVICES)

    assert caught.value.retry_after is None


async def test_the_error_page_of_a_proxy_is_quoted():
    answer = http("502 Bad Gateway", b"<html>upstream is gone</html>")

    async with canned(answer) as url, client(Tokens(url)) as api:
        with pytest.raises(ApiRefused, match="502 Bad Gateway: <html>upstream is gone</html>"):
            await api.get("list services", SERVICES)


async def test_a_redirect_is_refused_because_the_token_would_go_with_it():
    answer = http("302 Found", b"", "Location: http://elsewhere/")

    async with canned(answer) as url, client(Tokens(url)) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.get("list services", SERVICES)

    assert caught.value.code == 302


@pytest.mark.parametrize(
    ("name", "code"), [("unauthorized", 401), ("v1beta1-gone", 404), ("list-bad-continue", 400)]
)
async def test_recorded_refusals_are_read(name: str, code: int):
    _, recorded = (RECORDINGS / f"{name}.http").read_bytes().split(b"\n\n", 1)
    head, body = recorded.split(b"\n\n", 1)
    answer = head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body

    async with canned(answer) as url, client(Tokens(url)) as api:
        with pytest.raises(ApiRefused) as caught:
            await api.get("list services", SERVICES)

    assert caught.value.code == code
    assert caught.value.message == recording(name).document()["message"]


async def test_an_answer_that_breaks_off_is_no_answer():
    server = ApiServerStandIn()
    server.faults.inject(Truncate(after_bytes=20))

    async with server.running() as url, client(Tokens(url)) as api:
        with pytest.raises(ApiUnreachable, match="connection lost"):
            await api.get("list services", SERVICES)


async def test_a_reset_is_told_with_the_address():
    server = ApiServerStandIn()
    server.faults.inject(Reset())

    async with server.running() as url, client(Tokens(url)) as api:
        with pytest.raises(ApiUnreachable, match=url):
            await api.get("list services", SERVICES)


async def test_a_server_that_never_answers_is_given_up():
    server = ApiServerStandIn()
    server.faults.inject(Hang())

    async with server.running() as url, client(Tokens(url), seconds=0.05) as api:
        with pytest.raises(ApiUnreachable, match=r"no answer within 0\.05 s"):
            await api.get("list services", SERVICES)


async def test_a_body_that_stalls_is_given_up():
    async with canned_stall() as url, client(Tokens(url), seconds=0.05) as api:
        with pytest.raises(ApiUnreachable, match="in the middle of an answer"):
            await api.get("list services", SERVICES)


@asynccontextmanager
async def canned_stall() -> AsyncIterator[str]:
    """A server that announces a body and sends half of it."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        gone.set()


async def test_nobody_listening_is_told_in_words():
    server = ApiServerStandIn()
    async with server.running() as url:
        pass

    async with client(Tokens(url)) as api:
        with pytest.raises(ApiUnreachable, match="Cannot connect to host"):
            await api.get("list services", SERVICES)


async def test_a_base_url_may_have_a_path():
    async with canned(http("200 OK", b"fine")) as url, client(Tokens(f"{url}/clusters/a/")) as api:
        body = await api.get("list services", SERVICES)

    assert body == b"fine"


async def test_pages_of_a_list_share_one_connection():
    server = ApiServerStandIn()

    async with server.running() as url, client(Tokens(url)) as api:
        for _ in range(3):
            await api.get("list services", SERVICES)
            connections = len(server._connections)

    assert connections == 1
