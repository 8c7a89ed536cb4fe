"""nf_tables expressions as bytes: the instructions a rule is made of.

Each function gives one list entry of NFTA_RULE_EXPRESSIONS. The attributes stand in the order in
which the kernel dumps them (verified on 6.18), so a rule that was read back equals the rule
that was sent, byte for byte; where a kernel dumps otherwise, the rule just looks different and
is written again.

Registers: `reg=0` is the first 128-bit register (nft's "reg 1"); `reg=n` is the n-th 32-bit
slot of the same space, which is how concatenations are laid out (nft's "reg 8+n").
"""

from __future__ import annotations

import struct

from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, string, u32, u64


def register(slot: int) -> int:
    """The register number of a 32-bit slot.

    The kernel dumps the slots 0, 4, 8 and 12 as the four 128-bit registers, hence the two ways.
    """
    return nf.NFT_REG_1 + slot // 4 if slot % 4 == 0 else nf.NFT_REG32_00 + slot


def _expression(name: str, *attributes: bytes) -> bytes:
    data = attribute(nf.NFTA_EXPR_DATA, b"".join(attributes))
    return attribute(nf.NFTA_LIST_ELEM, string(nf.NFTA_EXPR_NAME, name) + data)


def _value(kind: int, value: bytes) -> bytes:
    return attribute(kind, attribute(nf.NFTA_DATA_VALUE, value))


def payload(base: int, offset: int, length: int, reg: int = 0) -> bytes:
    """Load `length` bytes of a header at `offset` (base: NFT_PAYLOAD_*)."""
    return _expression(
        "payload",
        u32(nf.NFTA_PAYLOAD_DREG, register(reg)),
        u32(nf.NFTA_PAYLOAD_BASE, base),
        u32(nf.NFTA_PAYLOAD_OFFSET, offset),
        u32(nf.NFTA_PAYLOAD_LEN, length),
    )


def meta_load(key: int, reg: int = 0) -> bytes:
    """Load a property of the packet (key: NFT_META_*)."""
    return _expression("meta", u32(nf.NFTA_META_KEY, key), u32(nf.NFTA_META_DREG, register(reg)))


def meta_set(key: int) -> bytes:
    """Store the first register as a property of the packet (NFT_META_MARK, NFT_META_PRIORITY)."""
    return _expression("meta", u32(nf.NFTA_META_KEY, key), u32(nf.NFTA_META_SREG, register(0)))


def ct_load(key: int) -> bytes:
    """Load a property of the packet's connection (key: NFT_CT_*)."""
    return _expression("ct", u32(nf.NFTA_CT_DREG, register(0)), u32(nf.NFTA_CT_KEY, key))


def fib_address_type(flag: int) -> bytes:
    """Load the routing type of an address (flag: NFTA_FIB_F_SADDR or NFTA_FIB_F_DADDR)."""
    return _expression(
        "fib",
        u32(nf.NFTA_FIB_DREG, register(0)),
        u32(nf.NFTA_FIB_RESULT, nf.NFT_FIB_RESULT_ADDRTYPE),
        u32(nf.NFTA_FIB_FLAGS, flag),
    )


def compare(value: bytes, *, negate: bool = False) -> bytes:
    """Go on only if the first register begins with `value` (or, negated, does not)."""
    return _expression(
        "cmp",
        u32(nf.NFTA_CMP_SREG, register(0)),
        u32(nf.NFTA_CMP_OP, nf.NFT_CMP_NEQ if negate else nf.NFT_CMP_EQ),
        _value(nf.NFTA_CMP_DATA, value),
    )


def bitwise(mask: bytes, xor: bytes) -> bytes:
    """First register = (first register & mask) ^ xor; both of the same length."""
    return _expression(
        "bitwise",
        u32(nf.NFTA_BITWISE_SREG, register(0)),
        u32(nf.NFTA_BITWISE_DREG, register(0)),
        u32(nf.NFTA_BITWISE_LEN, len(mask)),
        u32(nf.NFTA_BITWISE_OP, nf.NFT_BITWISE_MASK_XOR),
        _value(nf.NFTA_BITWISE_MASK, mask),
        _value(nf.NFTA_BITWISE_XOR, xor),
    )


def host_u32(value: int) -> bytes:
    """32 bits as the kernel keeps marks, states and numgen results: native order."""
    return struct.pack("=I", value)


def numgen_random(modulus: int, reg: int) -> bytes:
    """Load a random number below `modulus`, native order."""
    return _expression(
        "numgen",
        u32(nf.NFTA_NG_DREG, register(reg)),
        u32(nf.NFTA_NG_MODULUS, modulus),
        u32(nf.NFTA_NG_TYPE, nf.NFT_NG_RANDOM),
        u32(nf.NFTA_NG_OFFSET, 0),
    )


def lookup(set_name: str) -> bytes:
    """Go on only if the key that starts at the first register is in the set."""
    return _expression(
        "lookup",
        string(nf.NFTA_LOOKUP_SET, set_name),
        u32(nf.NFTA_LOOKUP_SREG, register(0)),
        u32(nf.NFTA_LOOKUP_FLAGS, 0),
    )


def lookup_data(map_name: str) -> bytes:
    """Replace the key at the first register by the map's data; stop the rule if missing."""
    return _expression(
        "lookup",
        string(nf.NFTA_LOOKUP_SET, map_name),
        u32(nf.NFTA_LOOKUP_SREG, register(0)),
        u32(nf.NFTA_LOOKUP_DREG, register(0)),
        u32(nf.NFTA_LOOKUP_FLAGS, 0),
    )


def update(map_name: str, data_reg: int, milliseconds: int) -> bytes:
    """Write the element whose key starts at the first register, or renew its time.

    Args:
        map_name: a map with the flags dynamic and timeout.
        data_reg: the slot at which the data starts; an element that lives keeps the data it has.
        milliseconds: how long the element lives from now on.
    """
    return _expression(
        "dynset",
        u32(nf.NFTA_DYNSET_SREG_KEY, register(0)),
        u32(nf.NFTA_DYNSET_SREG_DATA, register(data_reg)),
        u32(nf.NFTA_DYNSET_OP, nf.NFT_DYNSET_OP_UPDATE),
        string(nf.NFTA_DYNSET_SET_NAME, map_name),
        u64(nf.NFTA_DYNSET_TIMEOUT, milliseconds),
        u32(nf.NFTA_DYNSET_FLAGS, 0),
    )


def dnat(nfproto: int, port_slot: int) -> bytes:
    """Translate the destination to the address at slot 0 and the port at `port_slot`."""
    return _expression(
        "nat",
        u32(nf.NFTA_NAT_TYPE, nf.NFT_NAT_DNAT),
        u32(nf.NFTA_NAT_FAMILY, nfproto),
        u32(nf.NFTA_NAT_REG_ADDR_MIN, register(0)),
        u32(nf.NFTA_NAT_REG_ADDR_MAX, register(0)),
        u32(nf.NFTA_NAT_REG_PROTO_MIN, register(port_slot)),
        u32(nf.NFTA_NAT_REG_PROTO_MAX, register(port_slot)),
        u32(nf.NFTA_NAT_FLAGS, nf.NF_NAT_RANGE_MAP_IPS | nf.NF_NAT_RANGE_PROTO_SPECIFIED),
    )


def masquerade_fully_random() -> bytes:
    """Source translation to the outgoing address with a random port (DP-24)."""
    return _expression("masq", u32(nf.NFTA_MASQ_FLAGS, nf.NF_NAT_RANGE_PROTO_RANDOM_FULLY))


def reject_port_unreachable(nfproto: int) -> bytes:
    """Answer with ICMP port unreachable, whatever the protocol (DP-8)."""
    v4 = nfproto == nf.NFPROTO_IPV4
    code = nf.ICMP_PORT_UNREACH if v4 else nf.ICMPV6_PORT_UNREACH
    return _expression(
        "reject",
        u32(nf.NFTA_REJECT_TYPE, nf.NFT_REJECT_ICMP_UNREACH),
        attribute(nf.NFTA_REJECT_ICMP_CODE, bytes([code])),
    )


def reject_tcp_reset() -> bytes:
    """Answer with a TCP reset; only behind a match for TCP."""
    return _expression("reject", u32(nf.NFTA_REJECT_TYPE, nf.NFT_REJECT_TCP_RST))


def immediate_u32(value: int) -> bytes:
    """Load a constant of 32 bits, in native order, into the first register."""
    return _expression(
        "immediate",
        u32(nf.NFTA_IMMEDIATE_DREG, register(0)),
        _value(nf.NFTA_IMMEDIATE_DATA, host_u32(value)),
    )


def immediate_verdict(code: int, chain: str = "") -> bytes:
    """End of a rule: NF_DROP, or NFT_JUMP or NFT_GOTO with a chain."""
    parts = u32(nf.NFTA_VERDICT_CODE, code)
    if chain:
        parts += string(nf.NFTA_VERDICT_CHAIN, chain)
    verdict = attribute(nf.NFTA_DATA_VERDICT, parts)
    return _expression(
        "immediate",
        u32(nf.NFTA_IMMEDIATE_DREG, nf.NFT_REG_VERDICT),
        attribute(nf.NFTA_IMMEDIATE_DATA, verdict),
    )
