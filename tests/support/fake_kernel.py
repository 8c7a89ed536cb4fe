"""A kernel's nf_tables in memory, as far as the backend can tell it from the real one.

It understands the very bytes it is sent, applies a batch wholly or not at all, refuses what the
kernel refuses with the same numbers, and answers dumps in the kernel's form. What it does not
do: run rules on packets, or check expressions beyond the sets and chains they name.

Switches make it fail: `fail_next_commit`, `lose_answer`, `refuse_element`, `foreign_flush`.
Whoever wants to play a foreign hand changes `table(family)` directly.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from copy import copy

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes, messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, parse, parse_string, parse_u32, string, u32
from nodeproxy.netlink.channel import Channel
from nodeproxy.netlink.messages import KernelError, Received

NFPROTO = {Family.IPV4: nf.NFPROTO_IPV4, Family.IPV6: nf.NFPROTO_IPV6}
_NLMSGHDR_BYTES = 16
_ELEMENTS_PER_ANSWER = 50

Attributes = dict[int, bytes]
ElementPredicate = Callable[[str, bytes, bytes], bool]
"""Called with the set's name, the key and the data (empty in a plain set)."""


class Refusal(Exception):
    """The kernel's no to one message."""

    def __init__(self, number: int, offset: int = 0) -> None:
        super().__init__(number, offset)
        self.errno = number
        self.offset = offset


class FakeSet:
    """A set or map: its declaration as sent, its elements by key."""

    def __init__(self, declaration: Attributes) -> None:
        self.declaration = declaration
        self.elements: dict[bytes, Attributes] = {}

    def copy(self) -> FakeSet:
        """A set whose changes do not show here."""
        twin = FakeSet(self.declaration)
        twin.elements = dict(self.elements)
        return twin

    def data(self, key: bytes) -> bytes:
        """What an element maps to; empty in a plain set."""
        return parse(self.elements[key].get(nf.NFTA_SET_ELEM_DATA, b"")).get(
            nf.NFTA_DATA_VALUE, b""
        )


class FakeChain:
    """A chain: its declaration as sent, its rules in order."""

    def __init__(self, declaration: Attributes) -> None:
        self.declaration = declaration
        self.rules: list[Attributes] = []

    def copy(self) -> FakeChain:
        """A chain whose changes do not show here."""
        twin = FakeChain(self.declaration)
        twin.rules = list(self.rules)
        return twin


class FakeTable:
    """One table of one family."""

    def __init__(self, declaration: Attributes) -> None:
        self.declaration = declaration
        self.sets: dict[str, FakeSet] = {}
        self.chains: dict[str, FakeChain] = {}

    def copy(self) -> FakeTable:
        """A table whose changes do not show here."""
        twin = copy(self)
        twin.sets = {name: one.copy() for name, one in self.sets.items()}
        twin.chains = {name: chain.copy() for name, chain in self.chains.items()}
        return twin

    def add_element(self, set_name: str, key: bytes, data: bytes = b"") -> None:
        """Add or replace an element, as a foreign hand would."""
        element = {nf.NFTA_SET_ELEM_KEY: attribute(nf.NFTA_DATA_VALUE, key)}
        if data:
            element[nf.NFTA_SET_ELEM_DATA] = attribute(nf.NFTA_DATA_VALUE, data)
        self.sets[set_name].elements[key] = element

    def refers_to(self, kind: str, name: str) -> bool:
        """True if a rule names this "set" or "chain"."""
        return any(
            (kind, name) in _references(rule)
            for chain in self.chains.values()
            for rule in chain.rules
        )


class Commit:
    """What one accepted batch contained."""

    def __init__(self) -> None:
        self.kinds: Counter[int] = Counter()
        """Messages by NFT_MSG_*."""
        self.added: list[tuple[str, bytes]] = []
        """Set and key of elements, in the order they came."""
        self.deleted: list[tuple[str, bytes]] = []


class FakeKernel:
    """Implements `nodeproxy.netlink.channel.Channel`; see the module's text."""

    # Mutable state: the tables, what was committed, and the switches.
    def __init__(self) -> None:
        self.tables: dict[tuple[int, str], FakeTable] = {}
        self.commits: list[Commit] = []
        self.refused: int = 0
        """Batches that were refused."""
        self.dumps: int = 0
        self.tells_offsets = True
        """Old kernels do not say which attribute they dislike."""
        self._fail_with = 0
        self._fail_times = 0
        self._loses_answer = False
        self._refuse: ElementPredicate = _nothing
        self._refuse_errno = errno.EINVAL

    @classmethod
    def from_dumps(cls, channel: Channel) -> FakeKernel:
        """A kernel that holds what another one tells: all tables, sets and elements.

        Chains and rules are left out; libnftables reads those better.
        """
        kernel = cls()
        for nfproto in NFPROTO.values():
            for received in channel.dump(nf.NFT_MSG_GETTABLE, nfproto):
                found = parse(received.body)
                name = parse_string(found[nf.NFTA_TABLE_NAME])
                kernel.tables[nfproto, name] = table = FakeTable(found)
                _copy_sets(channel, nfproto, name, table)
        return kernel

    # -- switches --------------------------------------------------------------------------------

    def fail_next_commit(self, number: int = errno.ENOMEM, times: int = 1) -> None:
        """Refuse the next batches as a whole, naming no message of them."""
        self._fail_with = number
        self._fail_times = times

    def lose_answer(self, *, lose: bool = True) -> None:
        """Carry out the next batch, but lose the answer on the way back; or do not after all."""
        self._loses_answer = lose

    def refuse_element(
        self, predicate: ElementPredicate | None, number: int = errno.EINVAL
    ) -> None:
        """Refuse to add elements of this kind until called with None."""
        self._refuse = predicate or _nothing
        self._refuse_errno = number

    def foreign_flush(self) -> None:
        """Somebody runs `nft flush ruleset`."""
        self.tables.clear()

    # -- looking ---------------------------------------------------------------------------------

    def table(self, family: Family, name: str = "nodeproxy") -> FakeTable:
        """A table, to look at or to play a foreign hand on."""
        return self.tables[NFPROTO[family], name]

    def listing(self, family: Family) -> dict[str, dict[str, str]]:
        """All elements of our table as text, by set.

        `{"service-endpoints": {"10.96.0.10 tcp 80 0": "10.0.0.1 8080"}, ...}`, comments as data.
        """
        if (NFPROTO[family], "nodeproxy") not in self.tables:
            return {}
        return {name: _set_listing(one) for name, one in self.table(family).sets.items()}

    def chains(self, family: Family) -> dict[str, list[bytes]]:
        """The rules of our table by chain, as the bytes of their expressions."""
        return {
            name: [rule.get(nf.NFTA_RULE_EXPRESSIONS, b"") for rule in chain.rules]
            for name, chain in self.table(family).chains.items()
        }

    # -- Channel ---------------------------------------------------------------------------------

    def transact(self, batch: Sequence[bytes], last_seq: int) -> list[KernelError]:
        """See `Channel.transact`."""
        if self._fail_times:
            self._fail_times -= 1
            self.refused += 1
            return [KernelError(0, self._fail_with, "", 0)]
        transaction = _Transaction(self)
        received = list(messages.split(b"".join(batch)))
        assert received[0].kind == nf.NFNL_MSG_BATCH_BEGIN
        errors = transaction.run(received[1:])
        if errors:
            self.refused += 1
        elif received[-1].kind == nf.NFNL_MSG_BATCH_END:
            assert received[-1].seq == last_seq
            self.tables = transaction.tables
            self.commits.append(transaction.commit)
        if self._loses_answer:
            self._loses_answer = False
            raise NetlinkError("answer of nf_tables", errno.ENOBUFS)
        return errors

    def dump(self, kind: int, family: int, body: bytes = b"") -> list[Received]:
        """See `Channel.dump`."""
        self.dumps += 1
        wanted = parse(body)
        return [
            Received(
                nf.NFNL_SUBSYS_NFTABLES << 8 | kind - 1,
                nf.NLM_F_DUMP,
                1,
                0,
                bytes([table_family, 0, 0, 0]) + answer,
            )
            for (table_family, name), table in self.tables.items()
            if table_family == family and (not wanted or parse_string(wanted[1]) == name)
            for answer in _DUMPS[kind](name, table, wanted)
        ]

    def element_refusal(self, set_name: str, key: bytes, data: bytes) -> int:
        """The errno for a new element; 0 if it may go in."""
        return self._refuse_errno if self._refuse(set_name, key, data) else 0


def _copy_sets(channel: Channel, nfproto: int, name: str, table: FakeTable) -> None:
    for received in channel.dump(nf.NFT_MSG_GETSET, nfproto, string(nf.NFTA_SET_TABLE, name)):
        declaration = parse(received.body)
        one = FakeSet(declaration)
        set_name = parse_string(declaration[nf.NFTA_SET_NAME])
        table.sets[set_name] = one
        body = string(nf.NFTA_SET_ELEM_LIST_TABLE, name)
        body += string(nf.NFTA_SET_ELEM_LIST_SET, set_name)
        for answer in channel.dump(nf.NFT_MSG_GETSETELEM, nfproto, body):
            one.elements |= {key: element for _, element, key in _elements(answer)}


def _nothing(set_name: str, key: bytes, data: bytes) -> bool:
    return False


# -- transactions --------------------------------------------------------------------------------


class _Transaction:
    """One batch on a copy of the tables."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self.tables = {key: table.copy() for key, table in kernel.tables.items()}
        self.commit = Commit()

    def run(self, received: Sequence[Received]) -> list[KernelError]:
        """Carry out all messages and collect the refusals, as the kernel does."""
        errors = []
        for message in received:
            if message.kind == nf.NFNL_MSG_BATCH_END:
                break
            self.commit.kinds[message.nft_kind] += 1
            try:
                _HANDLERS[message.nft_kind](self, message)
            except Refusal as refusal:
                offset = refusal.offset if self._kernel.tells_offsets else 0
                errors.append(KernelError(message.seq, refusal.errno, "", offset))
        return errors

    def _table(self, message: Received, name: bytes) -> FakeTable:
        table = self.tables.get((message.family, parse_string(name)))
        if table is None:
            raise Refusal(errno.ENOENT)
        return table

    def new_table(self, message: Received) -> None:
        found = parse(message.body)
        key = message.family, parse_string(found[nf.NFTA_TABLE_NAME])
        if key not in self.tables:
            self.tables[key] = FakeTable(found)
        elif message.flags & nf.NLM_F_EXCL:
            raise Refusal(errno.EEXIST)

    def delete_table(self, message: Received) -> None:
        found = parse(message.body)
        self._table(message, found[nf.NFTA_TABLE_NAME])
        del self.tables[message.family, parse_string(found[nf.NFTA_TABLE_NAME])]

    def new_chain(self, message: Received) -> None:
        found = parse(message.body)
        chains = self._table(message, found[nf.NFTA_CHAIN_TABLE]).chains
        name = parse_string(found[nf.NFTA_CHAIN_NAME])
        if name not in chains:
            chains[name] = FakeChain(found)
        elif message.flags & nf.NLM_F_EXCL:
            raise Refusal(errno.EEXIST)

    def delete_chain(self, message: Received) -> None:
        found = parse(message.body)
        table = self._table(message, found[nf.NFTA_CHAIN_TABLE])
        name = parse_string(found[nf.NFTA_CHAIN_NAME])
        if name not in table.chains:
            raise Refusal(errno.ENOENT)
        if table.refers_to("chain", name):
            raise Refusal(errno.EBUSY)
        del table.chains[name]

    def new_rule(self, message: Received) -> None:
        found = parse(message.body)
        table = self._table(message, found[nf.NFTA_RULE_TABLE])
        chain = table.chains.get(parse_string(found[nf.NFTA_RULE_CHAIN]))
        if chain is None:
            raise Refusal(errno.ENOENT)
        for kind, name in _references(found):
            if name not in (table.sets if kind == "set" else table.chains):
                raise Refusal(errno.ENOENT)
        chain.rules.append(found)

    def delete_rule(self, message: Received) -> None:
        found = parse(message.body)
        table = self._table(message, found[nf.NFTA_RULE_TABLE])
        chain = table.chains.get(parse_string(found[nf.NFTA_RULE_CHAIN]))
        if chain is None:
            raise Refusal(errno.ENOENT)
        chain.rules.clear()

    def new_set(self, message: Received) -> None:
        found = parse(message.body)
        sets = self._table(message, found[nf.NFTA_SET_TABLE]).sets
        name = parse_string(found[nf.NFTA_SET_NAME])
        if name not in sets:
            sets[name] = FakeSet(found)
        elif message.flags & nf.NLM_F_EXCL:
            raise Refusal(errno.EEXIST)

    def delete_set(self, message: Received) -> None:
        found = parse(message.body)
        table = self._table(message, found[nf.NFTA_SET_TABLE])
        name = parse_string(found[nf.NFTA_SET_NAME])
        if name not in table.sets:
            raise Refusal(errno.ENOENT)
        if table.refers_to("set", name):
            raise Refusal(errno.EBUSY)
        del table.sets[name]

    def new_elements(self, message: Received) -> None:
        name, one, elements = self._set_and_elements(message)
        for offset, element, key in elements:
            data = parse(element.get(nf.NFTA_SET_ELEM_DATA, b"")).get(nf.NFTA_DATA_VALUE, b"")
            _check_lengths(one, key, data, offset)
            number = self._kernel.element_refusal(name, key, data)
            if number:
                raise Refusal(number, offset)
            if key in one.elements and message.flags & nf.NLM_F_EXCL:
                raise Refusal(errno.EEXIST, offset)
            one.elements[key] = element
            self.commit.added.append((name, key))

    def delete_elements(self, message: Received) -> None:
        name, one, elements = self._set_and_elements(message)
        for offset, _, key in elements:
            if key not in one.elements:
                raise Refusal(errno.ENOENT, offset)
            del one.elements[key]
            self.commit.deleted.append((name, key))

    def _set_and_elements(
        self, message: Received
    ) -> tuple[str, FakeSet, list[tuple[int, Attributes, bytes]]]:
        found = parse(message.body)
        table = self._table(message, found[nf.NFTA_SET_ELEM_LIST_TABLE])
        name = parse_string(found[nf.NFTA_SET_ELEM_LIST_SET])
        if name not in table.sets:
            raise Refusal(errno.ENOENT)
        return name, table.sets[name], list(_elements(message))


_HANDLERS: dict[int, Callable[[_Transaction, Received], None]] = {
    nf.NFT_MSG_NEWTABLE: _Transaction.new_table,
    nf.NFT_MSG_DELTABLE: _Transaction.delete_table,
    nf.NFT_MSG_NEWCHAIN: _Transaction.new_chain,
    nf.NFT_MSG_DELCHAIN: _Transaction.delete_chain,
    nf.NFT_MSG_NEWRULE: _Transaction.new_rule,
    nf.NFT_MSG_DELRULE: _Transaction.delete_rule,
    nf.NFT_MSG_NEWSET: _Transaction.new_set,
    nf.NFT_MSG_DELSET: _Transaction.delete_set,
    nf.NFT_MSG_NEWSETELEM: _Transaction.new_elements,
    nf.NFT_MSG_DELSETELEM: _Transaction.delete_elements,
}


def _elements(message: Received) -> Iterator[tuple[int, Attributes, bytes]]:
    """Offset in the message, attributes and key of each element."""
    offset = _NLMSGHDR_BYTES + 4
    for kind, payload in attributes.iterate(message.body):
        if kind == nf.NFTA_SET_ELEM_LIST_ELEMENTS:
            at = offset + 4
            for _, raw in attributes.iterate(payload):
                element = parse(raw)
                yield at, element, parse(element[nf.NFTA_SET_ELEM_KEY])[nf.NFTA_DATA_VALUE]
                at += len(raw) + 4
        offset += (len(payload) + 7) & ~3


def _check_lengths(one: FakeSet, key: bytes, data: bytes, offset: int) -> None:
    declared = one.declaration
    if len(key) != parse_u32(declared[nf.NFTA_SET_KEY_LEN]):
        raise Refusal(errno.EINVAL, offset)
    if len(data) != parse_u32(declared.get(nf.NFTA_SET_DATA_LEN, bytes(4))):
        raise Refusal(errno.EINVAL, offset)


def _references(rule: Attributes) -> set[tuple[str, str]]:
    """The sets and chains a rule names."""
    found = set()
    for _, raw in attributes.iterate(rule.get(nf.NFTA_RULE_EXPRESSIONS, b"")):
        expression = parse(raw)
        data = parse(expression[nf.NFTA_EXPR_DATA])
        match parse_string(expression[nf.NFTA_EXPR_NAME]):
            case "lookup":
                found.add(("set", parse_string(data[nf.NFTA_LOOKUP_SET])))
            case "dynset":
                found.add(("set", parse_string(data[nf.NFTA_DYNSET_SET_NAME])))
            case "immediate":
                value = parse(data[nf.NFTA_IMMEDIATE_DATA])
                verdict = parse(value.get(nf.NFTA_DATA_VERDICT, b""))
                if nf.NFTA_VERDICT_CHAIN in verdict:
                    found.add(("chain", parse_string(verdict[nf.NFTA_VERDICT_CHAIN])))
            case _:
                pass
    return found


# -- dumps ---------------------------------------------------------------------------------------


def _joined(found: Attributes, *without: int) -> bytes:
    return b"".join(attribute(kind, value) for kind, value in found.items() if kind not in without)


def _dump_tables(name: str, table: FakeTable, wanted: Attributes) -> Iterator[bytes]:
    yield _joined(table.declaration)


def _dump_chains(name: str, table: FakeTable, wanted: Attributes) -> Iterator[bytes]:
    for chain in table.chains.values():
        yield _joined(chain.declaration)


def _dump_rules(name: str, table: FakeTable, wanted: Attributes) -> Iterator[bytes]:
    for chain in table.chains.values():
        for handle, rule in enumerate(chain.rules):
            yield _joined(rule) + attribute(nf.NFTA_RULE_HANDLE, struct.pack(">Q", handle))


def _dump_sets(name: str, table: FakeTable, wanted: Attributes) -> Iterator[bytes]:
    for one in table.sets.values():
        flags = parse_u32(one.declaration.get(nf.NFTA_SET_FLAGS, bytes(4)))
        # The kernel leaves out flags that are zero, and never tells the transaction's id.
        yield _joined(one.declaration, nf.NFTA_SET_ID, nf.NFTA_SET_FLAGS) + (
            u32(nf.NFTA_SET_FLAGS, flags) if flags else b""
        )


def _dump_elements(name: str, table: FakeTable, wanted: Attributes) -> Iterator[bytes]:
    set_name = parse_string(wanted[nf.NFTA_SET_ELEM_LIST_SET])
    one = table.sets.get(set_name)
    elements = list(one.elements.values()) if one else []
    head = string(nf.NFTA_SET_ELEM_LIST_TABLE, name)
    head += string(nf.NFTA_SET_ELEM_LIST_SET, set_name)
    for start in range(0, len(elements), _ELEMENTS_PER_ANSWER):
        some = elements[start : start + _ELEMENTS_PER_ANSWER]
        listed = b"".join(attribute(nf.NFTA_LIST_ELEM, _joined(element)) for element in some)
        yield head + attribute(nf.NFTA_SET_ELEM_LIST_ELEMENTS, listed)


_DUMPS: dict[int, Callable[[str, FakeTable, Attributes], Iterator[bytes]]] = {
    nf.NFT_MSG_GETTABLE: _dump_tables,
    nf.NFT_MSG_GETCHAIN: _dump_chains,
    nf.NFT_MSG_GETRULE: _dump_rules,
    nf.NFT_MSG_GETSET: _dump_sets,
    nf.NFT_MSG_GETSETELEM: _dump_elements,
}


# -- text ----------------------------------------------------------------------------------------

_PROTOCOLS = {6: "tcp", 17: "udp", 132: "sctp"}


def _set_listing(one: FakeSet) -> dict[str, str]:
    key_type = parse_u32(one.declaration[nf.NFTA_SET_KEY_TYPE])
    data_type = parse_u32(one.declaration.get(nf.NFTA_SET_DATA_TYPE, bytes(4)))
    listing = {}
    for key, element in one.elements.items():
        note = element.get(nf.NFTA_SET_ELEM_USERDATA, b"")
        value = _concatenation(one.data(key), data_type) if data_type else note[2:-1].decode()
        listing[_concatenation(key, key_type)] = value
    return listing


def _concatenation(data: bytes, types: int) -> str:
    """The parts of a key or of data as text, by nft's type numbers (six bits each)."""
    parts: list[str] = []
    while types:
        match types & 0x3F:
            case 7:
                data, raw = data[:-4], data[-4:]
                parts.append(socket.inet_ntop(socket.AF_INET, raw))
            case 8:
                data, raw = data[:-16], data[-16:]
                parts.append(socket.inet_ntop(socket.AF_INET6, raw))
            case 12:
                data, raw = data[:-4], data[-4:]
                parts.append(_PROTOCOLS.get(raw[0], str(raw[0])))
            case 13:
                data, raw = data[:-4], data[-4:]
                parts.append(str(int.from_bytes(raw[:2], "big")))
            case 23:
                data, raw = data[:-4], data[-4:]
                number = struct.unpack("=I", raw)[0]
                parts.append(f"{number >> 16:x}:{number & 0xFFFF:x}" if number else "none")
            case 4:
                data, raw = data[:-4], data[-4:]
                parts.append(str(struct.unpack("=I", raw)[0]))
            case other:
                raise AssertionError(f"a key part of type {other}")
        types >>= 6
    return " ".join(reversed(parts))
