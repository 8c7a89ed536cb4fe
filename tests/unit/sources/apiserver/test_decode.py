from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Node, ObjectMeta, Service
from nodeproxy.sources.apiserver.decode import Codec, Malformed
from nodeproxy.sources.apiserver.failures import ApiGarbled, ApiRefused
from tests.support.apiserver.recordings import recording

SERVICES = Codec(Kind.SERVICE, Service)
SLICES = Codec(Kind.ENDPOINT_SLICE, EndpointSlice)


def line(event_type: str, obj: object) -> bytes:
    return json.dumps({"type": event_type, "object": obj}).encode() + b"\n"


def service(name: str, **fields: object) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": "7"}
    return {"metadata": metadata, **fields}


def names(objects: list[ApiObject | Malformed]) -> list[str | None]:
    return [found.metadata.name for found in objects]


@pytest.mark.parametrize(
    ("name", "kind", "wire_type"),
    [
        ("list-services", Kind.SERVICE, Service),
        ("list-services-all", Kind.SERVICE, Service),
        ("list-endpointslices", Kind.ENDPOINT_SLICE, EndpointSlice),
        ("list-endpointslices-big", Kind.ENDPOINT_SLICE, EndpointSlice),
        ("list-endpoints", Kind.ENDPOINTS, Endpoints),
        ("list-endpoints-big", Kind.ENDPOINTS, Endpoints),
        ("get-node", Kind.NODE, Node),
    ],
)
def test_recorded_lists_decode_whole(name: str, kind: Kind, wire_type: type[ApiObject]):
    recorded = recording(name)

    page = Codec(kind, wire_type).page(recorded.body)

    document = recorded.document()
    assert names(page.items) == [item["metadata"]["name"] for item in document["items"]]
    assert {type(item) for item in page.items} == {wire_type}
    assert page.resource_version == document["metadata"]["resourceVersion"]
    assert page.continue_ == ""


def test_a_recorded_page_says_how_to_continue():
    recorded = recording("list-page-1")

    page = SLICES.page(recorded.body)

    assert len(page.items) == 3
    assert page.continue_ == recorded.document()["metadata"]["continue"]


@pytest.mark.parametrize(
    ("name", "kind", "wire_type"),
    [
        ("watch-services", Kind.SERVICE, Service),
        ("watch-endpointslices", Kind.ENDPOINT_SLICE, EndpointSlice),
        ("watch-endpoints", Kind.ENDPOINTS, Endpoints),
    ],
)
def test_recorded_watches_decode_whole(name: str, kind: Kind, wire_type: type[ApiObject]):
    recorded = recording(name)

    block = Codec(kind, wire_type).events(recorded.body)

    told = [(event.type, event.object.metadata.resource_version) for event in block.events]
    assert told == [
        (event["type"], event["object"]["metadata"]["resourceVersion"])
        for event in recorded.events()
    ]
    assert block.end is None


def test_an_expired_watch_says_so():
    block = SLICES.events(recording("watch-expired").body)

    assert block.events == []
    assert isinstance(block.end, ApiRefused)
    assert (block.end.code, block.end.is_expired) == (410, True)


def test_an_error_event_of_a_kind_with_a_status_field_is_read_as_status():
    block = SERVICES.events(recording("watch-expired").body)

    assert isinstance(block.end, ApiRefused)
    assert block.end.is_expired


def test_a_refused_streaming_list_tells_the_reason():
    block = SLICES.events(recording("watch-list").body)

    assert isinstance(block.end, ApiRefused)
    assert block.end.code == 500
    assert "RequestWatchProgress is disabled" in block.end.message


def test_what_came_before_an_error_is_not_lost():
    lines = line("ADDED", service("web")) + recording("watch-expired").body

    block = SERVICES.events(lines)

    assert names([event.object for event in block.events]) == ["web"]
    assert isinstance(block.end, ApiRefused)


def test_one_malformed_item_of_a_list_leaves_the_others():
    items = [service("a"), service("b", spec={"ports": [{"port": "eighty"}]}), service("c")]
    body = json.dumps({"metadata": {"resourceVersion": "9"}, "items": items}).encode()

    page = SERVICES.page(body)

    assert names(page.items) == ["a", "b", "c"]
    assert [type(item) for item in page.items] == [Service, Malformed, Service]


def test_a_malformed_object_is_reported_with_its_name_and_the_field():
    block = SERVICES.events(line("ADDED", service("web", spec={"ports": [{"port": "eighty"}]})))

    [event] = block.events
    assert isinstance(event.object, Malformed)
    assert event.object.metadata.resource_version == "7"
    assert event.object.problem.subject == "Service shop/web"
    assert event.object.problem.field == "spec.ports[0].port"
    assert "Expected `int | null`, got `str`" in event.object.problem.message


def test_one_malformed_event_leaves_the_others_of_its_chunk():
    lines = b"".join(
        (
            line("ADDED", service("a")),
            line("MODIFIED", service("b", spec="none")),
            line("ADDED", service("c")),
        )
    )

    block = SERVICES.events(lines)

    assert [type(event.object) for event in block.events] == [Service, Malformed, Service]


@pytest.mark.parametrize("obj", [{"metadata": 5}, {"metadata": {"name": 5}}, [], "web", None])
def test_an_object_without_readable_metadata_is_still_reported(obj: object):
    block = SERVICES.events(line("ADDED", obj))

    [event] = block.events
    assert isinstance(event.object, Malformed)
    assert event.object.metadata == ObjectMeta()
    assert event.object.problem.subject == "Service (without a readable name)"


@pytest.mark.parametrize(
    "garbage",
    [b"<html>\n", b'{"type":"ADDED","obj\n', b"\x00\n", b'{"type":"\xff"}\n', b"7\n", b"{}\n"],
)
def test_a_line_that_is_no_event_ends_the_watch_after_what_came_before(garbage: bytes):
    block = SERVICES.events(line("ADDED", service("a")) + garbage + line("ADDED", service("b")))

    assert names([event.object for event in block.events]) == ["a"]
    assert isinstance(block.end, ApiGarbled)


def test_absurdly_deep_nesting_is_garbage_not_a_crash():
    block = SERVICES.events(line("ADDED", service("a", x=0)).replace(b"0", b"[" * 100_000))

    assert isinstance(block.end, ApiGarbled)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"metadata":{"resourceVersion":"1"},"items":[', b"[]", b"{}"]
)
def test_a_body_that_is_no_list_is_garbage(body: bytes):
    with pytest.raises(ApiGarbled):
        SERVICES.page(body)


def test_a_list_without_resource_version_is_garbage():
    """Watching from no version would tell everything again, and miss what lies between."""
    with pytest.raises(ApiGarbled, match="no resourceVersion"):
        SERVICES.page(b'{"metadata":{},"items":[]}')


def test_an_empty_list_may_have_null_items():
    page = SERVICES.page(b'{"metadata":{"resourceVersion":"1"},"items":null}')

    assert page.items == []


def test_decoding_keeps_nothing_of_fields_that_are_not_read():
    page = SERVICES.page(recording("list-services").body)

    assert b"managedFields" not in msgspec.json.encode(page.items)
