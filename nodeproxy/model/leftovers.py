"""What a proxy left on a node, as values: what is where, and how to be rid of it."""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from nodeproxy.model.addresses import Family


class Origin(enum.StrEnum):
    """Whose objects are looked for; the values of `nodeproxy cleanup --from`."""

    NODEPROXY = "nodeproxy"
    NODEPROXY_IPTABLES = "nodeproxy-iptables"
    KUBE_PROXY = "kube-proxy"


class Place(enum.StrEnum):
    """Which part of the kernel holds the objects."""

    NFTABLES = "nftables"
    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"
    IPVS = "ipvs"
    IPSET = "ipset"
    INTERFACE = "interface"


class Kind(enum.StrEnum):
    """What an object is; `Item.size` counts what such an object holds."""

    CHAIN = "chain"
    """Holds rules."""
    JUMP = "jump"
    """A rule in a chain of somebody else that leads to a chain of the proxy; holds nothing."""
    SET = "set"
    """Holds elements."""
    MAP = "map"
    """Holds elements."""
    VIRTUAL_SERVER = "virtual server"
    """Holds real servers."""
    INTERFACE = "interface"
    """Holds addresses."""


class Item(msgspec.Struct, frozen=True):
    """One object of the proxy."""

    kind: Kind
    name: str
    """For a jump the rule, as iptables-save writes it behind `-A`."""
    size: int = 0
    """How many things it holds, see `Kind`."""
    group: str = ""
    """Many objects of one nature, one for each Service or endpoint: their common name."""


class Holding(msgspec.Struct, frozen=True):
    """What one table, or something like it, holds of a proxy."""

    place: Place
    items: tuple[Item, ...]
    family: Family | None = None
    """None where the place knows no families."""
    table: str = ""

    def __str__(self) -> str:
        table = f"table {self.table}" if self.table else ""
        return ", ".join(str(part) for part in (self.place, self.family, table) if part)


class Leftover(msgspec.Struct, frozen=True):
    """A holding and the way to remove it."""

    holding: Holding
    remove: Callable[[], None]
    """Removes all of it; doing it twice does no harm. Raises NodeproxyError with what stayed."""


class Search(msgspec.Struct, frozen=True):
    """What was found, in the order in which it can be removed."""

    leftovers: tuple[Leftover, ...] = ()
    notes: tuple[str, ...] = ()
    """Where nothing could be looked for or nothing is touched, and why."""
    failures: tuple[str, ...] = ()
    """Where something may be that could not be read, and why."""
    warnings: tuple[str, ...] = ()
    """What will undo the removal."""


def joined(*searches: Search) -> Search:
    """Several searches as one, in this order."""
    return Search(
        leftovers=tuple(found for search in searches for found in search.leftovers),
        notes=tuple(note for search in searches for note in search.notes),
        failures=tuple(failure for search in searches for failure in search.failures),
        warnings=tuple(warning for search in searches for warning in search.warnings),
    )
