"""Leftovers in iptables: both flavours, which are two separate sets of tables, and both families.

The kernel is asked first, so that on a node without a trace no command is started, and a missing
one matters only where there is something to look at. iptables-save and iptables-restore do the
rest: the old flavour has no other interface, and only they can write a rule back as it was read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec

from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.leftovers import Holding, Item, Kind, Leftover, Place, Search, joined
from nodeproxy.netlink.channel import Channel
from nodeproxy.netlink.tables import chain_names, table_names
from nodeproxy.node.leftovers.rules import (
    Belongings,
    Owner,
    belongings,
    parse_save,
    readable,
    removal,
    unreadable_tables,
)

_TABLES = ("filter", "nat", "mangle")
"""In the order kube-proxy writes them (IPT-3)."""
_PLACES = (Place.IPTABLES_NFT, Place.IPTABLES_LEGACY)
_TIMEOUT_SECONDS = 600.0
"""iptables-nft needs 0.3 s for 3,300 chains, 1.5 s for 11,000: more than in proportion."""
_LOCK_SECONDS = "5"
"""How long to wait for the lock of xtables, as kube-proxy does (IPT-2)."""
_MORE_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


class XtablesFailed(BackendError):
    """A command of iptables could not do what it was for."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(command, reason)
        self.command = command
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.command}: {self.reason}"


class ChainsHeld(BackendError):
    """Everything is gone but chains that foreign rules lead to; these are empty now."""

    def __init__(self, held: dict[str, str]) -> None:
        super().__init__(held)
        self.held = held

    def __str__(self) -> str:
        chains = "; ".join(
            f"chain {chain} is empty now and stays, because the rule `-A {rule}` leads to it"
            for chain, rule in self.held.items()
        )
        return f"{chains}. Remove what is not needed of that and try again"


class NothingToReadWith(BackendError):
    """There are chains, but nothing that can read and change the table."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason, remedy)
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.reason}; nothing of this table was removed, {self.remedy}"


class Tables(msgspec.Struct, frozen=True):
    """The iptables tables of one flavour and family, and the commands for them."""

    place: Place
    family: Family

    def __str__(self) -> str:
        return f"{self.place}, {self.family}"

    @property
    def command(self) -> str:
        """`ip6tables-legacy`: how all its commands begin."""
        name = "iptables" if self.family is Family.IPV4 else "ip6tables"
        return f"{name}-{self.place.removeprefix('iptables-')}"

    @property
    def is_installed(self) -> bool:
        """Whether both commands are there."""
        return all(_path(f"{self.command}-{verb}") for verb in ("save", "restore"))

    def save(self, *arguments: str) -> str:
        """What is in the tables, as text.

        Raises:
            XtablesFailed: they could not be read.
        """
        return _run(f"{self.command}-save", *arguments)

    def restore(self, text: str) -> None:
        """Change a table in one transaction.

        Raises:
            XtablesFailed: nothing was changed.
        """
        _run(f"{self.command}-restore", "--noflush", "-w", _LOCK_SECONDS, text=text)


def search_xtables(
    owner: Owner, channel: Channel, proc: Path = Path("/proc/thread-self")
) -> Search:
    """What the owner has in iptables, in this network namespace.

    Args:
        owner: whose chains and jumps.
        channel: to ask which nf_tables tables there are.
        proc: where the kernel tells of this thread.

    Raises:
        BackendError: the kernel does not tell which tables there are.
    """
    return joined(
        *(
            _search_one(Tables(place, family), owner, channel, proc)
            for place in _PLACES
            for family in FAMILIES
        )
    )


def _search_one(tables: Tables, owner: Owner, channel: Channel, proc: Path) -> Search:
    present = _present(tables, channel, proc)
    if not present:
        return Search()
    if tables.is_installed:
        return _search_by_command(tables, owner, channel)
    if tables.place is Place.IPTABLES_NFT:
        failure = NothingToReadWith(f"{tables.command} is not installed", "install iptables")
        return Search(tuple(_out_of_reach(tables, owner, channel, present, failure)))
    note = (
        f"{tables}: the kernel has the tables {', '.join(present)}, and {tables.command} "
        "is not installed; they were not looked at, install iptables to have it done"
    )
    return Search(notes=(note,))


def _search_by_command(tables: Tables, owner: Owner, channel: Channel) -> Search:
    try:
        text = tables.save()
    except XtablesFailed as exc:
        return Search(failures=(f"{tables}: {exc}",))
    leftovers = tuple(_readable(tables, text, owner, channel))
    return Search(leftovers, tuple(_what_will_be_missed(tables, text, owner)))


def _present(tables: Tables, channel: Channel, proc: Path) -> list[str]:
    """Those of our tables that the kernel has; asking makes none, unlike `iptables -t nat -L`."""
    if tables.place is Place.IPTABLES_NFT:
        found = table_names(channel, tables.family)
    else:
        name = "ip_tables_names" if tables.family is Family.IPV4 else "ip6_tables_names"
        try:
            found = set((proc / "net" / name).read_text().split())
        except FileNotFoundError:
            found = set()
    return [table for table in _TABLES if table in found]


def _readable(tables: Tables, text: str, owner: Owner, channel: Channel) -> Iterator[Leftover]:
    saved = parse_save(text)
    for name in _TABLES:
        found = belongings(saved[name], owner) if name in saved else None
        if found and found.chains:
            holding = Holding(tables.place, found.items, tables.family, name)
            yield Leftover(holding, partial(_remove, tables, owner, name))
    for name in unreadable_tables(text):
        reason = f"{tables.command} cannot show the table, because not only iptables wrote into it"
        remedy = f"see nft list table {_nft_family(tables.family)} {name}"
        yield from _out_of_reach(tables, owner, channel, [name], NothingToReadWith(reason, remedy))


def _what_will_be_missed(tables: Tables, text: str, owner: Owner) -> Iterator[str]:
    """kube-proxy lets its connections pass a FORWARD that drops; no other table can."""
    table = parse_save(text).get("filter")
    if table is None or table.policies.get("FORWARD") != "DROP":
        return
    if "KUBE-FORWARD" in belongings(table, owner).chains:
        yield (
            f"{tables}: the policy of FORWARD is DROP, and KUBE-FORWARD "
            "lets connections of Services pass; see that another rule does before it is gone"
        )


def _out_of_reach(
    tables: Tables, owner: Owner, channel: Channel, names: list[str], failure: NothingToReadWith
) -> Iterator[Leftover]:
    """Chains of which the kernel tells no more than the name."""
    for name in names:
        items = tuple(
            Item(Kind.CHAIN, chain, group=owner.group(name, chain))
            for chain in chain_names(channel, tables.family, name)
            if owner.owns_chain(name, chain)
        )
        if items:
            holding = Holding(tables.place, items, tables.family, name)
            yield Leftover(holding, partial(_raise, failure))


def _remove(tables: Tables, owner: Owner, table: str) -> None:
    """Read the table again, for it may have changed since it was shown, and take it all away."""
    found = _belongings_now(tables, owner, table)
    if found is None or not found.chains:
        return
    tables.restore(removal(found))
    if found.held:
        raise ChainsHeld({chain: readable(rule) for chain, rule in found.held.items()})


def _belongings_now(tables: Tables, owner: Owner, table: str) -> Belongings | None:
    saved = parse_save(tables.save("-t", table))
    return belongings(saved[table], owner) if table in saved else None


def _raise(failure: BackendError) -> None:
    raise failure


def _nft_family(family: Family) -> str:
    return "ip" if family is Family.IPV4 else "ip6"


def _path(command: str) -> str | None:
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{_MORE_PATH}")


def _run(command: str, *arguments: str, text: str = "") -> str:
    try:
        done = subprocess.run(
            [_path(command) or command, *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise XtablesFailed(command, str(exc)) from exc
    if done.returncode:
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise XtablesFailed(command, " ".join(reason.split()))
    return done.stdout
