"""Which rules and chains of an iptables table are whose, and what takes them away.

Everything here is text: what iptables-save printed, and what iptables-restore is to read. A chain
belongs to a proxy by its name, a jump to such a chain by the place it has and its comment
(IPT-11, IPT-60, IPT-61). Everything else is somebody else's and is not named in the input of
iptables-restore at all.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from nodeproxy.model.leftovers import Item, Kind


class Owner(msgspec.Struct, frozen=True):
    """How to know the chains and jumps of one proxy."""

    name: str
    chains: Mapping[str, frozenset[str]]
    """Names of its chains, by table."""
    numbered: Mapping[str, re.Pattern[str]]
    """Its chains that come in any number, by table; group 1 is what they have in common."""
    comments: tuple[str, ...]
    """How the comment of its jumps begins, one of these."""

    def owns_chain(self, table: str, chain: str) -> bool:
        """Whether a chain of this name is the proxy's."""
        return chain in self.chains.get(table, ()) or bool(self.group(table, chain))

    def group(self, table: str, chain: str) -> str:
        """`KUBE-SEP-*` for a chain that comes in any number, or nothing."""
        pattern = self.numbered.get(table)
        found = pattern.fullmatch(chain) if pattern else None
        return f"{found[1]}*" if found else ""


KUBE_PROXY = Owner(
    name="kube-proxy",
    chains={
        "filter": frozenset(
            {
                "KUBE-SERVICES",
                "KUBE-EXTERNAL-SERVICES",
                "KUBE-FORWARD",
                "KUBE-NODEPORTS",
                "KUBE-PROXY-FIREWALL",
                "KUBE-PROXY-CANARY",
                # mode ipvs
                "KUBE-NODE-PORT",
                "KUBE-SOURCE-RANGES-FIREWALL",
                "KUBE-IPVS-FILTER",
                "KUBE-IPVS-OUT-FILTER",
            }
        ),
        "nat": frozenset(
            {
                "KUBE-SERVICES",
                "KUBE-NODEPORTS",
                "KUBE-POSTROUTING",
                "KUBE-MARK-MASQ",
                "KUBE-PROXY-CANARY",
                # mode ipvs
                "KUBE-NODE-PORT",
                "KUBE-LOAD-BALANCER",
            }
        ),
        "mangle": frozenset({"KUBE-PROXY-CANARY"}),
    },
    # XLB is what releases before 1.24 called EXT.
    numbered={"nat": re.compile(r"(KUBE-(?:SVC|SVL|EXT|XLB|FW|SEP)-)[A-Z2-7]{16}")},
    comments=("kubernetes ", "kube-proxy "),
)
"""kube-proxy in its modes iptables and ipvs.

KUBE-FIREWALL, KUBE-KUBELET-CANARY, KUBE-IPTABLES-HINT and KUBE-MARK-DROP are the kubelet's
(IPT-61).
"""

_OWN_CHAIN = re.compile(r"(NODEPROXY-)[A-Z0-9-]+")
NODEPROXY = Owner(
    name="nodeproxy",
    chains={},
    numbered={"filter": _OWN_CHAIN, "nat": _OWN_CHAIN, "mangle": _OWN_CHAIN},
    comments=("",),
)
"""Our own iptables mode: every chain with the prefix, every jump to one from a built-in chain."""


class SavedTable(msgspec.Struct):
    """One table as iptables-save shows it."""

    name: str
    policies: dict[str, str]
    """Policy by chain; `-` for chains that are not built in."""
    rules: list[tuple[str, str]]
    """Chain and the rest of the rule, as printed behind `-A CHAIN `."""


class Belongings(msgspec.Struct, frozen=True):
    """What one table holds of a proxy; empty values mean nothing."""

    table: str
    chains: dict[str, int]
    """Number of rules by chain, sorted."""
    jumps: tuple[tuple[str, str], ...]
    """Its rules in built-in chains, as in `SavedTable.rules`."""
    held: dict[str, str]
    """Chains that cannot go because a foreign rule leads to them, and that rule."""
    groups: dict[str, str]
    """Common name of those chains that come in any number."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The same for the operator."""
        chains = [
            Item(Kind.CHAIN, name, rules, self.groups.get(name, ""))
            for name, rules in self.chains.items()
        ]
        jumps = [Item(Kind.JUMP, readable(f"{chain} {rule}")) for chain, rule in self.jumps]
        return (*chains, *jumps)


def parse_save(text: str) -> dict[str, SavedTable]:
    """The tables in what iptables-save printed, by name."""
    tables: dict[str, SavedTable] = {}
    table = SavedTable("", {}, [])
    for line in text.splitlines():
        if line.startswith("*"):
            table = tables.setdefault(line[1:], SavedTable(line[1:], {}, []))
        elif line.startswith(":"):
            chain, policy = line[1:].split()[:2]
            table.policies[chain] = policy
        elif line.startswith("-A "):
            chain, _, rule = line[3:].partition(" ")
            table.rules.append((chain, rule))
    return tables


_UNREADABLE = re.compile(r"# Table `(\w+)' is incompatible")


def unreadable_tables(text: str) -> tuple[str, ...]:
    """Tables that iptables-nft-save cannot show, because not only iptables wrote into them."""
    return tuple(_UNREADABLE.findall(text))


def belongings(table: SavedTable, owner: Owner) -> Belongings:
    """Find what of a table is the owner's."""
    counts = Counter(chain for chain, _ in table.rules)
    chains = {c: counts[c] for c in sorted(table.policies) if owner.owns_chain(table.name, c)}
    jumps: list[tuple[str, str]] = []
    held: dict[str, str] = {}
    for chain, rule, target, comment in _references(table, chains):
        is_built_in = table.policies.get(chain, "-") != "-"
        if is_built_in and comment.startswith(owner.comments):
            jumps.append((chain, rule))
        else:
            held.setdefault(target, f"{chain} {rule}")
    groups = {c: group for c in chains if (group := owner.group(table.name, c))}
    return Belongings(table.name, chains, tuple(jumps), held, groups)


def removal(found: Belongings) -> str:
    """What iptables-restore --noflush must read to take it all away in one transaction.

    A chain that is held by a foreign rule stays, without rules.
    """
    return "\n".join(
        [
            f"*{found.table}",
            *(f":{chain} - [0:0]" for chain in found.chains),
            *(f"-D {chain} {rule}" for chain, rule in found.jumps),
            *(f"-X {chain}" for chain in found.chains if chain not in found.held),
            "COMMIT",
            "",
        ]
    )


_TARGET = re.compile(r"(?:^|.* )-[jg] (\S+)")
"""A rule that leads to a chain ends with its name: chains take no options."""


def _references(
    table: SavedTable, chains: Mapping[str, int]
) -> Iterator[tuple[str, str, str, str]]:
    """Rules of others that lead to one of the chains: chain, rule, target, comment."""
    for chain, rule in table.rules:
        found = None if chain in chains else _TARGET.fullmatch(rule)
        if found and found[1] in chains:
            yield chain, rule, found[1], _comment(rule)


def _comment(rule: str) -> str:
    words = shlex.split(rule)
    places = [i for i, word in enumerate(words[:-1]) if word == "--comment"]
    return words[places[0] + 1] if places else ""


def readable(rule: str) -> str:
    """A rule to be shown: comments may hold any bytes, which are kept as lone surrogates."""
    return rule.encode(errors="surrogateescape").decode(errors="replace")
