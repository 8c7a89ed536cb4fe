"""What an agent knows after what a source told: inbox and state, for tests of sources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nodeproxy.agent.inbox import Inbox
from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.keys import ServiceKey
from nodeproxy.state.cluster import ClusterState

DEADLINE_SECONDS = 20.0


class Known:
    """A sink that takes every batch through an inbox into a state, as the sync loop does."""

    def __init__(self, node_name: str = "node-1") -> None:
        self.state = ClusterState(node_name)
        self.seen: list[list[str]] = []
        """The addresses of Service default/web after each batch."""
        self._inbox = Inbox()
        self._news = asyncio.Event()

    def put(self, events: Sequence[SourceEvent]) -> None:
        """See `EventSink`."""
        self._inbox.put(events)
        self.state.apply(self._inbox.take_all())
        self.seen.append(self.addresses("web"))
        self._news.set()

    def addresses(self, name: str) -> list[str]:
        """All IPv4 endpoints of a Service of namespace default, of all its ports."""
        ports = self.state.services.get(ServiceKey("default", name), ())
        return [
            format_addr(endpoint.addr)
            for port in ports
            for endpoint in self.state.endpoints(Family.IPV4, port.key)
        ]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; batches are when it may become so."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not is_so():
                self._news.clear()
                await self._news.wait()
