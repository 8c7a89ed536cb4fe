"""What the agent counts, under the names dashboards of kube-proxy know (MET-2).

Numbers that kube-proxy has keep its names, prefix `kubeproxy_`; those it has not begin with
`nodeproxy_`. Only what is really measured is exposed, and nothing has a series for each Service.
docs/metrics.md is written from this module (`python -m nodeproxy.server.catalog`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from nodeproxy import __version__
from nodeproxy.backends.base import CommitReport
from nodeproxy.config.gates import KNOWN_GATES, FeatureGates
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import Rejected, SourceEvent
from nodeproxy.plan.types import PlanDelta
from nodeproxy.server.exposition import Counter, Gauge, Histogram, Metric
from nodeproxy.server.plan_metrics import PlanMetrics
from nodeproxy.server.process import process_metrics
from nodeproxy.server.source_metrics import source_metrics
from nodeproxy.server.sync_metrics import FAMILY_LABEL, ChangeMetrics, SyncMetrics
from nodeproxy.sources.base import SourceStatus
from nodeproxy.state.triggers import Trigger

Collector = Callable[[], Iterable[Metric]]
"""Makes metrics at a scrape, on the thread of the servers: it reads whole values only."""


class AgentMetrics:
    """Every number of the agent; mutable.

    Each metric is changed by one thread: `healthz` and `livez` by the servers, the others by the
    sync loop. The servers read all of them.
    """

    def __init__(
        self,
        gates: FeatureGates = FeatureGates(),  # noqa: B008 - frozen
        source_statuses: Callable[[], Sequence[SourceStatus]] = tuple,
    ) -> None:
        """Metrics of an agent that has done nothing yet.

        Args:
            gates: exported as they are (CFG-30).
            source_statuses: asked at each scrape.
        """
        self._source_statuses = source_statuses
        self._collectors: list[Collector] = []
        self.healthz = Counter(
            "kubeproxy_proxy_healthz_total", "Answers of /healthz by code.", ["code"]
        )
        self.livez = Counter("kubeproxy_proxy_livez_total", "Answers of /livez by code.", ["code"])
        self._sync = SyncMetrics()
        self._changes = ChangeMetrics()
        self._plan = PlanMetrics()
        self._flow_seconds = Histogram(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "Duration of looks for stale flows in the connection tracking table.",
            FAMILY_LABEL,
        )
        self._flows_deleted = Counter(
            "kubeproxy_conntrack_reconciler_deleted_entries_total",
            "Stale flows deleted from the connection tracking table.",
            FAMILY_LABEL,
        )
        self._rejected = Counter(
            "nodeproxy_source_rejected_objects_total",
            "Objects that could not be decoded; what was known of them stays in force.",
            ["kind"],
        )
        self._services = Gauge("nodeproxy_services", "Services that are programmed or tried.")
        self._endpoints = Gauge("nodeproxy_endpoints", "Endpoints known, ready or not.")
        self._problems = Gauge(
            "nodeproxy_problems", "Mistakes in objects of the cluster that are worked around."
        )
        self._conflicts = Gauge(
            "nodeproxy_conflicts",
            "Service ports that lack an address or port because another Service has it.",
        )
        self._quarantined = Gauge(
            "nodeproxy_quarantined_service_ports",
            "Service ports the kernel refused; their former state stays in force.",
        )
        self._build = _build_info()
        self._gates = _gate_metric(gates)

    def set_gates(self, gates: FeatureGates) -> None:
        """The configuration was read again (CFG-30)."""
        self._gates = _gate_metric(gates)

    def observe_events(self, events: Sequence[SourceEvent]) -> None:
        """Events were taken from the inbox (EP-32, SVC-45)."""
        self._changes.count(events)
        for event in events:
            if type(event) is Rejected:
                self._rejected.add(1, event.kind)

    def decided(self, delta: PlanDelta) -> None:
        """The plan changed."""
        self._plan.decided(delta)

    def observe_queued(self, families: Iterable[Family], at: float) -> None:
        """A sync was asked for; `at` in seconds since the epoch."""
        for family in families:
            self._sync.last_queued.set(at, family)

    def observe_sync(
        self,
        report: CommitReport | None,
        *,
        families: Sequence[Family],
        seconds: float,
        at: float,
    ) -> None:
        """A sync ended.

        Args:
            report: what the backend did; None if the sync failed.
            families: those it was about.
            seconds: how long it took, from deciding to the kernel's answer.
            at: when it ended, in seconds since the epoch.
        """
        self._sync.observe(report, families, seconds, at)
        if report is not None:
            self._plan.publish(families)
            self._changes.settle()

    def observe_settled(self, triggers: Iterable[Trigger], at: float) -> None:
        """All that was told is in force: after a commit, or because there was nothing to write.

        Args:
            triggers: the changes behind it, as `ClusterState.take_triggers` returns them (EP-31).
            at: now, in seconds since the epoch.
        """
        self._changes.settle()
        for trigger in triggers:
            self._sync.programming.observe(max(0.0, at - trigger.at), trigger.family)

    def observe_flows(self, family: Family, seconds: float, deleted: int) -> None:
        """Stale flows were looked for (CT-13)."""
        self._flow_seconds.observe(seconds, family)
        self._flows_deleted.add(deleted, family)

    def observe_state(
        self, *, services: int, endpoints: int, problems: int, quarantined: int, conflicts: int = 0
    ) -> None:
        """How much there is at present."""
        self._services.set(services)
        self._endpoints.set(endpoints)
        self._problems.set(problems)
        self._conflicts.set(conflicts)
        self._quarantined.set(quarantined)

    def collect_from(self, collector: Collector) -> None:
        """Expose what this makes, too."""
        self._collectors.append(collector)

    def exposition(self, now: float) -> str:
        """Everything, as text; `now` in monotonic seconds, for the silence of the sources."""
        lines: list[str] = []
        for metric in self.metrics(now):
            lines.extend(metric.lines())
        return "\n".join(lines) + "\n"

    def metrics(self, now: float) -> Iterator[Metric]:
        """Everything that is exposed."""
        yield from (self._build, self._gates)
        yield from self._sync.metrics()
        yield from self._changes.metrics()
        yield from self._plan.metrics()
        yield from (self._flow_seconds, self._flows_deleted)
        yield from (self.healthz, self.livez)
        yield from (self._services, self._endpoints, self._problems, self._conflicts)
        yield from (self._quarantined, self._rejected)
        yield from source_metrics(self._source_statuses(), now)
        for collector in self._collectors:
            yield from collector()
        yield from process_metrics()


def _build_info() -> Metric:
    build = Gauge("nodeproxy_build_info", "Always 1; the labels tell.", ["version"])
    build.set(1, __version__)
    return build


def _gate_metric(gates: FeatureGates) -> Metric:
    features = Gauge(
        "kubernetes_feature_enabled", "1 if the feature gate is on.", ["name", "stage"]
    )
    for name in KNOWN_GATES:
        # An empty stage is how Kubernetes marks what is no longer alpha or beta.
        features.set(gates.is_enabled(name), name, "")
    return features
