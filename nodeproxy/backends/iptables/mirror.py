"""The mirror: what we know the kernel holds of ours for one family.

It changes by `accept` after the kernel took a change, or by `replace` after a read-back (design
invariant 4); any doubt makes it stale. A chain is remembered by a hash of its text: to know whether
it is right is all that is asked, and 100,000 rules as text are 12 MB.
"""

from __future__ import annotations

import msgspec

from nodeproxy.backends.iptables.objects import HOOKS, Table

BuiltinRules = dict[tuple[Table, str], tuple[str, ...]]
"""Rules in built-in chains that lead to chains of ours, as printed behind `-A`, in their order."""


class Content(msgspec.Struct):
    """What the tables hold of ours."""

    chains: dict[Table, dict[str, int]]
    """Digest of each chain's text, by table and name."""
    builtin: BuiltinRules

    def has(self, table: Table, name: str, text: str) -> bool:
        """True if the chain is there with exactly these rules."""
        return self.chains[table].get(name) == digest(text)


class Change(msgspec.Struct):
    """What one restore does."""

    writes: dict[Table, dict[str, str]]
    """Chains with their whole text; an existing one loses the rules it had."""
    deletes: dict[Table, list[str]]
    hooks: bool = False
    """Whether the jumps from the built-in chains are put in order."""

    @property
    def is_empty(self) -> bool:
        """True if nothing has to be told."""
        return not (self.hooks or any(self.writes.values()) or any(self.deletes.values()))


def digest(text: str) -> int:
    """What a text is remembered by; good within one process."""
    return hash(text)


def nothing() -> Content:
    """A host without any rule of ours."""
    return Content({table: {} for table in Table}, {})


class Mirror:
    """See the module's text."""

    # Mutable state: the content and the reason for doubting it.
    def __init__(self) -> None:
        self.content = nothing()
        self.stale_because = "nothing was read yet"

    @property
    def is_stale(self) -> bool:
        """True if the kernel must be read before anything is compared."""
        return bool(self.stale_because)

    def mark_stale(self, reason: str) -> None:
        """Doubt the content; the first reason is kept, it explains the rest."""
        self.stale_because = self.stale_because or reason

    def replace(self, content: Content) -> None:
        """Take what was read back."""
        self.content = content
        self.stale_because = ""

    def accept(self, change: Change) -> None:
        """Take the effect of a restore."""
        for table in Table:
            chains = self.content.chains[table]
            for name in change.deletes[table]:
                chains.pop(name, None)
            for name, text in change.writes[table].items():
                chains[name] = digest(text)
        if change.hooks:
            self.content.builtin = wanted_builtin()

    @property
    def has_hooks(self) -> bool:
        """True if every built-in chain leads to ours, once."""
        return self.content.builtin == wanted_builtin()


def wanted_builtin() -> BuiltinRules:
    """The jumps there have to be."""
    return {(hook.table, hook.builtin): (f"{hook.builtin} -j {hook.chain}",) for hook in HOOKS}
