"""Rules and flows of a lab's node, kept by the agent's own parts in a thread of this process.

    with FlowNode(lab) as node:
        node.take(service("dns")..., slice_("dns-1", service="dns")...)
        with Conversation(...) as conversation: ...

State, planner, backend and flow cleaner, as the sync loop drives them; the cleaner runs by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from lab.topology import CLUSTER_CIDRS, NODE_ADDRESSES, NODE_NAME, Lab
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.model.addresses import FAMILIES, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.netlink.conntrack_channel import ConntrackSockets
from nodeproxy.node.flows.cleaner import FlowCleaner, FlowStatistics
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import node

_CALL_TIMEOUT_SECONDS = 20.0
_T = TypeVar("_T")


class FlowNode:
    """Use as a context manager; leaving it ends the parts and keeps rules and flows."""

    # Mutable state: the thread with its loop, and the parts that live there.
    def __init__(self, lab: Lab, *, cleans_tcp: bool = False) -> None:
        self._lab = lab
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flow-node")
        state = ClusterState(NODE_NAME)
        options = PlanOptions(cluster_cidrs=tuple(map(parse_cidr, CLUSTER_CIDRS)))
        self._state, self._planner = state, Planner(state, options)
        with lab.node.entered():
            self._channel = NetfilterSocket()
        self._backend = NftablesBackend(self._channel, FAMILIES)
        self._cleaner = FlowCleaner(
            self._open_channel, FAMILIES, cleans_tcp=cleans_tcp, endpoints=state.endpoints
        )

    @property
    def statistics(self) -> FlowStatistics:
        """What the cleaner did."""
        return self._cleaner.statistics

    def take(self, *events: SourceEvent) -> None:
        """Bring these into the kernel; the flows follow by themselves."""
        self._call(self._turn(events))

    def note_loss(self) -> None:
        """Tell as the watcher of foreign changes does, and repair."""
        self._call(self._repair())

    def __enter__(self) -> FlowNode:
        self._thread.start()
        self._part = asyncio.run_coroutine_threadsafe(self._cleaner.run(), self._loop)
        own = node(NODE_NAME).internal_ip(NODE_ADDRESSES[0]).internal_ip(NODE_ADDRESSES[1])
        self.take(own.upserted())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._channel.close()

    async def _turn(self, events: tuple[SourceEvent, ...]) -> None:
        """As SyncLoop.turn."""
        changes = self._state.apply(events)
        delta = self._planner.replan(changes)
        if not delta.is_empty:
            self._backend.stage(delta)
        self._cleaner.decided(changes, delta)
        if self._backend.needs_commit:
            await self._backend.commit()
        self._cleaner.installed()

    async def _repair(self) -> None:
        self._backend.mark_stale("told by the test")
        self._cleaner.rules_were_lost()
        await self._turn(())

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    def _open_channel(self) -> ConntrackSockets:
        with self._lab.node.entered():
            return ConntrackSockets()

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(_CALL_TIMEOUT_SECONDS)
