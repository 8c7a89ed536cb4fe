"""/healthz, /livez and /readyz (spec 60 section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodeproxy import clock
from nodeproxy.config.schema import ListenAddress
from nodeproxy.server.exposition import Counter
from nodeproxy.server.health import HealthReport, HealthState
from nodeproxy.server.http import Answer, HttpServer
from nodeproxy.server.metrics import AgentMetrics


class HealthServer(HttpServer):
    """Answers load balancers and the kubelet; any path but these three is 404 (HZ-1)."""

    def __init__(
        self,
        address: ListenAddress,
        state: HealthState,
        metrics: AgentMetrics,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """A server over a health state, counting its answers (HZ-7)."""

        def report() -> HealthReport:
            return state.report(clock.monotonic(), clock.utc_now())

        super().__init__(
            "health",
            address,
            {
                "/healthz": lambda: _answer(report().healthz(), metrics.healthz),
                "/livez": lambda: _answer(report().livez(), metrics.livez),
                "/readyz": lambda: _answer(report().readyz()),
            },
            pause,
        )


def _answer(verdict: tuple[bool, bytes], counter: Counter | None = None) -> Answer:
    is_good, body = verdict
    status = 200 if is_good else 503
    if counter is not None:
        counter.add(1, str(status))
    return Answer(status, "application/json", body)
