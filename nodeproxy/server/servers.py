"""All HTTP servers of the agent, on one thread of their own.

Servers.run()            a part of the agent, from its start to its end
Servers.decided(delta)   the sync loop: the plan changed         } for health checks of Services
Servers.installed()      the sync loop: and is in the kernel now }
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nodeproxy.config.document import peer_document
from nodeproxy.config.schema import Config
from nodeproxy.errors import ListenFailed
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.reports import Report, health_server_failed, metrics_server_failed
from nodeproxy.plan.types import PlanDelta
from nodeproxy.server.health import HealthState
from nodeproxy.server.health_server import HealthServer
from nodeproxy.server.http import HttpServer
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.metrics_server import Facts, MetricsServer
from nodeproxy.server.service_health import ServiceHealthServers
from nodeproxy.server.thread import LoopThread
from nodeproxy.sources.base import SourceStatus
from nodeproxy.verbosity import apply_verbosity


def health_state_from(config: Config) -> HealthState:
    """A health state that is late after twice the sync period (HZ-3).

    Manifests need not hold a Node, so without one the node is eligible.
    """
    return HealthState(
        is_node_required=not config.manifests, timeout_seconds=2 * config.sync_period_seconds
    )


class Servers:
    """See the module's text."""

    def __init__(
        self,
        config: Config,
        health: HealthState,
        metrics: AgentMetrics,
        *,
        source_statuses: Callable[[], Sequence[SourceStatus]] = tuple,
        families: Sequence[Family] = FAMILIES,
        document: Callable[[], object] | None = None,
        set_verbosity: Callable[[int], object] = apply_verbosity,
        emit: Callable[[Report], None] = lambda _: None,
    ) -> None:
        """Servers that are not running yet.

        Args:
            config: where to listen, and what to serve.
            health: what the health server tells.
            metrics: what the metrics server tells.
            source_statuses: asked for each answer of the health server.
            families: those that are programmed.
            document: the effective configuration for /configz, as JSON types; by default that
                of `config`.
            set_verbosity: changes the log level.
            emit: gets, in the agent's loop, events of what cannot be listened on (LIFE-7, HZ-22).
        """
        self._config = config
        self._health = health
        self._metrics = metrics
        self._source_statuses = source_statuses
        self._document = document or (lambda: peer_document(config))
        self._set_verbosity = set_verbosity
        self._emit = emit
        self._thread = LoopThread("servers", self._serve)
        self._loop: asyncio.AbstractEventLoop | None = None

        def emit_there(report: Report) -> None:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(emit, report)

        self._services = ServiceHealthServers(
            config.node_name,
            health,
            wake=self._thread.call,
            emit=emit_there,
            families=families,
        )
        metrics.collect_from(self._services.metrics)
        self.health = self._health_server()
        self.metrics = self._metrics_server()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ListenFailed: an address is not free, and --bind-address-hard-fail is set.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._thread.run()
        except ListenFailed as failure:
            is_health = self.health is not None and failure.server == self.health.name
            report = health_server_failed if is_health else metrics_server_failed
            self._emit(report(str(failure)))
            raise

    def decided(self, delta: PlanDelta) -> None:
        """The plan changed, and nothing of it is in the kernel yet."""
        self._services.decided(delta)

    def installed(self) -> None:
        """Everything decided so far is in the kernel."""
        self._services.installed()

    async def _serve(self) -> None:
        """On the thread."""
        tasks = [asyncio.ensure_future(self._services.run())]
        servers: list[HttpServer | None] = [self.health, self.metrics]
        tasks += [asyncio.ensure_future(server.run()) for server in servers if server]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _health_server(self) -> HealthServer | None:
        if self._config.healthz_bind_address is None:
            return None
        return HealthServer(
            self._config.healthz_bind_address,
            self._health,
            self._metrics,
            self._source_statuses,
            is_bind_failure_fatal=self._config.bind_address_hard_fail,
        )

    def _metrics_server(self) -> MetricsServer | None:
        if self._config.metrics_bind_address is None:
            return None
        facts = Facts(
            mode=self._config.proxy_mode,
            flags=self._config.flags,
            document=self._document,
            set_verbosity=self._set_verbosity,
            tasks=self._tasks,
            has_profiling=self._config.profiling,
        )
        return MetricsServer(
            self._config.metrics_bind_address,
            self._metrics,
            facts,
            is_bind_failure_fatal=self._config.bind_address_hard_fail,
        )

    def _tasks(self) -> list[asyncio.Task[object]]:
        """The tasks of the agent's own loop, asked on the thread of the servers."""
        return list(asyncio.all_tasks(self._loop)) if self._loop else []
