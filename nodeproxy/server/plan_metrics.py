"""How many service ports are special in some way, counted as the plan changes.

Counting anew takes 10 ms at 20,000 service ports, on every sync; this costs what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nodeproxy.model.addresses import Family
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import PlanDelta, PlanKey, Reason, ServicePortPlan
from nodeproxy.server.exposition import Gauge, Metric
from nodeproxy.server.sync_metrics import PREFIX


class PlanMetrics:
    """Gauges over the plan; mutable, changed by the sync loop only."""

    def __init__(self) -> None:
        self._without_local = Gauge(
            f"{PREFIX}_no_local_endpoints_total",
            "Service ports with traffic policy Local that have endpoints, but none on this node.",
            ["traffic_policy", "ip_family"],
        )
        self._with_affinity = Gauge(
            "nodeproxy_affinity_service_ports",
            "Service ports that remember their clients.",
            ["ip_family"],
        )
        self._internal: set[PlanKey] = set()
        self._external: set[PlanKey] = set()
        self._affinity: set[PlanKey] = set()

    def decided(self, delta: PlanDelta) -> None:
        """The plan changed; told by `publish` when it is in force."""
        has_any = bool(self._internal or self._external or self._affinity)
        for key, plan in delta.puts.items():
            lacks_local = _lacks_local(plan)
            if not (has_any or lacks_local or plan.affinity_seconds):
                continue  # the usual Service of a first sync
            _keep(self._internal, key, lacks_local and _is_local(plan.internal_policy))
            _keep(self._external, key, lacks_local and _is_local(plan.external_policy))
            _keep(self._affinity, key, plan.affinity_seconds > 0)
        for keys in (self._internal, self._external, self._affinity):
            keys -= delta.removes

    def publish(self, families: Iterable[Family]) -> None:
        """What was decided is in force."""
        for family in families:
            self._without_local.set(_count(self._internal, family), "internal", family)
            self._without_local.set(_count(self._external, family), "external", family)
            self._with_affinity.set(_count(self._affinity, family), family)

    def metrics(self) -> Sequence[Metric]:
        """All of them."""
        return (self._without_local, self._with_affinity)


def _lacks_local(plan: ServicePortPlan) -> bool:
    """The local pool is used and empty, though others have endpoints (TS-916)."""
    selection = plan.selection
    return (
        not selection.local and selection.has_any and selection.local_reason is not Reason.NOT_USED
    )


def _is_local(policy: TrafficPolicy) -> bool:
    return policy is TrafficPolicy.LOCAL


def _keep(keys: set[PlanKey], key: PlanKey, belongs: bool) -> None:
    if belongs:
        keys.add(key)
    elif keys:
        keys.discard(key)


def _count(keys: set[PlanKey], family: Family) -> int:
    return sum(key.family is family for key in keys)
