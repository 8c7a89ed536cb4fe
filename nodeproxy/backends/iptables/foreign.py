"""Who else changed our chains: asked of the kernel, in the way each flavour allows.

    nft      the kernel's notifications: at once, with the name of the process
    legacy   the kernel tells nobody; but for each table it can be asked for the number of rules,
             their size and where each built-in chain begins, in some microseconds: asked twice a
             second, a flush is noticed without reading any rule

The answer is a reason to doubt the mirror, never more: the next commit reads back and repairs.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
from collections.abc import Callable, Container, Sequence
from contextlib import closing
from typing import Protocol

from nodeproxy.backends.iptables.objects import HOOKS, PREFIX, Table
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import parse_string, parse_u32
from nodeproxy.netlink.channel import NetfilterListener
from nodeproxy.netlink.messages import Received

_log = logging.getLogger("nodeproxy.iptables")

POLL_SECONDS = 0.5
"""How long a change of legacy tables stays unnoticed at most."""


class Eye(Protocol):
    """Something that sees foreign changes."""

    def look(self) -> str:
        """What others changed since the last look; empty if nothing."""

    async def wait(self) -> None:
        """Until it may be worth another look."""

    def close(self) -> None:
        """Let go of sockets."""


async def watch(eye: Eye, on_change: Callable[[str], None]) -> None:
    """Look again and again, until cancelled.

    Args:
        eye: closed at the end.
        on_change: called with words for what happened.
    """
    with closing(eye):
        while True:
            reason = eye.look()
            if reason:
                _log.warning("rules changed by somebody else: %s; checking and repairing", reason)
                on_change(reason)
            await eye.wait()


def open_eye(commands: Commands, families: Sequence[Family]) -> Eye:
    """The eye for a flavour, in the current network namespace."""
    if commands.flavour is Flavour.NFT:
        return NftEye(commands.own_pids)
    return LegacyEye(commands, families)


# -- nft -----------------------------------------------------------------------------------------


class NftEye:
    """Reads the notifications of the iptables tables in nf_tables."""

    def __init__(self, own_ports: Container[int]) -> None:
        """Begin to listen.

        Args:
            own_ports: netlink ports whose changes are ours: a restore's port is its process id.
        """
        self._own_ports = own_ports
        self._listener = NetfilterListener(0)

    def look(self) -> str:
        """See `Eye.look`."""
        notifications = self._listener.receive()
        if notifications is None:
            return "somebody changed so much at once that notifications were lost"
        return foreign_change(notifications, self._own_ports)

    async def wait(self) -> None:
        """See `Eye.wait`: until the kernel has told something."""
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._listener.fileno(), told.set)
        try:
            await told.wait()
        finally:
            loop.remove_reader(self._listener.fileno())

    def close(self) -> None:
        """See `Eye.close`."""
        self._listener.close()


def foreign_change(notifications: Sequence[Received], own_ports: Container[int]) -> str:
    """What others did to our chains or to the jumps to them; empty if nothing."""
    touched: dict[int, str] = {}
    culprits: dict[int, str] = {}
    for received in notifications:
        if received.kind >> 8 != nf.NFNL_SUBSYS_NFTABLES or received.portid in own_ports:
            continue
        found = attributes.parse(received.body)
        if received.nft_kind == nf.NFT_MSG_NEWGEN:
            name = parse_string(found.get(nf.NFTA_GEN_PROC_NAME, b"?"))
            culprits[received.portid] = f"{name} (pid {parse_u32(found[nf.NFTA_GEN_PROC_PID])})"
        elif received.family in _FAMILIES and (what := _what(received.nft_kind, found)):
            touched.setdefault(received.portid, what)
    return ", ".join(
        f"{what} by {culprits.get(portid, 'an unknown process')}"
        for portid, what in touched.items()
    )


def _what(kind: int, found: dict[int, bytes]) -> str:
    """What a notification says of ours; empty if it is about others."""
    table = parse_string(found.get(_TABLE_NAME, b""))
    if table not in tuple(Table):
        return ""
    if kind == nf.NFT_MSG_DELTABLE:
        return f"table {table} deleted"
    if kind in (nf.NFT_MSG_NEWCHAIN, nf.NFT_MSG_DELCHAIN):
        chain = parse_string(found.get(nf.NFTA_CHAIN_NAME, b""))
        verb = "added" if kind == nf.NFT_MSG_NEWCHAIN else "deleted"
        return f"chain {chain} {verb}" if chain.startswith(PREFIX) else ""
    if kind in (nf.NFT_MSG_NEWRULE, nf.NFT_MSG_DELRULE):
        chain = parse_string(found.get(nf.NFTA_RULE_CHAIN, b""))
        verb = "added" if kind == nf.NFT_MSG_NEWRULE else "deleted"
        is_jump = (table, chain) in _BUILTIN and verb == "deleted"
        return f"rule of chain {chain} {verb}" if chain.startswith(PREFIX) or is_jump else ""
    return ""


_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_TABLE_NAME = 1
"""NFTA_{TABLE_NAME,CHAIN_TABLE,RULE_TABLE}: all of them are 1."""
_BUILTIN = {(str(hook.table), hook.builtin) for hook in HOOKS}


# -- legacy --------------------------------------------------------------------------------------

_SO_GET_INFO = 64
_LEVELS = {Family.IPV4: socket.IPPROTO_IP, Family.IPV6: socket.IPPROTO_IPV6}
_SOCKETS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_NAME_BYTES, _INFO_BYTES = 32, 84
_libc = ctypes.CDLL(None, use_errno=True)

Signature = tuple[bytes, ...]


class LegacyEye:
    """Asks the kernel for the sizes of the legacy tables."""

    # Mutable state: what the tables were like when we or somebody else last changed them.
    def __init__(self, commands: Commands, families: Sequence[Family]) -> None:
        """Open raw sockets; needs CAP_NET_RAW and CAP_NET_ADMIN."""
        self._commands = commands
        self._sockets = {
            family: socket.socket(_SOCKETS[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
            for family in families
        }
        self._known = {family: self._signature(family) for family in families}
        commands.after_restore = self._note_own

    def look(self) -> str:
        """See `Eye.look`; nothing is told of a family while a restore of ours is running."""
        changed = []
        for family in self._sockets:
            if family in self._commands.busy:
                continue
            now = self._signature(family)
            if now != self._known[family]:
                self._known[family] = now
                changed.append(f"{family} tables are of another size")
        return ", ".join(changed)

    async def wait(self) -> None:
        """See `Eye.wait`: nobody would tell, so a moment later."""
        await asyncio.sleep(POLL_SECONDS)

    def close(self) -> None:
        """See `Eye.close`."""
        self._commands.after_restore = None
        for each in self._sockets.values():
            each.close()

    def _note_own(self, family: Family) -> None:
        """Called by the thread of a restore, right behind it."""
        if family in self._sockets:
            self._known[family] = self._signature(family)

    def _signature(self, family: Family) -> Signature:
        return tuple(self._info(family, table) for table in Table)

    def _info(self, family: Family, table: Table) -> bytes:
        """`struct ipt_getinfo` behind the name; empty if there is no such table."""
        buffer = ctypes.create_string_buffer(table.encode(), _INFO_BYTES)
        length = ctypes.c_uint(_INFO_BYTES)
        result = _libc.getsockopt(
            self._sockets[family].fileno(),
            _LEVELS[family],
            _SO_GET_INFO,
            buffer,
            ctypes.byref(length),
        )
        if result != 0:
            _log.debug("table not readable table=%s: %s", table, os.strerror(ctypes.get_errno()))
            return b""
        return buffer.raw[_NAME_BYTES:]
