"""JSON text to objects: lines of objects and fields, what is refused."""

from __future__ import annotations

import json

import pytest

from nodeproxy.documents.text import BrokenText
from nodeproxy.sources.manifests.jsontext import parse_json


def broken(data: bytes) -> BrokenText:
    with pytest.raises(BrokenText) as caught:
        parse_json(data)
    return caught.value


def test_file_is_one_object_that_starts_where_its_brace_stands():
    (found,) = parse_json(b'\n\n {"kind": "Service"}\n')

    assert found.line == 3
    assert found.decode(object) == {"kind": "Service"}


def test_blank_file_holds_nothing():
    assert parse_json(b" \n\t") == []


def test_byte_order_mark_of_an_editor_is_skipped():
    (found,) = parse_json(b'\xef\xbb\xbf{"a": 1}')

    assert found.decode(object) == {"a": 1}


def test_items_of_a_list_have_their_own_lines_even_if_equal():
    data = json.dumps({"kind": "List", "items": [{"a": 1}, {"a": 1}, 5, 5]}, indent=1).encode()

    (document,) = parse_json(data)

    assert [item.line for item in document.items()] == [4, 7, 10, 11]
    assert document.items()[3].decode(object) == 5


def test_object_without_a_list_of_items_has_none():
    (without,) = parse_json(b'{"kind": "List"}')
    (wrong,) = parse_json(b'{"kind": "List", "items": {"a": 1}}')
    (no_object,) = parse_json(b"[1]")

    assert [list(found.items()) for found in (without, wrong, no_object)] == [[], [], []]


def test_line_of_a_field_counts_from_the_top_of_the_file():
    value = {"items": [{"a": '\n{["'}, {"spec": {"x": [], "ports": [{"port": 1}, {"port": 2}]}}]}
    data = json.dumps(value, indent=1).encode()
    (document,) = parse_json(data)

    line = document.items()[1].line_of(("spec", "ports", 1, "port"))

    assert data.decode().splitlines()[line - 1].strip() == '"port": 2'


def test_line_of_a_missing_field_is_that_of_its_nearest_container():
    (found,) = parse_json(b'{"metadata": {},\n "spec": {\n "ports": []}}')

    assert found.line_of(("spec", "clusterIP")) == 2
    assert found.line_of(("spec", "ports", 0)) == 3
    assert found.line_of(("spec", 0)) == 2


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b'{"a": 1,\n"b": }', 2, "not JSON: invalid character"),
        (b'{"a": 1,\n"b": [1,\n', 2, "not JSON: the text ends in the middle of an object"),
        (b'{"a": 1}\n{"b": 2}', 2, "not JSON: trailing characters"),
        (b'{"a":\n"\xff"}', 2, "not UTF-8 text; save the file as UTF-8"),
        (b"[" * 100_000 + b"]" * 100_000, 1, "nested too deeply"),
    ],
)
def test_text_that_is_not_json_is_refused_with_its_line(data: bytes, line: int, reason: str):
    error = broken(data)

    assert (error.line, error.reason) == (line, reason)
