"""Removing everything of ours: our table in both families, and nothing else."""

from __future__ import annotations

from nodeproxy.backends.nftables.encode import encode_batch
from nodeproxy.backends.nftables.encode_rules import NFPROTO
from nodeproxy.backends.nftables.objects import TABLE, DeleteTable
from nodeproxy.backends.nftables.text import NFT_FAMILY
from nodeproxy.backends.nftables.transaction import describe
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.netlink import attributes, messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.channel import Channel, NetfilterSocket


async def cleanup() -> list[str]:
    """Delete our tables in the current network namespace.

    Returns:
        A line for each table that was there and is gone.

    Raises:
        BackendError: a table could not be deleted.
    """
    with NetfilterSocket() as channel:
        return [
            f"table {NFT_FAMILY[family]} {TABLE}"
            for family in FAMILIES
            if _has_table(channel, family) and _delete_table(channel, family)
        ]


def _has_table(channel: Channel, family: Family) -> bool:
    return any(
        attributes.parse_string(attributes.parse(found.body)[nf.NFTA_TABLE_NAME]) == TABLE
        for found in channel.dump(nf.NFT_MSG_GETTABLE, NFPROTO[family])
        if found.family == NFPROTO[family]
    )


def _delete_table(channel: Channel, family: Family) -> bool:
    encoded = encode_batch([DeleteTable()], family)
    last = len(encoded) + 1
    errors = channel.transact(
        [messages.batch_begin(), *(m.data for m in encoded), messages.batch_end(last)], last
    )
    if errors:
        raise BackendError(f"{describe(errors[0], encoded)}; the table stays. Try again as root")
    return True
