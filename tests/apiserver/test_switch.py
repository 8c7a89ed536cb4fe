"""The gate EndpointSliceProxying changes while the source runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from nodeproxy.config.gates import ENDPOINT_SLICE_PROXYING, FeatureGates
from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.discovery import EndpointMode
from nodeproxy.sources.apiserver.source import ApiServerSource
from tests.apiserver.clusters import StandInCluster
from tests.apiserver.following import QUICK_RETRIES, Journal
from tests.support.apiserver.faults import Fail
from tests.support.apiserver.objects import Backend, Port, endpoint_slice, endpoints, service
from tests.support.known import Known

PORTS = (Port(80, "http"),)
WEB = service("web", cluster_ips=["10.96.0.10"], ports=PORTS)
POD_A, POD_B = Backend("10.244.0.11", "web-0", "n1"), Backend("10.244.0.12", "web-1", "n1")
MODES = {EndpointMode.SLICES: True, EndpointMode.ENDPOINTS: False}
KINDS = {EndpointMode.SLICES: Kind.ENDPOINT_SLICE, EndpointMode.ENDPOINTS: Kind.ENDPOINTS}
BOTH_WAYS = pytest.mark.parametrize(
    ("before", "after"), [(*MODES,), (*reversed(MODES),)], ids=["to-endpoints", "to-slices"]
)


def gates(mode: EndpointMode) -> FeatureGates:
    explicit: Mapping[str, bool] = {ENDPOINT_SLICE_PROXYING: MODES[mode]} if mode in MODES else {}
    return FeatureGates(explicit)


async def scale(cluster: StandInCluster, *pods: Backend) -> None:
    """What the controllers of both kinds do."""
    await cluster.put(endpoint_slice("web-a", "web", backends=pods, ports=PORTS))
    await cluster.put(endpoints("web", backends=pods, ports=PORTS))


@asynccontextmanager
async def knowing(source: ApiServerSource) -> AsyncIterator[Known]:
    """Run a source that has told everything."""
    known = Known()
    task = asyncio.create_task(source.run(known))
    await known.until(lambda: len(known.state.synced) == 4)
    yield known
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


@BOTH_WAYS
async def test_endpoints_come_from_the_other_kind_without_a_gap(
    stand_in: StandInCluster, journal: Journal, before: EndpointMode, after: EndpointMode
):
    await stand_in.put(WEB)
    await scale(stand_in, POD_A, POD_B)
    source = stand_in.source(before)
    async with knowing(source) as known:
        mark = len(known.seen) - 1

        source.choose_endpoints(gates(after))
        await known.until(lambda: known.state.endpoints_kind is KINDS[after])
        await scale(stand_in, POD_B)
        await known.until(lambda: known.addresses("web") == ["10.244.0.12"])
        kinds = [status.kind for status in source.statuses()]

    assert [["10.244.0.11", "10.244.0.12"]] * (len(known.seen) - mark - 1) == known.seen[mark:-1]
    assert kinds[1] is KINDS[after]
    assert f"endpoints are read from {KINDS[after]} now" in "\n".join(journal.messages)


@BOTH_WAYS
async def test_what_is_only_in_the_old_kind_is_gone(
    stand_in: StandInCluster, before: EndpointMode, after: EndpointMode
):
    await stand_in.put(WEB)
    await stand_in.put(endpoint_slice("web-a", "web", backends=[POD_A], ports=PORTS))
    await stand_in.put(endpoints("web", backends=[POD_B], ports=PORTS))
    only = {EndpointMode.SLICES: ["10.244.0.11"], EndpointMode.ENDPOINTS: ["10.244.0.12"]}
    source = stand_in.source(before)
    async with knowing(source) as known:
        first = known.addresses("web")

        source.choose_endpoints(gates(after))
        await known.until(lambda: known.state.endpoints_kind is KINDS[after])

    assert (first, known.addresses("web")) == (only[before], only[after])


async def test_changes_of_the_old_kind_count_until_the_new_one_is_complete(
    stand_in: StandInCluster, journal: Journal
):
    await stand_in.put(WEB)
    await scale(stand_in, POD_A)
    stand_in.server.faults.inject(Fail(403), path="/api/v1/endpoints")
    source = stand_in.source(EndpointMode.SLICES)
    async with knowing(source) as known:
        source.choose_endpoints(gates(EndpointMode.ENDPOINTS))
        await journal.wait("endpoints")

        await scale(stand_in, POD_A, POD_B)
        await known.until(lambda: len(known.addresses("web")) == 2)
        stand_in.server.faults.clear()
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINTS)

    assert known.addresses("web") == ["10.244.0.11", "10.244.0.12"]


async def test_a_kind_that_cannot_be_read_is_given_up_and_may_be_asked_for_again(
    stand_in: StandInCluster, journal: Journal
):
    await stand_in.put(WEB)
    await scale(stand_in, POD_A)
    stand_in.server.faults.inject(Fail(403), path="/api/v1/endpoints")
    limits = msgspec.structs.replace(QUICK_RETRIES, switch_seconds=0.3)
    source = stand_in.source(EndpointMode.SLICES, limits)
    async with knowing(source) as known:
        source.choose_endpoints(gates(EndpointMode.ENDPOINTS))
        await journal.wait("Endpoints did not tell everything")
        kept = known.state.endpoints_kind, known.addresses("web")

        stand_in.server.faults.clear()
        source.choose_endpoints(gates(EndpointMode.ENDPOINTS))
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINTS)

    assert kept == (Kind.ENDPOINT_SLICE, ["10.244.0.11"])
    assert known.addresses("web") == ["10.244.0.11"]


async def test_the_gate_left_alone_means_what_the_server_has(stand_in: StandInCluster):
    await stand_in.put(WEB)
    await scale(stand_in, POD_A)
    source = stand_in.source(EndpointMode.ENDPOINTS)
    async with knowing(source) as known:
        source.choose_endpoints(gates(EndpointMode.AUTOMATIC))
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINT_SLICE)

    assert known.addresses("web") == ["10.244.0.11"]


async def test_the_new_kind_is_not_listed_from_a_cache_that_may_be_older(
    stand_in: StandInCluster,
):
    await stand_in.put(WEB)
    await scale(stand_in, POD_A)
    source = stand_in.source(EndpointMode.SLICES)
    async with knowing(source) as known:
        source.choose_endpoints(gates(EndpointMode.ENDPOINTS))
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINTS)

    lists = {
        request.path: request.query.get("resourceVersion", "")
        for request in reversed(stand_in.server.requests)
    }
    assert (lists["/api/v1/services"], lists["/api/v1/endpoints"]) == ("0", "")
