"""A node in iptables mode: objects of the API in, restores out.

node = IptablesNode()
await node.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())
node.tables.rules(Family.IPV4, Table.FILTER, "NP-S")
"""

from __future__ import annotations

from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.iptables.backend import IptablesBackend
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Tool
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.fake_xtables import FakeXtables
from tests.support.programming import OWN_NODE


class IptablesNode:
    """State, planner and backend, driven as the sync loop drives them."""

    def __init__(
        self,
        tool: Tool | None = None,
        families: tuple[Family, ...] = FAMILIES,
        options: PlanOptions | None = None,
        mode: IptablesOptions | None = None,
    ) -> None:
        self.tables = FakeXtables()
        self._tool = tool or self.tables
        self._families = families
        self._options = options or PlanOptions()
        self._mode = mode or IptablesOptions()
        self.state = ClusterState(OWN_NODE)
        self._start()

    def _start(self) -> None:
        self.planner = Planner(self.state, self._options)
        self.backend = IptablesBackend(self._tool, self._families, self._mode)

    def stage(self, *events: SourceEvent) -> None:
        """Decide, without committing."""
        delta = self.planner.replan(self.state.apply(events))
        if not delta.is_empty:
            self.backend.stage(delta)

    async def take(self, *events: SourceEvent) -> CommitReport:
        """Decide and commit."""
        self.stage(*events)
        return await self.backend.commit()

    async def restart(self) -> CommitReport:
        """Start again with the same cluster, as after SIGKILL."""
        self._start()
        return await self.take()
