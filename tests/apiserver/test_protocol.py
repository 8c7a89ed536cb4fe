"""What any API server must be able to tell us: run against the stand-in and a real one."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import Endpoints, EndpointSlice, Node, Service, ServiceCIDR
from nodeproxy.sources.apiserver.discovery import EndpointMode
from nodeproxy.sources.apiserver.limits import WatchLimits
from tests.apiserver.clusters import Cluster
from tests.apiserver.following import QUICK_RETRIES, following
from tests.support.apiserver.objects import (
    Backend,
    endpoint_slice,
    endpoints,
    node,
    padded,
    service,
    service_cidr,
    with_labels,
)

STREAMED = QUICK_RETRIES
PAGED = replace(QUICK_RETRIES, streams_lists=False, page_size=2)

PROXY_NAME = "service.kubernetes.io/service-proxy-name"
HEADLESS = "service.kubernetes.io/headless"
BACKENDS = [Backend("10.1.0.1", node="n1"), Backend("10.1.0.2", node="n2")]


@pytest.fixture(params=[STREAMED, PAGED], ids=["streamed", "paged"])
def limits(request: pytest.FixtureRequest) -> WatchLimits:
    found = request.param
    assert isinstance(found, WatchLimits)
    return found


async def put_services(cluster: Cluster, *names: str) -> None:
    for number, name in enumerate(names, start=1):
        await cluster.put(
            service(name, namespace=cluster.namespace, cluster_ips=[f"10.96.1.{number}"])
        )


async def test_everything_there_is_is_told_and_each_kind_is_complete_once(
    cluster: Cluster, limits: WatchLimits
):
    """TS-503."""
    namespace = cluster.namespace
    await put_services(cluster, "a", "b", "c", "d", "e")
    await cluster.put(endpoint_slice("a-1", "a", namespace=namespace, backends=BACKENDS))
    await cluster.put(node(cluster.node_name, zone="z1"))

    async with following(cluster.source(limits=limits), namespace) as follower:
        await follower.wait_synced()
        await follower.wait_names(Kind.SERVICE, "a", "b", "c", "d", "e")
        await follower.wait_names(Kind.ENDPOINT_SLICE, "a-1")
        await follower.wait_names(Kind.NODE, cluster.node_name)

    kinds = [Kind.ENDPOINT_SLICE, Kind.NODE, Kind.SERVICE, Kind.SERVICE_CIDR]
    assert sorted(follower.synced) == kinds


async def test_objects_arrive_with_the_fields_that_are_used(cluster: Cluster):
    namespace = cluster.namespace
    await put_services(cluster, "web")
    await cluster.put(endpoint_slice("web-1", "web", namespace=namespace, backends=BACKENDS))
    await cluster.put(node(cluster.node_name, zone="z1"))

    async with following(cluster.source(), namespace) as follower:
        await follower.wait_names(Kind.SERVICE, "web")
        await follower.wait_names(Kind.ENDPOINT_SLICE, "web-1")
        await follower.wait_names(Kind.NODE, cluster.node_name)

    web = follower.objects[Kind.SERVICE, "web"]
    assert isinstance(web, Service)
    assert web.spec is not None
    assert [(port.name, port.port) for port in web.spec.ports or ()] == [("http", 80)]
    slice_ = follower.objects[Kind.ENDPOINT_SLICE, "web-1"]
    assert isinstance(slice_, EndpointSlice)
    assert [(e.addresses, e.node_name) for e in slice_.endpoints or ()] == [
        (["10.1.0.1"], "n1"),
        (["10.1.0.2"], "n2"),
    ]
    own = follower.objects[Kind.NODE, cluster.node_name]
    assert isinstance(own, Node)
    assert (own.metadata.labels or {})["topology.kubernetes.io/zone"] == "z1"


async def test_service_cidrs_are_told_come_and_go(cluster: Cluster, limits: WatchLimits):
    """EP-3, TS-505; a real cluster has others beside it."""
    name = cluster.namespace if cluster.namespace != "default" else "extra"
    await cluster.put(service_cidr(name, ["10.200.0.0/24", "fd00:200::/112"]))

    async with following(cluster.source(limits=limits)) as follower:
        await follower.wait(lambda: name in follower.names(Kind.SERVICE_CIDR))
        told = follower.objects[Kind.SERVICE_CIDR, name]
        await cluster.delete("ServiceCIDR", name)
        await follower.wait(lambda: name not in follower.names(Kind.SERVICE_CIDR))

    assert isinstance(told, ServiceCIDR)
    assert told.spec is not None
    assert told.spec.cidrs == ["10.200.0.0/24", "fd00:200::/112"]


async def test_endpoints_are_told_in_their_mode_and_slices_are_not(cluster: Cluster):
    namespace = cluster.namespace
    await put_services(cluster, "web")
    await cluster.put(endpoints("web", namespace=namespace, backends=BACKENDS))

    async with following(cluster.source(EndpointMode.ENDPOINTS), namespace) as follower:
        await follower.wait_names(Kind.ENDPOINTS, "web")

    web = follower.objects[Kind.ENDPOINTS, "web"]
    assert isinstance(web, Endpoints)
    assert [a.ip for subset in web.subsets or () for a in subset.addresses or ()] == [
        "10.1.0.1",
        "10.1.0.2",
    ]
    assert Kind.ENDPOINT_SLICE not in {event.kind for event in follower.events}


async def test_a_change_a_creation_and_a_removal_are_told(cluster: Cluster, limits: WatchLimits):
    """TS-501, TS-502."""
    namespace = cluster.namespace
    await put_services(cluster, "old", "stays")
    async with following(cluster.source(limits=limits), namespace) as follower:
        await follower.wait_names(Kind.SERVICE, "old", "stays")

        await cluster.put(endpoint_slice("new-1", "new", namespace=namespace, backends=BACKENDS))
        await follower.wait_names(Kind.ENDPOINT_SLICE, "new-1")
        await cluster.put(
            endpoint_slice("new-1", "new", namespace=namespace, backends=BACKENDS[:1])
        )
        await follower.wait(lambda: _backends(follower.objects[Kind.ENDPOINT_SLICE, "new-1"]) == 1)
        await cluster.delete("EndpointSlice", "new-1")
        await follower.wait_names(Kind.ENDPOINT_SLICE)
        await cluster.delete("Service", "old")
        await follower.wait_names(Kind.SERVICE, "stays")


def _backends(obj: object) -> int:
    assert isinstance(obj, EndpointSlice)
    return len(obj.endpoints or ())


async def test_services_of_other_proxies_and_headless_ones_are_not_told(cluster: Cluster):
    """EP-1; the label counts, not its value."""
    namespace = cluster.namespace
    theirs = service("theirs", namespace=namespace, cluster_ips=["10.96.1.8"])
    await cluster.put(with_labels(theirs, {PROXY_NAME: ""}))
    await cluster.put(service("headless", namespace=namespace, cluster_ips=["None"]))
    await put_services(cluster, "mine")

    async with following(cluster.source(), namespace) as follower:
        await follower.wait_names(Kind.SERVICE, "mine")


async def test_slices_of_headless_services_are_not_told(cluster: Cluster):
    """EP-2; those of other proxies' Services are, and match no Service."""
    namespace = cluster.namespace
    for name, labels in (("b-1", {HEADLESS: ""}), ("c-1", {PROXY_NAME: "x"}), ("a-1", {})):
        await cluster.put(
            endpoint_slice(name, "x", namespace=namespace, backends=BACKENDS, labels=labels)
        )

    async with following(cluster.source(), namespace) as follower:
        await follower.wait_names(Kind.ENDPOINT_SLICE, "a-1", "c-1")


async def test_endpoints_of_headless_services_and_other_proxies_are_not_told(cluster: Cluster):
    """EPS-1."""
    namespace = cluster.namespace
    for name, labels in (("b", {HEADLESS: ""}), ("c", {PROXY_NAME: "x"}), ("a", {})):
        await cluster.put(endpoints(name, namespace=namespace, backends=BACKENDS, labels=labels))

    async with following(cluster.source(EndpointMode.ENDPOINTS), namespace) as follower:
        await follower.wait_names(Kind.ENDPOINTS, "a")


async def test_a_service_that_another_proxy_takes_over_is_gone(cluster: Cluster):
    """EP-4."""
    await put_services(cluster, "web", "stays")
    async with following(cluster.source(), cluster.namespace) as follower:
        await follower.wait_names(Kind.SERVICE, "web", "stays")

        web = service("web", namespace=cluster.namespace, cluster_ips=["10.96.1.1"])
        await cluster.put(with_labels(web, {PROXY_NAME: "other"}))

        await follower.wait_names(Kind.SERVICE, "stays")


async def test_a_service_that_another_proxy_gives_up_comes(cluster: Cluster):
    web = service("web", namespace=cluster.namespace, cluster_ips=["10.96.1.1"])
    await cluster.put(with_labels(web, {PROXY_NAME: "other"}))
    async with following(cluster.source(), cluster.namespace) as follower:
        await follower.wait_synced()

        await cluster.put(web)

        await follower.wait_names(Kind.SERVICE, "web")


async def test_only_the_own_node_is_told(cluster: Cluster):
    """EP-3, TS-504."""
    async with following(cluster.source()) as follower:
        await follower.wait_synced()

        await cluster.put(node(cluster.node_name, zone="z1"))

        await follower.wait_names(Kind.NODE, cluster.node_name)


async def test_an_object_larger_than_any_buffer_arrives(cluster: Cluster):
    web = service("web", namespace=cluster.namespace, cluster_ips=["10.96.1.1"])
    async with following(cluster.source(), cluster.namespace) as follower:
        await follower.wait_synced()

        await cluster.put(padded(web, 200_000))

        await follower.wait_names(Kind.SERVICE, "web")


async def test_an_unchanged_cluster_is_told_once(cluster: Cluster, limits: WatchLimits):
    await put_services(cluster, "a", "b", "c")

    async with following(cluster.source(limits=limits), cluster.namespace) as follower:
        await follower.wait_names(Kind.SERVICE, "a", "b", "c")
        await cluster.delete("Service", "c")
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert sorted(follower.since(0)) == ["+a", "+b", "+c", "-c"]


async def test_the_status_tells_what_is_known(cluster: Cluster):
    async with following(cluster.source()) as follower:
        before = follower.status(Kind.SERVICE)
        await follower.wait_synced()
        after = follower.status(Kind.SERVICE)

    assert (before.is_synced, before.last_event, before.relists) == (False, None, 0)
    assert (after.is_synced, after.relists, after.last_error) == (True, 1, "")
    assert after.last_event is not None
    assert after.bytes_received > 0
