"""What iptables-save printed, as far as it is ours: chains by name, and the jumps to them."""

from __future__ import annotations

from itertools import pairwise

from nodeproxy.backends.iptables.mirror import digest
from nodeproxy.backends.iptables.objects import PREFIX


def parse_chains(saved: str) -> dict[str, str]:
    """The text of each chain of ours in one table, `-A` lines as they stand."""
    texts: dict[str, list[str]] = {}
    for line in saved.splitlines(keepends=True):
        if line.startswith(_DECLARED):
            texts[line[1:].split(" ", 1)[0]] = []
        elif line.startswith(_RULE):
            texts.setdefault(line.split(" ", 2)[1], []).append(line)
    return {name: "".join(lines) for name, lines in texts.items()}


def digests(saved: str) -> dict[str, int]:
    """The digest of each chain of ours in one table."""
    return {name: digest(text) for name, text in parse_chains(saved).items()}


def parse_builtin(saved: str) -> dict[str, tuple[str, ...]]:
    """Rules of other chains that lead to ours, by chain, as printed behind `-A`."""
    found: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if (
            line.startswith("-A ")
            and not line.startswith(_RULE)
            and _TARGETS.intersection(_leads(line))
        ):
            rule = line.removeprefix("-A ")
            found.setdefault(rule.split(" ", 1)[0], []).append(rule)
    return {name: tuple(rules) for name, rules in found.items()}


def _leads(line: str) -> set[str]:
    words = line.split()
    return {word for word, nxt in pairwise(words) if nxt.startswith(PREFIX)}


_DECLARED = f":{PREFIX}"
_RULE = f"-A {PREFIX}"
_TARGETS = frozenset({"-j", "-g"})
