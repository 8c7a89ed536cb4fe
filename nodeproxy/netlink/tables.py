"""Tables of nf_tables as a whole, whoever made them: which there are, what is in one, its end."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.leftovers import Holding, Item, Kind, Leftover, Place
from nodeproxy.netlink import attributes, messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import parse_string, parse_u32, string
from nodeproxy.netlink.channel import Channel, NetfilterSocket

NFPROTO = {Family.IPV4: nf.NFPROTO_IPV4, Family.IPV6: nf.NFPROTO_IPV6}
_NFT_SET_ANONYMOUS = 0x1
_NFTA_SET_ELEM_FLAGS = 3
_NFT_SET_ELEM_INTERVAL_END = 0x1


class SetSummary(msgspec.Struct, frozen=True):
    """A named set or map of a table."""

    name: str
    is_map: bool
    elements: int
    """Intervals count once."""


class TableSummary(msgspec.Struct, frozen=True):
    """What is in a table."""

    rules_by_chain: dict[str, int]
    """Number of rules of every chain, also of empty ones."""
    sets: tuple[SetSummary, ...]


def table_names(channel: Channel, family: Family) -> set[str]:
    """The tables of one family.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: they could not be listed.
    """
    found = _dump(channel, nf.NFT_MSG_GETTABLE, family)
    return {parse_string(one[nf.NFTA_TABLE_NAME]) for one in found}


def chain_names(channel: Channel, family: Family, table: str) -> list[str]:
    """The chains of a table, sorted; none if there is no such table.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: they could not be listed.
    """
    found = _dump(channel, nf.NFT_MSG_GETCHAIN, family)
    return sorted(
        parse_string(one[nf.NFTA_CHAIN_NAME])
        for one in found
        if parse_string(one[nf.NFTA_CHAIN_TABLE]) == table
    )


def summarise_table(channel: Channel, family: Family, table: str) -> TableSummary:
    """Count what a table holds.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: it could not be read.
    """
    rules = Counter(
        parse_string(one[nf.NFTA_RULE_CHAIN])
        for one in _dump(channel, nf.NFT_MSG_GETRULE, family, string(nf.NFTA_RULE_TABLE, table))
        if parse_string(one[nf.NFTA_RULE_TABLE]) == table
    )
    chains = {chain: rules[chain] for chain in chain_names(channel, family, table)}
    return TableSummary(chains, _sets(channel, family, table))


def delete_table(channel: Channel, family: Family, table: str) -> None:
    """Delete a table with all that is in it; one that is gone already is as good.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: the kernel refused; the table stays.
    """
    body = string(nf.NFTA_TABLE_NAME, table)
    delete = messages.nft_message(nf.NFT_MSG_DELTABLE, 0, 1, NFPROTO[family], body)
    refusals = channel.transact([messages.batch_begin(), delete, messages.batch_end(2)], 2)
    for refusal in refusals:
        if refusal.errno != errno.ENOENT:
            raise NetlinkError(f"delete table {table}", refusal.errno, refusal.text)


def leftover_tables(
    channel: Channel, table: str, group: Callable[[str], str] = lambda name: ""
) -> tuple[Leftover, ...]:
    """The tables of this name in the families ip and ip6, with what is in them.

    Args:
        channel: to read them; removing one opens a socket of its own.
        table: name of the tables.
        group: common name of chains and sets that come in any number, by the name of one.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: they could not be read.
    """
    return tuple(
        Leftover(
            Holding(
                Place.NFTABLES,
                _items(summarise_table(channel, family, table), group),
                family,
                table,
            ),
            partial(_delete_here, family, table),
        )
        for family in FAMILIES
        if table in table_names(channel, family)
    )


def _delete_here(family: Family, table: str) -> None:
    with NetfilterSocket() as channel:
        delete_table(channel, family, table)


def _items(summary: TableSummary, group: Callable[[str], str]) -> tuple[Item, ...]:
    chains = [
        Item(Kind.CHAIN, name, rules, group(name)) for name, rules in summary.rules_by_chain.items()
    ]
    sets = [
        Item(Kind.MAP if found.is_map else Kind.SET, found.name, found.elements, group(found.name))
        for found in summary.sets
    ]
    return (*chains, *sets)


def _sets(channel: Channel, family: Family, table: str) -> tuple[SetSummary, ...]:
    found = _dump(channel, nf.NFT_MSG_GETSET, family, string(nf.NFTA_SET_TABLE, table))
    summaries = []
    for one in found:
        flags = parse_u32(one.get(nf.NFTA_SET_FLAGS, bytes(4)))
        if parse_string(one[nf.NFTA_SET_TABLE]) == table and not flags & _NFT_SET_ANONYMOUS:
            name = parse_string(one[nf.NFTA_SET_NAME])
            elements = _count_elements(channel, family, table, name)
            summaries.append(SetSummary(name, bool(flags & nf.NFT_SET_MAP), elements))
    return tuple(sorted(summaries, key=lambda summary: summary.name))


def _count_elements(channel: Channel, family: Family, table: str, name: str) -> int:
    body = string(nf.NFTA_SET_ELEM_LIST_TABLE, table) + string(nf.NFTA_SET_ELEM_LIST_SET, name)
    return sum(
        not _ends_interval(element)
        for one in _dump(channel, nf.NFT_MSG_GETSETELEM, family, body)
        for _, element in attributes.iterate(one.get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b""))
    )


def _ends_interval(element: bytes) -> bool:
    flags = attributes.parse(element).get(_NFTA_SET_ELEM_FLAGS, bytes(4))
    return bool(parse_u32(flags) & _NFT_SET_ELEM_INTERVAL_END)


def _dump(channel: Channel, kind: int, family: Family, body: bytes = b"") -> list[dict[int, bytes]]:
    return [
        attributes.parse(received.body)
        for received in channel.dump(kind, NFPROTO[family], body)
        if received.family == NFPROTO[family]
    ]
