"""Comments: stored as nft stores them, and never such that a listing breaks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.backends.nftables.userdata import (
    COMMENT,
    MAX_COMMENT_BYTES,
    SET_COMMENT,
    clip_comment,
    encode_comment,
    parse_comment,
    udata,
)


@given(st.text())
def test_any_text_becomes_one_that_nft_can_quote(text: str):
    clipped = clip_comment(text)

    assert len(clipped.encode()) <= MAX_COMMENT_BYTES
    assert not set(clipped) & {'"', "\\", "\n", "\0"}
    assert clip_comment(clipped) == clipped


@given(st.text())
def test_comments_round_trip_behind_other_notes(text: str):
    clipped = clip_comment(text)
    notes = udata(3, b"another note") + encode_comment(SET_COMMENT, clipped)

    assert parse_comment(notes, SET_COMMENT) == clipped
    assert parse_comment(notes, COMMENT) == ""


@given(st.binary(max_size=40))
def test_foreign_notes_are_read_without_an_error(notes: bytes):
    assert isinstance(parse_comment(notes, COMMENT), str)
