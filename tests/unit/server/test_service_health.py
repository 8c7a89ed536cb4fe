"""Health checks of Services with externalTrafficPolicy Local (HZ-20..HZ-24)."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Addr, Family, parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.node import NodeInfo
from nodeproxy.model.reports import ServiceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import NodePortAddresses
from nodeproxy.server.health import HealthState
from nodeproxy.server.service_addresses import hosts_for, read_local_addresses
from nodeproxy.server.service_health import ServiceHealthServers
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_

NODE = "n1"
LOOPBACK = PlanOptions(node_port_addresses=(parse_cidr("127.0.0.1/32"), parse_cidr("::1/128")))
WEIGHT = "X-Load-Balancing-Endpoint-Weight"


class Node:
    """State, planner and servers as the sync loop drives them; no rules are written."""

    def __init__(self, options: PlanOptions = LOOPBACK) -> None:
        self.addresses = [parse_addr("127.0.0.1"), parse_addr("::1")]
        self.pause, self.is_waiting = asyncio.Event(), asyncio.Event()
        self.state = ClusterState(NODE)
        self.planner = Planner(self.state, options)
        self.health = HealthState()
        self.health.saw_node(NodeInfo(NODE))
        self.health.loop_started(Family.IPV4, datetime.now(UTC))
        self.events: list[ServiceEvent] = []
        self.servers = ServiceHealthServers(
            NODE,
            self.health,
            wake=lambda work: work(),
            emit=self.events.append,
            local_addresses=lambda _: self.addresses,
            pause=self._wait,
        )

    async def _wait(self, seconds: float) -> None:
        assert seconds == 30
        self.is_waiting.set()
        await self.pause.wait()
        self.pause.clear()

    async def pass_half_a_minute(self) -> None:
        self.is_waiting.clear()
        self.pause.set()
        await self.is_waiting.wait()

    def decide(self, *events: SourceEvent) -> None:
        self.servers.decided(self.planner.replan(self.state.apply(events)))

    def apply(self, *events: SourceEvent) -> None:
        self.decide(*events)
        self.servers.installed()


class Asked:
    """An answer over HTTP."""

    def __init__(self, response: aiohttp.ClientResponse, body: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body: dict[str, Any] = json.loads(body)

    @property
    def verdict(self) -> tuple[int, int]:
        return self.status, int(self.headers[WEIGHT])


@asynccontextmanager
async def serving(node: Node) -> AsyncIterator[Callable[..., Any]]:
    """Listen; what is given asks a port, by IPv4 unless told otherwise."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        task = asyncio.create_task(node.servers.run())
        await asyncio.sleep(0)

        async def ask(
            port: int, path: str = "/", method: str = "GET", host: str = "127.0.0.1"
        ) -> Asked:
            async with session.request(method, f"http://{host}:{port}{path}") as response:
                return Asked(response, await response.text())

        try:
            yield ask
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def ports() -> list[int]:
    """Three ports that are free."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    numbers = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return numbers


def balancer(name: str, port: int, number: int = 10) -> ServiceBuilder:
    builder = service(name).cluster_ip(f"10.96.0.{number}").port(80, "http").port(443, "https")
    return (
        builder.load_balancer_ip(f"1.2.3.{number}").type("LoadBalancer").local().health_check(port)
    )


def local(name: str, *addresses: str) -> SliceBuilder:
    builder = slice_(f"{name}-1", service=name).port(8080, "http").port(8443, "https")
    for address in addresses:
        builder = builder.endpoint(address, node=NODE)
    return builder


async def refused(ask: Callable[..., Any], port: int) -> bool:
    try:
        await ask(port)
    except aiohttp.ClientConnectorError:
        return True
    return False


async def test_a_service_is_answered_for_by_the_number_of_its_local_endpoints(ports: list[int]):
    """TS-1101."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(local("other", "10.0.0.1").upserted())
        before = await refused(ask, port)
        node.apply(balancer("web", port).upserted())
        none = await ask(port)
        node.apply(local("web", "10.0.0.1", "10.0.0.2").upserted())
        two = await ask(port)
        node.apply(local("web").removed())
        gone = await ask(port)
        node.apply(balancer("web", port).removed())
        after = await refused(ask, port)

    assert (before, after) == (True, True)
    assert [one.verdict for one in (none, two, gone)] == [(503, 0), (200, 2), (503, 0)]


async def test_services_come_go_stay_and_change_their_port_independently(ports: list[int]):
    """TS-1102."""
    node, (first, second, third) = Node(), ports
    async with serving(node) as ask:
        node.apply(
            balancer("a", first, 10).upserted(),
            balancer("b", second, 11).upserted(),
            local("b", "10.0.0.1").upserted(),
            local("c", "10.0.0.2", "10.0.0.3").upserted(),
        )
        before = [(await ask(port)).verdict for port in (first, second)]
        node.apply(
            balancer("a", first).removed(),
            balancer("b", third, 11).upserted(),
            balancer("c", first, 12).upserted(),
        )
        after = [(await ask(port)).verdict for port in (first, third)]
        is_closed = await refused(ask, second)

    assert before == [(503, 0), (200, 1)]
    assert after == [(200, 2), (200, 1)]
    assert is_closed


async def test_an_agent_that_is_late_answers_no_with_the_real_number(ports: list[int]):
    """TS-1103."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())
        node.health.queued(Family.IPV4, 0.0)
        late = await ask(port)
        node.health.synced(Family.IPV4, datetime.now(UTC))
        again = await ask(port)

    assert late.verdict == (503, 1)
    assert late.body["serviceProxyHealthy"] is False
    assert again.verdict == (200, 1)


async def test_a_node_that_is_being_deleted_still_answers_for_its_services(ports: list[int]):
    """HZ-23."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())
        node.health.saw_node(NodeInfo(NODE, is_being_deleted=True))

        answer = await ask(port)

    assert answer.verdict == (200, 1)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/any/thing?x=1")])
async def test_whatever_is_asked_the_answer_is_the_same(ports: list[int], method: str, path: str):
    """TS-1104, HZ-23."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())

        answer = await ask(port, path, method)

    assert answer.body == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 1,
        "serviceProxyHealthy": True,
    }
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers[WEIGHT] == "1"


async def test_what_gets_worse_is_told_before_the_rules_change_and_what_gets_better_after(
    ports: list[int],
):
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(
            balancer("web", port).upserted(), local("web", "10.0.0.1", "10.0.0.2").upserted()
        )

        node.decide(local("web", "10.0.0.1").upserted())
        fewer = await ask(port)
        node.servers.installed()
        node.decide(local("web", "10.0.0.1", "10.0.0.2", "10.0.0.3").upserted())
        not_yet = await ask(port)
        node.servers.installed()
        more = await ask(port)

    assert [one.verdict for one in (fewer, not_yet, more)] == [(200, 1), (200, 1), (200, 3)]


async def test_a_deleted_service_is_answered_for_with_no_until_its_rules_are_gone(ports: list[int]):
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())

        node.decide(balancer("web", port).removed())
        answer = await ask(port)

    assert answer.verdict == (503, 0)


async def test_a_service_that_is_served_everywhere_from_now_on_is_never_answered_for_with_no(
    ports: list[int],
):
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())

        node.decide(balancer("web", port).spec(external_traffic_policy="Cluster").upserted())
        answer = await ask(port)
        node.servers.installed()
        is_closed = await refused(ask, port)

    assert answer.verdict == (200, 1)
    assert is_closed


async def test_each_family_answers_for_itself_on_the_same_port(ports: list[int]):
    """HZ-20a: the listener of IPv6 leaves IPv4 alone."""
    node, (port, _, _) = Node(), ports
    dual = balancer("web", port).cluster_ip("10.96.0.10", "fd00:96::10")
    six = slice_("web-6", service="web", address_type="IPv6").port(8080, "http")
    async with serving(node) as ask:
        node.apply(
            dual.upserted(),
            local("web", "10.0.0.1").upserted(),
            six.endpoint("fd00::1", "fd00::9", node=NODE).endpoint("fd00::2", node=NODE).upserted(),
        )

        verdicts = [(await ask(port, host=host)).verdict for host in ("127.0.0.1", "[::1]")]

    assert verdicts == [(200, 1), (200, 2)]


async def test_a_port_that_is_taken_is_told_once_and_tried_again_with_the_next_sync(
    ports: list[int],
):
    """HZ-22."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        with socket.create_server(("127.0.0.1", port)):
            node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())
            node.servers.installed()
        failed = [str(metric) for metric in node.servers.metrics()[1].lines()]
        node.servers.installed()
        answer = await ask(port)

    assert [(event.service.name, event.reason, event.note) for event in node.events] == [
        (
            "web",
            "FailedToStartServiceHealthcheck",
            f'node {NODE} failed to start healthcheck "default/web" on port {port}: '
            "Address already in use",
        )
    ]
    assert failed[-1] == "nodeproxy_service_health_failures 1"
    assert answer.verdict == (200, 1)


async def test_listeners_move_when_the_addresses_for_node_ports_change(ports: list[int]):
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())
        elsewhere = PlanOptions(node_port_addresses=(parse_cidr("203.0.113.0/24"),))

        node.planner.set_options(elsewhere)
        node.apply()
        is_closed = await refused(ask, port)

    assert is_closed
    assert node.events == []


async def test_addresses_of_the_node_are_followed_without_a_sync(ports: list[int]):
    """HZ-20."""
    node, (port, _, _) = Node(), ports
    node.addresses = []
    async with serving(node) as ask:
        node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())
        before = await refused(ask, port)

        node.addresses = [parse_addr("127.0.0.1")]
        await node.pass_half_a_minute()
        answer = await ask(port)

    assert before
    assert answer.verdict == (200, 1)


async def test_a_port_that_became_free_is_taken_without_a_sync(ports: list[int]):
    """HZ-22."""
    node, (port, _, _) = Node(), ports
    async with serving(node) as ask:
        with socket.create_server(("127.0.0.1", port)):
            node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())

        await node.pass_half_a_minute()
        answer = await ask(port)

    assert answer.verdict == (200, 1)


async def test_what_was_decided_before_the_thread_began_is_served_when_it_does(ports: list[int]):
    node, (port, _, _) = Node(), ports
    node.apply(balancer("web", port).upserted(), local("web", "10.0.0.1").upserted())

    async with serving(node) as ask:
        answer = await ask(port)

    assert answer.verdict == (200, 1)


async def test_a_thousand_services_are_opened_and_closed_without_holding_up_the_loop():
    node = Node(PlanOptions(node_port_addresses=(parse_cidr("127.0.0.1/32"),)))
    builders = [balancer(f"web-{n}", 20_000 + n, 1 + n % 250) for n in range(1000)]
    builders = [b.cluster_ip(f"10.96.{n // 250}.{1 + n % 250}") for n, b in enumerate(builders)]
    async with serving(node):
        node.apply(*(builder.upserted() for builder in builders))
        turns = await turns_until(lambda: opened(node) + len(node.events) == 1000)
        node.apply(*(builder.removed() for builder in builders))
        await turns_until(lambda: opened(node) == 0)

    assert turns > 20


def opened(node: Node) -> int:
    return int(list(node.servers.metrics()[0].lines())[-1].split()[-1])


async def turns_until(condition: Callable[[], bool]) -> int:
    turns = 0
    while not condition():
        turns += 1
        await asyncio.sleep(0)
    return turns


# Addresses


def no_addresses(_: Family) -> Sequence[Addr]:
    raise AssertionError("not to be asked")


V4, V6 = Family.IPV4, Family.IPV6


@pytest.mark.parametrize(("family", "host"), [(V4, "0.0.0.0"), (V6, "::")])
def test_without_a_choice_every_address_listens(family: Family, host: str):
    """HZ-20."""
    assert hosts_for(NodePortAddresses(), family, no_addresses) == (host,)


def test_the_primary_address_listens_alone():
    chosen = NodePortAddresses(primary=(parse_addr("192.168.0.2"),))

    assert hosts_for(chosen, V4, no_addresses) == ("192.168.0.2",)


def test_networks_choose_among_the_addresses_there_are():
    """TS-1105, HZ-20a."""
    own = [parse_addr(text) for text in ("192.168.0.2", "127.0.0.1", "10.0.0.1")]
    chosen = NodePortAddresses(cidrs=(parse_cidr("127.0.0.0/8"), parse_cidr("10.0.0.0/8")))
    nowhere = NodePortAddresses(cidrs=(parse_cidr("203.0.113.0/24"),))

    assert hosts_for(chosen, V4, lambda _: own) == ("10.0.0.1", "127.0.0.1")
    assert hosts_for(nowhere, V4, lambda _: own) == ()


def test_addresses_that_cannot_be_told_are_all_of_them(caplog: pytest.LogCaptureFixture):
    """HZ-20."""

    def fail(_: Family) -> Sequence[Addr]:
        raise NetlinkError("dump of local routes", 1)

    chosen = NodePortAddresses(cidrs=(parse_cidr("10.0.0.0/8"),))

    assert hosts_for(chosen, V4, fail) == ("0.0.0.0",)
    assert "answered on every IPv4 address" in caplog.text


def test_the_machine_tells_its_loopback_addresses_among_others():
    assert parse_addr("127.0.0.1") in read_local_addresses(V4)
