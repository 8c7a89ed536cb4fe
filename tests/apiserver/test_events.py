"""API servers take our Events: the stand-in, and a real one, which leaves nothing unchecked."""

from __future__ import annotations

import asyncio

import pytest

from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.reports import (
    NodeEvent,
    Report,
    in_conflict,
    service_health_server_failed,
)
from nodeproxy.sources.apiserver.events import EventRecorder
from nodeproxy.sources.apiserver.events_outbox import OutboxLimits
from tests.apiserver.clusters import Cluster
from tests.support.apiserver.objects import service

PATIENCE_SECONDS = 20.0
EAGER = OutboxLimits(series_pause_seconds=0.0)


@pytest.mark.parametrize("about", ["node", "service", "conflict"])
async def test_event_is_taken_and_its_series_too(cluster: Cluster, about: str):
    web = ServiceKey(cluster.namespace, "web")
    await cluster.put(service("web", cluster_ips=["10.96.0.1"]))
    reports: dict[str, Report] = {
        "node": NodeEvent("Testing", "Test", "posted by a test of nodeproxy"),
        "service": service_health_server_failed(cluster.node_name, web, 30999, "in use"),
        "conflict": in_conflict(web, "10.96.0.1:80 belongs to another " + "x" * 2000),
    }
    report = reports[about]
    recorder = EventRecorder(cluster.credentials(), cluster.node_name, EAGER)

    running = asyncio.create_task(recorder.run())
    for _ in range(2):
        recorder.emit(report)
        await recorder.settle(PATIENCE_SECONDS)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert recorder.posted == 2
