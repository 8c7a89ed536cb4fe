"""What the node's connection tracking took in: the new flows of a namespace, as they come.

A flow is told when its first packet has passed all rules, before anybody can answer it. So a
question that left no flow here was refused or dropped by a rule, and one that did shows how its
addresses were translated, also if nobody answers.

Messages of linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple

from lab.namespace import Namespace

_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33
_GROUP_NEW = 1  # NFNLGRP_CONNTRACK_NEW
_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_NEW, _DELETE = _SUBSYSTEM | 0, _SUBSYSTEM | 2
_NLM_F_REQUEST, _NLM_F_ACK = 1, 4
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_NFGENMSG = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_TYPE_MASK = 0x3FFF
_ORIGINAL, _REPLY, _STATUS = 1, 2, 3
_IP, _PROTO = 1, 2
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_ICMP_ID, _ICMPV6_ID = 4, 7
_IPS_SRC_NAT, _IPS_DST_NAT = 1 << 4, 1 << 5
_PROTOCOLS = {1: "ping", 6: "tcp", 17: "udp", 58: "ping", 132: "sctp"}
_BUFFER_BYTES = 1 << 24
_RECEIVE_BYTES = 1 << 16


class Tuple(NamedTuple):
    """Both ends of a flow in one direction; a ping has its identifier as both ports."""

    source: str
    source_port: int
    destination: str
    destination_port: int


class Flow(NamedTuple):
    """A flow as its first packet passed the node."""

    protocol: str
    """`tcp`, `udp`, `sctp`, `ping`, or a number."""
    original: Tuple
    """As the caller sent it."""
    reply: Tuple
    """As answers to it are expected: from the server to whom it takes for the caller."""
    status: int

    @property
    def is_redirected(self) -> bool:
        """The destination was translated."""
        return bool(self.status & _IPS_DST_NAT)

    @property
    def is_masqueraded(self) -> bool:
        """The source was translated, be it the port alone."""
        return bool(self.status & _IPS_SRC_NAT)


class FlowLog:
    """Hears of new flows from now on; use as a context manager or call `close`."""

    def __init__(self, namespace: Namespace) -> None:
        self._socket = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
        self._socket.bind((0, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _GROUP_NEW)
        self._control = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)

    def new_flows(self) -> list[Flow]:
        """Everything since the last call, in order."""
        found: list[Flow] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += _flows(self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT))
        return found

    def forget_flows(self) -> None:
        """Let the node's connection tracking forget every flow."""
        body = _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
        length = _HEADER.size + len(body)
        self._control.send(_HEADER.pack(length, _DELETE, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0) + body)
        errno = -struct.unpack_from("=i", self._control.recv(_RECEIVE_BYTES), _HEADER.size)[0]
        if errno:
            raise OSError(errno, f"flushing connection tracking: {os.strerror(errno)}")

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
        self._control.close()

    def __enter__(self) -> FlowLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _flows(datagram: bytes) -> Iterator[Flow]:
    offset = 0
    while offset < len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, offset)
        if kind == _NEW:
            yield _flow(datagram[offset + _HEADER.size + _NFGENMSG.size : offset + length])
        offset += (length + 3) & ~3


def _flow(body: bytes) -> Flow:
    found = _attributes(body)
    protocol, original = _tuple(found[_ORIGINAL])
    status: int = struct.unpack("!I", found[_STATUS])[0]
    return Flow(protocol, original, _tuple(found[_REPLY])[1], status)


def _tuple(body: bytes) -> tuple[str, Tuple]:
    found = _attributes(body)
    source, destination = _attributes(found[_IP]).values()
    proto = _attributes(found[_PROTO])
    ping_id = proto.get(_ICMP_ID) or proto.get(_ICMPV6_ID) or bytes(2)
    source_port, destination_port = (
        int.from_bytes(proto.get(kind, ping_id), "big")
        for kind in (_SOURCE_PORT, _DESTINATION_PORT)
    )
    number = proto[_NUMBER][0]
    ends = Tuple(_address(source), source_port, _address(destination), destination_port)
    return _PROTOCOLS.get(number, str(number)), ends


def _address(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _attributes(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        found[kind & _TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found
