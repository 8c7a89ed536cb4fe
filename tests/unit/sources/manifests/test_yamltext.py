"""YAML text to objects: what scalars mean, which lines things stand on, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nodeproxy.documents.text import BrokenText
from nodeproxy.sources.manifests.yamltext import parse_yaml


def values(text: str) -> list[Any]:
    return [document.decode(object) for document in parse_yaml(text.encode())]


def broken(text: str | bytes) -> BrokenText:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(BrokenText) as caught:
        list(parse_yaml(data))
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("80", 80),
        ("-1", -1),
        ("0x1f", 31),
        ("0o17", 15),
        ("0644", 420),
        ("0080", "0080"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("Yes", True),
        ("OFF", False),
        ("null", None),
        ("~", None),
        ("None", "None"),
        ("10.96.0.10", "10.96.0.10"),
        ("fd00:10:96::10", "fd00:10:96::10"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ('"80"', "80"),
        ("'true'", "true"),
        ("!!str 80", "80"),
        ("!!int 80", 80),
        ("! 80", "80"),
    ],
)
def test_scalar_means_what_it_means_to_kubectl(text: str, value: object):
    (found,) = values(f"key: {text}\n")

    assert found == {"key": value}
    assert type(found["key"]) is type(value)


def test_keys_are_text_whatever_they_look_like():
    found = values("80: a\non: b\n1.5: c\n")

    assert found == [{"80": "a", "on": "b", "1.5": "c"}]


def test_every_document_that_is_not_empty_is_an_object_with_its_line():
    text = "# comment\n---\na: 1\n---\n\n---\n# nothing\n---\n\nb: 2\n...\n"

    found = list(parse_yaml(text.encode()))

    assert [(d.decode(object), d.line) for d in found] == [({"a": 1}, 3), ({"b": 2}, 10)]


def test_byte_order_mark_of_an_editor_is_skipped():
    found = values("\ufeffa: 1\n")

    assert found == [{"a": 1}]


def test_items_of_a_list_have_their_own_lines():
    text = "kind: List\nitems:\n- a: 1\n\n- b: 2\n  c: 3\n"

    (document,) = parse_yaml(text.encode())

    assert [(i.decode(object), i.line) for i in document.items()] == [
        ({"a": 1}, 3),
        ({"b": 2, "c": 3}, 5),
    ]


def test_line_of_a_field_is_found_in_a_later_document():
    text = "a: 1\n---\nspec:\n  ports:\n  - port: 80\n    name: x\n  - name: y\n    port: http\n"

    _, document = parse_yaml(text.encode())

    assert document.line_of(("spec", "ports", 1, "port")) == 8


def test_line_of_a_missing_field_is_that_of_its_nearest_container():
    (document,) = parse_yaml(b"metadata: {}\nspec:\n  ports: []\n")

    assert document.line_of(("spec", "clusterIP")) == 2
    assert document.line_of(("status", "x")) == 1
    assert document.line_of(("spec", "ports", 3)) == 3


def test_line_of_a_field_is_found_in_an_item_of_a_list():
    text = "items:\n  - spec: {a: 1}\n  - spec:\n      a: 2\n      b: x\nkind: List\n"

    (document,) = parse_yaml(text.encode())

    assert document.items()[1].line_of(("spec", "b")) == 5


def test_item_of_a_flow_list_gives_at_least_its_own_line():
    text = "items: [\n  {spec: {a: 1}},\n  {spec: {a: 2}}]\n"

    (document,) = parse_yaml(text.encode())

    assert document.items()[1].line_of(("spec", "a")) == 3


def test_aliases_and_merge_keys_give_the_values_they_stand_for():
    text = "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse: *b\nmix:\n  <<: [*b, *o]\n  x: 9\n"

    (found,) = values(text)

    assert found["use"] == {"x": 1, "y": 2}
    assert found["mix"] == {"x": 9, "y": 2, "z": 4}


def test_key_twice_in_one_mapping_is_refused_on_the_line_of_the_second():
    error = broken("metadata:\n  name: a\n  labels: {}\n  name: b\n")

    assert (error.line, error.reason) == (4, 'key "name" stands twice in one mapping')


def test_tab_in_the_indentation_is_called_a_tab():
    error = broken("metadata:\n\tname: a\n")

    assert (error.line, error.reason) == (2, "a tab in the indentation; YAML wants spaces")


def test_text_that_never_ends_names_the_line_it_began_on():
    error = broken('a: 1\nb: "x\nc: 2\n')

    assert error.line == 4
    assert error.reason.endswith("that began on line 2")


def test_aliases_that_would_repeat_billions_of_values_are_refused():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for this, before in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"{this}: &{this} [{', '.join([f'*{before}'] * 9)}]")

    error = broken("\n".join(lines))

    assert error.reason == "aliases repeat more than 100000 values; write them out"


def test_alias_inside_its_own_anchor_is_refused():
    error = broken("a: 1\nb: &b [*b]\n")

    assert (error.line, error.reason) == (2, 'alias "*b" has no complete anchor before it')


def test_anchor_of_another_document_is_unknown():
    error = broken("a: &a 1\n---\nb: *a\n")

    assert error.line == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: !!python/object:os.system x", "does not fit"),
        ("a: !secret x", "does not fit"),
        ("a: !!int x", "does not fit"),
        ("a: !!set {x}", "is not supported"),
        ("a: !foo [x]", "is not supported"),
        ("? [x]\n: y", "a key must be plain text"),
        ("a:\n  <<: 5", "needs a mapping"),
        ("a: " + "[" * 200 + "]" * 200, "nested more than 100 levels"),
        ("a: \x01", "is not allowed in YAML"),
        ("a: [", "expected"),
    ],
)
def test_text_beyond_plain_yaml_is_refused(text: str, reason: str):
    error = broken(text)

    assert reason in error.reason
    assert error.line >= 1


def test_text_that_is_not_utf_8_is_refused_with_its_line():
    error = broken(b"a: 1\nb: \xff\n")

    assert (error.line, error.reason) == (2, "not UTF-8 text; save the file as UTF-8")
