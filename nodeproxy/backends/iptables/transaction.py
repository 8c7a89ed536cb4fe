"""One restore: changes as input of iptables-restore, and who is meant by a line of it.

    *filter
    :NP-S-0a601 - [0:0]             will be deleted: emptied
    :NP-S-0a600 - [0:0]             makes a chain, or empties it
    -A NP-S-0a600 -d 10.96.0.10/32 ...
    -I INPUT -j NP-INPUT            only where the jump is missing
    -X NP-S-0a601                   nothing leads there any more
    COMMIT
    *nat
    ...

With `--noflush` whatever is not named stays as it is. Each table is taken as a whole or not at
all, one after the other (IPT-45).

Each chain stands with its rules, behind the chains it leads to, and as far as possible in falling
order of names: iptables-nft-restore 1.8.9 walks a sorted list of all chains named so far, from its
beginning, for every line. 10,000 Services with ten endpoints take it a fraction of the time so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nodeproxy.backends.iptables.mirror import Change, Content
from nodeproxy.backends.iptables.objects import HOOKS, SERVICE_PORT_CHAIN, Table
from nodeproxy.backends.iptables.text import hook_text

_FILTER_FIRST = (Table.FILTER, Table.NAT)


def restore_input(change: Change, content: Content, *, nat_first: bool) -> str:
    """The text that makes a change.

    Args:
        change: what shall be different.
        content: what is there.
        nat_first: refusals are about to go: translate first, so that no packet passes between.
    """
    order: Iterable[Table] = reversed(_FILTER_FIRST) if nat_first else _FILTER_FIRST
    return "".join(_section(table, change, content) for table in order)


def count_operations(text: str) -> int:
    """Lines that make, change or delete something."""
    return sum(line[0] in ":-" for line in text.splitlines())


def _section(table: Table, change: Change, content: Content) -> str:
    writes, deletes = change.writes[table], change.deletes[table]
    removed, added = _hooks(table, content) if change.hooks else ([], [])
    if not (writes or deletes or removed or added):
        return ""
    parts = [f"*{table}\n"]
    parts += [f":{name} - [0:0]\n" for name in deletes]
    parts += [f"-D {line}\n" for line in removed]
    parts += [f":{name} - [0:0]\n{writes[name]}" for name in _in_order(writes)]
    parts += [f"-I {line}\n" for line in added]
    parts += [f"-X {name}\n" for name in deletes]
    parts.append("COMMIT\n")
    return "".join(parts)


def _in_order(names: Iterable[str]) -> list[str]:
    """Every chain behind those it leads to: service ports' own, then trees, then the frame.

    Args:
        names: frame before trees, and in a tree parents before children.
    """
    names = list(names)
    own = sorted(filter(SERVICE_PORT_CHAIN.fullmatch, names), reverse=True)
    return own + [name for name in reversed(names) if not SERVICE_PORT_CHAIN.fullmatch(name)]


def _hooks(table: Table, content: Content) -> tuple[list[str], list[str]]:
    """Jumps that are too many, and jumps that are missing."""
    removed: list[str] = []
    wanted = {hook.builtin: hook_text(hook) for hook in HOOKS if hook.table is table}
    present: set[str] = set()
    for (where, builtin), lines in content.builtin.items():
        if where is table:
            surplus = _surplus(lines, wanted.get(builtin))
            removed += surplus
            if len(surplus) < len(lines):
                present.add(builtin)
    return removed, [line for builtin, line in wanted.items() if builtin not in present]


def _surplus(lines: Sequence[str], wanted: str | None) -> list[str]:
    """All but the first that is as wanted."""
    if wanted not in lines:
        return list(lines)
    keeps = lines.index(wanted)
    return [line for index, line in enumerate(lines) if index != keeps]
