"""Entries of connection tracking as the kernel tells them."""

from __future__ import annotations

import errno
import struct

import pytest

from lab.conntrack import Entry
from nodeproxy.errors import NetlinkError, PermissionMissing
from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.netlink import attributes
from nodeproxy.netlink.conntrack import (
    FlowFilter,
    FlowReader,
    delete_request,
    dump_request,
    identity_of,
)
from tests.support.fake_conntrack import end_of_dump, entry_message

IPV4 = Entry.to(("10.96.0.10", 53), ("10.244.0.4", 5353))
IPV6 = Entry.to(("fd00:96::a", 53), ("fd00:10::4", 5353), client=("fd00:10::9", 4000))
_ID = b"\x08\x00\x0c\x00"
_UDP, _TCP = 17, 6


def at(text: str, port: int) -> bytes:
    return parse_addr(text) + port.to_bytes(2, "big")


def whole_identity(message: bytes) -> bytes:
    return identity_of(message, 0, len(message))


def with_zone_in_tuple(message: bytes) -> bytes:
    """The same entry with CTA_TUPLE_ZONE in its original direction."""
    found = attributes.parse(message[20:])
    zone = attributes.attribute(3, b"\0\1")
    body = b"".join(
        attributes.attribute(kind | 0x8000, payload + zone if kind == 1 else payload)
        for kind, payload in found.items()
    )
    return struct.pack("=I", 20 + len(body)) + message[4:20] + body


@pytest.mark.parametrize(
    ("family", "entry", "destination", "answerer"),
    [
        (Family.IPV4, IPV4, at("10.96.0.10", 53), at("10.244.0.4", 5353)),
        (Family.IPV6, IPV6, at("fd00:96::a", 53), at("fd00:10::4", 5353)),
    ],
)
def test_entry_tells_where_it_is_sent_and_who_answers(
    family: Family, entry: Entry, destination: bytes, answerer: bytes
):
    reader = FlowReader(family, _UDP)

    (seen,) = reader.read(entry_message(entry, 7))

    assert seen[:2] == (destination, answerer)
    assert not reader.is_done


def test_entries_of_other_protocols_are_passed_over():
    """A kernel that knows no filter tells them."""
    other = [IPV4._replace(protocol="tcp"), IPV4._replace(protocol="sctp")]
    datagram = b"".join(entry_message(entry, 1) for entry in [*other, IPV4])

    found = list(FlowReader(Family.IPV4, _TCP).read(datagram))

    assert len(found) == 1


def test_entry_of_unusual_length_is_taken_apart():
    message = with_zone_in_tuple(entry_message(IPV4, 7))

    (seen,) = FlowReader(Family.IPV4, _UDP).read(message)

    assert seen[:2] == (at("10.96.0.10", 53), at("10.244.0.4", 5353))
    assert identity_of(message, *seen[2:]) == b""


def test_entry_without_ports_is_none():
    ping = attributes.attribute(1, attributes.attribute(2, attributes.attribute(1, b"\x01")))
    message = struct.pack("=IHHII", 20 + len(ping) + 200, 1 << 8, 2, 1, 1) + bytes(4)

    assert list(FlowReader(Family.IPV4, _UDP).read(message + ping + bytes(200))) == []


def test_truncated_entry_ends_the_datagram():
    message = entry_message(IPV4, 7)

    assert list(FlowReader(Family.IPV4, _UDP).read(message[:-1])) == []


def test_done_ends_the_dump_and_a_flag_tells_of_inconsistency():
    reader, interrupted = FlowReader(Family.IPV4, _UDP), FlowReader(Family.IPV4, _UDP)

    list(reader.read(entry_message(IPV4, 7) + end_of_dump()))
    list(interrupted.read(end_of_dump(flags=0x12)))

    assert (reader.is_done, reader.is_interrupted) == (True, False)
    assert (interrupted.is_done, interrupted.is_interrupted) == (True, True)


@pytest.mark.parametrize("kind", [2, 3], ids=["error", "done"])
def test_errors_of_the_kernel_end_the_dump(kind: int):
    def answer(code: int) -> bytes:
        return struct.pack("=IHHIIi", 20, kind, 0, 1, 1, -code)

    with pytest.raises(PermissionMissing):
        list(FlowReader(Family.IPV4, _UDP).read(answer(errno.EPERM)))
    with pytest.raises(NetlinkError, match="No buffer space"):
        list(FlowReader(Family.IPV4, _UDP).read(answer(errno.ENOBUFS)))


def test_identity_is_both_tuples_and_the_id():
    """CT-12."""
    message = entry_message(IPV4, 7)
    status = attributes.u32(3, 0x1E)

    identity = whole_identity(entry_message(IPV4, 7, more=status))

    assert identity == message[20:]
    assert identity != whole_identity(entry_message(IPV4, 8))
    assert delete_request(Family.IPV4, identity, 5, wants_ack=True)[20:] == identity


def test_entries_of_a_zone_have_no_identity():
    zone = attributes.attribute(18, b"\0\1")

    assert whole_identity(entry_message(IPV4, 7, more=zone)) == b""


def test_entry_without_id_has_no_identity():
    message = entry_message(IPV4, 7)

    assert whole_identity(message[: message.index(_ID)]) == b""


def test_ipv6_is_never_limited_by_address():
    """Kernels compare it the wrong way round."""
    addr = parse_addr("fd00:96::a")

    with_addr = dump_request(FlowFilter(Family.IPV6, _UDP, addr, 53))

    assert with_addr == dump_request(FlowFilter(Family.IPV6, _UDP, port=53))
    assert with_addr.find(addr) < 0
