"""iptables in memory: both families' tables, changed by restores and printed by saves.

It knows what the backend relies on: a chain line makes or empties a chain, a table is taken as a
whole or not at all, targets must exist, and a chain in use cannot be deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.tool import Flavour, Refusal
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family

_BUILTIN = {
    Table.FILTER: ("INPUT", "FORWARD", "OUTPUT"),
    Table.NAT: ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
_TARGETS = frozenset(
    ("ACCEPT", "DROP", "RETURN", "REJECT", "MARK", "DNAT", "MASQUERADE", "CHECKSUM")
)

Chains = dict[str, list[str]]


class _Refused(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


class FakeXtables:
    """A `Tool` without a kernel."""

    # Mutable state: the tables, what is to go wrong, and what was asked.
    def __init__(self, flavour: Flavour = Flavour.NFT) -> None:
        self.flavour = flavour
        self.tables: dict[tuple[Family, Table], Chains] = {}
        for family in FAMILIES:
            self.flush(family)
        self.refuses: Callable[[str], bool] = lambda _: False
        """Rule lines that the kernel does not take."""
        self.names_lines = True
        """False: a refusal names the line of COMMIT, as the legacy kernel interface does."""
        self.fails_next = ""
        """Text of the error the next restore ends with, before anything is changed."""
        self.restores: list[str] = []

    def flush(self, family: Family) -> None:
        """What `iptables -F; iptables -X` of a foreign hand leave."""
        for table in Table:
            self.tables[family, table] = {name: [] for name in _BUILTIN[table]}

    def restore(self, family: Family, text: str) -> Refusal | None:
        """See `Tool.restore`."""
        if self.fails_next:
            words, self.fails_next = self.fails_next, ""
            raise BackendError(words)
        self.restores.append(text)
        table, chains = Table.NAT, Chains()
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("*"):
                table = Table(line[1:])
                chains = {name: list(rules) for name, rules in self.tables[family, table].items()}
                refusal: _Refused | None = None
                continue
            if line == "COMMIT":
                if refusal is not None:
                    named = refusal.line if self.names_lines else number
                    return Refusal(named, f"line {named} failed: {refusal}")
                self.tables[family, table] = chains
                continue
            try:
                self._line(number, line, chains)
            except _Refused as exc:
                refusal = refusal or exc
        return None

    def save(self, family: Family, table: Table) -> str:
        """See `Tool.save`."""
        chains = self.tables[family, table]
        lines = [f"*{table}"]
        lines += [f":{name} {_policy(table, name)} [0:0]" for name in sorted(chains)]
        lines += [f"-A {name}{rule}" for name in sorted(chains) for rule in chains[name]]
        return "\n".join([*lines, "COMMIT", ""])

    def rules(self, family: Family, table: Table, chain: str) -> Sequence[str]:
        """A chain's rules, each as printed behind the chain's name."""
        return [rule.strip() for rule in self.tables[family, table][chain]]

    def _line(self, number: int, line: str, chains: Chains) -> None:
        if line.startswith(":"):
            chains[line[1:].split()[0]] = []
            return
        verb, name, *_ = line.split()
        rule = line.removeprefix(f"{verb} {name}")
        if name not in chains:
            raise _Refused(number, f"no chain {name}")
        match verb:
            case "-A" | "-I":
                if self.refuses(line):
                    raise _Refused(number, "RULE_APPEND failed (Invalid argument)")
                target = _target(rule)
                if target not in _TARGETS and target not in chains:
                    raise _Refused(number, f"no chain {target}")
                chains[name].insert(0 if verb == "-I" else len(chains[name]), rule)
            case "-D":
                if rule not in chains[name]:
                    raise _Refused(number, "no such rule")
                chains[name].remove(rule)
            case "-X":
                used = any(_target(rule) == name for rules in chains.values() for rule in rules)
                if used or chains[name]:
                    raise _Refused(number, f"chain {name} is in use")
                del chains[name]
            case _:
                raise AssertionError(f"the backend wrote: {line}")


def _target(rule: str) -> str:
    words = rule.split()
    return words[max(i for i, word in enumerate(words) if word in ("-j", "-g")) + 1]


def _policy(table: Table, chain: str) -> str:
    return "ACCEPT" if chain in _BUILTIN[table] else "-"
