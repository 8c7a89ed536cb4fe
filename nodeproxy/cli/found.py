"""What was found and what became of it, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec

from nodeproxy.model.leftovers import Holding, Item, Kind, Origin, Search

_CONTENT = {
    Kind.CHAIN: "rule",
    Kind.SET: "element",
    Kind.MAP: "element",
    Kind.VIRTUAL_SERVER: "real server",
    Kind.INTERFACE: "address",
}
"""What an object holds, see `Kind`."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one holding."""

    holding: Holding
    is_removed: bool = False
    failure: str = ""
    """Why it is still there, or part of it; nothing if removing was not asked for."""


def listing(holding: Holding) -> Iterator[str]:
    """A line with the counts, then one for each object or group of alike ones."""
    yield summary(holding)
    for (kind, group), items in groupby(holding.items, key=lambda item: (item.kind, item.group)):
        members = list(items)
        if group:
            yield f"  {_count(len(members), kind)} {group}{_content(kind, members)}"
        else:
            yield from (f"  {kind} {item.name}{_content(kind, [item])}" for item in members)


def summary(holding: Holding) -> str:
    """`iptables-nft, IPv4, table nat: 12 chains with 30 rules, 3 jumps`."""
    kinds = Counter(item.kind for item in holding.items)
    parts = [
        f"{_count(number, kind)}"
        + _content(kind, [item for item in holding.items if item.kind is kind], " with ")
        for kind, number in kinds.items()
    ]
    return f"{holding}: {', '.join(parts)}"


def as_json(origin: Origin, search: Search, outcomes: Sequence[Outcome]) -> str:
    """One JSON object; docs/cleanup.md tells its fields."""
    document = {
        "from": origin,
        "found": [_as_object(outcome) for outcome in outcomes],
        "failures": search.failures,
        "notes": search.notes,
        "warnings": search.warnings,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _as_object(outcome: Outcome) -> dict[str, object]:
    holding = outcome.holding
    return {
        "place": holding.place,
        "family": holding.family,
        "table": holding.table or None,
        "objects": [
            {"kind": item.kind, "name": item.name, "size": item.size} for item in holding.items
        ],
        "removed": outcome.is_removed,
        "failure": outcome.failure or None,
    }


def _content(kind: Kind, items: Sequence[Item], before: str = ": ") -> str:
    if kind not in _CONTENT:
        return ""
    return before + _count(sum(item.size for item in items), _CONTENT[kind])


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
