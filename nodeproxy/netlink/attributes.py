"""Netlink attributes: type-length-value, aligned to four bytes (linux/netlink.h).

      0             2             4
      +-------------+-------------+------------------+---------+
      | length (16) | type   (16) | payload          | padding |
      +-------------+-------------+------------------+---------+
        native byte order          nf_tables numbers: big endian

The length counts header and payload, not the padding. The flag NLA_F_NESTED is left out on
purpose: the kernel dumps nf_tables expressions without it, so what we send compares byte by
byte with what we read back.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_HEADER = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
"""Strips NLA_F_NESTED and NLA_F_NET_BYTEORDER."""
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

MAX_PAYLOAD = 0xFFFF - _HEADER.size
"""Longest payload of one attribute in bytes."""


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute with its padding; nested ones pass their attributes joined."""
    size = len(payload)
    return _HEADER.pack(size + 4, kind) + payload + _PADDING[size & 3]


def u32(kind: int, value: int) -> bytes:
    """An attribute of 32 bits in network order, as nf_tables has all its numbers."""
    return struct.pack("=HH", 8, kind) + struct.pack(">I", value & 0xFFFFFFFF)


def u64(kind: int, value: int) -> bytes:
    """An attribute of 64 bits in network order."""
    return struct.pack("=HH", 12, kind) + struct.pack(">Q", value)


def string(kind: int, text: str) -> bytes:
    """A zero-terminated string."""
    return attribute(kind, text.encode() + b"\0")


def parse(data: bytes) -> dict[int, bytes]:
    """Attributes by type; of repeated ones the last. Stops at a truncated one."""
    return dict(iterate(data))


def iterate(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each attribute in order, for lists with repeated types."""
    offset, end = 0, len(data)
    while offset + 4 <= end:
        size, kind = _HEADER.unpack_from(data, offset)
        if size < 4 or offset + size > end:
            return
        yield kind & _TYPE_MASK, data[offset + 4 : offset + size]
        offset += (size + 3) & ~3


def parse_u32(payload: bytes) -> int:
    """The value of a 32-bit attribute in network order."""
    return int.from_bytes(payload[:4], "big")


def parse_string(payload: bytes) -> str:
    """Text up to the first zero byte."""
    return payload.partition(b"\0")[0].decode(errors="replace")
