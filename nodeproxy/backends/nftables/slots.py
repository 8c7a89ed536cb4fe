"""Which endpoint sits in which slot: as few moves as possible.

The kernel picks a slot at random, so any assignment is right; what counts is how many elements a
change costs. An endpoint that stays keeps its slot. One that goes leaves a hole for one that
comes, or else for the last one: replacing an endpoint costs two element operations, removing one
costs three, however many there are.
"""

from __future__ import annotations

from nodeproxy.backends.nftables.objects import Slots


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
    size = len(wanted)
    missing = set(wanted)
    slots: list[bytes | None] = []
    for data in installed[:size]:
        keep = data in missing
        slots.append(data if keep else None)
        if keep and data is not None:
            missing.discard(data)
    if not missing and len(installed) == size:
        return installed
    newcomers = (data for data in wanted if data in missing)
    return Slots([next(newcomers) if data is None else data for data in _padded(slots, size)])


def _padded(slots: list[bytes | None], size: int) -> list[bytes | None]:
    return slots + [None] * (size - len(slots))
