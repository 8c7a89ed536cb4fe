"""/healthz, /livez and /readyz (spec 60 section 7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nodeproxy import clock
from nodeproxy.config.schema import ListenAddress
from nodeproxy.server.exposition import Counter
from nodeproxy.server.health import HealthReport, HealthState
from nodeproxy.server.http import HttpServer
from nodeproxy.server.http1 import Answer
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.sources.base import SourceStatus


class HealthServer(HttpServer):
    """Answers load balancers and the kubelet; any path but these three is 404 (HZ-1)."""

    def __init__(
        self,
        address: ListenAddress,
        state: HealthState,
        metrics: AgentMetrics,
        source_statuses: Callable[[], Sequence[SourceStatus]] = tuple,
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_bind_failure_fatal: bool = False,
    ) -> None:
        """A server over a health state, counting its answers (HZ-7).

        Args:
            address: where to listen.
            state: what is told.
            metrics: have the counters.
            source_statuses: asked for each answer; how old the view of the cluster is, is told
                beside the verdict.
            pause: waits between attempts to bind.
            is_bind_failure_fatal: see `HttpServer`.
        """

        def report() -> HealthReport:
            return state.report(clock.monotonic(), clock.utc_now(), source_statuses())

        super().__init__(
            "health",
            address,
            {
                "/healthz": lambda _: _answer(report().healthz(), metrics.healthz),
                "/livez": lambda _: _answer(report().livez(), metrics.livez),
                "/readyz": lambda _: _answer(report().readyz()),
            },
            pause=pause,
            is_bind_failure_fatal=is_bind_failure_fatal,
        )


def _answer(verdict: tuple[bool, bytes], counter: Counter | None = None) -> Answer:
    is_good, body = verdict
    status = 200 if is_good else 503
    if counter is not None:
        counter.add(1, str(status))
    return Answer(status, "application/json", body)
