"""The stand-in gives the answers of a real API server, byte for byte where nothing is random."""

import re

import pytest

from tests.support.apiserver import ApiServerStandIn
from tests.support.apiserver.objects import with_labels
from tests.support.apiserver.recordings import Recording, recording
from tests.unit.support.apiserver_client import Answer, Client, client_of

LISTS = ("list-services-all", "list-endpoints", "list-endpointslices", "list-servicecidrs")
_VERSION = re.compile(rb'"resourceVersion":"\d+"')
_TOO_OLD = re.compile(rb"version: 1 \(\d+\)")


def without_versions(body: bytes) -> bytes:
    """The body with the numbers that every server counts for itself blanked out."""
    return _TOO_OLD.sub(b"version: 1 (N)", _VERSION.sub(b'"resourceVersion":"N"', body))


def recorded_cluster(*lists: str) -> ApiServerStandIn:
    """A stand-in with the objects of recorded lists."""
    server = ApiServerStandIn()
    for name in lists:
        for obj in recording(name).objects():
            server.put(obj)
    return server


async def replay(client: Client, recorded: Recording) -> Answer:
    return await client.get(recorded.target)


@pytest.mark.parametrize(
    "name",
    [
        "discovery-group",
        "discovery-v1",
        "v1beta1-gone",
        "list-services-all",
        "list-endpoints",
        "list-endpointslices",
        "list-servicecidrs",
        "get-node",
        "watch-expired",
    ],
)
async def test_recorded_requests_get_the_recorded_answers(name: str):
    recorded = recording(name)
    server = recorded_cluster(*LISTS, "get-node")

    async with client_of(server) as client:
        answer = await replay(client, recorded)

    assert answer.status == recorded.status
    assert without_versions(answer.body) == without_versions(recorded.body)


@pytest.mark.parametrize(
    "name",
    [
        "version",
        "discovery-group",
        "v1beta1-gone",
        "get-node",
        "list-services",
        "list-endpoints",
        "list-endpointslices",
        "list-servicecidrs",
        "list-bad-continue",
        "list-page-1",
        "watch-expired",
    ],
)
async def test_headers_are_those_of_a_real_server(name: str):
    recorded = recording(name)
    server = recorded_cluster(*LISTS, "get-node", "list-endpointslices-big")

    async with client_of(server) as client:
        answer = await replay(client, recorded)

    assert set(answer.headers) == set(recorded.headers)
    for header in ("Cache-Control", "Content-Type", "Warning", "Transfer-Encoding"):
        assert answer.headers.get(header) == recorded.headers.get(header)


@pytest.mark.parametrize("name", ["list-endpointslices-big", "list-endpoints-big"])
async def test_big_lists_are_byte_for_byte_the_recorded_ones(name: str):
    recorded = recording(name)
    server = recorded_cluster(name)

    async with client_of(server) as client:
        answer = await replay(client, recorded)

    assert without_versions(answer.body) == without_versions(recorded.body)


async def test_selectors_of_the_agent_leave_the_services_a_real_server_left():
    recorded = recording("list-services")
    server = recorded_cluster("list-services-all")

    async with client_of(server) as client:
        answer = await replay(client, recorded)

    shop = [
        item["metadata"]["name"]
        for item in recorded.document()["items"]
        if item["metadata"]["namespace"] == "shop"
    ]
    assert answer.names() == shop


async def test_first_page_is_cut_and_counted_as_the_recorded_one():
    recorded = recording("list-page-1")
    server = ApiServerStandIn()
    for number in range(30):
        item = recorded.objects()[0]
        server.put({**item, "metadata": {**item["metadata"], "name": f"big-{number:02}"}})

    async with client_of(server) as client:
        metadata = (await replay(client, recorded)).document()["metadata"]

    expected = recorded.document()["metadata"]
    assert list(metadata) == list(expected)
    assert metadata["remainingItemCount"] == expected["remainingItemCount"]


async def test_a_broken_continue_token_is_a_bad_request():
    recorded = recording("list-bad-continue")

    async with client_of(ApiServerStandIn()) as client:
        answer = await replay(client, recorded)

    assert answer.status == recorded.status
    got, expected = answer.document(), recorded.document()
    assert got["message"].startswith("invalid continue token: continue key is not valid: ")
    assert {**got, "message": ""} == {**expected, "message": ""}


async def test_a_wrong_token_is_refused_as_recorded():
    recorded = recording("unauthorized")
    server = ApiServerStandIn(token="right")

    async with client_of(server) as client:
        answer = await client.get(recorded.target, headers={"Authorization": "Bearer wrong"})

    assert answer.status == recorded.status
    assert answer.body == recorded.body
    assert set(answer.headers) == set(recorded.headers)


async def test_version_document_has_the_recorded_form():
    recorded = recording("version")

    async with client_of(ApiServerStandIn(minor_version=36)) as client:
        answer = await replay(client, recorded)

    assert list(answer.document()) == list(recorded.document())
    assert answer.body.startswith(b'{\n  "major": "1",\n  "minor": "36",\n')


async def test_a_watch_from_the_future_is_an_empty_stream_until_its_timeout():
    recorded = recording("watch-future")
    server = recorded_cluster("list-endpointslices")

    async with client_of(server) as client:
        answer = await client.get(recorded.target.replace("timeoutSeconds=4", "timeoutSeconds=1"))

    assert (answer.status, answer.body) == (recorded.status, recorded.body)


async def test_a_streaming_list_is_refused_as_recorded():
    recorded = recording("watch-list")
    server = ApiServerStandIn(supports_watch_list=False)

    async with client_of(server) as client:
        answer = await replay(client, recorded)

    assert (answer.status, answer.body) == (recorded.status, recorded.body)


async def test_a_recorded_watch_of_services_is_told_in_the_recorded_words():
    recorded = recording("watch-services")
    server = recorded_cluster("list-services-all")
    changed, hidden, _, bookmark, _ = recorded.events()
    version = str(server.store.version)

    async with client_of(server) as client:
        target = re.sub(r"resourceVersion=\d+", f"resourceVersion={version}", recorded.target)
        async with client.watch(target) as stream:
            server.put(changed["object"])
            server.put(
                with_labels(hidden["object"], {"service.kubernetes.io/service-proxy-name": "x"})
            )
            server.delete("Service", "shop", "notready")
            server.bookmark()
            lines = b"".join([await stream.line() for _ in range(4)])

    expected = b"".join(recorded.body.splitlines(keepends=True)[:4])
    assert bookmark["type"] == "BOOKMARK"
    assert without_versions(lines) == without_versions(expected)


@pytest.mark.parametrize("plural", ["endpointslices", "endpoints"])
async def test_recorded_watches_of_endpoints_are_told_in_the_recorded_words(plural: str):
    recorded = recording(f"watch-{plural}")
    server = recorded_cluster(f"list-{plural}")
    version = str(server.store.version)

    async with client_of(server) as client:
        target = re.sub(r"resourceVersion=\d+", f"resourceVersion={version}", recorded.target)
        async with client.watch(target) as stream:
            for event in recorded.events():
                obj = event["object"]
                if event["type"] == "MODIFIED":
                    server.put(obj)
                elif event["type"] == "DELETED":
                    server.delete(obj["kind"], "shop", obj["metadata"]["name"])
                else:
                    server.bookmark()
            lines = b"".join([await stream.line() for _ in recorded.events()])

    assert without_versions(lines) == without_versions(recorded.body)
