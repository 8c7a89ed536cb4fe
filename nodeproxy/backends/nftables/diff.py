"""The difference between what is wanted and what the mirror says, as operations in a safe order.

Created before referenced, unreferenced before deleted (design invariant 6):

    table, sets, chains, rules | elements out, elements in | chains and sets nobody needs

An element with another value is taken out and put back in the same transaction: packets see one
or the other.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nodeproxy.backends.nftables.keys import slot_bytes
from nodeproxy.backends.nftables.mirror import Change, Content
from nodeproxy.backends.nftables.objects import (
    AddChain,
    AddElements,
    AddRule,
    AddSet,
    AddTable,
    AffinityId,
    Chain,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    ElementId,
    ElementValue,
    FlushChain,
    Members,
    Operation,
    RawElement,
    Skeleton,
    Slots,
)
from nodeproxy.backends.nftables.slots import assign_slots
from nodeproxy.netlink import expressions
from nodeproxy.plan.types import PlanKey

TABLE_COMMENT = "rules of nodeproxy; changes by hand are undone"


class Difference(msgspec.Struct):
    """Operations and their effect on the mirror once the kernel has accepted them."""

    operations: list[Operation]
    change: Change


class Differ:
    """Collects one transaction's worth of differences against a content that stays as it is.

    Call in this order: `table` if the frame may differ, `element`, `remove`, `prune`, `finish`.
    """

    # Mutable state: the lists that `finish` puts in order.
    def __init__(self, content: Content) -> None:
        self._content = Content() if content.unusable else content
        self._created: list[Operation] = []
        self._rules: list[Operation] = []
        self._deletes: dict[str, list[RawElement]] = {}
        self._adds: dict[str, list[RawElement]] = {}
        self._dropped: list[Operation] = []
        self._assignments: dict[tuple[int, int], tuple[Slots, list[int], Slots, Slots]] = {}
        self._change = Change(rebuilds_table=bool(content.unusable))
        if content.unusable:
            self._created.append(DeleteTable())

    def table(self, skeleton: Skeleton) -> None:
        """The table, its sets and its chains."""
        if not self._content.exists:
            self._created.append(AddTable(TABLE_COMMENT))
        for spec in skeleton.sets:
            if self._content.sets.get(spec.name) is None:
                self._created.append(AddSet(spec))
                self._change.sets[spec.name] = spec
        for chain in skeleton.chains:
            self._chain(chain)

    def _chain(self, chain: Chain) -> None:
        if self._content.chains.get(chain.name) == chain:
            return
        if chain.name in self._content.chains:
            self._rules.append(FlushChain(chain.name))
        else:
            self._created.append(AddChain(chain))
        self._rules.extend(AddRule(chain.name, rule) for rule in chain.rules)
        self._change.chains[chain.name] = chain

    def element(self, element: ElementId, value: ElementValue, owner: PlanKey | None) -> None:
        """An element that shall be there with this value; nothing to do if it is."""
        installed = self._content.elements.get(element.set_name, {})
        if isinstance(value, Slots):
            found = installed.get(element.key)
            self._slots(element, found if isinstance(found, Slots) else Slots(), value, owner)
            return
        if isinstance(value, Members):
            found = installed.get(element.key)
            self._members(element, found if isinstance(found, Members) else Members(), value, owner)
            return
        if element.key in installed:
            if installed[element.key] == value:
                return
            self._delete(element.set_name, element.key, owner)
        self._adds.setdefault(element.set_name, []).append(_raw(element, value, owner))
        self._change.elements[element] = value

    def _slots(
        self, element: ElementId, installed: Slots, wanted: Slots, owner: PlanKey | None
    ) -> None:
        slots, other = self._assigned(installed, wanted)
        if slots is installed or slots == installed:
            return
        set_name, key = element
        adds = self._adds.setdefault(set_name, [])
        self._change.elements[element] = slots
        if not installed:
            adds += [
                RawElement(key + slot_bytes(index), data, "", owner)
                for index, data in enumerate(slots)
            ]
            return
        before = len(installed)
        for index in (*other, *range(before, len(slots))):
            slot_key = key + slot_bytes(index)
            if index < before and installed[index] is not None:
                self._delete(set_name, slot_key, owner)
            adds.append(RawElement(slot_key, slots[index], "", owner))
        for index in range(len(slots), before):
            if installed[index] is not None:
                self._delete(set_name, key + slot_bytes(index), owner)

    def _assigned(self, installed: Slots, wanted: Slots) -> tuple[Slots, list[int]]:
        """The slots as they will be, and those of the installed ones that change.

        The frontends of a pool share one vector: what is assigned to one is for all.
        """
        key = (id(installed), id(wanted))
        if key not in self._assignments:
            slots = assign_slots(installed, wanted)
            pairs = zip(slots, installed, strict=False)
            other = [i for i, (data, old) in enumerate(pairs) if data is not old and data != old]
            # Both vectors are kept, so that no other one gets their identity meanwhile.
            self._assignments[key] = (slots, other, installed, wanted)
        return self._assignments[key][:2]

    def _members(
        self, element: ElementId, installed: Members, wanted: Members, owner: PlanKey | None
    ) -> None:
        if installed == wanted:
            return
        set_name, key = element
        self._change.elements[element] = wanted
        for data in sorted(installed - wanted):
            self._delete(set_name, key + data, owner)
        adds = self._adds.setdefault(set_name, [])
        adds += [RawElement(key + data, None, "", owner) for data in sorted(wanted - installed)]

    def _delete(self, set_name: str, key: bytes, owner: PlanKey | None) -> None:
        raw = _raw(ElementId(set_name, key), "", owner)
        self._deletes.setdefault(set_name, []).append(raw)

    def remove(self, elements: Iterable[ElementId]) -> None:
        """Elements that shall not be there."""
        for element in elements:
            set_name, key = element
            installed = self._content.elements.get(set_name, {})
            if key not in installed:
                continue
            value = installed[key]
            if isinstance(value, Slots):
                for index, data in enumerate(value):
                    if data is not None:
                        self._delete(set_name, key + slot_bytes(index), None)
            elif isinstance(value, Members):
                for data in value:
                    self._delete(set_name, key + data, None)
            else:
                self._delete(set_name, key, None)
            self._change.removed.add(element)

    def prune(self, skeleton: Skeleton) -> None:
        """Chains and sets of our table that nothing needs, whoever made them."""
        keep = {chain.name for chain in skeleton.chains}
        strangers = [name for name in self._content.chains if name not in keep]
        ours = {spec.name for spec in skeleton.sets}
        unknown = [name for name in self._content.sets if name not in ours]
        # Rules refer to sets and chains, elements of foreign verdict maps to chains.
        self._dropped.extend(FlushChain(name) for name in strangers)
        self._dropped.extend(DeleteSet(name) for name in unknown)
        self._dropped.extend(DeleteChain(name) for name in strangers)
        self._change.chains.update(dict.fromkeys(strangers))
        self._change.sets.update(dict.fromkeys(unknown))

    def finish(self) -> Difference:
        """Everything collected, in an order the kernel accepts."""
        operations = [*self._created, *self._rules]
        operations += [DeleteElements(name, tuple(raw)) for name, raw in self._deletes.items()]
        operations += [AddElements(name, tuple(raw)) for name, raw in self._adds.items() if raw]
        operations += self._dropped
        return Difference(operations, self._change)


def _raw(element: ElementId, value: str | AffinityId, owner: PlanKey | None) -> RawElement:
    """An element that is no vector, as the kernel has it."""
    if isinstance(value, AffinityId):
        number = expressions.host_u32(value.number)
        return RawElement(element.key, number, value.comment, owner)
    return RawElement(element.key, None, value, owner)
