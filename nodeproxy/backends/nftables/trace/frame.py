"""Chains and elements of one table, made ready for looking things up.

What cannot be traced is refused here, before any packet: a name nobody declared, a hook of an
unknown kind, a statement behind one that never goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from nodeproxy.backends.nftables.keys import ID_BYTES
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.objects import (
    AffinityId,
    Chain,
    DnatByMap,
    DnatToSlot,
    Drop,
    ElementId,
    ElementValue,
    Goto,
    InSet,
    Jump,
    LoadAffinity,
    Masquerade,
    Members,
    NetworkInSet,
    Reject,
    Remember,
    Reset,
    Return,
    Rule,
    SetSpec,
    Skeleton,
    Slots,
    ValueKind,
)
from nodeproxy.errors import NodeproxyError
from nodeproxy.model.addresses import Family

ElementsBySet = Mapping[str, Mapping[bytes, ElementValue]]
"""By set name and key, as the mirror keeps them."""

_LAST = (Drop, Reject, Reset, Jump, Goto, Return, Masquerade, DnatToSlot, DnatByMap)
"""Statements that no other may follow."""


class UntraceableError(NodeproxyError):
    """The table holds something the tracer does not know; a guess would be worse than nothing."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(subject, reason)
        self.subject = subject
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.subject}: {self.reason}; packets cannot be traced"


class Frame:
    """A table by names."""

    def __init__(self, skeleton: Skeleton, elements: ElementsBySet) -> None:
        """Index a table.

        Raises:
            UntraceableError: something is named that is not there, or is no element of its set.
        """
        self.family: Family = skeleton.family
        self.chains = {chain.name: chain for chain in skeleton.chains}
        self._sets = {spec.name: spec for spec in skeleton.sets}
        self._elements = elements
        for name in elements:
            self._spec(name)
        for chain in skeleton.chains:
            self._check(chain)

    def has(self, set_name: str, key: bytes) -> bool:
        """True if the key is an element."""
        elements = self._elements.get(set_name, {})
        if self._spec(set_name).kind is not ValueKind.MEMBERS:
            return key in elements
        members = elements.get(key[:ID_BYTES])
        return isinstance(members, Members) and key[ID_BYTES:] in members

    def slots(self, set_name: str, key: bytes) -> Slots:
        """The endpoints of one frontend; empty if it has none."""
        value = self._elements.get(set_name, {}).get(key, Slots())
        if not isinstance(value, Slots):
            raise UntraceableError(f"map {set_name}", f"{value!r} is no vector of endpoints")
        return value

    def affinity_id(self, set_name: str, key: bytes) -> int | None:
        """The number the map has for a key."""
        value = self._elements.get(set_name, {}).get(key)
        if not isinstance(value, AffinityId | None):
            raise UntraceableError(f"map {set_name}", f"{value!r} is no affinity id")
        return value.number if value is not None else None

    def _spec(self, set_name: str) -> SetSpec:
        if set_name not in self._sets:
            raise UntraceableError(f"set {set_name}", "not declared")
        return self._sets[set_name]

    def _check(self, chain: Chain) -> None:
        if chain.hook is not None and chain.hook.type not in ("nat", "filter"):
            raise UntraceableError(f"chain {chain.name}", f"of type {chain.hook.type}")
        for rule in chain.rules:
            self._check_rule(chain.name, rule)

    def _check_rule(self, chain: str, rule: Rule) -> None:
        for statement in rule.statements[:-1]:
            if isinstance(statement, _LAST):
                raise UntraceableError(f"chain {chain}", f"{rule} goes on behind its end")
        for statement in rule.statements:
            match statement:
                case Jump(target) | Goto(target) if target not in self.chains:
                    raise UntraceableError(f"chain {chain}", f"leads to {target}, not declared")
                case InSet(_, name) | NetworkInSet(_, _, name):
                    self._expect(name, ValueKind.NOTHING, ValueKind.MEMBERS)
                case DnatToSlot(_, _, name):
                    self._expect(name, ValueKind.ENDPOINT)
                case LoadAffinity(_, name):
                    self._expect(name, ValueKind.AFFINITY_ID)
                case DnatByMap(_, name) | Remember(_, name):
                    self._expect(name, ValueKind.RECORDS)
                case _:
                    pass

    def _expect(self, set_name: str, *kinds: ValueKind) -> None:
        kind = self._spec(set_name).kind
        if kind not in kinds:
            raise UntraceableError(f"set {set_name}", f"of kind {kind.value}, used as {kinds}")


def elements_by_set(elements: Mapping[ElementId, ElementValue]) -> ElementsBySet:
    """Elements by set, from those of `lower` and `shared_elements`."""
    found: defaultdict[str, dict[bytes, ElementValue]] = defaultdict(dict)
    for (set_name, key), value in elements.items():
        found[set_name][key] = value
    return found


def skeleton_of(content: Content, family: Family) -> Skeleton:
    """The frame of what was read back from the kernel.

    Raises:
        UntraceableError: there are chains or sets that are none of ours.
    """
    for name, found in (*content.chains.items(), *content.sets.items()):
        if found is None:
            raise UntraceableError(name, "changed by a foreign hand")
    sets = tuple(spec for spec in content.sets.values() if spec is not None)
    chains = tuple(chain for chain in content.chains.values() if chain is not None)
    return Skeleton(family, sets, chains)
