"""Netlink messages of nf_tables: headers, batches, acknowledgements.

      nlmsghdr (16)                              nfgenmsg (4)
      +--------+------+-------+-----+--------+   +--------+---------+--------+
      | length | type | flags | seq | portid |   | family | version | res_id |  attributes ...
      +--------+------+-------+-----+--------+   +--------+---------+--------+

A batch is one datagram: BATCH_BEGIN, messages, BATCH_END. The kernel applies all of it or
nothing; without BATCH_END it checks everything and then rolls back, which is a dry run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf

_NLMSGHDR = struct.Struct("=IHHII")
_NFGENMSG = struct.Struct(">BBH")
HEADER_BYTES = _NLMSGHDR.size + _NFGENMSG.size


def message(kind: int, flags: int, seq: int, family: int, body: bytes, res_id: int = 0) -> bytes:
    """One netfilter message; `kind` already carries its subsystem."""
    size = HEADER_BYTES + len(body)
    header = _NLMSGHDR.pack(size, kind, flags | nf.NLM_F_REQUEST, seq, 0)
    return header + _NFGENMSG.pack(family, 0, res_id) + body


def nft_message(kind: int, flags: int, seq: int, family: int, body: bytes) -> bytes:
    """One nf_tables message (kind: NFT_MSG_*)."""
    return message(nf.NFNL_SUBSYS_NFTABLES << 8 | kind, flags, seq, family, body)


def batch_begin() -> bytes:
    """Opens a transaction."""
    return message(nf.NFNL_MSG_BATCH_BEGIN, 0, 0, nf.NFPROTO_UNSPEC, b"", nf.NFNL_SUBSYS_NFTABLES)


def batch_end(seq: int) -> bytes:
    """Commits a transaction; asks for an acknowledgement, which carries `seq`."""
    return message(
        nf.NFNL_MSG_BATCH_END,
        nf.NLM_F_ACK,
        seq,
        nf.NFPROTO_UNSPEC,
        b"",
        nf.NFNL_SUBSYS_NFTABLES,
    )


class Received(msgspec.Struct, frozen=True, gc=False):
    """One message from the kernel."""

    kind: int
    """nlmsg_type, subsystem included."""
    flags: int
    seq: int
    portid: int
    """Netlink port of the writer for notifications; our own port for answers."""
    payload: bytes
    """Everything behind the nlmsghdr."""

    @property
    def nft_kind(self) -> int:
        """The NFT_MSG_* number."""
        return self.kind & 0xFF

    @property
    def family(self) -> int:
        """NFPROTO_* of an nf_tables message."""
        return self.payload[0]

    @property
    def body(self) -> bytes:
        """The attributes of an nf_tables message."""
        return self.payload[_NFGENMSG.size :]


def split(datagram: bytes) -> Iterator[Received]:
    """The messages of one datagram."""
    offset, end = 0, len(datagram)
    while offset + _NLMSGHDR.size <= end:
        size, kind, flags, seq, portid = _NLMSGHDR.unpack_from(datagram, offset)
        if size < _NLMSGHDR.size or offset + size > end:
            return
        yield Received(kind, flags, seq, portid, datagram[offset + _NLMSGHDR.size : offset + size])
        offset += (size + 3) & ~3


class KernelError(msgspec.Struct, frozen=True):
    """The kernel's refusal of one message of a batch."""

    seq: int
    errno: int
    """Positive."""
    text: str
    """The kernel's own explanation, often empty."""
    offset: int
    """Byte offset of the offending attribute in the message; 0 if the kernel does not tell."""


def parse_ack(received: Received) -> KernelError | None:
    """The error an NLMSG_ERROR message reports; None for a plain acknowledgement."""
    (code,) = struct.unpack_from("=i", received.payload)
    if code == 0:
        return None
    text, offset = "", 0
    if received.flags & nf.NLM_F_ACK_TLVS:
        found = attributes.parse(_extended_ack(received))
        text = attributes.parse_string(found.get(nf.NLMSGERR_ATTR_MSG, b""))
        offset = struct.unpack("=I", found.get(nf.NLMSGERR_ATTR_OFFS, b"\0\0\0\0"))[0]
    return KernelError(received.seq, -code, text, offset)


def _extended_ack(received: Received) -> bytes:
    """The attributes behind the echoed request, of which only the header is echoed if capped."""
    start = 4 + _NLMSGHDR.size
    if not received.flags & nf.NLM_F_CAPPED:
        (echoed,) = struct.unpack_from("=I", received.payload, 4)
        start = 4 + ((echoed + 3) & ~3)
    return received.payload[start:]
