"""Operations as netlink messages.

The layout of an element in NEWSETELEM, here an endpoint of a ClusterIP in the IPv4 table:

    LIST_ELEM { KEY { VALUE addr(4) proto(1)+3 port(2)+2 slot(4) }
                DATA { VALUE addr(4) port(2)+2 } }

The bytes of keys and data are drawn in `keys`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import assert_never

import msgspec

from nodeproxy.backends.nftables.encode_rules import NFPROTO, rule_expressions
from nodeproxy.backends.nftables.encode_sets import encode_set
from nodeproxy.backends.nftables.objects import (
    TABLE,
    AddChain,
    AddElements,
    AddRule,
    AddSet,
    AddTable,
    Chain,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    FlushChain,
    Operation,
    RawElement,
    Rule,
)
from nodeproxy.backends.nftables.userdata import COMMENT, encode_comment
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes, messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, string, u32, u64


class EncodedMessage(msgspec.Struct, frozen=True):
    """One netlink message and what it stands for, to make sense of the kernel's answer."""

    data: bytes
    seq: int
    operation: Operation
    element_offsets: tuple[int, ...] = ()
    """Where each element's attribute starts in the message; empty for other operations."""

    def element_at(self, offset: int) -> RawElement | None:
        """The element the kernel means by an offset (0: it gave none); None if that is open."""
        if not isinstance(self.operation, AddElements | DeleteElements):
            return None
        if len(self.operation.elements) == 1:
            return self.operation.elements[0]
        if not offset:
            return None
        at = [i for i, start in enumerate(self.element_offsets) if start <= offset]
        return self.operation.elements[at[-1]] if at else None


def encode_batch(
    operations: Iterable[Operation],
    family: Family,
    elements_per_message: int = 0,
    table: str = TABLE,
) -> list[EncodedMessage]:
    """Messages for all operations, numbered from 1; the caller frames them as a batch.

    Args:
        operations: in the order in which the kernel shall carry them out.
        family: the table's family.
        elements_per_message: 0 packs as many as fit; 1 lets the kernel's answer name the
            element even where it gives no offset.
        table: the table's name; another one for dry runs.
    """
    encoder = _Encoder(family, elements_per_message, table)
    for operation in operations:
        encoder.add(operation)
    return encoder.done


class _Encoder:
    def __init__(self, family: Family, elements_per_message: int, table: str) -> None:
        self._family = family
        self._nfproto = NFPROTO[family]
        self._limit = elements_per_message
        self._table = table
        self.done: list[EncodedMessage] = []

    def add(self, operation: Operation) -> None:
        match operation:
            case AddTable(comment):
                body = string(nf.NFTA_TABLE_NAME, self._table) + u32(nf.NFTA_TABLE_FLAGS, 0)
                body += attribute(nf.NFTA_TABLE_USERDATA, encode_comment(COMMENT, comment))
                self._emit(nf.NFT_MSG_NEWTABLE, nf.NLM_F_CREATE, body, operation)
            case DeleteTable():
                body = string(nf.NFTA_TABLE_NAME, self._table)
                self._emit(nf.NFT_MSG_DELTABLE, 0, body, operation)
            case AddSet(spec):
                body = encode_set(self._table, spec, self._family, len(self.done) + 1)
                self._emit(nf.NFT_MSG_NEWSET, nf.NLM_F_CREATE | nf.NLM_F_EXCL, body, operation)
            case DeleteSet(name):
                body = string(nf.NFTA_SET_TABLE, self._table) + string(nf.NFTA_SET_NAME, name)
                self._emit(nf.NFT_MSG_DELSET, 0, body, operation)
            case AddChain(chain):
                body = _chain_body(self._table, chain)
                self._emit(nf.NFT_MSG_NEWCHAIN, nf.NLM_F_CREATE | nf.NLM_F_EXCL, body, operation)
            case FlushChain(name):
                body = string(nf.NFTA_RULE_TABLE, self._table) + string(nf.NFTA_RULE_CHAIN, name)
                self._emit(nf.NFT_MSG_DELRULE, 0, body, operation)
            case DeleteChain(name):
                body = string(nf.NFTA_CHAIN_TABLE, self._table) + string(nf.NFTA_CHAIN_NAME, name)
                self._emit(nf.NFT_MSG_DELCHAIN, 0, body, operation)
            case AddRule(chain_name, rule):
                body = _rule_body(self._table, chain_name, rule, self._family)
                self._emit(nf.NFT_MSG_NEWRULE, nf.NLM_F_CREATE | nf.NLM_F_APPEND, body, operation)
            case AddElements():
                self._emit_elements(
                    nf.NFT_MSG_NEWSETELEM, nf.NLM_F_CREATE | nf.NLM_F_EXCL, operation
                )
            case DeleteElements():
                self._emit_elements(nf.NFT_MSG_DELSETELEM, 0, operation)
            case _:
                assert_never(operation)

    def _emit(
        self,
        kind: int,
        flags: int,
        body: bytes,
        operation: Operation,
        element_offsets: tuple[int, ...] = (),
    ) -> None:
        seq = len(self.done) + 1
        data = messages.nft_message(kind, flags, seq, self._nfproto, body)
        self.done.append(EncodedMessage(data, seq, operation, element_offsets))

    def _emit_elements(
        self, kind: int, flags: int, operation: AddElements | DeleteElements
    ) -> None:
        head = string(nf.NFTA_SET_ELEM_LIST_TABLE, self._table)
        head += string(nf.NFTA_SET_ELEM_LIST_SET, operation.set_name)
        start = messages.HEADER_BYTES + len(head) + 4
        for chunk, encoded in self._chunks(operation):
            offsets, offset = [], start
            for element in encoded:
                offsets.append(offset)
                offset += len(element)
            body = head + attribute(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b"".join(encoded))
            part = type(operation)(operation.set_name, chunk)
            self._emit(kind, flags, body, part, tuple(offsets))

    def _chunks(
        self, operation: AddElements | DeleteElements
    ) -> Iterator[tuple[tuple[RawElement, ...], list[bytes]]]:
        """Elements in portions that fit one attribute, with their encoding."""
        adding = isinstance(operation, AddElements)
        elements = operation.elements
        encoded: list[bytes] = []
        size = begin = 0
        for index, element in enumerate(elements):
            data = encode_element(element, adding=adding)
            full = size + len(data) > attributes.MAX_PAYLOAD
            if encoded and (full or len(encoded) == self._limit):
                yield elements[begin:index], encoded
                encoded, size, begin = [], 0, index
            encoded.append(data)
            size += len(data)
        if encoded:
            yield elements[begin:], encoded


# -- elements ------------------------------------------------------------------------------------


def encode_element(element: RawElement, *, adding: bool) -> bytes:
    """One LIST_ELEM attribute; keys and endpoint data are multiples of four bytes long."""
    key, data, comment, _, lifetime = element
    if adding and data is not None and not comment and lifetime is None:
        # The hot path of a first load: a hundred thousand of these.
        before, between = _headers(len(key), len(data))
        return before + key + between + data
    rest = b""
    if adding and data is not None:
        rest += attribute(nf.NFTA_SET_ELEM_DATA, attribute(nf.NFTA_DATA_VALUE, data))
    if adding and lifetime is not None:
        rest += u64(nf.NFTA_SET_ELEM_TIMEOUT, lifetime.timeout_ms)
        rest += u64(nf.NFTA_SET_ELEM_EXPIRATION, lifetime.expires_ms)
    if adding and comment:
        rest += attribute(nf.NFTA_SET_ELEM_USERDATA, encode_comment(COMMENT, comment))
    return _key_headers(len(key), len(rest)) + key + rest


@cache
def _headers(key_bytes: int, data_bytes: int) -> tuple[bytes, bytes]:
    """The headers around key and data: few different lengths, each packed once."""
    between = struct.pack(
        "=HHHH", data_bytes + 8, nf.NFTA_SET_ELEM_DATA, data_bytes + 4, nf.NFTA_DATA_VALUE
    )
    return _key_headers(key_bytes, data_bytes + len(between)), between


@cache
def _key_headers(key_bytes: int, behind: int) -> bytes:
    """Headers of LIST_ELEM, SET_ELEM_KEY and DATA_VALUE; `behind` is what follows the key."""
    return struct.pack(
        "=HHHHHH",
        key_bytes + behind + 12,
        nf.NFTA_LIST_ELEM,
        key_bytes + 8,
        nf.NFTA_SET_ELEM_KEY,
        key_bytes + 4,
        nf.NFTA_DATA_VALUE,
    )


def _chain_body(table: str, chain: Chain) -> bytes:
    parts = [string(nf.NFTA_CHAIN_TABLE, table), string(nf.NFTA_CHAIN_NAME, chain.name)]
    if chain.hook:
        hook = u32(nf.NFTA_HOOK_HOOKNUM, chain.hook.number)
        hook += u32(nf.NFTA_HOOK_PRIORITY, chain.hook.priority)
        parts.append(attribute(nf.NFTA_CHAIN_HOOK, hook))
        parts.append(u32(nf.NFTA_CHAIN_POLICY, nf.NF_ACCEPT))
        parts.append(string(nf.NFTA_CHAIN_TYPE, chain.hook.type))
    if chain.comment:
        parts.append(attribute(nf.NFTA_CHAIN_USERDATA, encode_comment(COMMENT, chain.comment)))
    return b"".join(parts)


def _rule_body(table: str, chain: str, rule: Rule, family: Family) -> bytes:
    body = string(nf.NFTA_RULE_TABLE, table) + string(nf.NFTA_RULE_CHAIN, chain)
    body += attribute(nf.NFTA_RULE_EXPRESSIONS, rule_expressions(rule, family))
    if rule.comment:
        body += attribute(nf.NFTA_RULE_USERDATA, encode_comment(COMMENT, rule.comment))
    return body
