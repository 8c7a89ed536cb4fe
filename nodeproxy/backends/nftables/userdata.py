"""Comments and other notes that nft stores with objects: type (8), length (8), value.

The kernel keeps them without looking inside.
"""

from __future__ import annotations

import struct

from nodeproxy.netlink import attributes

COMMENT = 0
"""The comment of a table, chain, rule or element."""
SET_COMMENT = 7
"""The comment of a set; sets have other notes before it."""

MAX_COMMENT_BYTES = 127
"""nft refuses longer ones."""
_BREAKS_SYNTAX = frozenset('"\\')


def udata(kind: int, value: bytes) -> bytes:
    """One note."""
    return bytes([kind, len(value)]) + value


def udata_u32(kind: int, value: int) -> bytes:
    """A note of 32 bits in native order."""
    return udata(kind, struct.pack("=I", value))


def clip_comment(text: str) -> str:
    """The text nft will show: characters that would break its syntax replaced, the end cut off.

    Names of Kubernetes objects have no such characters; manifests written by hand may.
    """
    if text.isprintable() and not _BREAKS_SYNTAX.intersection(text) and len(text) <= 31:
        return text  # nearly always; no character takes more than four bytes
    clean = "".join(
        "?" if char in _BREAKS_SYNTAX or not char.isprintable() else char for char in text
    )
    return clean.encode()[:MAX_COMMENT_BYTES].decode(errors="ignore")


def encode_comment(kind: int, text: str) -> bytes:
    """A comment as nft stores it, zero-terminated; `text` is already clipped."""
    return udata(kind, text.encode() + b"\0")


def parse_comment(userdata: bytes, kind: int) -> str:
    """The comment among the notes; empty if there is none."""
    offset = 0
    while offset + 2 <= len(userdata):
        found, size = userdata[offset], userdata[offset + 1]
        if found == kind:
            return attributes.parse_string(userdata[offset + 2 : offset + 2 + size])
        offset += 2 + size
    return ""
