"""What the kernel holds for one family, read back into the same values we would write.

Chains are compared as the bytes of their rules; sets by their declaration. Whatever is not
exactly ours comes back as None and is mended or pruned by the next commit; a set with our name
but another layout, or a base chain on another hook, makes the table unusable: it is deleted and
built anew in one transaction.
"""

from __future__ import annotations

import struct
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import assert_never

import msgspec

from nodeproxy.backends.nftables.encode_rules import NFPROTO, rule_expressions
from nodeproxy.backends.nftables.encode_sets import (
    set_data_type,
    set_flags,
    set_key_length,
    set_key_type,
)
from nodeproxy.backends.nftables.keys import ID_BYTES, SLOT_BYTES
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.objects import (
    TABLE,
    AffinityId,
    Chain,
    ElementValue,
    Hook,
    Members,
    SetSpec,
    Skeleton,
    Slots,
    ValueKind,
)
from nodeproxy.backends.nftables.sets import Shape, set_spec, shape_of
from nodeproxy.backends.nftables.userdata import COMMENT, parse_comment
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import parse_string, parse_u32, string
from nodeproxy.netlink.channel import Channel


def read_back(channel: Channel, family: Family, skeleton: Skeleton) -> Content:
    """Read our table of one family.

    Raises:
        NetlinkError: a dump failed.
    """
    return _Reader(channel, family, skeleton).read()


_MAX_SLOTS = 1 << 17
"""More endpoints than a Service can have; a higher slot was not written by us."""


def read_shape(channel: Channel, family: Family) -> Shape:
    """What our table has sets for.

    Raises:
        NetlinkError: the dump failed.
    """
    body = string(nf.NFTA_SET_TABLE, TABLE)
    found = (
        attributes.parse(received.body)
        for received in channel.dump(nf.NFT_MSG_GETSET, NFPROTO[family], body)
        if received.family == NFPROTO[family]
    )
    names = {
        parse_string(one[nf.NFTA_SET_NAME])
        for one in found
        if parse_string(one[nf.NFTA_SET_TABLE]) == TABLE
    }
    return shape_of(names)


class _RuleAsRead(msgspec.Struct, frozen=True):
    expressions: bytes
    comment: str


class _Reader:
    def __init__(self, channel: Channel, family: Family, skeleton: Skeleton) -> None:
        self._channel = channel
        self._family = family
        self._nfproto = NFPROTO[family]
        self._chains = {chain.name: chain for chain in skeleton.chains}
        self._content = Content()

    def read(self) -> Content:
        content = self._content
        for found in self._dump(nf.NFT_MSG_GETTABLE):
            if parse_string(found.get(nf.NFTA_TABLE_NAME, b"")) == TABLE:
                content.exists = True
                if parse_u32(found.get(nf.NFTA_TABLE_FLAGS, bytes(4))):
                    content.unusable = "the table was made dormant or somebody owns it"
        if not content.exists:
            return content
        self._read_sets()
        self._read_chains()
        for name, spec in content.sets.items():
            if spec is not None and not content.unusable:
                content.elements[name] = self._read_elements(spec)
        return content

    def _dump(self, kind: int, body: bytes = b"") -> list[dict[int, bytes]]:
        received = self._channel.dump(kind, self._nfproto, body)
        return [
            attributes.parse(message.body)
            for message in received
            if message.family == self._nfproto
        ]

    # -- sets ------------------------------------------------------------------------------------

    def _read_sets(self) -> None:
        for found in self._dump(nf.NFT_MSG_GETSET, string(nf.NFTA_SET_TABLE, TABLE)):
            if parse_string(found[nf.NFTA_SET_TABLE]) != TABLE:
                continue
            name = parse_string(found[nf.NFTA_SET_NAME])
            spec = set_spec(name)
            if spec is not None and not self._is_declared_as(spec, found):
                self._content.unusable = f"set {name} has another layout than this version writes"
            self._content.sets[name] = spec

    def _is_declared_as(self, spec: SetSpec, found: dict[int, bytes]) -> bool:
        flags = parse_u32(found.get(nf.NFTA_SET_FLAGS, bytes(4)))
        return (
            flags == set_flags(spec)
            and parse_u32(found[nf.NFTA_SET_KEY_LEN]) == set_key_length(spec, self._family)
            and parse_u32(found[nf.NFTA_SET_KEY_TYPE]) == set_key_type(spec, self._family)
            and parse_u32(found.get(nf.NFTA_SET_DATA_TYPE, bytes(4)))
            == set_data_type(spec, self._family)
        )

    # -- chains ----------------------------------------------------------------------------------

    def _read_chains(self) -> None:
        rules = self._read_rules()
        for found in self._dump(nf.NFT_MSG_GETCHAIN):
            if parse_string(found[nf.NFTA_CHAIN_TABLE]) != TABLE:
                continue
            name = parse_string(found[nf.NFTA_CHAIN_NAME])
            expected = self._chains.get(name)
            if expected is not None and not _hangs_at(found, expected.hook):
                self._content.unusable = f"chain {name} has another hook or policy"
            is_ours = expected is not None and self._has_rules(expected, rules[name])
            self._content.chains[name] = expected if is_ours else None

    def _has_rules(self, expected: Chain, rules: list[_RuleAsRead]) -> bool:
        wanted = [
            _RuleAsRead(rule_expressions(rule, self._family), rule.comment)
            for rule in expected.rules
        ]
        return wanted == rules

    def _read_rules(self) -> defaultdict[str, list[_RuleAsRead]]:
        rules: defaultdict[str, list[_RuleAsRead]] = defaultdict(list)
        for found in self._dump(nf.NFT_MSG_GETRULE, string(nf.NFTA_RULE_TABLE, TABLE)):
            if parse_string(found[nf.NFTA_RULE_TABLE]) != TABLE:
                continue
            comment = parse_comment(found.get(nf.NFTA_RULE_USERDATA, b""), COMMENT)
            rule = _RuleAsRead(found.get(nf.NFTA_RULE_EXPRESSIONS, b""), comment)
            rules[parse_string(found[nf.NFTA_RULE_CHAIN])].append(rule)
        return rules

    # -- elements --------------------------------------------------------------------------------

    def _read_elements(self, spec: SetSpec) -> dict[bytes, ElementValue]:
        match spec.kind:
            case ValueKind.NOTHING:
                return {_key(parts): _comment(parts) for parts in self._elements(spec.name)}
            case ValueKind.MEMBERS:
                return self._members(spec.name)
            case ValueKind.AFFINITY_ID:
                return {_key(parts): _affinity_id(parts) for parts in self._elements(spec.name)}
            case ValueKind.ENDPOINT:
                return self._vectors(spec.name)
            case ValueKind.RECORDS:
                return {}
            case _:
                assert_never(spec.kind)

    def _elements(self, set_name: str) -> Iterator[dict[int, bytes]]:
        """The attributes of each element of a set."""
        body = string(nf.NFTA_SET_ELEM_LIST_TABLE, TABLE)
        body += string(nf.NFTA_SET_ELEM_LIST_SET, set_name)
        for message in self._channel.dump(nf.NFT_MSG_GETSETELEM, self._nfproto, body):
            found = attributes.parse(message.body)
            for _, element in attributes.iterate(found.get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b"")):
                yield attributes.parse(element)

    def _members(self, set_name: str) -> dict[bytes, ElementValue]:
        """Endpoints of a set of members, gathered by affinity id."""
        found: defaultdict[bytes, list[bytes]] = defaultdict(list)
        for parts in self._elements(set_name):
            key = _key(parts)
            found[key[:ID_BYTES]].append(key[ID_BYTES:])
        return {number: Members(members) for number, members in found.items()}

    def _vectors(self, map_name: str) -> dict[bytes, ElementValue]:
        """Slots of an endpoint map, gathered by frontend."""
        found: defaultdict[bytes, list[bytes | None]] = defaultdict(list)
        for parts in self._elements(map_name):
            key = _key(parts)
            data = attributes.parse(parts.get(nf.NFTA_SET_ELEM_DATA, b""))
            (slot,) = struct.unpack("=I", key[-SLOT_BYTES:])
            if slot >= _MAX_SLOTS:
                self._content.unusable = f"an endpoint map has an element in slot {slot}"
                return {}
            slots = found[key[:-SLOT_BYTES]]
            slots.extend([None] * (slot + 1 - len(slots)))
            slots[slot] = data.get(nf.NFTA_DATA_VALUE, b"")
        return {key: Slots(slots) for key, slots in found.items()}


def _key(parts: dict[int, bytes]) -> bytes:
    return attributes.parse(parts[nf.NFTA_SET_ELEM_KEY])[nf.NFTA_DATA_VALUE]


def _affinity_id(parts: dict[int, bytes]) -> AffinityId:
    data = attributes.parse(parts.get(nf.NFTA_SET_ELEM_DATA, b""))
    number = int.from_bytes(data.get(nf.NFTA_DATA_VALUE, b""), sys.byteorder)
    return AffinityId(number, _comment(parts))


def _hangs_at(found: dict[int, bytes], hook: Hook | None) -> bool:
    if hook is None:
        return nf.NFTA_CHAIN_HOOK not in found
    installed = attributes.parse(found.get(nf.NFTA_CHAIN_HOOK, b""))
    number = parse_u32(installed.get(nf.NFTA_HOOK_HOOKNUM, b"\xff\xff\xff\xff"))
    priority = struct.unpack(">i", installed.get(nf.NFTA_HOOK_PRIORITY, bytes(4)))[0]
    kind = parse_string(found.get(nf.NFTA_CHAIN_TYPE, b""))
    policy = parse_u32(found.get(nf.NFTA_CHAIN_POLICY, bytes(4)))
    expected = (hook.number, hook.priority, hook.type, nf.NF_ACCEPT)
    return (number, priority, kind, policy) == expected


def _comment(parts: dict[int, bytes]) -> str:
    return parse_comment(parts.get(nf.NFTA_SET_ELEM_USERDATA, b""), COMMENT)
