"""Every fault does what its name says, to the requests it is meant for and to no other."""

import asyncio

import aiohttp
import msgspec
import pytest

from tests.support.apiserver import (
    ApiServerStandIn,
    BookmarksOnly,
    Drip,
    Duplicate,
    EndAtOnce,
    ExtraItem,
    Fail,
    Hang,
    Reset,
    SendLine,
    Silent,
    Truncate,
)
from tests.support.apiserver.objects import service
from tests.unit.support.apiserver_client import client_of

SERVICES = "/api/v1/services"
WATCH = f"{SERVICES}?watch=1"


def server_with_web() -> ApiServerStandIn:
    server = ApiServerStandIn()
    server.put(service("web", cluster_ips=["10.96.0.1"]))
    return server


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_requests_fail_with_a_status_object(status: int):
    server = server_with_web()
    server.faults.inject(Fail(status))

    async with client_of(server) as client:
        answer = await client.get(SERVICES)

    assert (answer.status, answer.document()["code"]) == (status, status)


async def test_a_failure_may_say_when_to_come_back():
    server = server_with_web()
    server.faults.inject(Fail(429, retry_after=3))

    async with client_of(server) as client:
        answer = await client.get(SERVICES)

    assert answer.headers["Retry-After"] == "3"


async def test_faults_strike_their_path_and_verb_as_often_as_told():
    server = server_with_web()
    server.faults.inject(Fail(503), path=SERVICES, verb="list", times=1)

    async with client_of(server) as client:
        elsewhere = await client.get("/api/v1/nodes")
        async with client.watch(WATCH) as stream:
            watch = stream.response
        statuses = [(await client.get(SERVICES)).status for _ in range(2)]

    assert [elsewhere.status, watch.status, *statuses] == [200, 200, 503, 200]


async def test_faults_can_be_cleared():
    server = server_with_web()
    server.faults.inject(Fail(500))

    async with client_of(server) as client:
        server.faults.clear()
        answer = await client.get(SERVICES)

    assert answer.status == 200


async def test_a_list_can_end_in_the_middle_of_its_json():
    server = server_with_web()
    server.faults.inject(Truncate(after_bytes=100, is_orderly=True))

    async with client_of(server) as client:
        answer = await client.get(SERVICES)

    assert len(answer.body) == 100


async def test_a_list_can_break_with_its_connection():
    server = server_with_web()
    server.faults.inject(Truncate(after_bytes=100))

    async with client_of(server) as client:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.get(SERVICES)


@pytest.mark.parametrize("is_orderly", [True, False])
async def test_a_watch_can_end_in_the_middle_of_a_line(is_orderly: bool):
    server = server_with_web()
    server.faults.inject(Truncate(after_bytes=100, is_orderly=is_orderly), verb="watch", times=1)

    async with client_of(server) as client:
        async with client.watch(WATCH) as stream:
            part = await stream.response.content.readexactly(100)
            if is_orderly:
                end = await stream.response.content.read()
            else:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await stream.response.content.read()
        again = await client.get(SERVICES)

    assert part.startswith(b'{"type":"ADDED"')
    assert again.names() == ["web"]
    assert not is_orderly or end == b""


async def test_bytes_can_drip():
    server = server_with_web()
    server.faults.inject(Drip(chunk_bytes=3), path=SERVICES)

    async with client_of(server) as client:
        answer = await client.get(SERVICES)
        async with client.watch(WATCH) as stream:
            news = await stream.news()

    assert answer.names() == ["web"]
    assert news == ("ADDED", "web")


async def test_dripping_can_be_held_and_let_go():
    server = server_with_web()
    gate = asyncio.Event()
    server.faults.inject(Drip(chunk_bytes=50, gate=gate), path=SERVICES)

    async with client_of(server) as client, asyncio.TaskGroup() as tasks:
        asking = tasks.create_task(client.get(SERVICES))
        await server.wait_until(lambda: len(server.requests) == 1)
        other = await client.get("/version")
        was_done = asking.done()
        gate.set()
        answer = await asking

    assert (other.status, was_done, answer.names()) == (200, False, ["web"])


async def test_a_dripping_answer_does_not_outlive_its_client():
    server = server_with_web()
    server.faults.inject(Drip(chunk_bytes=1, delay_seconds=0.001), verb="watch")

    async with client_of(server) as client:
        async with client.watch(WATCH) as stream:
            await stream.response.content.readexactly(5)
            stream.response.close()
        await server.wait_until(lambda: not server.watches())
        answer = await client.get(SERVICES)

    assert answer.names() == ["web"]


async def test_a_request_can_hang():
    server = server_with_web()
    server.faults.inject(Hang(), times=1)

    async with client_of(server) as client:
        asking = asyncio.create_task(client.get(SERVICES))
        await server.wait_until(lambda: len(server.requests) == 1)
        other = await client.get(SERVICES)
        was_done = asking.done()
        asking.cancel()

    assert (was_done, other.status) == (False, 200)


async def test_a_silent_watch_answers_and_then_says_nothing():
    server = ApiServerStandIn(bookmark_interval=0.01)
    server.faults.inject(Silent(), verb="watch", times=1)
    target = f"{WATCH}&allowWatchBookmarks=1&timeoutSeconds=1"

    async with client_of(server) as client, client.watch(target) as silent:
        server.put(service("web", cluster_ips=["10.96.0.1"]))
        async with client.watch(target) as spoken:
            await spoken.rest()
        sent = silent.response.content.read_nowait()
        is_over = silent.response.content.at_eof()

    assert (sent, is_over) == (b"", False)


async def test_open_watches_can_fall_silent():
    server = server_with_web()

    async with client_of(server) as client, client.watch(WATCH) as silenced:
        await silenced.news()
        server.silence_watches("Service")
        async with client.watch(WATCH) as fresh:
            server.put(service("db", cluster_ips=["10.96.0.2"]))
            server.bookmark()
            news = [await fresh.news(), await fresh.news()]
            talking = len(server.watches("Service"))
        sent = silenced.response.content.read_nowait()

    assert news == [("ADDED", "web"), ("ADDED", "db")]
    assert (sent, talking) == (b"", 1)


async def test_a_connection_can_be_reset_instead_of_answered():
    server = server_with_web()
    server.faults.inject(Reset(), times=1)

    async with client_of(server) as client:
        reader, writer = await asyncio.open_connection(*_address(client.url))
        writer.write(b"GET /version HTTP/1.1\r\nHost: test\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        answer = await client.get("/version")

    assert answer.status == 200


async def test_open_watches_can_be_reset():
    server = server_with_web()

    async with client_of(server) as client:
        reader, writer = await asyncio.open_connection(*_address(client.url))
        writer.write(f"GET {WATCH} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        await reader.readuntil(b"}\n")
        server.reset_watches("Node")
        server.reset_watches("Service")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    assert server.watches() == []


async def test_a_watch_can_end_at_once():
    server = server_with_web()
    server.faults.inject(EndAtOnce(), verb="watch", times=1)

    async with client_of(server) as client:
        async with client.watch(WATCH) as stream:
            rest = await stream.rest()
        async with client.watch(WATCH) as stream:
            news = await stream.news()

    assert rest == []
    assert news == ("ADDED", "web")


async def test_open_watches_can_be_ended():
    server = server_with_web()

    async with client_of(server) as client, client.watch(WATCH) as stream:
        await stream.news()
        server.end_watches()
        rest = await stream.rest()

    assert rest == []


async def test_events_can_come_twice():
    server = server_with_web()
    server.faults.inject(Duplicate(), verb="watch")

    async with (
        client_of(server) as client,
        client.watch(f"{WATCH}&resourceVersion={server.store.version}") as stream,
    ):
        server.put(service("web", cluster_ips=["10.96.0.1"]))
        lines = {await stream.line(), await stream.line()}

    assert len(lines) == 1


async def test_a_watch_can_bring_bookmarks_only():
    server = ApiServerStandIn()
    server.faults.inject(BookmarksOnly(), verb="watch")

    async with (
        client_of(server) as client,
        client.watch(f"{WATCH}&allowWatchBookmarks=1") as stream,
    ):
        version = server.put(service("web", cluster_ips=["10.96.0.1"]))
        server.bookmark()
        news = await stream.news()

    assert news == ("BOOKMARK", str(version))


async def test_a_watch_can_begin_with_garbage():
    server = server_with_web()
    server.faults.inject(SendLine(b"\x00{]garbage\n"), verb="watch")

    async with client_of(server) as client, client.watch(WATCH) as stream:
        garbage = await stream.line()
        news = await stream.news()

    assert garbage == b"\x00{]garbage\n"
    assert news == ("ADDED", "web")


async def test_open_watches_can_be_sent_anything():
    server = server_with_web()
    line = b'{"type":"ADDED","object":{"metadata":{"name":7}}}\n'

    async with client_of(server) as client, client.watch(WATCH) as stream:
        await stream.news()
        server.send_line(line, "Service")
        sent = await stream.line()

    assert sent == line


async def test_a_list_can_have_an_item_of_any_form():
    server = server_with_web()
    server.faults.inject(ExtraItem(b'{"metadata":{"name":7}}'), verb="list")

    async with client_of(server) as client:
        names = (await client.get(SERVICES)).names()
        alone = await client.get("/api/v1/nodes")

    assert names == ["web", 7]
    assert msgspec.json.decode(alone.body)["items"] == [{"metadata": {"name": 7}}]


async def test_a_request_can_meet_several_faults():
    server = server_with_web()
    server.faults.inject(Duplicate(), verb="watch")
    server.faults.inject(SendLine(b"garbage\n"), verb="watch")

    async with client_of(server) as client, client.watch(WATCH) as stream:
        garbage = await stream.line()
        await stream.news()
        server.put(service("web", cluster_ips=["10.96.0.1"]))
        lines = {await stream.line(), await stream.line()}

    assert (garbage, len(lines)) == (b"garbage\n", 1)


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)
