"""What an API server, or the network before it, can do wrong: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import EndpointSlice
from nodeproxy.sources.apiserver.backoff import BackoffLimits
from nodeproxy.sources.apiserver.discovery import EndpointMode
from nodeproxy.sources.apiserver.limits import WatchLimits
from tests.apiserver.clusters import StandInCluster
from tests.apiserver.following import (
    IMPATIENT,
    PATIENCE_SECONDS,
    QUICK_RETRIES,
    Follower,
    Journal,
    following,
)
from tests.support.apiserver import (
    ApiServerStandIn,
    BookmarksOnly,
    Drip,
    Duplicate,
    EndAtOnce,
    ExtraItem,
    Fail,
    Hang,
    RecordedRequest,
    Reset,
    SendLine,
    Silent,
    Truncate,
)
from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.objects import (
    Backend,
    endpoint_slice,
    node,
    padded,
    service,
    service_cidr,
)

PAGED = replace(QUICK_RETRIES, streams_lists=False, page_size=2)
SERVICES = "/api/v1/services"
NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
SERVICE_CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"


def web(name: str = "web", last_byte: int = 1) -> JsonObject:
    return service(name, cluster_ips=[f"10.96.0.{last_byte}"])


def requests(
    cluster: StandInCluster, path: str = SERVICES, *, is_watch: bool | None = None
) -> list[RecordedRequest]:
    """The requests for a path so far; probes of quiet watches are left out."""
    return [
        request
        for request in cluster.server.requests
        if request.path == path
        and is_watch in (None, request.is_watch)
        and request.query.get("timeoutSeconds") != "1"
    ]


async def wait_requests(cluster: StandInCluster, path: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await cluster.server.wait_until(lambda: len(requests(cluster, path)) >= count)


async def wait_watched(cluster: StandInCluster, *kinds: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await cluster.server.wait_watched(
            *(kinds or ("Service", "EndpointSlice", "Node", "ServiceCIDR"))
        )


async def ready(cluster: StandInCluster, follower: Follower) -> None:
    """Wait until everything is told and every kind has a watch."""
    await follower.wait_synced()
    await wait_watched(cluster)


async def test_watches_want_bookmarks_and_end_after_five_to_ten_minutes(stand_in: StandInCluster):
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

    watches = [request for request in stand_in.server.requests if request.is_watch]
    assert len(watches) == 4
    assert {request.query["allowWatchBookmarks"] for request in watches} == {"true"}
    assert all(300 <= int(request.query["timeoutSeconds"]) <= 600 for request in watches)


# Broken connections


async def test_after_a_reset_the_watch_continues_where_it_was(stand_in: StandInCluster):
    stand_in.server.put(web("a"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)
        mark = follower.mark()

        stand_in.server.reset_watches()
        stand_in.server.put(web("b"))
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert follower.since(mark) == ["+b"]
    assert follower.status(Kind.SERVICE).relists == 1


async def test_a_reset_is_followed_at_once_with_the_limits_of_production(stand_in: StandInCluster):
    """The wait is at most 0.4 s; the first failure of a healthy watch is not even logged."""
    async with following(stand_in.source(limits=WatchLimits())) as follower:
        await ready(stand_in, follower)

        stand_in.server.reset_watches("Service")
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")

    assert len(requests(stand_in, is_watch=True)) == 2


async def test_a_single_reset_is_not_logged(stand_in: StandInCluster, journal: Journal):
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.reset_watches()
        await wait_watched(stand_in)

    assert journal.warnings == []


async def test_a_server_that_is_away_is_waited_for_and_nothing_is_lost(
    stand_in: StandInCluster, journal: Journal
):
    stand_in.server.put(web("old"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        async with stand_in.server.down():
            stand_in.server.delete("Service", "default", "old")
            stand_in.server.put(web("new"))
            await journal.wait("Cannot connect to host")
            was_connected = follower.status(Kind.SERVICE).is_connected
        await follower.wait_names(Kind.SERVICE, "new")
        await journal.wait("answers again")

    assert not was_connected
    assert len([message for message in journal.messages if "API server" in message]) == 2
    assert follower.status(Kind.SERVICE).last_error == ""


async def test_a_server_that_comes_later_is_waited_for(journal: Journal):
    """One line when the waiting begins, one when it ends."""
    server = ApiServerStandIn()
    async with server.running() as url:
        port = int(url.rpartition(":")[2])
    server.put(web())
    source = StandInCluster(server, url).source()

    async with following(source) as follower:
        await journal.wait("Cannot connect to host")
        async with server.running(port=port):
            await follower.wait_synced()
            await journal.wait("answers again")

    assert follower.names(Kind.SERVICE) == {"web"}
    assert len([message for message in journal.messages if "API server" in message]) == 2


async def test_a_watch_that_ends_in_order_is_continued(stand_in: StandInCluster):
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.put(web("a"))
        stand_in.server.end_watches()
        await wait_requests(stand_in, SERVICES, 2)
        stand_in.server.put(web("b"))
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert follower.since(0) == ["+a", "+b"]


async def test_a_watch_is_resumed_from_its_last_bookmark(stand_in: StandInCluster):
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)
        for name in ("x", "y"):
            stand_in.server.put(node(name))
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")
        stand_in.server.delete("Service", "default", "web")
        stand_in.server.bookmark("Service")
        version = stand_in.server.store.version
        await follower.wait_names(Kind.SERVICE)

        stand_in.server.reset_watches("Service")
        await wait_watched(stand_in, "Service")

    assert requests(stand_in, is_watch=True)[-1].query["resourceVersion"] == str(version)


@pytest.mark.parametrize("limits", [QUICK_RETRIES, PAGED], ids=["streamed", "paged"])
@pytest.mark.parametrize(
    "fault",
    [
        Fail(500),
        Fail(503, retry_after=0),
        Fail(429, retry_after=0),
        Fail(410),
        Fail(401),
        Fail(404),
        Reset(),
        Truncate(after_bytes=60),
        Truncate(after_bytes=60, is_orderly=True),
    ],
    ids=repr,
)
async def test_first_requests_that_fail_are_repeated(
    stand_in: StandInCluster, limits: WatchLimits, fault: Fail | Reset | Truncate
):
    for number, name in enumerate(("a", "b", "c")):
        stand_in.server.put(web(name, number))
    stand_in.server.faults.inject(fault, times=8)

    async with following(stand_in.source(limits=limits)) as follower:
        await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"a", "b", "c"}
    assert follower.since(0).count("+a") == 1


@pytest.mark.parametrize(
    "fault",
    [Fail(500), Fail(503, retry_after=0), Fail(429, retry_after=0), Fail(403), Reset()],
    ids=repr,
)
async def test_watches_that_cannot_be_resumed_are_tried_again(
    stand_in: StandInCluster, fault: Fail | Reset
):
    stand_in.server.put(web("a"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.faults.inject(fault, path=SERVICES, times=4)
        stand_in.server.reset_watches("Service")
        stand_in.server.put(web("b"))
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert follower.since(0) == ["+a", "+b"]


@pytest.mark.parametrize("limits", [QUICK_RETRIES, PAGED], ids=["streamed", "paged"])
async def test_a_watch_closed_at_once_is_a_failure_and_told_once(
    stand_in: StandInCluster, journal: Journal, limits: WatchLimits
):
    stand_in.server.faults.inject(EndAtOnce(), path=SERVICES, verb="watch", times=6)
    async with following(stand_in.source(limits=limits)) as follower:
        await wait_requests(stand_in, SERVICES, 7)
        await follower.wait_synced()
        await wait_watched(stand_in)
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")
        await journal.wait("answers again")

    [warning] = journal.warnings
    assert "the API server ended the watch after 0." in warning


async def test_garbage_after_every_list_is_told_once_and_survived(
    stand_in: StandInCluster, journal: Journal
):
    fault = SendLine(b"<html>\n")
    stand_in.server.faults.inject(fault, path=SERVICES, verb="watch", times=5)
    async with following(stand_in.source(limits=PAGED)) as follower:
        await wait_requests(stand_in, SERVICES, 11)
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")
        await journal.wait("answers again")

    [warning] = journal.warnings
    assert "not an answer of an API server" in warning
    assert "<html>" in warning


async def test_lists_are_not_repeated_in_a_loop_when_every_watch_after_them_fails(
    stand_in: StandInCluster,
):
    """The second failure in a row waits half an hour here; a list in between does not help."""
    slow = replace(QUICK_RETRIES, backoff=BackoffLimits(first=0.0, base=3600, maximum=3600))
    async with following(stand_in.source(limits=slow)) as follower:
        await ready(stand_in, follower)
        stand_in.server.send_line(b"<html>\n", "Service")
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")
        stand_in.server.send_line(b"<html>\n", "Service")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await stand_in.server.wait_until(lambda: not stand_in.server.watches("Service"))

        for _ in range(20):  # time enough for another list, if there were one
            stand_in.server.put(node(stand_in.node_name))
            await follower.wait_names(Kind.NODE, stand_in.node_name)
            stand_in.server.delete("Node", "", stand_in.node_name)
            await follower.wait_names(Kind.NODE)

    assert len(requests(stand_in)) == 2


async def test_an_answer_in_single_bytes_is_put_together(stand_in: StandInCluster):
    stand_in.server.put(web())
    stand_in.server.faults.inject(Drip(chunk_bytes=7))

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()
        stand_in.server.put(web("later"))
        await follower.wait_names(Kind.SERVICE, "web", "later")


# Versions


async def test_a_position_that_expired_leads_to_a_list_that_tells_only_differences(
    stand_in: StandInCluster,
):
    for name in ("same", "changed", "gone"):
        stand_in.server.put(web(name))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)
        mark = follower.mark()

        stand_in.server.reset_watches("Service")
        stand_in.server.put(web("changed", 9))
        stand_in.server.delete("Service", "default", "gone")
        stand_in.server.put(web("new"))
        stand_in.server.compact()
        await follower.wait(lambda: follower.status(Kind.SERVICE).relists == 2)
        await follower.wait_names(Kind.SERVICE, "same", "changed", "new")

    assert sorted(follower.since(mark)) == ["+changed", "+new", "-gone"]


@pytest.mark.parametrize("limits", [QUICK_RETRIES, PAGED], ids=["streamed", "paged"])
async def test_a_list_after_an_expired_position_is_not_from_the_cache(
    stand_in: StandInCluster, limits: WatchLimits
):
    """What the cache holds may be older than what was told already."""
    async with following(stand_in.source(limits=limits)) as follower:
        await ready(stand_in, follower)
        before = len(requests(stand_in))

        stand_in.server.reset_watches("Service")
        stand_in.server.put(web())
        stand_in.server.compact()
        await follower.wait_names(Kind.SERVICE, "web")

    lists = [
        request
        for request in requests(stand_in)[before:]
        if "sendInitialEvents" in request.query or request.query.get("limit") == "2"
    ]
    assert "resourceVersion" not in lists[0].query


async def test_an_expiry_told_as_http_status_leads_to_a_list(stand_in: StandInCluster):
    stand_in.server.put(web("a"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.faults.inject(Fail(410), path=SERVICES, verb="watch", times=1)
        stand_in.server.reset_watches("Service")
        stand_in.server.put(web("b"))
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert follower.status(Kind.SERVICE).relists == 2
    assert follower.since(0) == ["+a", "+b"]


@pytest.mark.parametrize("limits", [QUICK_RETRIES, PAGED], ids=["streamed", "paged"])
async def test_a_server_restored_from_a_backup_is_believed(
    stand_in: StandInCluster, limits: WatchLimits
):
    """Its versions are lower; a watch from ours would stay silent until it got there."""
    stand_in.server.put(web("kept"))
    stand_in.server.put(web("lost"))
    async with following(stand_in.source(limits=limits)) as follower:
        await ready(stand_in, follower)

        stand_in.server.delete("Service", "default", "lost")
        stand_in.server.restart(resource_version=500)
        await follower.wait_names(Kind.SERVICE, "kept")
        await follower.wait(lambda: follower.status(Kind.SERVICE).relists == 2)
        stand_in.server.put(web("after"))
        await follower.wait_names(Kind.SERVICE, "kept", "after")


async def test_a_restart_behind_a_silent_connection_is_noticed(stand_in: StandInCluster):
    async with following(stand_in.source(limits=IMPATIENT)) as follower:
        await ready(stand_in, follower)
        stand_in.server.silence_watches()

        stand_in.server.store.rewind(500)
        stand_in.server.put(web())

        await follower.wait_names(Kind.SERVICE, "web")


async def test_a_page_that_expired_leads_to_one_list_without_pages(stand_in: StandInCluster):
    stand_in.server.ignores_limit_at_rv0 = False
    for name in "abcdef":
        stand_in.server.put(web(name))
    # The first page is sent whole; what comes after it is told 410.
    async with following(stand_in.source(limits=PAGED)) as follower:
        await wait_requests(stand_in, SERVICES, 1)
        stand_in.server.compact()
        await follower.wait_names(Kind.SERVICE, *"abcdef")
        await follower.wait_synced()

    queries = [request.query for request in requests(stand_in, is_watch=False)]
    assert [("limit" in query, "continue" in query) for query in queries] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert sorted(follower.since(0)) == [f"+{name}" for name in "abcdef"]


# Streaming lists


async def test_a_server_that_refuses_streaming_lists_is_read_in_pages(
    stand_in: StandInCluster, journal: Journal
):
    stand_in.server.supports_watch_list = False
    stand_in.server.put(web())

    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)
        stand_in.server.reset_watches("Service")
        stand_in.server.put(web("b"))
        stand_in.server.compact()
        await follower.wait_names(Kind.SERVICE, "web", "b")

    streamed = [r for r in requests(stand_in) if "sendInitialEvents" in r.query]
    assert len(streamed) == 1
    assert len([m for m in journal.messages if "fetching lists in pages" in m]) == 1
    assert journal.warnings == []


async def test_a_server_that_does_not_know_streaming_lists_is_read_in_pages(
    stand_in: StandInCluster,
):
    stand_in.server.knows_watch_list = False
    stand_in.server.put(web())

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"web"}
    assert follower.since(0).count("+web") == 1


async def test_a_streaming_list_that_breaks_off_removes_nothing_and_is_repeated(
    stand_in: StandInCluster,
):
    for name in "abcdef":
        stand_in.server.put(web(name))
    stand_in.server.faults.inject(Truncate(after_bytes=1500), path=SERVICES, times=3)

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()

    assert follower.since(0) == [f"+{name}" for name in "abcdef"]


# Silence


async def test_a_connection_that_died_in_silence_is_noticed(stand_in: StandInCluster):
    async with following(stand_in.source(limits=IMPATIENT)) as follower:
        await ready(stand_in, follower)

        stand_in.server.silence_watches()
        stand_in.server.put(web())

        await follower.wait_names(Kind.SERVICE, "web")


async def test_a_watch_that_never_says_anything_is_replaced(stand_in: StandInCluster):
    limits = replace(IMPATIENT, streams_lists=False)
    stand_in.server.faults.inject(Silent(), path=SERVICES, verb="watch", times=1)
    async with following(stand_in.source(limits=limits)) as follower:
        await follower.wait_synced()

        await wait_requests(stand_in, SERVICES, 2)
        stand_in.server.put(web())

        await follower.wait_names(Kind.SERVICE, "web")


async def test_a_quiet_watch_is_kept(stand_in: StandInCluster):
    """Quiet is not dead: short second watches show that nothing was missed."""
    async with following(stand_in.source(limits=IMPATIENT)) as follower:
        await ready(stand_in, follower)

        async with asyncio.timeout(PATIENCE_SECONDS):
            await stand_in.server.wait_until(lambda: len(probes(stand_in)) >= 2)
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")

    long_watches = [
        request
        for request in requests(stand_in, is_watch=True)
        if int(request.query["timeoutSeconds"]) > 1
    ]
    assert len(long_watches) == 1


def probes(cluster: StandInCluster) -> list[RecordedRequest]:
    return [
        request
        for request in cluster.server.requests
        if request.path == SERVICES and request.query.get("timeoutSeconds") == "1"
    ]


async def test_a_server_that_takes_requests_and_never_answers_is_given_up(
    stand_in: StandInCluster,
):
    stand_in.server.put(web())
    stand_in.server.faults.inject(Hang(), times=3)

    async with following(stand_in.source(limits=IMPATIENT)) as follower:
        await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"web"}


# Bad content


async def test_events_sent_twice_are_told_once(stand_in: StandInCluster):
    stand_in.server.faults.inject(Duplicate())
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.put(web("a"))
        stand_in.server.put(web("b"))
        stand_in.server.delete("Service", "default", "a")
        stand_in.server.put(web("c"))
        await follower.wait_names(Kind.SERVICE, "b", "c")

    assert follower.since(0) == ["+a", "+b", "-a", "+c"]


async def test_a_watch_that_sends_only_bookmarks_tells_nothing_and_keeps_its_place(
    stand_in: StandInCluster,
):
    stand_in.server.faults.inject(BookmarksOnly(), path=SERVICES, verb="watch")
    async with following(stand_in.source(limits=PAGED)) as follower:
        await ready(stand_in, follower)

        version = stand_in.server.put(web())
        stand_in.server.bookmark("Service")
        stand_in.server.end_watches("Service")
        await wait_requests(stand_in, SERVICES, 3)

    assert follower.since(0) == []
    assert requests(stand_in)[-1].query["resourceVersion"] == str(version)


@pytest.mark.parametrize("garbage", [b"<html>\n", b'{"type":"ADDED","obj\n', b"\xff\xfe\n"])
async def test_garbage_in_a_watch_leads_to_a_list(stand_in: StandInCluster, garbage: bytes):
    stand_in.server.put(web("a"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)
        mark = follower.mark()

        stand_in.server.send_line(garbage, "Service")
        stand_in.server.put(web("b"))
        await follower.wait_names(Kind.SERVICE, "a", "b")

    assert follower.since(mark) == ["+b"]
    assert follower.status(Kind.SERVICE).relists == 2


async def test_a_malformed_object_in_a_watch_is_rejected_and_others_go_on(
    stand_in: StandInCluster,
):
    stand_in.server.put(web("good"))
    stand_in.server.put(web("bad"))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        broken = web("bad")
        stand_in.server.put({**broken, "spec": {**broken["spec"], "ports": "many"}})
        stand_in.server.put(web("good", 2))
        await follower.wait(lambda: len(follower.since(0)) == 4)

    assert follower.since(2) == ["!bad", "+good"]
    [rejected] = follower.rejected
    assert str(rejected.problem).startswith("Service default/bad: spec.ports: Expected `array")
    assert follower.names(Kind.SERVICE) == {"good", "bad"}


@pytest.mark.parametrize("limits", [QUICK_RETRIES, PAGED], ids=["streamed", "paged"])
async def test_a_malformed_object_in_a_list_is_rejected_and_others_go_on(
    stand_in: StandInCluster, limits: WatchLimits
):
    stand_in.server.put(web("good"))
    stand_in.server.put({**web("bad"), "spec": 7})

    async with following(stand_in.source(limits=limits)) as follower:
        await follower.wait_synced()

    assert sorted(follower.since(0)) == ["!bad", "+good"]


async def test_a_malformed_object_that_is_mended_is_told(stand_in: StandInCluster):
    stand_in.server.put({**web(), "spec": 7})
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")


@pytest.mark.parametrize("item", [b"7", b"null", b'{"metadata":[]}', b"{}"])
async def test_an_item_that_is_no_object_leaves_the_list_usable(
    stand_in: StandInCluster, item: bytes
):
    stand_in.server.put(web())
    stand_in.server.faults.inject(ExtraItem(item), path=SERVICES, verb="list")

    async with following(stand_in.source(limits=PAGED)) as follower:
        await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"web"}
    assert len(follower.rejected) == 1


async def test_a_list_that_cannot_be_cut_between_its_items_is_read_whole(
    stand_in: StandInCluster,
):
    """No object of ours looks like this one: an array in it holds objects with metadata."""
    odd = b'{"metadata":{"name":"odd","resourceVersion":"1"},"x":[{"y":1},{"metadata":{}}]}'
    stand_in.server.put(web())
    stand_in.server.faults.inject(ExtraItem(odd), path=SERVICES, verb="list")

    async with following(stand_in.source(limits=PAGED)) as follower:
        await follower.wait_synced()

    assert follower.names(Kind.SERVICE) == {"web", "odd"}


async def test_a_watch_that_ends_with_an_error_event_is_repeated(
    stand_in: StandInCluster,
):
    line = b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"odd"}}\n'
    stand_in.server.faults.inject(SendLine(line), path=SERVICES, verb="watch", times=2)
    async with following(stand_in.source(limits=PAGED)) as follower:
        await follower.wait_synced()

        stand_in.server.put(web())

        await follower.wait_names(Kind.SERVICE, "web")


async def test_an_object_of_several_mebibytes_arrives(stand_in: StandInCluster):
    stand_in.server.put(padded(web("first"), 3 << 20))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.put(padded(web("second"), 3 << 20))

        await follower.wait_names(Kind.SERVICE, "first", "second")


# Permissions and versions of the server


async def test_a_node_that_may_not_be_read_does_not_stop_the_rest(
    stand_in: StandInCluster, journal: Journal
):
    stand_in.server.faults.inject(Fail(403, message="nodes is forbidden"), path=NODES)

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()
        await wait_requests(stand_in, NODES, 4)

    [warning] = journal.warnings
    assert "Topology hints and the addresses of the Node are not used" in warning
    assert "list and watch on nodes" in warning


@pytest.mark.parametrize(
    ("code", "consequence"),
    [
        (403, "Grant this identity list and watch on servicecidrs.networking.k8s.io"),
        (404, "Kubernetes has ServiceCIDRs from 1.33 on"),
    ],
)
async def test_service_cidrs_that_cannot_be_read_do_not_stop_the_rest(
    stand_in: StandInCluster, journal: Journal, code: int, consequence: str
):
    """EP-62: told once, and everything else works."""
    stand_in.server.faults.inject(Fail(code, message="no"), path=SERVICE_CIDRS)
    stand_in.server.put(web())
    limits = replace(QUICK_RETRIES, absent_retry_seconds=0.01)

    async with following(stand_in.source(limits=limits)) as follower:
        await follower.wait_synced()
        await wait_requests(stand_in, SERVICE_CIDRS, 4)
        names = follower.names(Kind.SERVICE)

    [warning] = journal.warnings
    assert "that no Service has are not dropped" in warning
    assert consequence in warning
    assert names == {"web"}


async def test_service_cidrs_that_come_with_an_upgrade_are_told(stand_in: StandInCluster):
    stand_in.server.faults.inject(Fail(404, message="no"), path=SERVICE_CIDRS)
    stand_in.server.put(service_cidr("kubernetes", ["10.96.0.0/16"]))
    limits = replace(QUICK_RETRIES, absent_retry_seconds=0.01)
    async with following(stand_in.source(limits=limits)) as follower:
        await follower.wait_synced()
        before = follower.names(Kind.SERVICE_CIDR)

        stand_in.server.faults.clear()

        await follower.wait_names(Kind.SERVICE_CIDR, "kubernetes")

    assert before == set()
    assert follower.synced.count(Kind.SERVICE_CIDR) == 1


async def test_a_server_without_service_cidrs_is_left_alone_for_long(stand_in: StandInCluster):
    """Thousands of agents asking every half minute for what never comes are a load."""
    stand_in.server.faults.inject(Fail(404, message="no"), path=SERVICE_CIDRS)

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()
        stand_in.server.put(web())
        await follower.wait_names(Kind.SERVICE, "web")

    assert len(requests(stand_in, SERVICE_CIDRS)) == 1


async def test_services_that_may_not_be_read_are_not_called_complete(
    stand_in: StandInCluster, journal: Journal
):
    stand_in.server.faults.inject(Fail(403, message="services is forbidden"), path=SERVICES)
    stand_in.server.put(web())
    async with following(stand_in.source()) as follower:
        await wait_requests(stand_in, SERVICES, 4)
        await follower.wait(lambda: len(follower.synced) == 3)
        status = follower.status(Kind.SERVICE)

        stand_in.server.faults.clear()
        await follower.wait_synced()

    assert not status.is_synced
    assert "Grant this identity list and watch on services" in status.last_error
    assert follower.names(Kind.SERVICE) == {"web"}


async def test_slices_v1beta1_are_read_from_an_old_server(stand_in: StandInCluster):
    """EP-9."""
    stand_in.server.served_discovery = ("v1beta1",)
    backend = Backend("10.1.0.1", node="n1")
    stand_in.server.put(endpoint_slice("web-1", "web", backends=[backend]))

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()

    slice_ = follower.objects[Kind.ENDPOINT_SLICE, "web-1"]
    assert isinstance(slice_, EndpointSlice)
    assert slice_.endpoints is not None
    assert slice_.endpoints[0].topology == {"kubernetes.io/hostname": "n1"}


async def test_a_server_upgraded_while_we_watch_is_read_in_its_new_version(
    stand_in: StandInCluster,
):
    stand_in.server.served_discovery = ("v1beta1",)
    stand_in.server.put(endpoint_slice("web-1", "web", backends=[]))
    async with following(stand_in.source()) as follower:
        await ready(stand_in, follower)

        stand_in.server.served_discovery = ("v1",)
        stand_in.server.restart()
        stand_in.server.put(endpoint_slice("web-2", "web", backends=[]))
        await follower.wait_names(Kind.ENDPOINT_SLICE, "web-1", "web-2")

    assert follower.since(0) == ["+web-1", "+web-2"]


async def test_a_server_without_slices_is_read_through_endpoints(stand_in: StandInCluster):
    stand_in.server.served_discovery = ()

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()

    kinds = [Kind.ENDPOINTS, Kind.NODE, Kind.SERVICE, Kind.SERVICE_CIDR]
    assert sorted(follower.synced) == kinds
    assert {status.kind for status in follower.source.statuses()} == set(follower.synced)


async def test_slices_that_are_demanded_are_waited_for(stand_in: StandInCluster, journal: Journal):
    """Never silently Endpoints."""
    stand_in.server.served_discovery = ()
    async with following(stand_in.source(EndpointMode.SLICES)) as follower:
        await journal.wait("does not serve discovery.k8s.io, which EndpointSliceProxying=true")

        stand_in.server.served_discovery = ("v1",)
        await follower.wait_synced()

    kinds = [Kind.ENDPOINT_SLICE, Kind.NODE, Kind.SERVICE, Kind.SERVICE_CIDR]
    assert sorted(follower.synced) == kinds


async def test_a_large_list_comes_in_batches_of_what_arrived_together(stand_in: StandInCluster):
    for number in range(250):
        stand_in.server.put(web(f"web-{number}", number))

    async with following(stand_in.source()) as follower:
        await follower.wait_synced()

    assert len(follower.names(Kind.SERVICE)) == 250
    assert follower.batches < 50
