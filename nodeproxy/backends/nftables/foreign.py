"""Who else changed our rules: the kernel's notifications, without those about ourselves.

A foreign `nft flush ruleset` is noticed at once and undone by the next commit; the log names the
process that did it, as the kernel tells its pid and name with every transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing

from nodeproxy.backends.nftables.objects import TABLE
from nodeproxy.backends.nftables.sets import AFFINITY
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import parse_string, parse_u32
from nodeproxy.netlink.channel import NetfilterListener
from nodeproxy.netlink.messages import Received

_TABLE_NAME_ATTRIBUTE = 1
"""NFTA_{TABLE_NAME,CHAIN_TABLE,RULE_TABLE,SET_TABLE,SET_ELEM_LIST_TABLE}: all of them are 1."""


class ForeignChangeWatcher:
    """Tells when somebody else changes our table."""

    def __init__(self, own_portid: int, on_change: Callable[[str], None]) -> None:
        """Prepare to listen.

        Args:
            own_portid: the netlink port our own changes come from.
            on_change: called in the event loop with a sentence that names the culprit.
        """
        self._own_portid = own_portid
        self._on_change = on_change

    async def run(self) -> None:
        """Listen until cancelled."""
        loop = asyncio.get_running_loop()
        with closing(NetfilterListener(self._own_portid)) as listener:
            loop.add_reader(listener.fileno(), self._receive, listener)
            try:
                await asyncio.Event().wait()
            finally:
                loop.remove_reader(listener.fileno())

    def _receive(self, listener: NetfilterListener) -> None:
        notifications = listener.receive()
        if notifications is None:
            reason = "somebody changed so much at once that notifications were lost"
        else:
            reason = foreign_change(notifications)
        if reason:
            self._on_change(reason)


def foreign_change(notifications: Sequence[Received]) -> str:
    """What happened to our table and who did it; empty if it was not touched."""
    touched: dict[int, str] = {}
    culprits: dict[int, str] = {}
    for received in notifications:
        if received.kind >> 8 != nf.NFNL_SUBSYS_NFTABLES:
            continue
        found = attributes.parse(received.body)
        if received.nft_kind == nf.NFT_MSG_NEWGEN:
            culprits[received.portid] = _process(found)
        elif parse_string(found.get(_TABLE_NAME_ATTRIBUTE, b"")) == TABLE:
            if _is_about_records(received.nft_kind, found):
                continue
            what = _EVENTS.get(received.nft_kind, "changed")
            # A deleted table is told last, after all that went with it.
            if received.portid not in touched or received.nft_kind == nf.NFT_MSG_DELTABLE:
                touched[received.portid] = what
    return ", ".join(
        f"{what} by {culprits.get(portid, 'an unknown process')}"
        for portid, what in touched.items()
    )


def _is_about_records(kind: int, found: dict[int, bytes]) -> bool:
    """Affinity records are written by packets and forgotten by anybody: no part of the rules."""
    is_element = kind in (nf.NFT_MSG_NEWSETELEM, nf.NFT_MSG_DELSETELEM)
    return is_element and parse_string(found.get(nf.NFTA_SET_ELEM_LIST_SET, b"")) == AFFINITY


def _process(found: dict[int, bytes]) -> str:
    name = parse_string(found.get(nf.NFTA_GEN_PROC_NAME, b"?"))
    return f"{name} (pid {parse_u32(found.get(nf.NFTA_GEN_PROC_PID, bytes(4)))})"


_EVENTS = {
    nf.NFT_MSG_DELTABLE: "table deleted",
    nf.NFT_MSG_DELCHAIN: "chain deleted",
    nf.NFT_MSG_DELRULE: "rule deleted",
    nf.NFT_MSG_DELSET: "set deleted",
    nf.NFT_MSG_DELSETELEM: "elements deleted",
    nf.NFT_MSG_NEWCHAIN: "chain added",
    nf.NFT_MSG_NEWRULE: "rule added",
    nf.NFT_MSG_NEWSETELEM: "elements added",
}
