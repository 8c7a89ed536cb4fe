"""What load balancers are told about each Service with externalTrafficPolicy Local (HZ-20..HZ-24).

    sync loop                                          servers' thread
      decided(delta): what gets worse counts now  ---> answers  ---> 200 or 503, by whoever is asked
      commit of the rules
      installed(): what gets better counts now    ---> answers
                   ports that come and go         ---> updates  ---> listeners

A node that is about to lose its last endpoint says so before the rules lose it, and one that gets
its first says so when packets arrive (design: kube-proxy says both afterwards, HZ-21). Failed
commits therefore only make answers worse, never better than the rules.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from nodeproxy import clock
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.keys import ServiceKey, ServicePortKey
from nodeproxy.model.reports import ServiceEvent
from nodeproxy.plan.types import NodePortAddresses, PlanDelta
from nodeproxy.server.exposition import Gauge, Metric
from nodeproxy.server.health import HealthState
from nodeproxy.server.http1 import Answer, Request
from nodeproxy.server.service_addresses import LocalAddresses, read_local_addresses
from nodeproxy.server.service_listeners import CheckKey, ServiceListeners, Update


class _Check(NamedTuple):
    """What the plan wants of one Service in one family."""

    port: int
    local_ready: int
    """Local ready endpoints (EP-33)."""


class CheckBook:
    """What the plan wants and what is answered; mutable, changed by the sync loop only.

    `answers` is read by the servers' thread: single values are replaced, nothing else.
    """

    def __init__(self) -> None:
        self.answers: dict[CheckKey, int] = {}
        self._wanted: dict[CheckKey, _Check] = {}
        self._service_ports: dict[CheckKey, set[ServicePortKey]] = {}
        """Those that carry a health check port; all of one Service carry the same (SVC-31)."""
        self._changed: set[CheckKey] = set()
        self._node_ports: dict[Family, NodePortAddresses] = {}

    def decided(self, delta: PlanDelta) -> None:
        """Take the plan's changes; answers that get worse change now."""
        for family, settings in delta.settings.items():
            self._node_ports[family] = settings.node_ports
        for (family, port), plan in delta.puts.items():
            if plan.health_check_node_port:
                key = CheckKey(family, port.service)
                self._service_ports.setdefault(key, set()).add(port)
                self._want(key, _Check(plan.health_check_node_port, plan.local_ready))
            elif self._service_ports:
                self._drop(CheckKey(family, port.service), port)
        if self._service_ports:
            for family, port in delta.removes:
                key = CheckKey(family, port.service)
                if self._drop(key, port) and key in self.answers:
                    # The Service is gone. One that only changed its policy is served everywhere.
                    self.answers[key] = 0

    def installed(self) -> Update:
        """What was decided is in force: let answers get better, and tell which ports changed."""
        ports: dict[CheckKey, int] = {}
        for key in self._changed:
            check = self._wanted.get(key)
            ports[key] = check.port if check else 0
            if check:
                self.answers[key] = check.local_ready
            else:
                self.answers.pop(key, None)
        update = Update(ports, self._node_ports)
        self._changed, self._node_ports = set(), {}
        return update

    def _want(self, key: CheckKey, check: _Check) -> None:
        if self._wanted.get(key) == check:
            return
        self._wanted[key] = check
        self._changed.add(key)
        if check.local_ready < self.answers.get(key, 0):
            self.answers[key] = check.local_ready

    def _drop(self, key: CheckKey, port: ServicePortKey) -> bool:
        """A service port has no check any more; True if its Service has none by that."""
        ports = self._service_ports.get(key)
        if ports is None or port not in ports:
            return False
        ports.remove(port)
        if ports:
            return False
        del self._service_ports[key], self._wanted[key]
        self._changed.add(key)
        return True


class ServiceHealthServers:
    """See the module's text; `decided` and `installed` are for the sync loop."""

    def __init__(
        self,
        node_name: str,
        health: HealthState,
        *,
        wake: Callable[[Callable[[], None]], None],
        emit: Callable[[ServiceEvent], None] = lambda _: None,
        local_addresses: LocalAddresses = read_local_addresses,
        families: Sequence[Family] = FAMILIES,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Servers without a Service.

        Args:
            node_name: for messages.
            health: a proxy that is late answers 503 for every Service (HZ-23).
            wake: runs something on the thread of the servers, if that is alive.
            emit: gets an event of each port that cannot be listened on, once, on the thread of
                the servers (HZ-22).
            local_addresses: the addresses of this machine.
            families: those that are programmed.
            pause: waits between looks at what failed and at the addresses.
        """
        self._health = health
        self._wake = wake
        self._families = frozenset(families)
        self._book = CheckBook()
        self._updates: deque[Update] = deque()
        """Filled by the sync loop, emptied by the servers' thread."""
        self._listeners = ServiceListeners(
            node_name, self.answer, self._updates, local_addresses, emit, pause
        )

    def decided(self, delta: PlanDelta) -> None:
        """The plan changed, and nothing of it is in the kernel yet."""
        self._book.decided(delta)

    def installed(self) -> None:
        """Everything decided so far is in the kernel."""
        update = self._book.installed()
        if update.ports or update.node_ports:
            ports = {
                key: port for key, port in update.ports.items() if key.family in self._families
            }
            self._updates.append(Update(ports, update.node_ports))
        if self._updates or self._listeners.failures:
            self._wake(self._listeners.proceed)

    async def run(self) -> None:
        """Listen, in the loop of the caller, until cancelled."""
        await self._listeners.run()

    def answer(self, key: CheckKey, request: Request) -> Answer:
        """The answer for one Service, whatever is asked (HZ-23)."""
        del request
        count = self._book.answers.get(key, 0)
        is_healthy = self._health.is_healthy(clock.monotonic())
        return _answer(key.service, count, is_healthy=is_healthy)

    def metrics(self) -> Sequence[Metric]:
        """For `AgentMetrics.collect_from`."""
        listening = Gauge(
            "nodeproxy_service_health_listeners", "Sockets that answer health checks of Services."
        )
        listening.set(self._listeners.open_count)
        failing = Gauge(
            "nodeproxy_service_health_failures",
            "Health check ports of Services that cannot be listened on.",
        )
        failing.set(self._listeners.failures)
        return (listening, failing)


def _answer(service: ServiceKey, count: int, *, is_healthy: bool) -> Answer:
    body = msgspec.json.encode(
        {
            "service": {"namespace": service.namespace, "name": service.name},
            "localEndpoints": count,
            "serviceProxyHealthy": is_healthy,
        }
    )
    return Answer(
        200 if count and is_healthy else 503,
        "application/json",
        msgspec.json.format(body, indent=4),
        (("X-Load-Balancing-Endpoint-Weight", str(count)),),
    )
