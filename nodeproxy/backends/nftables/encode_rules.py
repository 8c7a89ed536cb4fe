"""Rules as expressions: the instructions the kernel runs for a statement.

Fields that make up a key are loaded side by side, each at the next 32-bit register:

    ip daddr . meta l4proto . th dport . numgen      slot  0     1       2      3     (IPv4)
                                                           0..3  4       5      6     (IPv6)
"""

from __future__ import annotations

from typing import assert_never

from nodeproxy.backends.nftables.objects import (
    ClearAffinity,
    ClearMark,
    DnatByMap,
    DnatToSlot,
    Drop,
    Field,
    Goto,
    InSet,
    Jump,
    LoadAffinity,
    Masquerade,
    MatchAddress,
    MatchInterface,
    MatchLocal,
    MatchMark,
    MatchNewConnection,
    MatchTcp,
    MatchTranslated,
    NetworkInSet,
    Reject,
    Remember,
    Reset,
    Return,
    Rule,
    SetMark,
    Statement,
)
from nodeproxy.model.addresses import Cidr, Family, netmask
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink import expressions
from nodeproxy.netlink import nf_tables as nf

NFPROTO = {Family.IPV4: nf.NFPROTO_IPV4, Family.IPV6: nf.NFPROTO_IPV6}

_SOURCE_OFFSET = {Family.IPV4: 12, Family.IPV6: 8}
_DESTINATION_OFFSET = {Family.IPV4: 16, Family.IPV6: 24}
_PORT_OFFSET = 2
"""Destination port in the headers of TCP, UDP and SCTP alike."""
_IFNAMSIZ = 16


def rule_expressions(rule: Rule, family: Family) -> bytes:
    """The payload of NFTA_RULE_EXPRESSIONS, as sent and as dumped."""
    return b"".join(encode_statement(statement, family) for statement in rule.statements)


def encode_statement(statement: Statement, family: Family) -> bytes:
    """The expressions of one statement."""
    match statement:
        case MatchAddress(field, cidr, negate):
            return _match_address(field, cidr, family, negate=negate)
        case MatchInterface(name, is_prefix, negate):
            raw = name.encode()
            value = raw if is_prefix else raw.ljust(_IFNAMSIZ, b"\0")
            load = expressions.meta_load(nf.NFT_META_IIFNAME)
            return load + expressions.compare(value, negate=negate)
        case MatchLocal(field):
            flag = nf.NFTA_FIB_F_SADDR if field is Field.SOURCE else nf.NFTA_FIB_F_DADDR
            local = expressions.compare(expressions.host_u32(nf.RTN_LOCAL))
            return expressions.fib_address_type(flag) + local
        case MatchNewConnection():
            return expressions.ct_load(nf.NFT_CT_STATE) + _any_bit(nf.CT_STATE_NEW)
        case MatchTranslated(negate):
            return expressions.ct_load(nf.NFT_CT_STATUS) + _any_bit(nf.IPS_DST_NAT, negate=negate)
        case MatchMark(bit):
            return expressions.meta_load(nf.NFT_META_MARK) + _any_bit(bit)
        case MatchTcp():
            load = expressions.meta_load(nf.NFT_META_L4PROTO)
            return load + expressions.compare(bytes([Protocol.TCP]))
        case InSet(fields, set_name):
            return _load(fields, family) + expressions.lookup(set_name)
        case NetworkInSet(prefix_length, fields, set_name):
            return _network_in_set(prefix_length, fields, set_name, family)
        case SetMark(bit):
            return _change_mark(mask=0xFFFFFFFF & ~bit, xor=bit)
        case ClearMark(bit):
            return _change_mark(mask=0xFFFFFFFF, xor=bit)
        case DnatToSlot(fields, slots, map_name):
            return _dnat(fields, slots, map_name, family)
        case DnatByMap(fields, map_name):
            translate = expressions.dnat(NFPROTO[family], family.addr_bytes // 4)
            return _load(fields, family) + expressions.lookup_data(map_name) + translate
        case LoadAffinity(fields, map_name):
            number = _load(fields, family) + expressions.lookup_data(map_name)
            return number + expressions.meta_set(nf.NFT_META_PRIORITY)
        case ClearAffinity():
            return expressions.immediate_u32(0) + expressions.meta_set(nf.NFT_META_PRIORITY)
        case Remember(fields, map_name, seconds):
            return _remember(fields, map_name, seconds, family)
        case Masquerade():
            return expressions.masquerade_fully_random()
        case Reject():
            return expressions.reject_port_unreachable(NFPROTO[family])
        case Reset():
            return expressions.reject_tcp_reset()
        case Drop():
            return expressions.immediate_verdict(nf.NF_DROP)
        case Jump(chain):
            return expressions.immediate_verdict(nf.NFT_JUMP, chain)
        case Goto(chain):
            return expressions.immediate_verdict(nf.NFT_GOTO, chain)
        case Return():
            return expressions.immediate_verdict(nf.NFT_RETURN)
        case _:
            assert_never(statement)


def _any_bit(bits: int, *, negate: bool = False) -> bytes:
    """Go on if the first register has any of these bits (or, negated, none)."""
    zero = expressions.host_u32(0)
    masked = expressions.bitwise(expressions.host_u32(bits), zero)
    return masked + expressions.compare(zero, negate=not negate)


def _change_mark(mask: int, xor: int) -> bytes:
    change = expressions.bitwise(expressions.host_u32(mask), expressions.host_u32(xor))
    load = expressions.meta_load(nf.NFT_META_MARK)
    return load + change + expressions.meta_set(nf.NFT_META_MARK)


def _match_address(field: Field, cidr: Cidr, family: Family, *, negate: bool) -> bytes:
    """Load as few bytes as the prefix needs when it ends on a byte, as nft does."""
    offset = (_SOURCE_OFFSET if field is Field.SOURCE else _DESTINATION_OFFSET)[family]
    base = nf.NFT_PAYLOAD_NETWORK_HEADER
    length, rest = divmod(cidr.prefix_length, 8)
    if rest == 0 and length > 0:
        value = cidr.addr[:length]
        load = expressions.payload(base, offset, length)
        return load + expressions.compare(value, negate=negate)
    size = family.addr_bytes
    load = expressions.payload(base, offset, size)
    masked = expressions.bitwise(netmask(cidr.prefix_length, family), bytes(size))
    return load + masked + expressions.compare(cidr.addr, negate=negate)


def _load(fields: tuple[Field, ...], family: Family, slot: int = 0) -> bytes:
    """Lay out fields as a concatenation from a register on."""
    parts = []
    for field in fields:
        parts.append(_load_field(field, family, slot))
        slot += _slots_of(field, family)
    return b"".join(parts)


def _slots_of(field: Field, family: Family) -> int:
    is_address = field in (Field.SOURCE, Field.DESTINATION)
    return family.addr_bytes // 4 if is_address else 1


def _load_field(field: Field, family: Family, slot: int) -> bytes:
    network, transport = nf.NFT_PAYLOAD_NETWORK_HEADER, nf.NFT_PAYLOAD_TRANSPORT_HEADER
    size = family.addr_bytes
    match field:
        case Field.SOURCE:
            return expressions.payload(network, _SOURCE_OFFSET[family], size, slot)
        case Field.DESTINATION:
            return expressions.payload(network, _DESTINATION_OFFSET[family], size, slot)
        case Field.PROTOCOL:
            return expressions.meta_load(nf.NFT_META_L4PROTO, slot)
        case Field.PORT:
            return expressions.payload(transport, _PORT_OFFSET, 2, slot)
        case Field.AFFINITY:
            return expressions.meta_load(nf.NFT_META_PRIORITY, slot)
        case _:
            assert_never(field)


def _dnat(fields: tuple[Field, ...], slots: int, map_name: str, family: Family) -> bytes:
    behind = sum(_slots_of(field, family) for field in fields)
    return (
        _load(fields, family)
        + expressions.numgen_random(slots, behind)
        + expressions.lookup_data(map_name)
        + expressions.dnat(NFPROTO[family], family.addr_bytes // 4)
    )


def _network_in_set(
    prefix_length: int, fields: tuple[Field, ...], set_name: str, family: Family
) -> bytes:
    """The source cut down to its network in the first registers, the other fields behind it."""
    size = family.addr_bytes
    source = _load_field(Field.SOURCE, family, 0)
    network = expressions.bitwise(netmask(prefix_length, family), bytes(size))
    return source + network + _load(fields, family, size // 4) + expressions.lookup(set_name)


def _remember(fields: tuple[Field, ...], map_name: str, seconds: int, family: Family) -> bytes:
    """Key from the first slot on, data from the next slot that begins a 128-bit register."""
    key_slots = sum(_slots_of(field, family) for field in fields)
    data_slot = -(-key_slots // 4) * 4
    data = _load((Field.DESTINATION, Field.PORT), family, data_slot)
    return _load(fields, family) + data + expressions.update(map_name, data_slot, seconds * 1000)
