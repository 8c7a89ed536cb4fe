"""The mirror: what we know the kernel holds for one family.

Purpose: every change is computed as a difference against what is installed, without asking the
kernel, and a restarted agent finds out what is already right.

1. It changes in two ways only: `accept` after the kernel confirmed a commit, `replace` after a
   read-back (design invariant 4). Nobody edits it on the way.
2. Any doubt makes it stale: a foreign change, a lost answer, a refused batch. A stale mirror is
   never compared against; the backend reads the kernel back first.
3. It holds endpoint vectors as the very tuples the plan was lowered to, so a hundred thousand
   endpoints cost one reference each.

Only the backend of the family touches it.
"""

from __future__ import annotations

import msgspec

from nodeproxy.backends.nftables.objects import Chain, ElementId, ElementValue, SetSpec


class Content(msgspec.Struct):
    """What a table holds, as read back or as it will be after a commit."""

    exists: bool = False
    unusable: str = ""
    """Why the table cannot be mended in place and has to be built anew; empty if it can."""
    chains: dict[str, Chain | None] = {}
    """By name; None for a chain that is none of ours or whose rules somebody changed."""
    sets: dict[str, SetSpec | None] = {}
    """By name; None for a set that is none of ours."""
    elements: dict[str, dict[bytes, ElementValue]] = {}
    """By set name and key; endpoint maps by frontend, with their vector of slots."""


class Change(msgspec.Struct):
    """The effect of a batch on the content, applied if the kernel accepts it."""

    rebuilds_table: bool = False
    chains: dict[str, Chain | None] = {}
    """Chains by name as they will be; None for deleted ones."""
    sets: dict[str, SetSpec | None] = {}
    elements: dict[ElementId, ElementValue] = {}
    """Elements added or replaced."""
    removed: set[ElementId] = set()


class Mirror:
    """See the module's text."""

    # Mutable state: the content and the reason for doubting it.
    def __init__(self) -> None:
        self._content = Content()
        self.stale_because = "nothing was read yet"

    @property
    def is_stale(self) -> bool:
        """True if the kernel must be read before anything is compared."""
        return bool(self.stale_because)

    @property
    def content(self) -> Content:
        """What is installed; only to be looked at, and only while the mirror is not stale."""
        return self._content

    def mark_stale(self, reason: str) -> None:
        """Doubt the content; the first reason is kept, it is the one that explains the rest."""
        self.stale_because = self.stale_because or reason

    def replace(self, content: Content) -> None:
        """Take what was read back."""
        self._content = content
        self.stale_because = ""

    def accept(self, change: Change) -> None:
        """Take the effect of a batch the kernel has committed."""
        if change.rebuilds_table:
            self._content = Content()
        content = self._content
        content.exists = True
        for name, chain in change.chains.items():
            if chain is None:
                content.chains.pop(name, None)
            else:
                content.chains[name] = chain
        for name, spec in change.sets.items():
            if spec is None:
                content.sets.pop(name, None)
                content.elements.pop(name, None)
            else:
                content.sets[name] = spec
        for set_name, key in change.removed:
            content.elements.get(set_name, {}).pop(key, None)
        for (set_name, key), value in change.elements.items():
            content.elements.setdefault(set_name, {})[key] = value
