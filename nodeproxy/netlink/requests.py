"""Single requests to parts of the kernel that know no transactions: interfaces, ipsets, IPVS."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Self

from nodeproxy.errors import NetlinkError, PermissionMissing
from nodeproxy.netlink import messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.messages import Received

_NLMSGHDR = struct.Struct("=IHHII")
_SEQ_BYTES = slice(8, 12)
_RECEIVE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 10.0
"""The kernel answers at once; this ends the wait for an answer that was lost."""


def plain_message(kind: int, flags: int, body: bytes) -> bytes:
    """A message without the header of netfilter; the socket numbers it."""
    size = _NLMSGHDR.size + len(body)
    return _NLMSGHDR.pack(size, kind, flags | nf.NLM_F_REQUEST, 0, 0) + body


class RequestSocket:
    """A netlink socket in the current network namespace for one request at a time."""

    def __init__(self, protocol: int) -> None:
        """Open it; `protocol` is NETLINK_ROUTE, NETLINK_GENERIC or NETLINK_NETFILTER.

        Raises:
            NetlinkError: the kernel does not have it.
        """
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        try:
            self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        except OSError as exc:
            raise NetlinkError(f"netlink protocol {protocol}", exc.errno or errno.EIO) from exc
        self._socket.settimeout(_TIMEOUT_SECONDS)
        self._seq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, subject: str, message: bytes) -> list[Received]:
        """Send one request and take its answers, up to the acknowledgement or the end of the dump.

        Args:
            subject: what it is about, for the error.
            message: with NLM_F_ACK or NLM_F_DUMP.

        Raises:
            PermissionMissing: CAP_NET_ADMIN is missing.
            NetlinkError: the kernel refused.
        """
        self._seq += 1
        request = bytearray(message)
        request[_SEQ_BYTES] = struct.pack("=I", self._seq)
        try:
            self._socket.send(request)
            return self._answers(subject)
        except OSError as exc:
            raise NetlinkError(subject, exc.errno or errno.ETIMEDOUT) from exc

    def _answers(self, subject: str) -> list[Received]:
        found: list[Received] = []
        while True:
            for received in messages.split(self._socket.recv(_RECEIVE_BYTES)):
                if received.seq != self._seq:
                    continue
                if received.kind == nf.NLMSG_DONE:
                    return found
                if received.kind == nf.NLMSG_ERROR:
                    _raise_refusal(subject, received)
                    return found
                found.append(received)


def _raise_refusal(subject: str, received: Received) -> None:
    error = messages.parse_ack(received)
    if error is None:
        return
    if error.errno == errno.EPERM:
        raise PermissionMissing(subject)
    raise NetlinkError(subject, error.errno, error.text)
