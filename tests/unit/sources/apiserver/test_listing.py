from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Service
from nodeproxy.sources.apiserver.decode import Codec, Malformed
from nodeproxy.sources.apiserver.failures import ApiGarbled
from nodeproxy.sources.apiserver.listing import ListReader
from tests.support.apiserver.recordings import recording

SERVICES = Codec(Kind.SERVICE, Service)
SLICES = Codec(Kind.ENDPOINT_SLICE, EndpointSlice)
ENDPOINTS = Codec(Kind.ENDPOINTS, Endpoints)


def read(
    codec: Codec, body: bytes, chunk_bytes: int = 4096, *, is_incremental: bool = True
) -> tuple[list[ApiObject | Malformed], str, str]:
    """Everything a reader makes of a body that comes in chunks of a size."""
    reader = ListReader(codec, is_incremental=is_incremental)
    items: list[ApiObject | Malformed] = []
    for at in range(0, len(body), chunk_bytes):
        items += reader.feed(body[at : at + chunk_bytes])
    rest, metadata = reader.finish()
    return [*items, *rest], metadata.resource_version or "", metadata.continue_ or ""


def body_of(*items: object, **fields: object) -> bytes:
    document = {"kind": "ServiceList", "metadata": {"resourceVersion": "9"}, **fields}
    return msgspec.json.encode({**document, "items": items}) + b"\n"


def service(name: str, **fields: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "shop", "resourceVersion": "7"}, **fields}


@pytest.mark.parametrize("chunk_bytes", [1, 100, 4096, 1 << 20])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("list-services", SERVICES),
        ("list-endpointslices", SLICES),
        ("list-page-1", SLICES),
        ("list-endpoints", ENDPOINTS),
    ],
)
def test_recorded_lists_are_the_same_in_pieces_as_whole(name: str, codec: Codec, chunk_bytes: int):
    body = recording(name).body

    items, version, token = read(codec, body, chunk_bytes)

    whole = codec.page(body)
    assert items == whole.items
    assert (version, token) == (whole.resource_version, whole.continue_)


def test_items_come_before_the_list_is_complete():
    body = recording("list-endpointslices-big").body
    reader = ListReader(SLICES)

    first = reader.feed(body[: len(body) // 2])

    assert 0 < len(first) < len(SLICES.page(body).items)


def test_what_was_decoded_is_not_kept():
    body = recording("list-endpointslices-big").body
    reader = ListReader(SLICES)
    largest = 0

    for at in range(0, len(body), 1024):
        reader.feed(body[at : at + 1024])
        largest = max(largest, len(reader._buffer))

    assert largest < len(body) / 3


def test_the_bytes_between_items_inside_a_string_are_not_between_items():
    text = '},{"metadata":{'
    items = [service("a", note=text), service("b", note=[text]), service("c")]

    found, _, _ = read(SERVICES, body_of(*items), 10)

    assert [item.metadata.name for item in found] == ["a", "b", "c"]


@pytest.mark.parametrize("items", [b"null", b"[]"])
def test_an_empty_list_has_no_items(items: bytes):
    body = b'{"metadata":{"resourceVersion":"9","continue":""},"items":%b}\n' % items

    assert read(SERVICES, body, 5) == ([], "9", "")


def test_a_malformed_item_leaves_the_others():
    items = [service("a"), service("b", spec=7), service("c")]

    found, _, _ = read(SERVICES, body_of(*items), 20)

    assert [type(item) for item in found] == [Service, Malformed, Service]


def test_items_that_begin_with_their_kind_are_read_too():
    """As servers do that are not written in Go, or pass objects through untyped."""
    items = [{"apiVersion": "v1", "kind": "Service", **service(name)} for name in "abc"]

    found, _, _ = read(SERVICES, body_of(*items), 20)

    assert [item.metadata.name for item in found] == ["a", "b", "c"]


def test_a_list_whose_metadata_comes_last_is_read_too():
    document = {"items": [service("a"), service("b")], "metadata": {"resourceVersion": "9"}}

    found, version, _ = read(SERVICES, json.dumps(document).encode(), 20)

    assert ([item.metadata.name for item in found], version) == (["a", "b"], "9")


def test_a_list_with_spaces_is_read_too():
    document = {"metadata": {"resourceVersion": "9"}, "items": [service("a"), service("b")]}

    found, version, _ = read(SERVICES, json.dumps(document, indent=1).encode(), 20)

    assert ([item.metadata.name for item in found], version) == (["a", "b"], "9")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + b"x" * 20_000,
        b'{"metadata":{"resourceVersion":"9"},"items":[',
        b'{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{}},{"metadata":{}',
        b'{"metadata":{"resourceVersion":"9"},"items":[{"metadata":{}}]',
        b'{"metadata":{"resourceVersion":"9"},"items":[],"more":1}',
        b'{"metadata":{},"items":[]}',
    ],
)
def test_what_is_cut_off_or_no_list_is_garbage(body: bytes):
    with pytest.raises(ApiGarbled):
        read(SERVICES, body, 7)


def test_what_cannot_be_cut_can_be_read_whole():
    """Nothing of ours looks like this; if something ever does, the second attempt works."""
    nested = service("a", extra=[{"x": 1}, {"metadata": {"name": "inner"}}])
    body = body_of(nested, service("b"))

    with pytest.raises(ApiGarbled):
        read(SERVICES, body, 7)
    found, _, _ = read(SERVICES, body, 7, is_incremental=False)

    assert [item.metadata.name for item in found] == ["a", "b"]


NAMES = st.lists(st.text(max_size=8), max_size=12)


@given(NAMES, st.integers(1, 200))
def test_any_list_is_the_same_in_pieces_as_whole(names: list[str], chunk_bytes: int):
    body = body_of(*(service(name or "x", note={"of": [name]}) for name in names))

    items, version, _ = read(SERVICES, body, chunk_bytes)

    assert items == SERVICES.page(body).items
    assert version == "9"
