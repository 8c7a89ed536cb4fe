"""nft syntax for everything in `objects`: what `nft list` would print and `nft -f` would load."""

from __future__ import annotations

import sys
from typing import assert_never

from nodeproxy.backends.nftables.objects import (
    MAX_RECORDS,
    TABLE,
    AffinityId,
    Chain,
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
    SetSpec,
    Statement,
    ValueKind,
)
from nodeproxy.model.addresses import Addr, Family, format_addr, format_cidr, netmask
from nodeproxy.model.keys import Protocol

NFT_FAMILY = {Family.IPV4: "ip", Family.IPV6: "ip6"}
_ADDRESS_TYPE = {Family.IPV4: "ipv4_addr", Family.IPV6: "ipv6_addr"}


def field_text(field: Field, family: Family) -> str:
    """A field as expression: `ip daddr`, `meta l4proto`, `th dport`."""
    match field:
        case Field.SOURCE | Field.DESTINATION:
            return f"{NFT_FAMILY[family]} {field.value}"
        case Field.PROTOCOL:
            return "meta l4proto"
        case Field.PORT:
            return "th dport"
        case Field.AFFINITY:
            return "meta priority"
        case _:
            assert_never(field)


def key_text(fields: tuple[Field, ...], family: Family) -> str:
    """A concatenation of fields."""
    return " . ".join(field_text(field, family) for field in fields)


def statement_text(statement: Statement, family: Family) -> str:
    """One statement of a rule."""
    match statement:
        case MatchAddress(field, cidr, negate):
            full = cidr.prefix_length == family.addr_bytes * 8
            value = format_addr(cidr.addr) if full else format_cidr(cidr)
            return f"{field_text(field, family)} {'!= ' if negate else ''}{value}"
        case MatchInterface(name, is_prefix, negate):
            return f'iifname {"!= " if negate else ""}"{name}{"*" if is_prefix else ""}"'
        case MatchLocal(field):
            return f"fib {field.value} type local"
        case MatchNewConnection():
            return "ct state new"
        case MatchTranslated(negate):
            return f"ct status {'! ' if negate else ''}dnat"
        case MatchMark(bit):
            return f"meta mark & 0x{bit:08x} != 0x00000000"
        case MatchTcp():
            return "meta l4proto tcp"
        case InSet(fields, set_name):
            return f"{key_text(fields, family)} @{set_name}"
        case NetworkInSet(prefix_length, fields, set_name):
            mask = format_addr(Addr(netmask(prefix_length, family)))
            source = f"{field_text(Field.SOURCE, family)} & {mask}"
            return f"{source} . {key_text(fields, family)} @{set_name}"
        case SetMark(bit):
            return f"meta mark set meta mark | 0x{bit:08x}"
        case ClearMark(bit):
            return f"meta mark set meta mark ^ 0x{bit:08x}"
        case DnatToSlot(fields, slots, map_name):
            key = f"{key_text(fields, family)} . numgen random mod {slots}"
            return f"dnat {NFT_FAMILY[family]} to {key} map @{map_name}"
        case DnatByMap(fields, map_name):
            return f"dnat {NFT_FAMILY[family]} to {key_text(fields, family)} map @{map_name}"
        case LoadAffinity(fields, map_name):
            return f"meta priority set {key_text(fields, family)} map @{map_name}"
        case ClearAffinity():
            return "meta priority set none"
        case Remember(fields, map_name, seconds):
            key = f"{key_text(fields, family)} timeout {duration_text(seconds)}"
            target = key_text((Field.DESTINATION, Field.PORT), family)
            return f"update @{map_name} {{ {key} : {target} }}"
        case Masquerade():
            return "masquerade fully-random"
        case Reject():
            return "reject"
        case Reset():
            return "reject with tcp reset"
        case Drop():
            return "drop"
        case Jump(chain):
            return f"jump {chain}"
        case Goto(chain):
            return f"goto {chain}"
        case Return():
            return "return"
        case _:
            assert_never(statement)


def duration_text(seconds: int) -> str:
    """A duration as nft prints it: `3h`, `1d2h`, `90` seconds are `1m30s`."""
    parts, rest = [], seconds
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def rule_text(rule: Rule, family: Family) -> str:
    """One rule on one line."""
    text = " ".join(statement_text(statement, family) for statement in rule.statements)
    return f'{text} comment "{rule.comment}"' if rule.comment else text


def chain_lines(chain: Chain, family: Family) -> list[str]:
    """A chain as the lines of a block, indented by one tab."""
    lines = [f"\tchain {chain.name} {{"]
    if chain.comment:
        lines.append(f'\t\tcomment "{chain.comment}"')
    if chain.hook:
        lines.append(f"\t\ttype {chain.hook.type} {chain.hook.text}; policy accept;")
    lines += [f"\t\t{rule_text(rule, family)}" for rule in chain.rules]
    return [*lines, "\t}"]


def set_lines(spec: SetSpec, family: Family, elements: list[str]) -> list[str]:
    """A set or map with its elements, already as text, as the lines of a block."""
    word = "set" if spec.kind in (ValueKind.NOTHING, ValueKind.MEMBERS) else "map"
    lines = [f"\t{word} {spec.name} {{", f"\t\t{set_type_text(spec, family)}"]
    if spec.kind is ValueKind.RECORDS:
        lines += [f"\t\tsize {MAX_RECORDS}", "\t\tflags dynamic,timeout"]
    lines.append(f'\t\tcomment "{spec.comment}"')
    if elements:
        lines.append("\t\telements = {")
        lines += [f"\t\t\t{element}," for element in elements[:-1]]
        lines += [f"\t\t\t{elements[-1]}", "\t\t}"]
    return [*lines, "\t}"]


def set_type_text(spec: SetSpec, family: Family) -> str:
    """The `type` or `typeof` line of a set."""
    if spec.kind is ValueKind.ENDPOINT:
        # Only typeof can name a numgen; "th dport" keeps the map open for UDP and SCTP: with
        # "tcp dport" a saved ruleset loads back with an added "meta l4proto tcp".
        key = f"{key_text(spec.fields, family)} . numgen random mod 2"
        return f"typeof {key} : {NFT_FAMILY[family]} daddr . th dport"
    types = {
        Field.SOURCE: _ADDRESS_TYPE[family],
        Field.DESTINATION: _ADDRESS_TYPE[family],
        Field.PROTOCOL: "inet_proto",
        Field.PORT: "inet_service",
        Field.AFFINITY: "classid",
    }
    key = " . ".join(types[field] for field in spec.fields)
    match spec.kind:
        case ValueKind.AFFINITY_ID:
            return f"type {key} : classid"
        case ValueKind.RECORDS:
            return f"type {key} : {_ADDRESS_TYPE[family]} . inet_service"
        case ValueKind.NOTHING | ValueKind.MEMBERS:
            return f"type {key}"
        case _:
            assert_never(spec.kind)


def element_text(spec: SetSpec, family: Family, key: bytes, value: str | AffinityId) -> str:
    """One element: `10.96.0.10 . tcp . 80 comment "shop/web:http"`, with ` : 7:5` in an id map."""
    text = _key_value_text(spec, family, key)
    comment, data = (value, "") if isinstance(value, str) else (value.comment, id_text(value))
    noted = f'{text} comment "{comment}"' if comment else text
    return f"{noted} : {data}" if data else noted


def id_text(value: AffinityId) -> str:
    """An affinity id as nft prints a packet's priority: two hexadecimal halves."""
    return f"{value.number >> 16:x}:{value.number & 0xFFFF:x}" if value.number else "none"


def member_text(spec: SetSpec, family: Family, key: bytes, data: bytes) -> str:
    """One endpoint of an affinity id: `5b1f:3 . 10.244.0.11 . 8080`."""
    return _key_value_text(spec, family, key + data)


def slot_text(spec: SetSpec, family: Family, key: bytes, slot: int, data: bytes) -> str:
    """One element of an endpoint map: `10.96.0.10 . tcp . 80 . 0 : 10.244.0.11 . 8080`."""
    return f"{_key_value_text(spec, family, key)} . {slot} : {target_text(data, family)}"


def target_text(data: bytes, family: Family) -> str:
    """The data of an endpoint map: `10.244.0.11 . 8080`."""
    size = family.addr_bytes
    port = int.from_bytes(data[size : size + 2], "big")
    return f"{format_addr(Addr(data[:size]))} . {port}"


def _key_value_text(spec: SetSpec, family: Family, key: bytes) -> str:
    parts, offset = [], 0
    for field in spec.fields:
        match field:
            case Field.SOURCE | Field.DESTINATION:
                parts.append(format_addr(Addr(key[offset : offset + family.addr_bytes])))
                offset += family.addr_bytes
            case Field.PROTOCOL:
                parts.append(_protocol_text(key[offset]))
                offset += 4
            case Field.PORT:
                parts.append(str(int.from_bytes(key[offset : offset + 2], "big")))
                offset += 4
            case Field.AFFINITY:
                number = int.from_bytes(key[offset : offset + 4], sys.byteorder)
                parts.append(id_text(AffinityId(number, "")))
                offset += 4
            case _:
                assert_never(field)
    return " . ".join(parts)


def _protocol_text(number: int) -> str:
    try:
        return Protocol(number).name.lower()
    except ValueError:
        return str(number)


def table_header(family: Family) -> str:
    """`table ip nodeproxy {`."""
    return f"table {NFT_FAMILY[family]} {TABLE} {{"
