"""The nftables backend: both families over one netlink socket.

Each family has its own table, mirror and transactions, so a failure of one never holds up the
other (DP-82).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.nftables.render import render_tables
from nodeproxy.backends.nftables.table import FamilyTable, Totals
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink.channel import Channel
from nodeproxy.plan.types import FamilySettings, PlanDelta, PlanKey

_log = logging.getLogger("nodeproxy.nftables")


class NftablesBackend:
    """Programs plans as elements of flat maps; see the package's `skeleton` for the layout."""

    # Mutable state: one table per family.
    def __init__(self, channel: Channel, families: tuple[Family, ...]) -> None:
        """Prepare tables for the families the node can use; nothing is written yet."""
        self._tables = {family: FamilyTable(channel, FamilySettings(family)) for family in families}

    def stage(self, delta: PlanDelta) -> None:
        """See `Backend.stage`; plans of a family the node does not have are left out."""
        for family, settings in delta.settings.items():
            if family in self._tables:
                self._tables[family].set_settings(settings)
        for key in delta.removes:
            if key.family in self._tables:
                self._tables[key.family].remove(key)
        for key, plan in delta.puts.items():
            if key.family in self._tables:
                self._tables[key.family].put(key, plan)

    @property
    def needs_commit(self) -> bool:
        """See `Backend.needs_commit`."""
        return any(table.has_work for table in self._tables.values())

    async def commit(self) -> CommitReport:
        """See `Backend.commit`."""
        started = time.perf_counter()
        totals = Totals()
        failures: list[BackendError] = []
        for table in self._tables.values():
            if table.has_work:
                try:
                    await table.commit(totals)
                except BackendError as exc:
                    failures.append(exc)
        if failures:
            raise failures[0]
        seconds = time.perf_counter() - started
        return CommitReport(totals.operations, seconds, totals.read_backs, self.quarantined())

    async def keep_records(self, channel: Channel) -> None:
        """Correct large numbers of affinity records for ever, beside the commits.

        Args:
            channel: one of its own, not the one that commits.
        """
        async with asyncio.TaskGroup() as group:
            for table in self._tables.values():
                group.create_task(table.records.run(channel))

    def mark_stale(self, reason: str) -> None:
        """See `Backend.mark_stale`."""
        for table in self._tables.values():
            table.mirror.mark_stale(reason)

    def render(self) -> str:
        """See `Backend.render`: a file that `nft -f` loads."""
        return render_tables(
            (table.settings, table.plans.values()) for table in self._tables.values()
        )

    def quarantined(self) -> Mapping[PlanKey, str]:
        """See `Backend.quarantined`."""
        return {
            key: reason
            for table in self._tables.values()
            for key, reason in table.quarantined.items()
        }
