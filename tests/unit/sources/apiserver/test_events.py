"""Posting Events to the stand-in: what arrives, and what trouble does to it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodeproxy.config.schema import Config
from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.reports import (
    NodeEvent,
    in_conflict,
    service_health_server_failed,
    starting,
)
from nodeproxy.sources.apiserver.credentials import Credentials
from nodeproxy.sources.apiserver.events import EventRecorder, open_recorder
from nodeproxy.sources.apiserver.events_outbox import OutboxLimits
from nodeproxy.sources.apiserver.identities import BareUrl
from tests.support.apiserver import ApiServerStandIn, Fail, Reset, objects

EVENTS = "/apis/events.k8s.io"
EAGER = OutboxLimits(burst=1000, series_pause_seconds=0.0)
PATIENCE_SECONDS = 20.0
WEB = ServiceKey("default", "web")


class Untimely(random.Random):
    """Chance that never makes anybody wait."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


@asynccontextmanager
async def recording(
    url: str, limits: OutboxLimits = EAGER, node: str = "lab-node"
) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(Credentials(BareUrl(url)), node, limits, Untimely(len(node)))
    running = asyncio.create_task(recorder.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield recorder
    finally:
        running.cancel()
        outcome = (await asyncio.gather(running, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError)


def reasons(server: ApiServerStandIn) -> list[str]:
    return [event["reason"] for event in server.events]


def note(number: int) -> NodeEvent:
    return NodeEvent("Reason", "Action", f"number {number}")


def posts(server: ApiServerStandIn) -> int:
    return sum(request.path.startswith(EVENTS) for request in server.requests)


async def test_report_arrives_as_an_event():
    """Spec 60 section 9."""
    server = ApiServerStandIn()

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(starting())
        await recorder.settle(PATIENCE_SECONDS)

    assert [(e["reason"], e["action"], e["type"]) for e in server.events] == [
        ("Starting", "StartKubeProxy", "Normal")
    ]
    assert recorder.posted == 1


async def test_recorder_of_an_agent_reports_to_its_api_server_as_its_node():
    """CFG-40."""
    server = ApiServerStandIn()

    async with server.running() as url:
        recorder = open_recorder(Config(node_name="n1", master=url))
        running = asyncio.create_task(recorder.run())
        recorder.emit(starting())
        await recorder.settle(PATIENCE_SECONDS)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert [event["reportingInstance"] for event in server.events] == ["n1"]


async def test_report_of_another_thread_arrives():
    """Servers have a thread of their own."""
    server = ApiServerStandIn()

    async with server.running() as url, recording(url) as recorder:
        await asyncio.to_thread(recorder.emit, starting())
        await server.wait_until(lambda: len(server.events) == 1)

    assert reasons(server) == ["Starting"]


async def test_repeats_are_counted_in_one_event():
    server = ApiServerStandIn()

    async with server.running() as url, recording(url) as recorder:
        for _ in range(3):
            recorder.emit(note(1))
            await recorder.settle(PATIENCE_SECONDS)

    assert [event["series"]["count"] for event in server.events] == [3]
    assert [request.method for request in server.requests] == ["POST", "PATCH", "PATCH"]


async def test_event_about_a_service_carries_its_uid_for_kubectl():
    server = ApiServerStandIn()
    server.put(objects.service("web", cluster_ips=["10.96.0.1"], ports=objects.HTTP))

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(service_health_server_failed("lab-node", WEB, 30999, "in use"))
        await recorder.settle(PATIENCE_SECONDS)

    [event] = server.events
    assert event["regarding"]["uid"] == "00000001-5eed-4000-8000-000000000001"


@pytest.mark.parametrize("trouble", [None, Fail(403)], ids=["gone", "not-permitted"])
async def test_event_about_a_service_that_cannot_be_looked_up_is_posted_without_uid(
    trouble: Fail | None,
):
    server = ApiServerStandIn()
    if trouble:
        server.faults.inject(trouble, path="/api/v1/")

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(service_health_server_failed("lab-node", WEB, 30999, "in use"))
        await recorder.settle(PATIENCE_SECONDS)

    [event] = server.events
    assert "uid" not in event["regarding"]


async def test_two_nodes_that_say_the_same_of_a_service_make_one_event():
    server = ApiServerStandIn()
    conflict = in_conflict(WEB, "10.96.0.1:80 belongs to Service default/api")

    async with server.running() as url, recording(url) as one, recording(url, node="two") as two:
        for recorder in (one, two):
            recorder.emit(conflict)
            await recorder.settle(PATIENCE_SECONDS)

    assert [event["reportingInstance"] for event in server.events] == ["lab-node"]


@pytest.mark.parametrize(
    "trouble", [Fail(503), Fail(429, retry_after=0), Fail(500), Reset()], ids=str
)
async def test_event_is_posted_when_trouble_is_over(trouble: Fail | Reset):
    server = ApiServerStandIn()
    server.faults.inject(trouble, path=EVENTS, times=3)

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(starting())
        await recorder.settle(PATIENCE_SECONDS)

    assert reasons(server) == ["Starting"]


async def test_event_whose_answer_got_lost_is_there_once():
    """The name stays, so the second attempt is told that it exists."""
    server = ApiServerStandIn()

    async with server.running() as url:
        async with recording(url) as recorder:
            recorder.emit(starting())
            await recorder.settle(PATIENCE_SECONDS)
        name = server.events[0]["metadata"]["name"]
        server.faults.inject(
            Fail(409, message=f'events.events.k8s.io "{name}" already exists'), path=EVENTS
        )
        async with recording(url) as recorder:
            recorder.emit(starting())
            await recorder.settle(PATIENCE_SECONDS)

    assert len(server.events) == 1


async def test_event_that_expired_is_created_anew_when_its_report_repeats():
    server = ApiServerStandIn()

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(starting())
        await recorder.settle(PATIENCE_SECONDS)
        server.expire_events()
        recorder.emit(starting())
        await recorder.settle(PATIENCE_SECONDS)

    [event] = server.events
    assert "series" not in event


async def test_missing_permission_is_told_once_with_the_remedy(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    server = ApiServerStandIn()
    server.faults.inject(
        Fail(403, message='events.events.k8s.io is forbidden: User "x" cannot create'), path=EVENTS
    )

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(note(1))
        await server.wait_until(lambda: posts(server) == 1)
        recorder.emit(note(2))
        await recorder.settle(0.0)

    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "create events.events.k8s.io: API server said 403 Forbidden: events.events.k8s.io is "
        'forbidden: User "x" cannot create. Events are not posted, Services are not affected; '
        "grant this identity create and patch on events.events.k8s.io, as the ClusterRole "
        "system:node-proxier does"
    ]
    assert posts(server) == 1


async def test_server_without_the_api_is_told_once(caplog: pytest.LogCaptureFixture):
    server = ApiServerStandIn(serves_events=False)

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(note(1))
        await server.wait_until(lambda: posts(server) == 1)
        await recorder.settle(0.0)

    assert "Kubernetes has events.k8s.io/v1 from 1.19 on" in caplog.text


@pytest.mark.parametrize(
    "refusal",
    [
        Fail(
            403,
            message='namespace "shop" forbidden: unable to create new content in '
            "namespace shop because it is being terminated",
        ),
        Fail(404, message='namespaces "shop" not found'),
        Fail(422, message="is invalid"),
    ],
    ids=["namespace-terminating", "namespace-gone", "invalid"],
)
async def test_event_that_nobody_wants_is_dropped_and_the_next_is_posted(refusal: Fail):
    server = ApiServerStandIn()
    server.faults.inject(refusal, path=EVENTS, times=1)

    async with server.running() as url, recording(url) as recorder:
        recorder.emit(note(1))
        recorder.emit(note(2))
        await recorder.settle(PATIENCE_SECONDS)

    assert [event["note"] for event in server.events] == ["number 2"]


async def test_flood_of_reports_is_posted_within_the_limits_and_stops_nobody():
    server = ApiServerStandIn()
    limits = OutboxLimits(burst=3, refill_seconds=1e9, capacity=10)

    async with server.running() as url, recording(url, limits) as recorder:
        for number in range(5000):
            recorder.emit(note(number))
        await server.wait_until(lambda: len(server.events) == 3)
        await recorder.settle(0.0)

    assert posts(server) == 3
    assert recorder.dropped == 4990
