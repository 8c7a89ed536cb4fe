"""Lists: places, selectors, pages, resourceVersions, versions of the API."""

from typing import Any

from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.objects import (
    Backend,
    endpoint_slice,
    endpoints,
    node,
    padded,
    service,
)
from tests.unit.support.apiserver_client import Client, client_of

SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def server_with(*names: str) -> ApiServerStandIn:
    """A stand-in with Services of these names."""
    server = ApiServerStandIn()
    for number, name in enumerate(names, 1):
        server.put(service(name, cluster_ips=[f"10.96.0.{number}"]))
    return server


async def pages(client: Client, target: str) -> list[dict[str, Any]]:
    """The metadata of every page of a paged list, with the names of its items."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        answer = await client.get(f"{target}&continue={token}" if token else target)
        metadata = answer.document()["metadata"]
        found.append({**metadata, "names": answer.names()})
        token = metadata.get("continue", "")
        if not token:
            return found


async def test_an_empty_list_has_an_empty_array():
    async with client_of(ApiServerStandIn(resource_version=7)) as client:
        answer = await client.get("/api/v1/services")

    assert answer.body == (
        b'{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}\n'
    )


async def test_lists_are_ordered_by_namespace_and_name():
    server = ApiServerStandIn()
    for namespace, name in (("b", "a"), ("a", "z"), ("a", "b")):
        server.put(service(name, namespace=namespace, cluster_ips=["10.96.0.1"]))

    async with client_of(server) as client:
        everywhere = await client.get("/api/v1/services")
        in_a = await client.get("/api/v1/namespaces/a/services")

    assert everywhere.names() == ["b", "z", "a"]
    assert in_a.names() == ["b", "z"]


async def test_deleted_objects_are_not_listed():
    server = server_with("one", "two")
    server.delete("Service", "default", "one")

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services")

    assert answer.names() == ["two"]


async def test_nodes_can_be_listed_by_name():
    server = ApiServerStandIn()
    server.put(node("n1"))
    server.put(node("n2"))

    async with client_of(server) as client:
        answer = await client.get("/api/v1/nodes?fieldSelector=metadata.name%3Dn2")

    assert answer.names() == ["n2"]


async def test_single_objects_can_be_read():
    server = server_with("web")

    async with client_of(server) as client:
        found = await client.get("/api/v1/namespaces/default/services/web")
        missing = await client.get("/api/v1/namespaces/default/services/db")

    assert found.body.startswith(b'{"kind":"Service","apiVersion":"v1","metadata":{"name":"web",')
    assert (missing.status, missing.document()["reason"]) == (404, "NotFound")


async def test_pages_join_to_the_whole_list():
    server = server_with("a", "b", "c", "d", "e")

    async with client_of(server) as client:
        found = await pages(client, "/api/v1/services?limit=2")

    assert [page["names"] for page in found] == [["a", "b"], ["c", "d"], ["e"]]
    assert [page.get("remainingItemCount") for page in found] == [3, 1, None]


async def test_later_pages_show_the_moment_of_the_first():
    server = server_with("a", "b", "c")

    async with client_of(server) as client:
        first = (await client.get("/api/v1/services?limit=1")).document()["metadata"]
        server.delete("Service", "default", "b")
        server.put(service("d", cluster_ips=["10.96.0.4"]))
        later = await client.get(f"/api/v1/services?limit=5&continue={first['continue']}")

    assert later.names() == ["b", "c"]
    assert later.document()["metadata"]["resourceVersion"] == first["resourceVersion"]


async def test_what_is_left_is_not_counted_with_selectors():
    server = server_with("a", "b", "c")

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services?limit=1&labelSelector=%21x")

    assert "continue" in answer.document()["metadata"]
    assert "remainingItemCount" not in answer.document()["metadata"]


async def test_a_page_is_expired_after_compaction():
    server = server_with("a", "b", "c")

    async with client_of(server) as client:
        first = (await client.get("/api/v1/services?limit=1")).document()["metadata"]
        server.compact()
        later = await client.get(f"/api/v1/services?limit=1&continue={first['continue']}")

    assert (later.status, later.document()["reason"]) == (410, "Expired")


async def test_the_watch_cache_ignores_limits():
    server = server_with("a", "b", "c")

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services?limit=1&resourceVersion=0")

    assert answer.names() == ["a", "b", "c"]


async def test_limits_at_version_0_can_be_obeyed():
    server = server_with("a", "b", "c")
    server.ignores_limit_at_rv0 = False

    async with client_of(server) as client:
        found = await pages(client, "/api/v1/services?limit=2&resourceVersion=0")

    assert [page["names"] for page in found] == [["a", "b"], ["c"]]


async def test_the_watch_cache_may_be_behind_and_a_fresh_list_is_not():
    server = server_with("web")
    newest = server.put(node("n1"))

    async with client_of(server) as client:
        cached = await client.get("/api/v1/services?resourceVersion=0")
        fresh = await client.get("/api/v1/services")

    assert cached.document()["metadata"]["resourceVersion"] == str(newest - 1)
    assert fresh.document()["metadata"]["resourceVersion"] == str(newest)


async def test_a_version_from_the_future_is_too_large():
    server = server_with("web")

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services?resourceVersion=999999")

    status = answer.document()
    assert (answer.status, status["reason"]) == (504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_bad_parameters_are_refused():
    async with client_of(ApiServerStandIn()) as client:
        answers = [
            await client.get(f"/api/v1/services?{query}")
            for query in ("limit=x", "resourceVersion=x", "labelSelector=a%20b", "fieldSelector=b")
        ]

    assert [answer.status for answer in answers] == [400, 400, 400, 400]


async def test_slices_come_in_the_version_that_is_asked_for():
    server = ApiServerStandIn(served_discovery={"v1", "v1beta1"})
    server.put(endpoint_slice("web-1", "web", backends=[Backend("10.0.0.1", "p", "n1", "z1")]))

    async with client_of(server) as client:
        old = (await client.get(SLICES.replace("v1/", "v1beta1/"))).document()
        new = (await client.get(SLICES)).document()

    assert old["apiVersion"] == "discovery.k8s.io/v1beta1"
    assert new["items"][0]["endpoints"][0]["nodeName"] == "n1"
    endpoint = old["items"][0]["endpoints"][0]
    assert "nodeName" not in endpoint
    assert endpoint["topology"] == {
        "kubernetes.io/hostname": "n1",
        "topology.kubernetes.io/zone": "z1",
    }


async def test_slices_stored_as_v1beta1_are_served_as_they_are_and_translated_to_v1():
    server = ApiServerStandIn(served_discovery={"v1", "v1beta1"})
    written = endpoint_slice("web-1", "web", backends=[Backend("10.0.0.1")])
    written["apiVersion"] = "discovery.k8s.io/v1beta1"
    topology = {"topology.kubernetes.io/zone": "z1", "rack": "r1"}
    written["endpoints"][0] |= {"nodeName": "n1", "topology": topology}
    server.put(written)

    async with client_of(server) as client:
        old = (await client.get(SLICES.replace("v1/", "v1beta1/"))).document()["items"][0]
        new = (await client.get(SLICES)).document()["items"][0]["endpoints"][0]

    assert old["endpoints"] == written["endpoints"]
    assert (new["nodeName"], new["zone"]) == ("n1", "z1")
    assert new["deprecatedTopology"] == {"rack": "r1"}


async def test_nothing_of_discovery_is_found_when_it_is_not_served():
    async with client_of(ApiServerStandIn(served_discovery=())) as client:
        answers = [
            await client.get(path)
            for path in ("/apis/discovery.k8s.io", "/apis/discovery.k8s.io/v1", SLICES)
        ]

    assert [answer.status for answer in answers] == [404, 404, 404]


async def test_service_cidrs_can_be_unserved():
    async with client_of(ApiServerStandIn(serves_service_cidrs=False)) as client:
        answer = await client.get("/apis/networking.k8s.io/v1/servicecidrs")

    assert answer.status == 404


async def test_endpoints_come_with_a_warning():
    server = ApiServerStandIn()
    server.put(endpoints("web", backends=[Backend("10.0.0.1")]))

    async with client_of(server) as client:
        answer = await client.get("/api/v1/endpoints")

    assert answer.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated')


async def test_malformed_objects_are_served_as_they_are():
    server = ApiServerStandIn()
    server.put({"kind": "Service", "metadata": {"name": "bad", "labels": 7}, "spec": ["what"]})

    async with client_of(server) as client:
        item = (await client.get("/api/v1/services")).document()["items"][0]

    assert item["metadata"]["labels"] == 7
    assert item["spec"] == ["what"]


async def test_objects_may_be_larger_than_a_mebibyte():
    server = ApiServerStandIn()
    server.put(padded(service("web", cluster_ips=["10.96.0.1"]), 1 << 20))

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services")

    assert len(answer.document()["items"][0]["metadata"]["annotations"]["padding"]) == 1 << 20


async def test_requests_are_recorded():
    server = server_with("web")

    async with client_of(server) as client:
        await client.get("/api/v1/services?labelSelector=%21a%2Fb", headers={"X-Test": "1"})

    request = server.requests[0]
    assert (request.method, request.path) == ("GET", "/api/v1/services")
    assert request.query == {"labelSelector": "!a/b"}
    assert request.headers["x-test"] == "1"


async def test_bytes_are_counted_by_path():
    server = server_with("web")

    async with client_of(server) as client:
        answer = await client.get("/api/v1/services")

    assert server.bytes_sent["/api/v1/services"] > len(answer.body)


async def test_a_token_lets_in():
    server = ApiServerStandIn(token="right")

    async with client_of(server) as client:
        without = await client.get("/version")
        with_token = await client.get("/version", headers={"Authorization": "Bearer right"})
        health = await client.get("/readyz")

    assert [without.status, with_token.status, health.status] == [401, 200, 200]
