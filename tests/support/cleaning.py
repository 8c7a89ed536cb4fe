"""A node whose flows are cleaned, driven as the sync loop drives it.

node = CleanedNode(conntrack)
await node.take(service("dns")..., slice_(...)...)
"""

from __future__ import annotations

from nodeproxy.model.addresses import FAMILIES
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.conntrack_channel import ConntrackChannel
from nodeproxy.node.flows.cleaner import FlowCleaner
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState

OWN_NODE = "n1"


class CleanedNode:
    """State, planner and cleaner; rules are taken for installed when `installed` says so."""

    def __init__(
        self,
        channel: ConntrackChannel,
        *,
        cleans_tcp: bool = False,
        options: PlanOptions | None = None,
    ) -> None:
        self._channel = channel
        self._state = ClusterState(OWN_NODE)
        self._planner = Planner(self._state, options or PlanOptions())
        self.cleaner = FlowCleaner(
            lambda: channel, FAMILIES, cleans_tcp=cleans_tcp, endpoints=self._state.endpoints
        )

    def decide(self, *events: SourceEvent) -> None:
        """Know what to do, with nothing of it in the kernel."""
        changes = self._state.apply(events)
        self.cleaner.decided(changes, self._planner.replan(changes))

    async def take(self, *events: SourceEvent) -> None:
        """Decide, have it in the kernel, and look at the flows."""
        self.decide(*events)
        self.cleaner.installed()
        await self.look()

    async def look(self) -> None:
        """Look at the flows of what is due."""
        await self.cleaner.look(self._channel)
