"""All servers together, on their own thread."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from nodeproxy.config.schema import Config, ListenAddress
from nodeproxy.errors import ListenFailed
from nodeproxy.model.addresses import Family, parse_cidr
from nodeproxy.model.node import NodeInfo
from nodeproxy.model.reports import Report
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import plan_options_from
from nodeproxy.server.health import HealthState
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.servers import Servers, health_state_from
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import service, slice_


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def healthy() -> HealthState:
    state = HealthState()
    state.saw_node(NodeInfo("n1"))
    state.loop_started(Family.IPV4, datetime.now(UTC))
    return state


def config(**fields: object) -> Config:
    settings: dict[str, object] = {
        "node_name": "n1",
        "healthz_bind_address": ListenAddress("127.0.0.1", free_port()),
        "metrics_bind_address": ListenAddress("127.0.0.1", free_port()),
        "node_port_addresses": (parse_cidr("127.0.0.1/32"), parse_cidr("::1/128")),
    }
    return Config(**{**settings, **fields})  # type: ignore[arg-type]  # checked by whoever reads it


@asynccontextmanager
async def running(servers: Servers) -> AsyncIterator[None]:
    task = asyncio.create_task(servers.run())
    try:
        await asyncio.sleep(0)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def get(address: ListenAddress | None, path: str) -> tuple[int, str]:
    """Ask, and let the loop of the test wait for it; a server that is not up yet is asked again."""
    assert address is not None
    while True:
        connection = http.client.HTTPConnection(address.host, address.port, timeout=20)
        with contextlib.closing(connection), contextlib.suppress(ConnectionRefusedError):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()


async def test_everything_is_answered_while_the_loop_of_the_agent_is_busy():
    chosen = config()
    servers = Servers(chosen, healthy(), AgentMetrics())

    async with running(servers):
        found = [
            get(chosen.healthz_bind_address, "/healthz")[0],
            get(chosen.metrics_bind_address, "/metrics")[0],
            get(chosen.metrics_bind_address, "/configz")[0],
        ]

    assert found == [200, 200, 200]


async def test_without_an_address_there_is_no_server():
    """HZ-8, MET-1."""
    chosen = config(metrics_bind_address=None)
    servers = Servers(chosen, healthy(), AgentMetrics())

    async with running(servers):
        status, _ = get(chosen.healthz_bind_address, "/livez")

    assert status == 200
    assert servers.metrics is None


async def test_health_checks_of_services_follow_the_sync_loop():
    chosen, port = config(), free_port()
    state = ClusterState("n1")
    planner = Planner(state, plan_options_from(chosen))
    servers = Servers(chosen, healthy(), AgentMetrics())
    web = service("web").cluster_ip("10.96.0.10").port(80).type("LoadBalancer").local()
    slices = slice_("web-1", service="web").port(80).endpoint("10.0.0.1", node="n1")
    events = [web.health_check(port).upserted(), slices.upserted()]

    async with running(servers):
        servers.decided(planner.replan(state.apply(events)))
        servers.installed()
        status, body = get(ListenAddress("127.0.0.1", port), "/")

    assert status == 200
    assert json.loads(body)["localEndpoints"] == 1


async def test_a_taken_address_ends_the_agent_if_it_shall_with_an_event():
    """LIFE-7."""
    reports: list[Report] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ListenAddress("127.0.0.1", taken.getsockname()[1])
        chosen = config(metrics_bind_address=address, bind_address_hard_fail=True)
        servers = Servers(chosen, healthy(), AgentMetrics(), emit=reports.append)

        with pytest.raises(ListenFailed):
            await servers.run()

    assert [report.reason for report in reports] == ["FailedToStartMetricServer"]


async def test_a_health_check_that_cannot_be_listened_on_is_an_event_in_the_loop_of_the_agent():
    """HZ-22."""
    told = asyncio.get_running_loop().create_future()
    chosen, state = config(), ClusterState("n1")
    planner = Planner(state, plan_options_from(chosen))
    servers = Servers(chosen, healthy(), AgentMetrics(), emit=told.set_result)
    web = service("web").cluster_ip("10.96.0.10").port(80).type("LoadBalancer").local()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        events = [web.health_check(taken.getsockname()[1]).upserted()]
        async with running(servers), asyncio.timeout(20):
            servers.decided(planner.replan(state.apply(events)))
            servers.installed()
            report = await told

    assert report.reason == "FailedToStartServiceHealthcheck"


@pytest.mark.parametrize(("seconds", "is_healthy"), [(13.9, True), (14.0, False)])
def test_health_waits_for_twice_the_sync_period(seconds: float, is_healthy: bool):
    """HZ-3."""
    state = health_state_from(config(sync_period_seconds=7.0))
    state.loop_started(Family.IPV4, datetime.now(UTC))

    state.queued(Family.IPV4, 100.0)

    assert state.is_healthy(100.0 + seconds) is is_healthy


def test_with_manifests_no_node_is_needed():
    """HZ-6."""
    state = health_state_from(config(manifests="/somewhere"))

    assert state.report(0.0, datetime.now(UTC)).is_node_eligible
