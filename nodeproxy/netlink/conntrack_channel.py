"""The sockets to connection tracking: one to read by, one to delete by, one to ask for addresses.

They are the cleaner's own, so that a table of a million flows never stands in the way of rules: the
kernel answers a dump in steps of 32 KB, each when the one before has been taken, and holds no lock
between them. Two sockets, because flows are deleted while the dump goes on.

Every call blocks; the kernel may walk a large table for a tenth of a second until it finds the next
flow that was asked for. Callers are in a thread.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from typing import Protocol, Self

from nodeproxy.errors import KernelUnsupported, NetlinkError, PermissionMissing
from nodeproxy.model.addresses import Cidr, Family
from nodeproxy.netlink import messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.conntrack import FlowFilter, delete_request, dump_request
from nodeproxy.netlink.local_routes import (
    NETLINK_CAP_ACK,
    NETLINK_GET_STRICT_CHK,
    NETLINK_ROUTE,
    SOL_NETLINK,
    read_local_routes,
)

_RECEIVE_BYTES = 1 << 16
"""More than the 32 KB a dump answers at a time."""
_DELETES_AT_ONCE = 128
"""Requests in one datagram; each refusal is answered by 60 bytes into a buffer of 200 KB."""


class ConntrackChannel(Protocol):
    """What the cleaner needs of the kernel; `ConntrackSockets` and the tests' fake have it."""

    def start_dump(self, flow_filter: FlowFilter) -> None:
        """Begin to read; the dump before must have been read to its end.

        Raises:
            NetlinkError: the kernel did not take the request.
            PermissionMissing: CAP_NET_ADMIN is missing.
        """

    def receive(self) -> bytes:
        """The next datagram of the dump, for a `FlowReader`, which tells when it was the last.

        Raises:
            NetlinkError: the dump broke off.
        """

    def delete(self, family: Family, identities: Sequence[bytes]) -> int:
        """Delete these flows, see `identity_of`; returns how many were there and are deleted.

        Raises:
            NetlinkError: the answers were lost.
            PermissionMissing: CAP_NET_ADMIN is missing.
        """

    def own_networks(self, family: Family) -> tuple[Cidr, ...]:
        """What the node takes for its own addresses.

        Raises:
            NetlinkError: they could not be read.
        """

    def close(self) -> None:
        """Release everything; a dump may be left in the middle."""


class ConntrackSockets:
    """The sockets in the network namespace of the caller. One thread at a time may use them."""

    def __init__(self) -> None:
        """Open them.

        Raises:
            KernelUnsupported: the kernel has no netlink for netfilter.
        """
        try:
            self._reading = _open(nf.NETLINK_NETFILTER)
            self._deleting = _open(nf.NETLINK_NETFILTER)
            self._routes = _open(NETLINK_ROUTE)
        except OSError as exc:
            raise KernelUnsupported(
                f"netlink of connection tracking is not available ({exc.strerror})",
                "load the module nf_conntrack_netlink",
            ) from exc
        self._routes.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        self._deleting.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """See `ConntrackChannel.close`."""
        for sock in (self._reading, self._deleting, self._routes):
            sock.close()

    def start_dump(self, flow_filter: FlowFilter) -> None:
        """See `ConntrackChannel.start_dump`."""
        _send(self._reading, dump_request(flow_filter))

    def receive(self) -> bytes:
        """See `ConntrackChannel.receive`."""
        return _receive(self._reading)

    def delete(self, family: Family, identities: Sequence[bytes]) -> int:
        """See `ConntrackChannel.delete`."""
        return sum(
            self._delete_some(family, identities[at : at + _DELETES_AT_ONCE])
            for at in range(0, len(identities), _DELETES_AT_ONCE)
        )

    def own_networks(self, family: Family) -> tuple[Cidr, ...]:
        """See `ConntrackChannel.own_networks`."""
        return read_local_routes(self._routes, family)

    def _delete_some(self, family: Family, identities: Sequence[bytes]) -> int:
        """Send one datagram of requests, and read until the last of them was answered."""
        last = len(identities)
        requests = (
            delete_request(family, identity, seq, wants_ack=seq == last)
            for seq, identity in enumerate(identities, start=1)
        )
        _send(self._deleting, b"".join(requests))
        refused = 0
        while True:
            for received in messages.split(_receive(self._deleting)):
                if received.kind != nf.NLMSG_ERROR:
                    continue
                error = messages.parse_ack(received)
                if error is not None:
                    refused += 1
                    if error.errno == errno.EPERM:
                        raise PermissionMissing("deleting flows")
                if received.seq == last:
                    return last - refused


def _open(protocol: int) -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, 0))
    return sock


def _send(sock: socket.socket, datagram: bytes) -> None:
    try:
        sock.send(datagram)
    except PermissionError as exc:
        raise PermissionMissing("asking connection tracking") from exc
    except OSError as exc:
        raise NetlinkError("request to connection tracking", exc.errno or errno.EIO) from exc


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_RECEIVE_BYTES)
    except OSError as exc:
        raise NetlinkError("answer of connection tracking", exc.errno or errno.EIO) from exc
