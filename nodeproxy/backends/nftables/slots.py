"""Slots: which endpoint sits where, and how many slots a frontend has.

The kernel draws a slot at random below a fixed bound, and draws again if it is empty. So frontends
need not be told apart by their exact number of endpoints: they are sorted into classes of 1, 2, 4,
8, ... slots, each class a set, a chain and one rule. Everything a change of endpoints touches is
plain data; the kernel re-validates all verdict maps of a table when one gets an element, which
cost 1.0 ms at 10,000 Services (docs/decisions/0001-slot-classes.md).

Endpoints fill the slots from 0 on without holes, and with as few moves as possible: an endpoint
that stays keeps its slot. Replacing an endpoint costs two element operations, removing one three,
however many there are.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from nodeproxy.backends.nftables.objects import Slots


class SlotPool(enum.StrEnum):
    """The four kinds of pools; the value begins the names of their chains."""

    SERVICE = "service"
    NODEPORT = "nodeport"
    LOCAL_SERVICE = "local-service"
    """Endpoints on this node, for frontends with externalTrafficPolicy Local."""
    LOCAL_NODEPORT = "local-nodeport"

    @property
    def endpoints(self) -> str:
        """The map from frontend and slot to endpoint."""
        return f"{self.value}-endpoints"

    @property
    def affinity_ids(self) -> str:
        """The map from frontend to affinity id."""
        return f"affinity-{self.value}s"

    @property
    def pick_chain(self) -> str:
        """The chain that finds a frontend's class."""
        return f"pick-{self.value}"


class SlotClass(NamedTuple):
    """All frontends of a pool kind that share a number of slots."""

    pool: SlotPool
    slots: int
    """A power of two; the class holds frontends with more endpoints than half of it."""

    @property
    def set_name(self) -> str:
        """The set of frontends in the class: `services-4`."""
        return f"{self.pool.value}s-{self.slots}"

    @property
    def chain(self) -> str:
        """The chain that draws: `service-4`."""
        return f"{self.pool.value}-{self.slots}"


def slot_class_for(pool: SlotPool, endpoints: int) -> SlotClass:
    """The class of a frontend with so many endpoints, at least one."""
    return SlotClass(pool, 1 << (endpoints - 1).bit_length())


def assign_slots(installed: Slots | None, wanted: Slots) -> Slots:
    """The wanted endpoints, in the slots that cost the fewest changes.

    Args:
        installed: what the kernel has; may hold holes or duplicates a foreign hand made.
        wanted: the pool in canonical order, without duplicates.

    Returns:
        `installed` itself if it holds exactly the wanted endpoints.
    """
    if not installed or installed == wanted:
        return wanted
    size, members = len(wanted), set(wanted)
    kept = installed[:size]
    if len(set(kept)) == len(kept):
        slots = [data if data in members else None for data in kept]
    else:
        slots = _without_repeats(kept, members)
    missing = members.difference(slots)
    if not missing and len(installed) == size:
        return installed
    newcomers = (data for data in wanted if data in missing)
    return Slots([next(newcomers) if data is None else data for data in _padded(slots, size)])


def _without_repeats(
    installed: tuple[bytes | None, ...], members: set[bytes | None]
) -> list[bytes | None]:
    """What of a vector with repeats may stay: each wanted endpoint where it is first."""
    left = set(members)
    slots: list[bytes | None] = []
    for data in installed:
        slots.append(data if data in left else None)
        left.discard(data)
    return slots


def _padded(slots: list[bytes | None], size: int) -> list[bytes | None]:
    return slots + [None] * (size - len(slots))
