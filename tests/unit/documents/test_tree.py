from __future__ import annotations

import pytest

from nodeproxy.documents.text import BrokenText
from nodeproxy.documents.tree import Node, parse_tree


def parse_one(text: str) -> Node:
    (document,) = parse_tree(text.encode())
    return document


def test_every_value_knows_its_line() -> None:
    document = parse_one("a: 1\nb:\n  c: [x,\n      y]\n")

    section = document.get("b")
    assert section is not None
    values = section.get("c")
    assert values is not None
    assert values.items is not None
    assert [(item.scalar, item.line) for item in values.items] == [("x", 3), ("y", 4)]


def test_equal_keys_are_all_kept_and_the_last_counts() -> None:
    document = parse_one("a: 1\na: 2\n")

    value = document.get("a")
    assert value is not None
    assert value.scalar == 2
    assert [(entry.key, entry.line) for entry in document.entries or ()] == [("a", 1), ("a", 2)]


def test_documents_are_kept_apart_and_empty_ones_left_out() -> None:
    documents = parse_tree(b"---\na: 1\n---\n---\nb: 2\n")

    assert [document.line for document in documents] == [2, 5]


def test_json_is_yaml() -> None:
    document = parse_one('{"a": {"b": true}}')

    section = document.get("a")
    assert section is not None
    assert section.get("b") == Node(1, scalar=True)


def test_an_alias_is_the_value_it_names() -> None:
    document = parse_one("a: &x [1]\nb: *x\n")

    assert document.get("a") == document.get("b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "line 1: mapping values are not allowed"),
        ("a: *x", 'line 1: alias "\\*x" has no complete anchor'),
        ("a: 1\n\tb: 2", "line 2: a tab in the indentation"),
        ("[a]: 1", "line 1: a key must be plain text"),
        ("[" * 102 + "]" * 102, "nested more than 100 levels"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(BrokenText, match=message):
        parse_tree(text.encode())
