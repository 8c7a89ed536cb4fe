"""Removing everything of ours: our table in both families, and nothing else."""

from __future__ import annotations

from nodeproxy.backends.nftables.objects import TABLE
from nodeproxy.backends.nftables.text import NFT_FAMILY
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.model.leftovers import Search
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.netlink.tables import delete_table, leftover_tables, table_names


def search() -> Search:
    """Our tables in the current network namespace, with what is in them.

    Raises:
        BackendError: they could not be read.
    """
    with NetfilterSocket() as channel:
        return Search(leftover_tables(channel, TABLE))


async def cleanup() -> list[str]:
    """Delete our tables in the current network namespace.

    Returns:
        A line for each table that was there and is gone.

    Raises:
        BackendError: a table could not be deleted.
    """
    removed = []
    with NetfilterSocket() as channel:
        for family in FAMILIES:
            if TABLE in table_names(channel, family):
                delete_table(channel, family, TABLE)
                removed.append(f"table {NFT_FAMILY[family]} {TABLE}")
    return removed
