"""/metrics, /proxyMode and an always friendly /healthz (spec 60 section 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodeproxy import clock
from nodeproxy.config.schema import ListenAddress, ProxyMode
from nodeproxy.server.exposition import CONTENT_TYPE
from nodeproxy.server.http import Answer, HttpServer
from nodeproxy.server.metrics import AgentMetrics

_PLAIN = "text/plain; charset=utf-8"


class MetricsServer(HttpServer):
    """Answers scrapers; its /healthz says that the process answers, nothing more."""

    def __init__(
        self,
        address: ListenAddress,
        metrics: AgentMetrics,
        mode: ProxyMode,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """A server over the agent's metrics; `mode` is told by /proxyMode."""
        alive = Answer(200, _PLAIN, b"ok")
        super().__init__(
            "metrics",
            address,
            {
                "/metrics": lambda: Answer(
                    200, CONTENT_TYPE, metrics.exposition(clock.monotonic()).encode()
                ),
                "/proxyMode": lambda: Answer(200, _PLAIN, mode.value.encode()),
                "/healthz": lambda: alive,
                "/healthz/ping": lambda: alive,
            },
            pause,
        )
