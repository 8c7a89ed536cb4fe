"""Declarations of sets and maps, with the notes that make nft print them well.

nft keeps notes of its own about a set, which the kernel only stores: type (8), length (8), value.
Without them `nft list` could not name the numgen in the key of an endpoint map. They say
`typeof ip daddr . meta l4proto . th dport . numgen random mod 2 : ip daddr . th dport`.
"""

from __future__ import annotations

from typing import assert_never

from nodeproxy.backends.nftables.keys import SLOT_BYTES, key_bytes
from nodeproxy.backends.nftables.objects import MAX_RECORDS, Field, SetSpec, ValueKind
from nodeproxy.backends.nftables.userdata import SET_COMMENT, encode_comment, udata, udata_u32
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, string, u32

# nft's data type numbers; a concatenation packs them six bits each, last one lowest.
_TYPE_INTEGER, _TYPE_IPADDR, _TYPE_IP6ADDR = 4, 7, 8
_TYPE_INET_PROTOCOL, _TYPE_INET_SERVICE, _TYPE_CLASSID = 12, 13, 23
_TYPE_BITS = 6

# nft's numbers of notes, expressions, protocol headers and their fields.
_KEYBYTEORDER, _DATABYTEORDER, _KEY_TYPEOF, _DATA_TYPEOF = 0, 1, 3, 4
_HOST_ENDIAN = 1
_TYPEOF_EXPR, _TYPEOF_DATA = 0, 1
_EXPR_PAYLOAD, _EXPR_META, _EXPR_CONCAT, _EXPR_NUMGEN = 7, 9, 13, 23
_PROTO_TH, _PROTO_IP, _PROTO_IP6 = 11, 12, 13
_IP_SADDR, _IP_DADDR, _IP6_SADDR, _IP6_DADDR, _TH_DPORT = 11, 12, 8, 9, 2


def set_key_length(spec: SetSpec, family: Family) -> int:
    """NFTA_SET_KEY_LEN."""
    slot = SLOT_BYTES if spec.kind is ValueKind.ENDPOINT else 0
    return key_bytes(spec, family) + slot


def set_key_type(spec: SetSpec, family: Family) -> int:
    """NFTA_SET_KEY_TYPE: the fields' data types, six bits each."""
    address = _TYPE_IPADDR if family is Family.IPV4 else _TYPE_IP6ADDR
    numbers = {
        Field.SOURCE: address,
        Field.DESTINATION: address,
        Field.PROTOCOL: _TYPE_INET_PROTOCOL,
        Field.PORT: _TYPE_INET_SERVICE,
        Field.AFFINITY: _TYPE_CLASSID,
    }
    types = [numbers[field] for field in spec.fields]
    if spec.kind is ValueKind.ENDPOINT:
        types.append(_TYPE_INTEGER)
    return _concatenated(types)


def set_data_type(spec: SetSpec, family: Family) -> int:
    """NFTA_SET_DATA_TYPE: address and port of an endpoint, or a number; 0 without data."""
    match spec.kind:
        case ValueKind.ENDPOINT | ValueKind.RECORDS:
            address = _TYPE_IPADDR if family is Family.IPV4 else _TYPE_IP6ADDR
            return _concatenated([address, _TYPE_INET_SERVICE])
        case ValueKind.AFFINITY_ID:
            return _TYPE_CLASSID
        case ValueKind.NOTHING | ValueKind.MEMBERS:
            return 0
        case _:
            assert_never(spec.kind)


_FLAGS = {
    ValueKind.NOTHING: 0,
    ValueKind.ENDPOINT: nf.NFT_SET_MAP,
    ValueKind.AFFINITY_ID: nf.NFT_SET_MAP,
    ValueKind.MEMBERS: 0,
    ValueKind.RECORDS: nf.NFT_SET_MAP | nf.NFT_SET_EVAL | nf.NFT_SET_TIMEOUT,
}


def set_flags(spec: SetSpec) -> int:
    """NFTA_SET_FLAGS."""
    return _FLAGS[spec.kind]


def _concatenated(types: list[int]) -> int:
    packed = 0
    for number in types:
        packed = packed << _TYPE_BITS | number
    return packed


def encode_set(table: str, spec: SetSpec, family: Family, set_id: int) -> bytes:
    """Attributes of NEWSET."""
    parts = [
        string(nf.NFTA_SET_TABLE, table),
        string(nf.NFTA_SET_NAME, spec.name),
        u32(nf.NFTA_SET_FLAGS, set_flags(spec)),
        u32(nf.NFTA_SET_KEY_TYPE, set_key_type(spec, family)),
        u32(nf.NFTA_SET_KEY_LEN, set_key_length(spec, family)),
        u32(nf.NFTA_SET_ID, set_id),
    ]
    data_type = set_data_type(spec, family)
    if data_type:
        data_bytes = 4 if spec.kind is ValueKind.AFFINITY_ID else family.addr_bytes + 4
        parts.append(u32(nf.NFTA_SET_DATA_TYPE, data_type))
        parts.append(u32(nf.NFTA_SET_DATA_LEN, data_bytes))
    if spec.kind is ValueKind.RECORDS:
        parts.append(attribute(nf.NFTA_SET_DESC, u32(nf.NFTA_SET_DESC_SIZE, MAX_RECORDS)))
    parts.append(attribute(nf.NFTA_SET_USERDATA, _set_userdata(spec, family)))
    return b"".join(parts)


def _set_userdata(spec: SetSpec, family: Family) -> bytes:
    comment = encode_comment(SET_COMMENT, spec.comment)
    if spec.kind is ValueKind.AFFINITY_ID:
        key_order = _HOST_ENDIAN if spec.fields == (Field.AFFINITY,) else 0
        orders = udata_u32(_KEYBYTEORDER, key_order) + udata_u32(_DATABYTEORDER, _HOST_ENDIAN)
        return orders + comment
    if spec.kind is not ValueKind.ENDPOINT:
        return comment
    key = [_typeof_field(field, family) for field in spec.fields] + [_typeof_numgen()]
    data = [_typeof_field(Field.DESTINATION, family), _typeof_field(Field.PORT, family)]
    return (
        udata_u32(_KEYBYTEORDER, 0)
        + udata_u32(_DATABYTEORDER, 0)
        + udata(_KEY_TYPEOF, _typeof_concat(key))
        + udata(_DATA_TYPEOF, _typeof_concat(data))
        + comment
    )


def _typeof_concat(parts: list[bytes]) -> bytes:
    subs = b"".join(udata(index, part) for index, part in enumerate(parts))
    return udata_u32(_TYPEOF_EXPR, _EXPR_CONCAT) + udata(_TYPEOF_DATA, subs)


def _typeof_field(field: Field, family: Family) -> bytes:
    v4 = family is Family.IPV4
    match field:
        case Field.PROTOCOL:
            return _typeof(_EXPR_META, udata_u32(0, nf.NFT_META_L4PROTO))
        case Field.PORT:
            desc, number = _PROTO_TH, _TH_DPORT
        case Field.SOURCE:
            desc, number = (_PROTO_IP, _IP_SADDR) if v4 else (_PROTO_IP6, _IP6_SADDR)
        case Field.DESTINATION:
            desc, number = (_PROTO_IP, _IP_DADDR) if v4 else (_PROTO_IP6, _IP6_DADDR)
        case Field.AFFINITY:
            return _typeof(_EXPR_META, udata_u32(0, nf.NFT_META_PRIORITY))
        case _:
            assert_never(field)
    return _typeof(_EXPR_PAYLOAD, udata_u32(0, desc) + udata_u32(1, number))


def _typeof_numgen() -> bytes:
    type_, modulus, offset = udata_u32(0, nf.NFT_NG_RANDOM), udata_u32(1, 2), udata_u32(2, 0)
    return _typeof(_EXPR_NUMGEN, type_ + modulus + offset)


def _typeof(expression: int, data: bytes) -> bytes:
    return udata_u32(_TYPEOF_EXPR, expression) + udata(_TYPEOF_DATA, data)
