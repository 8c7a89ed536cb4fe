from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest

from nodeproxy.config.schema import ListenAddress, ProxyMode
from nodeproxy.errors import ListenFailed
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import Kind
from nodeproxy.model.node import NodeInfo
from nodeproxy.server.health import HealthState
from nodeproxy.server.health_server import HealthServer
from nodeproxy.server.http import HttpServer
from nodeproxy.server.http1 import Answer
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.metrics_server import Facts, MetricsServer
from nodeproxy.sources.base import SourceStatus

ANY_PORT = ListenAddress("127.0.0.1", 0)
NOW = datetime.now(UTC)


@asynccontextmanager
async def running(server: HttpServer) -> AsyncIterator[str]:
    """The server's URL, while it runs."""
    async with asyncio.timeout(20):
        task = asyncio.create_task(server.run())
        try:
            yield f"http://{await server.wait_listening()}"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def get(url: str, method: str = "GET") -> tuple[int, aiohttp.ClientResponse, str]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as response:
        return response.status, response, await response.text()


def healthy() -> HealthState:
    state = HealthState()
    state.saw_node(NodeInfo("node-1"))
    state.loop_started(Family.IPV4, NOW)
    return state


async def test_healthz_answers_json_with_the_headers_of_kube_proxy():
    """HZ-1."""
    server = HealthServer(ANY_PORT, healthy(), AgentMetrics())

    async with running(server) as url:
        status, response, body = await get(f"{url}/healthz")

    assert status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert '"nodeEligible":true' in body


async def test_answers_are_counted_by_code():
    """HZ-7, TS-1108."""
    state, metrics = healthy(), AgentMetrics()
    server = HealthServer(ANY_PORT, state, metrics)

    async with running(server) as url:
        await get(f"{url}/healthz")
        state.saw_node(NodeInfo("node-1", is_being_deleted=True))
        codes = [(await get(f"{url}{path}"))[0] for path in ("/healthz", "/healthz", "/livez")]

    text = metrics.exposition(0.0)
    assert codes == [503, 503, 200]
    assert 'kubeproxy_proxy_healthz_total{code="200"} 1' in text
    assert 'kubeproxy_proxy_healthz_total{code="503"} 2' in text
    assert 'kubeproxy_proxy_livez_total{code="200"} 1' in text


async def test_the_age_of_what_is_known_is_told_and_makes_nobody_unhealthy():
    """An API server that is away does not make the rules wrong."""
    status = SourceStatus(Kind.SERVICE, True, False, None, "connection refused", 1)
    server = HealthServer(ANY_PORT, healthy(), AgentMetrics(), lambda: [status])

    async with running(server) as url:
        answers = [await get(url + path) for path in ("/healthz", "/livez", "/readyz")]

    sources = {"Service": {"synced": True, "connected": False, "silentSeconds": None}}
    assert [json.loads(body)["sources"] for _, _, body in answers] == [sources] * 3
    assert [status for status, _, _ in answers] == [200, 200, 503]


async def test_readyz_waits_for_the_first_programmed_rules():
    state = healthy()
    server = HealthServer(ANY_PORT, state, AgentMetrics())

    async with running(server) as url:
        before, _, _ = await get(f"{url}/readyz")
        state.synced(Family.IPV4, NOW)
        after, _, _ = await get(f"{url}/readyz")

    assert (before, after) == (503, 200)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz/x"])
async def test_other_paths_of_the_health_server_are_404(path: str):
    """HZ-1."""
    async with running(HealthServer(ANY_PORT, healthy(), AgentMetrics())) as url:
        status, _, _ = await get(url + path)

    assert status == 404


async def test_head_gets_the_answer_without_its_body():
    async with running(HealthServer(ANY_PORT, healthy(), AgentMetrics())) as url:
        status, _, body = await get(f"{url}/livez", "HEAD")

    assert (status, body) == (200, "")


@pytest.mark.parametrize(
    ("path", "body"), [("/proxyMode", "nftables"), ("/healthz", "ok"), ("/healthz/ping?x=1", "ok")]
)
async def test_the_metrics_server_tells_mode_and_life(path: str, body: str):
    server = MetricsServer(ANY_PORT, AgentMetrics(), Facts(mode=ProxyMode.NFTABLES))

    async with running(server) as url:
        status, response, text = await get(url + path)

    assert (status, text) == (200, body)
    assert response.headers["Content-Type"].startswith("text/plain")


async def test_the_metrics_are_served_in_prometheus_format():
    server = MetricsServer(ANY_PORT, AgentMetrics(), Facts(mode=ProxyMode.NFTABLES))

    async with running(server) as url:
        status, response, text = await get(f"{url}/metrics")

    assert status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE nodeproxy_build_info gauge\n" in text


async def test_a_server_listens_on_ipv6_too():
    server = HealthServer(ListenAddress("::1", 0), healthy(), AgentMetrics())

    async with running(server) as url:
        status, _, _ = await get(f"{url}/livez")

    assert url.startswith("http://[::1]:")
    assert status == 200


class Pauses:
    """Stands in for sleeping: frees the address instead."""

    def __init__(self, blocker: socket.socket, attempts: int) -> None:
        self.blocker = blocker
        self.attempts = attempts
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self.attempts:
            self.blocker.close()


async def test_a_taken_address_is_tried_again_every_five_seconds_and_told_once(
    caplog: pytest.LogCaptureFixture,
):
    """LIFE-8."""
    caplog.set_level(logging.INFO, "nodeproxy.server")
    blocker = socket.create_server(("127.0.0.1", 0))
    address = ListenAddress("127.0.0.1", blocker.getsockname()[1])
    pauses = Pauses(blocker, attempts=3)

    async with running(HealthServer(address, healthy(), AgentMetrics(), pause=pauses)) as url:
        status, _, _ = await get(f"{url}/livez")

    assert status == 200
    assert pauses.seconds == [5.0, 5.0, 5.0]
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot listen server=health address={address} "
        'error="Address already in use"; the agent works without, retrying every 5 s',
        f"listening server=health address={address} failed_attempts=3",
    ]


async def test_a_taken_address_ends_a_server_that_shall_fail_hard():
    """LIFE-7."""
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        address = ListenAddress("127.0.0.1", blocker.getsockname()[1])
        server = HealthServer(address, healthy(), AgentMetrics(), is_bind_failure_fatal=True)

        with pytest.raises(ListenFailed) as failure:
            await server.run()

    assert str(failure.value).startswith(
        f"the health server cannot listen on {address}: Address already in use."
    )


async def test_a_folder_answers_what_is_below_it_and_has_no_path_of_its_own():
    server = HttpServer(
        "x", ANY_PORT, {"/a/": lambda r: Answer(200, "text/plain", r.path.encode())}
    )

    async with running(server) as url:
        found = [(await get(url + path))[0] for path in ("/a/", "/a/b", "/a", "/")]

    assert found == [200, 200, 404, 404]


async def test_a_cancelled_server_frees_its_address():
    server = HealthServer(ANY_PORT, healthy(), AgentMetrics())
    async with running(server):
        address = await server.wait_listening()

    with socket.create_server((address.host, address.port)) as again:
        assert again.getsockname()[1] == address.port
