"""Netlink messages of connection tracking: which flows to tell, what was told, which to forget.

One entry of a dump, as far as it is read here (IPv4; the ports of UDP, TCP and SCTP alike):

     0  nlmsghdr 16, nfgenmsg 4
    20  CTA_TUPLE_ORIG                  the packets as the client sends them
    24    CTA_TUPLE_IP                  28 source 4+4, 36 destination 4+4
    44    CTA_TUPLE_PROTO               48 number 4+1+3, 56 source port, 64 destination port 4+2+2
    72  CTA_TUPLE_REPLY                 the answers, laid out alike: their source is who answers
   124  status, timeout, ... id

The kernel has written both tuples in this order since it has had ctnetlink, so entries are read at
fixed places: a million of them pass in about a second. What has another length is taken apart
attribute by attribute, or is no flow with ports. An entry that shall be deleted is always taken
apart, so that a wrong guess could overlook a flow, but never delete one.

Kernels before 5.8 do not know CTA_FILTER and tell everything: who reads must look again. Those that
know it compare IPv6 addresses the wrong way round and leave out just what was asked for (seen with
6.18), so IPv6 is limited by protocol and port alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from nodeproxy.errors import NetlinkError, PermissionMissing
from nodeproxy.model.addresses import Addr, Family
from nodeproxy.netlink import messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink import nfnetlink_conntrack as ct
from nodeproxy.netlink.attributes import attribute, parse

_EPERM = 1
_NLA_F_NESTED = 0x8000
_NFPROTO = {Family.IPV4: nf.NFPROTO_IPV4, Family.IPV6: nf.NFPROTO_IPV6}
_DST_KINDS = {Family.IPV4: ct.CTA_IP_V4_DST, Family.IPV6: ct.CTA_IP_V6_DST}
_SRC_KINDS = {Family.IPV4: ct.CTA_IP_V4_SRC, Family.IPV6: ct.CTA_IP_V6_SRC}
_NEW = ct.NFNL_SUBSYS_CTNETLINK << 8 | ct.IPCTNL_MSG_CT_NEW
_GET = ct.NFNL_SUBSYS_CTNETLINK << 8 | ct.IPCTNL_MSG_CT_GET
_DELETE = ct.NFNL_SUBSYS_CTNETLINK << 8 | ct.IPCTNL_MSG_CT_DELETE


class FlowFilter(NamedTuple):
    """Which flows a dump shall tell; the kernel leaves out the others where it can."""

    family: Family
    protocol: int
    """IANA number."""
    addr: Addr = Addr(b"")
    """Destination as the client sends to it; empty: any. Does not limit IPv6, see above."""
    port: int = 0
    """Destination port as the client sends to it; 0: any."""


Seen = tuple[bytes, bytes, int, int]
"""A flow, read no further than it takes to judge it: its destination as the client sends to it and
who answers it, each an address with its port; then offset and length of its message. A plain tuple,
because a name for each part costs a fifth of the time of reading."""


def dump_request(flow_filter: FlowFilter) -> bytes:
    """Ask for all flows of a family that pass the filter."""
    family, protocol, addr, port = flow_filter
    flags = ct.CTA_FILTER_F_CTA_PROTO_NUM
    parts = attribute(ct.CTA_PROTO_NUM, bytes([protocol]))
    tuple_ = b""
    if addr and family is Family.IPV4:
        flags |= ct.CTA_FILTER_F_CTA_IP_DST
        tuple_ = attribute(ct.CTA_TUPLE_IP, attribute(_DST_KINDS[family], addr))
    if port:
        flags |= ct.CTA_FILTER_F_CTA_PROTO_DST_PORT
        parts += attribute(ct.CTA_PROTO_DST_PORT, port.to_bytes(2, "big"))
    tuple_ += attribute(ct.CTA_TUPLE_PROTO, parts)
    # The flags are the one number here that is in native order.
    body = _nest(ct.CTA_TUPLE_ORIG, tuple_) + _nest(
        ct.CTA_FILTER, attribute(ct.CTA_FILTER_ORIG_FLAGS, struct.pack("=I", flags))
    )
    return messages.message(_GET, nf.NLM_F_DUMP, 1, _NFPROTO[family], body)


def delete_request(family: Family, identity: bytes, seq: int, *, wants_ack: bool) -> bytes:
    """Forget one flow, see `identity_of`; a refusal is always answered."""
    flags = nf.NLM_F_ACK if wants_ack else 0
    return messages.message(_DELETE, flags, seq, _NFPROTO[family], identity)


def identity_of(datagram: bytes, offset: int, size: int) -> bytes:
    """What names this entry and no other: both tuples and the kernel's id (CT-12).

    The id differs for an entry that took this one's place meanwhile, unless it has the very memory
    of the former. Empty for an entry of a conntrack zone: such flows belong to somebody else (a
    virtual switch, say).
    """
    found = parse(datagram[offset + messages.HEADER_BYTES : offset + size])
    original = found.get(ct.CTA_TUPLE_ORIG, b"")
    reply = found.get(ct.CTA_TUPLE_REPLY, b"")
    if ct.CTA_ZONE in found or ct.CTA_TUPLE_ZONE in parse(original) | parse(reply):
        return b""
    if not original or not reply or ct.CTA_ID not in found:
        return b""
    tuples = _nest(ct.CTA_TUPLE_ORIG, original) + _nest(ct.CTA_TUPLE_REPLY, reply)
    return tuples + attribute(ct.CTA_ID, found[ct.CTA_ID])


class FlowReader:
    """Takes apart the datagrams of one dump."""

    # Mutable state: how far the dump is.
    def __init__(self, family: Family, protocol: int) -> None:
        self.is_done = False
        self.is_interrupted = False
        """The kernel says that the table changed in a way that may have hidden entries."""
        self._layout = _LAYOUTS[family]
        self._family = family
        self._protocol = protocol

    def read(self, datagram: bytes) -> Iterator[Seen]:
        """The flows of this family and protocol in the next datagram.

        Raises:
            NetlinkError: the kernel ended the dump with an error.
            PermissionMissing: CAP_NET_ADMIN is missing.
        """
        unpack, tuple_bytes = self._layout.places.unpack_from, self._layout.tuple_bytes
        shortest, protocol = self._layout.places.size, self._protocol
        offset, end = 0, len(datagram)
        while offset + messages.HEADER_BYTES <= end:
            if offset + shortest <= end:
                size, kind, flags, original, addr, number, port, reply, by, by_port = unpack(
                    datagram, offset
                )
                if kind == _NEW and original == tuple_bytes == reply:
                    if size < shortest or offset + size > end:
                        return
                    if flags & nf.NLM_F_DUMP_INTR:
                        self.is_interrupted = True
                    if number == protocol:
                        yield addr + port, by + by_port, offset, size
                    offset += (size + 3) & ~3
                    continue
            size, kind, flags = _START.unpack_from(datagram, offset)
            if size < messages.HEADER_BYTES or offset + size > end:
                return
            if flags & nf.NLM_F_DUMP_INTR:
                self.is_interrupted = True
            if kind != _NEW:
                self._take_control(datagram[offset : offset + size])
            elif ends := self._take_apart(datagram[offset + messages.HEADER_BYTES : offset + size]):
                yield *ends, offset, size
            offset += (size + 3) & ~3

    def _take_control(self, message: bytes) -> None:
        """DONE or an error; both carry an errno."""
        (_, kind, _) = _START.unpack_from(message)
        if kind not in (nf.NLMSG_DONE, nf.NLMSG_ERROR):
            return
        self.is_done = True
        (code,) = struct.unpack_from("=i", message, 16)
        if code == -_EPERM:
            raise PermissionMissing("reading connection tracking")
        if code:
            raise NetlinkError("dump of connection tracking", -code)

    def _take_apart(self, body: bytes) -> tuple[bytes, bytes] | None:
        """Destination and answerer of an entry; None if it is none of those asked for."""
        found = parse(body)
        original = self._ends(found.get(ct.CTA_TUPLE_ORIG, b""))
        reply = self._ends(found.get(ct.CTA_TUPLE_REPLY, b""))
        if original is None or reply is None:
            return None
        return original[1], reply[0]

    def _ends(self, tuple_: bytes) -> tuple[bytes, bytes] | None:
        """Source and destination with their ports; None for what is not asked."""
        found = parse(tuple_)
        addrs = parse(found.get(ct.CTA_TUPLE_IP, b""))
        proto = parse(found.get(ct.CTA_TUPLE_PROTO, b""))
        source = addrs.get(_SRC_KINDS[self._family])
        destination = addrs.get(_DST_KINDS[self._family])
        source_port, port = proto.get(ct.CTA_PROTO_SRC_PORT), proto.get(ct.CTA_PROTO_DST_PORT)
        if proto.get(ct.CTA_PROTO_NUM) != bytes([self._protocol]):
            return None
        if source is None or destination is None or source_port is None or port is None:
            return None
        return source + source_port, destination + port


class _Layout(msgspec.Struct, frozen=True):
    places: struct.Struct
    """Length of the message, type, flags; length of the original tuple, destination, protocol,
    port; length of the reply tuple, its source and port."""
    tuple_bytes: int
    """Length of a tuple with ports and no zone."""


def _layout(addr_bytes: int) -> _Layout:
    """See the drawing above."""
    addresses = 4 + 2 * (4 + addr_bytes)
    tuple_bytes = 4 + addresses + 28
    before_protocol = 8  # headers of CTA_TUPLE_PROTO and its number
    original = f"H{2 + 4 + 4 + addr_bytes + 4}x{addr_bytes}s{before_protocol}xB15x2s2x"
    reply = f"H{2 + 4 + 4}x{addr_bytes}s{4 + addr_bytes + before_protocol + 4 + 4}x2s"
    header = f"IHH{messages.HEADER_BYTES - 8}x"
    places = struct.Struct(f"={header}{original}{reply}")
    return _Layout(places, tuple_bytes)


def _nest(kind: int, payload: bytes) -> bytes:
    return attribute(kind | _NLA_F_NESTED, payload)


_START = struct.Struct("=IHH")
_LAYOUTS = {family: _layout(family.addr_bytes) for family in Family}
