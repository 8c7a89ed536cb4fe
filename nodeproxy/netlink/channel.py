"""The one socket to the kernel's netfilter subsystem, in a blocking and in a listening form.

A batch is processed inside `sendmsg`: when it returns, the kernel has committed or refused, and
all its answers lie in the receive buffer. So nothing here ever waits for long, and an exchange
needs no event loop; callers run large batches in a thread.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from nodeproxy.errors import KernelUnsupported, NetlinkError, PermissionMissing
from nodeproxy.netlink import messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.messages import KernelError, Received

# Missing from the socket module; values of asm-generic/socket.h and linux/netlink.h.
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
_SO_ATTACH_FILTER = 26
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_EXT_ACK = 11
_NETLINK_CAP_ACK = 10

_RECEIVE_BYTES = 1 << 18
_BUFFER_BYTES = 1 << 28
"""Room for one batch and for its errors; a limit, not an allocation."""
_DUMP_ATTEMPTS = 5


class Channel(Protocol):
    """What the backend needs of the kernel; `NetfilterSocket` and the fake kernel have it."""

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        """Send one whole batch and collect the refusals; an empty list means committed.

        Args:
            batch: the messages, from BATCH_BEGIN on; without BATCH_END it is a dry run.
            last_seq: the sequence number of BATCH_END, whose acknowledgement ends the answer.

        Raises:
            PermissionMissing: CAP_NET_ADMIN is missing.
            NetlinkError: the batch or its answer was lost; the kernel's content is in doubt.
        """

    def dump(self, kind: int, family: int, body: bytes = b"") -> list[Received]:
        """All messages of one dump (kind: NFT_MSG_GET*); empty if the table does not exist.

        Raises:
            PermissionMissing: CAP_NET_ADMIN is missing.
            NetlinkError: the dump failed.
        """


class NetfilterSocket:
    """A NETLINK_NETFILTER socket in the current network namespace."""

    def __init__(self) -> None:
        """Open the socket.

        Raises:
            KernelUnsupported: the kernel has no netfilter netlink.
        """
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, nf.NETLINK_NETFILTER
            )
        except OSError as exc:
            raise KernelUnsupported(
                f"netfilter netlink is not available ({exc.strerror})",
                "load the module nf_tables, or build the kernel with CONFIG_NF_TABLES",
            ) from exc
        self._socket.bind((0, 0))
        self.portid: int = self._socket.getsockname()[0]
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        _grow_buffers(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        """See `Channel.transact`."""
        self._discard_leftovers()
        self._send(b"".join(batch))
        errors = []
        for received in self._answers():
            if received.kind != nf.NLMSG_ERROR:
                continue
            error = messages.parse_ack(received)
            if error is None:
                if received.seq == last_seq:
                    return []
                continue
            if error.errno == errno.EPERM:
                raise PermissionMissing("programming nf_tables")
            errors.append(error)
        return errors

    def dump(self, kind: int, family: int, body: bytes = b"") -> list[Received]:
        """See `Channel.dump`."""
        for _ in range(_DUMP_ATTEMPTS):
            answer = self._dump_once(kind, family, body)
            if answer is not None:
                return answer
        raise NetlinkError(
            "dump of nf_tables", errno.EINTR, f"changed {_DUMP_ATTEMPTS} times while being read"
        )

    def _dump_once(self, kind: int, family: int, body: bytes) -> list[Received] | None:
        self._discard_leftovers()
        self._send(messages.nft_message(kind, nf.NLM_F_DUMP, 1, family, body))
        found: list[Received] = []
        while True:
            for received in messages.split(self._receive()):
                if received.flags & nf.NLM_F_DUMP_INTR:
                    self._discard_leftovers()
                    return None
                if received.kind == nf.NLMSG_DONE:
                    return found
                if received.kind == nf.NLMSG_ERROR:
                    error = messages.parse_ack(received)
                    if error is None or error.errno == errno.ENOENT:
                        return found
                    if error.errno == errno.EPERM:
                        raise PermissionMissing("reading nf_tables")
                    raise NetlinkError("dump of nf_tables", error.errno, error.text)
                found.append(received)

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except PermissionError as exc:
            raise PermissionMissing("asking nf_tables") from exc
        except OSError as exc:
            detail = f"{len(datagram)} bytes were not taken"
            raise NetlinkError("nf_tables batch", exc.errno or errno.EIO, detail) from exc

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE_BYTES)
        except OSError as exc:
            raise NetlinkError("answer of nf_tables", exc.errno or errno.EIO) from exc

    def _answers(self) -> Iterator[Received]:
        """Everything that lies in the receive buffer now."""
        while True:
            try:
                datagram = self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as exc:
                raise NetlinkError("answer of nf_tables", exc.errno or errno.EIO) from exc
            yield from messages.split(datagram)

    def _discard_leftovers(self) -> None:
        """Drop what an exchange that failed half-way left in the buffer."""
        while True:
            try:
                self._socket.recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise NetlinkError("netfilter socket", exc.errno or errno.EIO) from exc


class NetfilterListener:
    """Receives the kernel's notifications of nf_tables changes, without those of one writer.

    A filter inside the kernel drops the notifications of `ignored_portid` (our own changes)
    before they are queued: a hundred thousand elements of ours must not overrun the buffer.
    """

    def __init__(self, ignored_portid: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            nf.NETLINK_NETFILTER,
        )
        self._socket.bind((0, 0))
        _grow_buffers(self._socket)
        _attach_filter(self._socket, ignored_portid)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, nf.NFNLGRP_NFTABLES)

    def fileno(self) -> int:
        """For event loops."""
        return self._socket.fileno()

    def close(self) -> None:
        """Release the socket."""
        self._socket.close()

    def receive(self) -> list[Received] | None:
        """Notifications that have arrived; None if some were lost (buffer overrun)."""
        found: list[Received] = []
        while True:
            try:
                found.extend(messages.split(self._socket.recv(_RECEIVE_BYTES)))
            except BlockingIOError:
                return found
            except OSError as exc:
                if exc.errno == errno.ENOBUFS:
                    return None
                raise NetlinkError("nf_tables notifications", exc.errno or errno.EIO) from exc


def _grow_buffers(sock: socket.socket) -> None:
    """Raise both buffers beyond the system's limit where we may, to the limit where not."""
    for forced, plain in ((_SO_SNDBUFFORCE, socket.SO_SNDBUF), (_SO_RCVBUFFORCE, socket.SO_RCVBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, _BUFFER_BYTES)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, _BUFFER_BYTES)


def _attach_filter(sock: socket.socket, portid: int) -> None:
    """Accept every message whose nlmsg_pid (offset 12, native order) is not `portid`.

    ld  [12]              A = nlmsg_pid, read in network order
    jeq #portid, 0, 1
    ret #0                ours: drop
    ret #-1               anybody else's: keep
    """
    swapped = struct.unpack(">I", struct.pack("=I", portid))[0]
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x20, 0, 0, 12),
            (0x15, 0, 1, swapped),
            (0x06, 0, 0, 0),
            (0x06, 0, 0, 0xFFFFFFFF),
        )
    )
    buffer = ctypes.create_string_buffer(program)
    header = struct.pack("@HP", 4, ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)
