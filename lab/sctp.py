"""SCTP without a kernel that speaks it: association requests as raw packets.

Where the kernel has SCTP sockets, callers and servers use them. Elsewhere a question is an INIT
chunk and its answer an INIT ACK, whose state cookie carries the server's words. Connection
tracking and address translation treat them as any other association, and the checksum over each
packet shows that a translation left it whole::

    0               2               4               8              12
    | source port   | destination   | verification  | CRC32c        |    common header
    | type  | flags | length        |                                    chunk header
    | initiate tag  | window        | out    | in   | first TSN     |    INIT, INIT ACK
    | 7     | length                | cookie ...                         INIT ACK only

Numbers and layout: RFC 9260.
"""

from __future__ import annotations

import functools
import socket
import struct
from typing import NamedTuple

IPPROTO_SCTP = 132
INIT = 1
INIT_ACK = 2

_COMMON = struct.Struct("!HHII")
_CHUNK = struct.Struct("!BBH")
_INIT_BODY = struct.Struct("!IIHHI")
_PARAMETER = struct.Struct("!HH")
_STATE_COOKIE = 7
_TAG = 0x6E6F6465
"""Any number but zero."""
_WINDOW_BYTES = 65536
_STREAMS = 1
_CRC32C_POLYNOMIAL = 0x82F63B78


class Packet(NamedTuple):
    """What is of interest of an SCTP packet."""

    source_port: int
    destination_port: int
    chunk: int
    """The type of its first chunk."""
    cookie: bytes = b""
    """The words of an INIT ACK."""


@functools.cache
def has_sockets() -> bool:
    """Ask the kernel once whether it speaks SCTP itself."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM, IPPROTO_SCTP).close()
    except OSError:
        return False
    return True


def build(packet: Packet) -> bytes:
    """Write a packet with one INIT or INIT ACK chunk.

    An INIT has no verification tag yet; an INIT ACK answers with the tag of the INIT, which is
    the same in all of ours.
    """
    body = _INIT_BODY.pack(_TAG, _WINDOW_BYTES, _STREAMS, _STREAMS, _TAG)
    if packet.cookie:
        padding = bytes(-len(packet.cookie) % 4)
        body += _PARAMETER.pack(_STATE_COOKIE, _PARAMETER.size + len(packet.cookie))
        body += packet.cookie + padding
    chunk = _CHUNK.pack(packet.chunk, 0, _CHUNK.size + len(body)) + body
    tag = 0 if packet.chunk == INIT else _TAG
    ports = (packet.source_port, packet.destination_port)
    checksum = crc32c(_COMMON.pack(*ports, tag, 0) + chunk)
    return _COMMON.pack(*ports, tag, _swapped(checksum)) + chunk


def parse(data: bytes) -> Packet | None:
    """Read a packet; None if it is too short or its checksum is wrong."""
    if len(data) < _COMMON.size + _CHUNK.size:
        return None
    source_port, destination_port, tag, checksum = _COMMON.unpack_from(data)
    rest = data[_COMMON.size :]
    if _swapped(checksum) != crc32c(_COMMON.pack(source_port, destination_port, tag, 0) + rest):
        return None
    chunk = rest[0]
    cookie = rest[_CHUNK.size + _INIT_BODY.size :]
    if chunk == INIT_ACK and len(cookie) >= _PARAMETER.size:
        length = _PARAMETER.unpack_from(cookie)[1]
        return Packet(source_port, destination_port, chunk, cookie[_PARAMETER.size : length])
    return Packet(source_port, destination_port, chunk)


def without_ip_header(family: int, data: bytes) -> bytes:
    """The SCTP packet in what a raw socket received; IPv4 sockets hear the IP header too."""
    return data[(data[0] & 0x0F) * 4 :] if family == socket.AF_INET else data


def crc32c(data: bytes) -> int:
    """The checksum of SCTP, RFC 9260 appendix A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _crc_table()[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _swapped(checksum: int) -> int:
    """The checksum travels with its lowest byte first."""
    return int.from_bytes(checksum.to_bytes(4, "little"), "big")


@functools.cache
def _crc_table() -> tuple[int, ...]:
    return tuple(functools.reduce(_shifted, range(8), byte) for byte in range(256))


def _shifted(crc: int, _: int) -> int:
    return (crc >> 1) ^ (_CRC32C_POLYNOMIAL if crc & 1 else 0)
