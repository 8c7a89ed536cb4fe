"""Attributes: what is packed is parsed, and what is broken is not read beyond its end."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.netlink.attributes import (
    attribute,
    iterate,
    parse,
    parse_string,
    parse_u32,
    string,
    u32,
)

KINDS = st.integers(1, 0x3FFF)
LISTS = st.lists(st.tuples(KINDS, st.binary(max_size=40)), max_size=8)


@given(LISTS)
def test_lists_round_trip(pairs: list[tuple[int, bytes]]):
    data = b"".join(attribute(kind, payload) for kind, payload in pairs)

    assert list(iterate(data)) == pairs
    assert len(data) % 4 == 0


@given(LISTS, st.integers(0, 200))
def test_truncated_data_gives_a_beginning_of_the_list(pairs: list[tuple[int, bytes]], cut: int):
    data = b"".join(attribute(kind, payload) for kind, payload in pairs)

    found = list(iterate(data[:cut]))

    assert found == pairs[: len(found)]


@given(st.binary(max_size=100))
def test_garbage_ends_and_does_not_raise(data: bytes):
    assert sum(len(payload) + 4 for _, payload in iterate(data)) <= len(data)


@given(KINDS, st.integers(0, 0xFFFFFFFF))
def test_numbers_round_trip_in_network_order(kind: int, number: int):
    encoded = u32(kind, number)

    assert parse_u32(parse(encoded)[kind]) == number
    assert encoded[4:] == struct.pack(">I", number)


def test_a_negative_number_is_its_two_complement():
    """Verdicts and priorities are negative."""
    assert u32(1, -3) == u32(1, 0xFFFFFFFD)


@given(KINDS, st.text(alphabet=st.characters(min_codepoint=1, exclude_categories=["Cs"])))
def test_strings_round_trip(kind: int, text: str):
    assert parse_string(parse(string(kind, text))[kind]) == text


def test_a_string_that_is_no_utf8_is_still_read():
    assert parse_string(b"caf\xe9\0rest") == "caf\ufffd"


def test_the_flag_of_nested_attributes_is_not_part_of_the_type():
    assert parse(attribute(0x8000 | 4, b"abcd")) == {4: b"abcd"}


def test_of_repeated_types_parse_gives_the_last():
    assert parse(attribute(1, b"a") + attribute(1, b"b")) == {1: b"b"}
