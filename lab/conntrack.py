"""The node's connection tracking as a table: entries written into it and read out of it.

An entry put here is one as packets leave behind, with both directions as told; no packet is sent.
Written in the kernel's own format (linux/netfilter/nfnetlink_conntrack.h), read by `conntrack`.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from lab.flows import Tuple
from lab.namespace import Namespace

_NETLINK_NETFILTER = 12
_NEW = 1 << 8
_CREATE_FLAGS = 0x1 | 0x400 | 0x200  # NLM_F_REQUEST, NLM_F_CREATE, NLM_F_EXCL
_ACK = 0x4
_HEADER = struct.Struct("=IHHII")
_NESTED = 0x8000
_ORIGINAL, _REPLY, _STATUS, _TIMEOUT = 1, 2, 3, 7
_IP, _PROTO = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_PROTOINFO, _PROTOINFO_TCP, _TCP_STATE, _ESTABLISHED = 4, 1, 1, 3
_STATUS_OF_REAL_FLOWS = 0x2 | 0x4 | 0x8  # SEEN_REPLY, ASSURED, CONFIRMED
_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_AT_ONCE = 200
_LINE = re.compile(
    r"^(?:ipv[46]\s+\d+\s+)?(?P<protocol>\w+)\s.*?"
    r"src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+).*?src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)"
)


class Entry(NamedTuple):
    """A flow with ports."""

    protocol: str
    """`tcp`, `udp` or `sctp`."""
    original: Tuple
    reply: Tuple

    @classmethod
    def to(
        cls,
        service: tuple[str, int],
        endpoint: tuple[str, int],
        *,
        client: tuple[str, int] = ("10.0.0.1", 4000),
        protocol: str = "udp",
    ) -> Entry:
        """A client's flow to a service, translated to an endpoint."""
        return cls(protocol, Tuple(*client, *service), Tuple(*endpoint, *client))


def encode(entry: Entry) -> bytes:
    """The attributes of an entry that say who speaks with whom, as the kernel tells them."""
    number = _NUMBERS[entry.protocol]
    return _tuple(_ORIGINAL, number, entry.original) + _tuple(_REPLY, number, entry.reply)


def add_entries(namespace: Namespace, entries: Iterable[Entry], *, seconds: int = 600) -> int:
    """Put entries into the table of a namespace, as if they had seen answers.

    Returns:
        How many; fewer than asked if the table is full or they were there.
    """
    with namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.bind((0, 0))
        remaining = iter(entries)
        count = 0
        while chunk := list(islice(remaining, _AT_ONCE)):
            count += _add(sock, chunk, seconds)
        return count


def list_entries(namespace: Namespace, family: str = "ipv4") -> list[Entry]:
    """Everything with ports in the table, as `conntrack` lists it."""
    listing = namespace.run("conntrack", "-L", "-f", family, with_warnings=False)
    return [entry for line in listing.splitlines() if (entry := _parse(line)) is not None]


def _add(sock: socket.socket, chunk: list[Entry], seconds: int) -> int:
    messages = (
        _message(entry, seq, seconds, is_last=seq == len(chunk))
        for seq, entry in enumerate(chunk, start=1)
    )
    sock.send(b"".join(messages))
    refused = 0
    while True:
        for seq, code in _answers(sock.recv(1 << 16)):
            refused += code != 0
            if code not in (0, -17, -12):
                raise OSError(-code, f"adding {chunk[seq - 1]}: {os.strerror(-code)}")
            if seq == len(chunk):
                return len(chunk) - refused


def _message(entry: Entry, seq: int, seconds: int, *, is_last: bool) -> bytes:
    body = encode(entry)
    body += _attribute(_STATUS, struct.pack(">I", _STATUS_OF_REAL_FLOWS))
    body += _attribute(_TIMEOUT, struct.pack(">I", seconds))
    if entry.protocol == "tcp":
        state = _attribute(_TCP_STATE, bytes([_ESTABLISHED]))
        body += _attribute(_PROTOINFO | _NESTED, _attribute(_PROTOINFO_TCP | _NESTED, state))
    family = socket.AF_INET6 if ":" in entry.original.source else socket.AF_INET
    flags = _CREATE_FLAGS | (_ACK if is_last else 0)
    header = _HEADER.pack(_HEADER.size + 4 + len(body), _NEW, flags, seq, 0)
    return header + struct.pack("=BBH", family, 0, 0) + body


def _tuple(kind: int, number: int, ends: Tuple) -> bytes:
    is_ipv6 = ":" in ends.source
    family, first = (socket.AF_INET6, 3) if is_ipv6 else (socket.AF_INET, 1)
    addresses = _attribute(first, socket.inet_pton(family, ends.source))
    addresses += _attribute(first + 1, socket.inet_pton(family, ends.destination))
    proto = _attribute(_NUMBER, bytes([number]))
    proto += _attribute(_SOURCE_PORT, ends.source_port.to_bytes(2, "big"))
    proto += _attribute(_DESTINATION_PORT, ends.destination_port.to_bytes(2, "big"))
    both = _attribute(_IP | _NESTED, addresses) + _attribute(_PROTO | _NESTED, proto)
    return _attribute(kind | _NESTED, both)


def _attribute(kind: int, payload: bytes) -> bytes:
    padding = bytes(-len(payload) % 4)
    return struct.pack("=HH", len(payload) + 4, kind) + payload + padding


def _answers(datagram: bytes) -> Iterator[tuple[int, int]]:
    """Sequence number and errno of each answer."""
    offset = 0
    while offset < len(datagram):
        length, kind, _, seq, _ = _HEADER.unpack_from(datagram, offset)
        if kind == 2:
            yield seq, struct.unpack_from("=i", datagram, offset + _HEADER.size)[0]
        offset += (length + 3) & ~3


def _parse(line: str) -> Entry | None:
    found = _LINE.match(line)
    if found is None:
        return None
    protocol, *ends = found.groups()
    (a, b, c, d), (e, f, g, h) = ends[:4], ends[4:]
    return Entry(protocol, Tuple(a, int(c), b, int(d)), Tuple(e, int(g), f, int(h)))
