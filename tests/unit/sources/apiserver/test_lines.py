from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.sources.apiserver.failures import ApiGarbled
from nodeproxy.sources.apiserver.lines import LineAssembler


def test_a_line_in_two_chunks_comes_out_whole():
    lines = LineAssembler()

    first = lines.feed(b'{"type":"ADD')
    second = lines.feed(b'ED"}\n')

    assert (first, second) == (b"", b'{"type":"ADDED"}\n')


def test_complete_lines_come_out_at_once_and_the_rest_waits():
    lines = LineAssembler()

    block = lines.feed(b"one\ntwo\nthr")
    rest = lines.feed(b"ee\n")

    assert (block, rest) == (b"one\ntwo\n", b"three\n")


def test_an_object_of_several_mebibytes_is_one_line():
    lines = LineAssembler()
    line = b"x" * (3 << 20) + b"\n"

    blocks = [lines.feed(line[at : at + 65536]) for at in range(0, len(line), 65536)]

    assert b"".join(blocks) == blocks[-1] == line


def test_a_line_without_end_is_refused_before_memory_is_full():
    lines = LineAssembler(max_line_bytes=100)
    lines.feed(b"x" * 100)

    with pytest.raises(ApiGarbled, match="more than 100 bytes"):
        lines.feed(b"x")


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_however_the_bytes_are_cut_the_same_lines_come_out(data: bytes, cuts: list[int]):
    lines = LineAssembler()
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]

    blocks = [lines.feed(data[a:b]) for a, b in pairwise(marks)]

    assert b"".join(blocks) == data[: data.rfind(b"\n") + 1]
    assert all(block.endswith(b"\n") for block in blocks if block)
