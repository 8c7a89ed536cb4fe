"""Finding the one rule for a packet without walking all of them: a tree of chains.

    NP-S            -d 10.96.0.0/20   -g NP-S-0a600
                    -d 10.96.16.0/20  -g NP-S-0a601
    NP-S-0a600      -d 10.96.0.10/32 -p tcp --dport 443 ...
                    -d 10.96.4.0/24   -g NP-S-0a6004

A key is address, protocol and port, read as one number, four bits a digit. A node of the tree holds
all keys that begin with its digits. With few keys it is a leaf, a rule for each; with more, it goes
on to the digit where its keys differ first, one child for each value of that digit. So 10,000
Services in a /16 cost a first packet some 30 comparisons instead of 10,000, and a Service that
comes or goes changes one or two chains of a few rules.

The tree is a function of its keys alone (design invariant 5), and so are the names of its chains.
Only `Goto` leads downwards, so a packet without a rule comes back to whoever jumped to the root.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from nodeproxy.backends.iptables.objects import (
    Chain,
    Goto,
    Match,
    OfProtocol,
    Rule,
    ToNetwork,
    ToPorts,
)
from nodeproxy.model.addresses import Addr, Cidr
from nodeproxy.model.keys import Protocol

LEAF_RULES = 16
"""Keys in a leaf: fewer make more chains, more make longer walks and longer writes."""
MAX_DEPTH = 8
"""The kernel follows 16 chains in a row; the others are needed before and behind the tree. Keys
that differ that late, after eight digits with more than a leaf each, end in a long leaf."""
_DIGIT = 4
_PROTOCOL_BITS = 4
_PORT_BITS = 16
_MAX_HEX_DIGITS = 20
_CODES = {Protocol.TCP: 0, Protocol.UDP: 1, Protocol.SCTP: 2}
_PROTOCOLS = {code: protocol for protocol, code in _CODES.items()}


class Place(NamedTuple):
    """Where packets are sent: the key of a dispatch rule; the address is empty for NodePorts."""

    addr: Addr
    protocol: Protocol
    port: int


class Node(NamedTuple):
    """All keys whose first `length` bits are those of `prefix`; the other bits of it are 0."""

    prefix: int
    length: int


class _Branch(msgspec.Struct, frozen=True):
    """What is known of a node whose chain is in the kernel."""

    name: str
    depth: int
    children: tuple[Node, ...]


class TreeChanges(msgspec.Struct):
    """What has to be different in the kernel, if what was accepted last is there."""

    chains: list[Chain] = []
    """Chains that are new or may have other rules than before."""
    gone: dict[Node, str] = {}
    """Chains that nothing leads to any more."""
    visited: dict[Node, _Branch] = {}
    kept: set[Node] = set()
    """Nodes that are as they were, with everything below."""


class Tree:
    """The keys and what happens to packets sent there."""

    # Mutable state: the keys, and what changed since the kernel took the last changes.
    def __init__(self, tag: str, addr_bytes: int, leaf_rules: int = LEAF_RULES) -> None:
        """Make an empty tree.

        Args:
            tag: name of its root, and how the names of the others begin.
            addr_bytes: 4 or 16; 0 if places have no address.
            leaf_rules: with more keys than this a node has children.
        """
        self.root = tag
        self._leaf_rules = leaf_rules
        self._addr_bits = addr_bytes * 8
        self._bits = self._addr_bits + _PROTOCOL_BITS + _PORT_BITS
        self._rules: dict[int, tuple[Rule, ...]] = {}
        self._keys: list[int] = []
        self._touched: set[int] = set()
        self._installed: dict[Node, _Branch] = {}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_changed(self) -> bool:
        """True if anything was put or removed since the last `accept`."""
        return bool(self._touched)

    def put(self, place: Place, what: Iterable[Rule]) -> None:
        """Let packets to a place meet these rules; the matches of the place come first."""
        key = self._key(place)
        rules = self._narrowed(key, what)
        if self._rules.get(key) == rules:
            return
        if key not in self._rules:
            insort(self._keys, key)
        self._rules[key] = rules
        self._touched.add(key)

    def remove(self, place: Place, what: Iterable[Rule]) -> None:
        """Forget a place, unless it has other rules by now: somebody else's."""
        key = self._key(place)
        if self._rules.get(key) != self._narrowed(key, what):
            return
        del self._rules[key]
        del self._keys[bisect_left(self._keys, key)]
        self._touched.add(key)

    def clear(self) -> None:
        """Forget everything, also what was accepted."""
        self._rules.clear()
        self._keys.clear()
        self._touched.clear()
        self._installed.clear()

    def chain_names(self) -> Iterator[str]:
        """The chains that were accepted."""
        return (branch.name for branch in self._installed.values())

    def changes(self) -> TreeChanges:
        """What is different from what was accepted; everything if nothing was."""
        found = TreeChanges()
        self._visit(_ROOT, 0, sorted(self._touched), found)
        for node in found.visited:
            self._find_gone(node, found)
        return found

    def accept(self, changes: TreeChanges) -> None:
        """The kernel has them."""
        for node in changes.gone:
            del self._installed[node]
        self._installed |= changes.visited
        self._touched.clear()

    def _visit(self, node: Node, depth: int, touched: list[int], found: TreeChanges) -> None:
        """This node and those below, as far as anything changed there."""
        known = self._installed.get(node)
        if known is not None and known.depth == depth and not self._holds(node, touched):
            found.kept.add(node)
            return
        rules: list[Rule] = []
        nodes: list[Node] = []
        for child in self._children(node, depth):
            if isinstance(child, Node):
                nodes.append(child)
                rules.append(Rule(self._matches(*child), Goto(self._name(child))))
            else:
                rules += self._rules[child]
        name = self._name(node)
        found.chains.append(Chain(name, tuple(rules)))
        found.visited[node] = _Branch(name, depth, tuple(nodes))
        for child in nodes:
            self._visit(child, depth + 1, touched, found)

    def _find_gone(self, node: Node, found: TreeChanges) -> None:
        """Nodes that were below this one and are not in the tree any more."""
        known = self._installed.get(node)
        for child in known.children if known is not None else ():
            if child not in found.visited and child not in found.kept:
                found.gone[child] = self._installed[child].name
                self._find_gone(child, found)

    def _children(self, node: Node, depth: int) -> Iterator[Node | int]:
        """The nodes a node leads to, and the keys it has a rule of its own for, in order."""
        low, high = self._slice(self._keys, node)
        if high - low <= self._leaf_rules or depth == MAX_DEPTH:
            yield from self._keys[low:high]
            return
        length = self._common(self._keys[low], self._keys[high - 1]) + _DIGIT
        mask = -1 << (self._bits - length)
        while low < high:
            child = Node(self._keys[low] & mask, length)
            _, end = self._slice(self._keys, child)
            yield self._keys[low] if end - low == 1 else child
            low = end

    def _common(self, first: int, last: int) -> int:
        """How many bits two keys begin alike with, in whole digits."""
        alike = self._bits - (first ^ last).bit_length()
        return alike - alike % _DIGIT

    def _range(self, node: Node) -> tuple[int, int]:
        return node.prefix, node.prefix + (1 << (self._bits - node.length))

    def _slice(self, keys: list[int], node: Node) -> tuple[int, int]:
        first, last = self._range(node)
        return bisect_left(keys, first), bisect_left(keys, last)

    def _holds(self, node: Node, keys: list[int]) -> bool:
        low, high = self._slice(keys, node)
        return low < high

    def _narrowed(self, key: int, rules: Iterable[Rule]) -> tuple[Rule, ...]:
        """Rules that hold for this key alone."""
        where = self._matches(key, self._bits)
        return tuple(Rule((*where, *rule.matches), rule.target) for rule in rules)

    def _key(self, place: Place) -> int:
        addr = int.from_bytes(place.addr, "big")
        return (addr << _PROTOCOL_BITS | _CODES[place.protocol]) << _PORT_BITS | place.port

    def _matches(self, prefix: int, length: int) -> tuple[Match, ...]:
        """What packets have in common whose keys begin so."""
        found: list[Match] = []
        if self._addr_bits and length:
            number = prefix >> (_PROTOCOL_BITS + _PORT_BITS)
            addr = Addr(number.to_bytes(self._addr_bits // 8, "big"))
            found.append(ToNetwork(Cidr(addr, min(length, self._addr_bits))))
        behind = length - self._addr_bits - _PROTOCOL_BITS
        if behind >= 0:
            protocol = _PROTOCOLS[prefix >> _PORT_BITS & 0xF]
            found.append(OfProtocol(protocol))
            if behind > 0:
                first = prefix & 0xFFFF
                last = first + (1 << (_PORT_BITS - behind)) - 1
                found.append(ToPorts(protocol, first, last))
        return tuple(found)

    def _name(self, node: Node) -> str:
        """The digits, or a hash of them where a chain's name has no room."""
        if node == _ROOT:
            return self.root
        digits = f"{node.prefix >> (self._bits - node.length):0{node.length // _DIGIT}x}"
        if len(digits) > _MAX_HEX_DIGITS:
            digits = f"x{short_hash(digits)}"
        return f"{self.root}-{digits}"


_ROOT = Node(0, 0)


def short_hash(text: str) -> str:
    """Sixteen characters for a chain's name that stand for a longer text."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:10]).decode()
