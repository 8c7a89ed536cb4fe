"""Messages: framing, batches, and the kernel's refusals with their explanations."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.netlink import messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, string
from nodeproxy.netlink.messages import KernelError, Received


def refusal(
    code: int, *, flags: int = nf.NLM_F_CAPPED, echoed: bytes = b"", tlvs: bytes = b""
) -> Received:
    """An NLMSG_ERROR about message 7, with its request's header echoed."""
    header = struct.pack("=IHHII", 16 + len(echoed), 0xA00, 0, 7, 0)
    if tlvs:
        flags |= nf.NLM_F_ACK_TLVS
    return Received(nf.NLMSG_ERROR, flags, 7, 0, struct.pack("=i", -code) + header + echoed + tlvs)


def offset(number: int) -> bytes:
    return attribute(nf.NLMSGERR_ATTR_OFFS, struct.pack("=I", number))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 255),
            st.integers(0, 0xFFFFFFFF),
            st.sampled_from([2, 10]),
            st.binary(max_size=20).map(lambda raw: attribute(1, raw)),
        ),
        max_size=5,
    )
)
def test_messages_of_a_datagram_are_told_apart(parts: list[tuple[int, int, int, bytes]]):
    datagram = b"".join(
        messages.nft_message(kind, 0, seq, family, body) for kind, seq, family, body in parts
    )

    found = [(m.nft_kind, m.seq, m.family, m.body) for m in messages.split(datagram)]

    assert found == parts


@given(st.binary(max_size=80))
def test_garbage_is_split_without_an_error(datagram: bytes):
    assert len(list(messages.split(datagram))) <= len(datagram) // 16


def test_a_truncated_message_is_left_out():
    whole = messages.batch_begin()

    assert len(list(messages.split(whole + whole[:-1]))) == 1


def test_a_batch_names_its_subsystem_and_asks_for_one_acknowledgement():
    begin, end = messages.split(messages.batch_begin() + messages.batch_end(9))

    assert (begin.kind, end.kind) == (nf.NFNL_MSG_BATCH_BEGIN, nf.NFNL_MSG_BATCH_END)
    assert begin.payload[2:4] == end.payload[2:4] == b"\0\x0a"
    assert not begin.flags & nf.NLM_F_ACK
    assert end.flags & nf.NLM_F_ACK
    assert end.seq == 9


def test_an_acknowledgement_is_no_error():
    assert messages.parse_ack(refusal(0)) is None


def test_a_refusal_has_number_text_and_offset():
    received = refusal(errno.EINVAL, tlvs=string(nf.NLMSGERR_ATTR_MSG, "too odd") + offset(44))

    assert messages.parse_ack(received) == KernelError(7, errno.EINVAL, "too odd", 44)


def test_a_refusal_without_explanation_has_none():
    assert messages.parse_ack(refusal(errno.EBUSY)) == KernelError(7, errno.EBUSY, "", 0)


@pytest.mark.parametrize("echoed", [b"", b"\0" * 20])
def test_the_explanation_is_found_behind_an_echoed_request(echoed: bytes):
    """A kernel without NETLINK_CAP_ACK echoes the whole request."""
    received = refusal(errno.ENOENT, flags=0, echoed=echoed, tlvs=offset(20))

    error = messages.parse_ack(received)

    assert error is not None
    assert error.offset == 20
