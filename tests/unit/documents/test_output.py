from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, strategies

from nodeproxy.documents.output import format_yaml
from nodeproxy.documents.tree import Node, parse_tree

TEXTS = strategies.text(max_size=12) | strategies.sampled_from(
    ["yes", "null", "0x1f", "1e3", "1_000", "2026-11-24", "0.0.0.0", "::1", "30s", "# no", "- a"]
)
SCALARS = TEXTS | strategies.integers(-(10**6), 10**6) | strategies.booleans()
KEYS = strategies.from_regex(r"[a-z]{3,8}Xx", fullmatch=True)
VALUES = SCALARS | strategies.lists(TEXTS, max_size=3)
DOCUMENTS = strategies.dictionaries(
    KEYS, VALUES | strategies.dictionaries(KEYS, VALUES, max_size=3), min_size=1, max_size=4
)


@given(DOCUMENTS)
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    text = format_yaml(document)

    assert yaml.safe_load(text) == document
    assert plain(parse_tree(text.encode())[0]) == document


def plain(node: Node) -> object:
    if node.entries is not None:
        return {entry.key: plain(entry.value) for entry in node.entries}
    if node.items is not None:
        return [plain(item) for item in node.items]
    return node.scalar


def test_comments_stand_above_and_beside() -> None:
    document = {"a": {"b": 1, "c": ["x"]}, "d": ""}

    text = format_yaml(document, above={"a.b": "one\ntwo"}, beside={"a.c": "three", "d": "four"})

    assert text == ('a:\n  # one\n  # two\n  b: 1\n  c:  # three\n  - x\nd: ""  # four\n')


def test_text_has_quotes_only_where_it_needs_them() -> None:
    document = {"a": "30s", "b": "10.244.0.0/16", "c": "::1", "d": "/var/lib/x.conf", "e": "true"}

    assert format_yaml(document) == (
        'a: 30s\nb: 10.244.0.0/16\nc: "::1"\nd: /var/lib/x.conf\ne: "true"\n'
    )
