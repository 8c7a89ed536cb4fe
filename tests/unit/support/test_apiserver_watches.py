"""Watches: where they begin, what they are told, how they end."""

import asyncio

import aiohttp
import msgspec
import pytest

from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.objects import node, service, with_labels
from tests.unit.support.apiserver_client import client_of

SERVICES = "/api/v1/services?watch=1"
HIDDEN = "service.kubernetes.io/service-proxy-name"


def web(name: str = "web", ip: str = "10.96.0.1") -> dict[str, object]:
    return service(name, cluster_ips=[ip])


async def test_changes_arrive_as_added_modified_deleted():
    server = ApiServerStandIn()

    async with client_of(server) as client, client.watch(SERVICES) as stream:
        server.put(web())
        server.put(web())
        server.delete("Service", "default", "web")
        news = [await stream.news() for _ in range(3)]

    assert news == [("ADDED", "web"), ("MODIFIED", "web"), ("DELETED", "web")]


async def test_a_deleted_object_carries_the_version_of_its_removal():
    server = ApiServerStandIn()
    server.put(web())

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&resourceVersion={server.store.version}") as stream,
    ):
        version = server.delete("Service", "default", "web")
        event = await stream.event()

    assert event["object"]["metadata"]["resourceVersion"] == str(version)


@pytest.mark.parametrize("query", ["", "&resourceVersion=0"])
async def test_without_a_version_the_present_objects_come_first(query: str):
    server = ApiServerStandIn()
    server.put(web("b"))
    server.put(web("a"))

    async with client_of(server) as client, client.watch(SERVICES + query) as stream:
        server.put(web("c"))
        news = [await stream.news() for _ in range(3)]

    assert news == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_a_watch_resumes_after_its_version():
    server = ApiServerStandIn()
    version = server.put(web("a"))
    server.put(web("b"))
    server.delete("Service", "default", "a")

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&resourceVersion={version}") as stream,
    ):
        news = [await stream.news() for _ in range(2)]

    assert news == [("ADDED", "b"), ("DELETED", "a")]


async def test_history_is_gone_after_compaction():
    server = ApiServerStandIn()
    version = server.put(web("a"))
    server.put(web("b"))
    server.compact()

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&resourceVersion={version}") as stream,
    ):
        event = await stream.event()
        rest = await stream.rest()

    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert rest == []


async def test_compaction_leaves_open_watches_alone():
    server = ApiServerStandIn()

    async with client_of(server) as client, client.watch(SERVICES) as stream:
        server.compact()
        server.put(web())
        news = await stream.news()

    assert news == ("ADDED", "web")


async def test_history_is_limited():
    server = ApiServerStandIn(history_limit=2)
    first, second, _, _ = [server.put(web()) for _ in range(4)]

    async with client_of(server) as client:
        async with client.watch(f"{SERVICES}&resourceVersion={first}") as stream:
            too_old = await stream.event()
        async with client.watch(f"{SERVICES}&resourceVersion={second}") as stream:
            resumed = await stream.news()

    assert too_old["object"]["code"] == 410
    assert resumed == ("MODIFIED", "web")


async def test_an_object_that_stops_matching_is_deleted_as_it_was():
    server = ApiServerStandIn()
    server.put(web())

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&labelSelector=%21{HIDDEN}") as stream,
    ):
        await stream.news()
        version = server.put(with_labels(web(), {HIDDEN: "other"}))
        event = await stream.event()

    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["resourceVersion"] == str(version)
    assert "labels" not in event["object"]["metadata"]


async def test_an_object_that_starts_matching_is_added():
    server = ApiServerStandIn()
    server.put(with_labels(web(), {HIDDEN: "other"}))

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&labelSelector=%21{HIDDEN}") as stream,
    ):
        server.put(web())
        news = await stream.news()

    assert news == ("ADDED", "web")


async def test_changes_of_hidden_objects_are_not_told():
    server = ApiServerStandIn()
    selector = "fieldSelector=spec.clusterIP%21%3DNone"

    async with client_of(server) as client, client.watch(f"{SERVICES}&{selector}") as stream:
        server.put(web("headless", "None"))
        server.put(web("headless", "None"))
        server.delete("Service", "default", "headless")
        server.put(web())
        news = await stream.news()

    assert news == ("ADDED", "web")


async def test_watches_of_a_namespace_hear_of_that_namespace_only():
    server = ApiServerStandIn()

    async with (
        client_of(server) as client,
        client.watch("/api/v1/namespaces/shop/services?watch=true") as stream,
    ):
        server.put(web())
        server.put(service("cart", namespace="shop", cluster_ips=["10.96.0.2"]))
        news = await stream.news()

    assert news == ("ADDED", "cart")


async def test_bookmarks_come_to_those_who_want_them():
    server = ApiServerStandIn()
    version = server.put(web())
    target = f"{SERVICES}&resourceVersion={version}"

    async with (
        client_of(server) as client,
        client.watch(f"{target}&allowWatchBookmarks=true") as wanted,
        client.watch(target) as unwanted,
    ):
        server.bookmark()
        server.put(web())
        news = [await wanted.news(), await wanted.news()]
        others = await unwanted.news()

    assert news == [("BOOKMARK", str(version)), ("MODIFIED", "web")]
    assert others == ("MODIFIED", "web")


async def test_bookmarks_come_after_a_list_that_is_newer_than_the_last_change_of_the_kind():
    server = ApiServerStandIn()
    server.put(web())
    newest = server.put(node("n1"))

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&resourceVersion={newest}&allowWatchBookmarks=true") as stream,
    ):
        server.bookmark()
        news = await stream.news()

    assert news == ("BOOKMARK", str(newest))


async def test_bookmarks_come_by_themselves():
    server = ApiServerStandIn(bookmark_interval=0.01)

    async with (
        client_of(server) as client,
        client.watch(f"{SERVICES}&allowWatchBookmarks=true") as stream,
    ):
        news = [await stream.news() for _ in range(2)]

    assert news == [("BOOKMARK", "1000"), ("BOOKMARK", "1000")]


async def test_a_watch_ends_at_its_timeout_and_leaves_the_connection_usable():
    server = ApiServerStandIn()

    async with client_of(server) as client:
        async with client.watch(f"{SERVICES}&timeoutSeconds=1") as stream:
            rest = await stream.rest()
        again = await client.get("/version")

    assert rest == []
    assert again.status == 200


async def test_a_streaming_list_closes_with_an_annotated_bookmark():
    server = ApiServerStandIn()
    server.put(web())
    newest = server.put(node("n1"))
    query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

    async with client_of(server) as client, client.watch(SERVICES + query) as stream:
        added = await stream.news()
        end = await stream.event()
        server.put(web())
        later = await stream.news()

    assert (added, later) == (("ADDED", "web"), ("MODIFIED", "web"))
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"] == {
        "resourceVersion": str(newest),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }


async def test_a_server_that_does_not_know_streaming_lists_gives_a_plain_watch():
    server = ApiServerStandIn(knows_watch_list=False)
    server.put(web())
    query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

    async with client_of(server) as client, client.watch(SERVICES + query) as stream:
        added = await stream.news()
        server.bookmark()
        bookmark = await stream.event()

    assert added == ("ADDED", "web")
    assert "annotations" not in bookmark["object"]["metadata"]


async def test_a_streaming_list_without_its_match_is_refused():
    async with client_of(ApiServerStandIn()) as client:
        answer = await client.get(f"{SERVICES}&sendInitialEvents=true")

    assert answer.status == 422


async def test_after_a_restart_at_a_lower_version_old_versions_lie_in_the_future():
    server = ApiServerStandIn(resource_version=5000)
    version = server.put(web("a"))

    async with client_of(server) as client:
        server.restart(resource_version=100)
        target = f"{SERVICES}&allowWatchBookmarks=true&resourceVersion={version}"
        async with client.watch(target) as stream:
            server.put(web("b"))
            server.bookmark()
            server.end_watches()
            rest = await stream.rest()
        listed = (await client.get("/api/v1/services")).document()

    assert rest == []
    assert listed["metadata"]["resourceVersion"] == "101"
    assert [item["metadata"]["resourceVersion"] for item in listed["items"]] == ["100", "101"]


async def test_a_restart_drops_connections_and_history():
    server = ApiServerStandIn()
    version = server.put(web("a"))
    server.put(web("b"))

    async with client_of(server) as client:
        async with client.watch(SERVICES) as stream:
            await stream.news()
            server.restart()
            open_watches = server.watches()
            with pytest.raises(aiohttp.ClientError):
                await stream.rest()
        async with client.watch(f"{SERVICES}&resourceVersion={version}") as stream:
            event = await stream.event()

    assert open_watches == []
    assert event["object"]["code"] == 410


async def test_while_it_is_down_connections_are_refused():
    server = ApiServerStandIn()

    async with client_of(server) as client:
        async with server.down():
            with pytest.raises(aiohttp.ClientConnectorError):
                await client.get("/version")
        answer = await client.get("/version")

    assert answer.status == 200


async def test_tests_can_wait_for_watches():
    server = ApiServerStandIn()

    async with client_of(server) as client, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(server.wait_watched("Service", "Node"))
        async with client.watch(SERVICES), client.watch("/api/v1/nodes?watch=1"):
            await waiting
            kinds = {watch.collection.resource.kind for watch in server.watches()}

    assert kinds == {"Service", "Node"}


async def test_all_watches_hear_the_same_bytes():
    server = ApiServerStandIn()

    async with (
        client_of(server) as client,
        client.watch(SERVICES) as one,
        client.watch(SERVICES) as other,
    ):
        server.put(web())
        lines = {await one.line(), await other.line()}

    assert len(lines) == 1
    assert msgspec.json.decode(lines.pop())["type"] == "ADDED"
