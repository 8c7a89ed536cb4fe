"""What the agent counts, under the names dashboards of kube-proxy know (MET-2).

Numbers that kube-proxy has keep its names, prefix `kubeproxy_`; those it has not begin with
`nodeproxy_`. Only what is really measured is exposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from nodeproxy import __version__
from nodeproxy.backends.base import CommitReport
from nodeproxy.config.gates import KNOWN_GATES, FeatureGates
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Upserted
from nodeproxy.server.exposition import Counter, Gauge, Histogram, Metric
from nodeproxy.server.process import process_metrics
from nodeproxy.sources.base import SourceStatus

_FAMILY = ("ip_family",)
_KIND = ("kind",)


class AgentMetrics:
    """Every number of the agent; mutable, changed by the sync loop and the servers only."""

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
        self.healthz = Counter(
            "kubeproxy_proxy_healthz_total", "Answers of /healthz by code.", ["code"]
        )
        self.livez = Counter("kubeproxy_proxy_livez_total", "Answers of /livez by code.", ["code"])
        self._sync = _SyncMetrics()
        self._changes = {
            kind: Counter(
                f"kubeproxy_sync_proxy_rules_{name}_changes_total", f"Changes of {kind} objects."
            )
            for name, kind in (("service", Kind.SERVICE), ("endpoint", Kind.ENDPOINT_SLICE))
        }
        self._rejected = Counter(
            "nodeproxy_source_rejected_objects_total",
            "Objects that could not be decoded; what was known of them stays in force.",
            _KIND,
        )
        self._services = Gauge("nodeproxy_services", "Services that are programmed or tried.")
        self._endpoints = Gauge("nodeproxy_endpoints", "Endpoints known, ready or not.")
        self._problems = Gauge(
            "nodeproxy_problems", "Mistakes in objects of the cluster that are worked around."
        )
        self._quarantined = Gauge(
            "nodeproxy_quarantined_service_ports",
            "Service ports the kernel refused; their former state stays in force.",
        )
        self._constant = tuple(_constant_metrics(gates))

    def observe_events(self, events: Iterable[SourceEvent]) -> None:
        """Events were taken from the inbox (EP-32, SVC-45)."""
        for event in events:
            if isinstance(event, Rejected):
                self._rejected.add(1, event.kind)
            elif isinstance(event, Upserted | Removed):
                kind = Kind.ENDPOINT_SLICE if event.kind is Kind.ENDPOINTS else event.kind
                if kind in self._changes:
                    self._changes[kind].add(1)

    def observe_queued(self, families: Iterable[Family], at: float) -> None:
        """A sync was asked for; `at` in seconds since the epoch."""
        for family in families:
            self._sync.last_queued.set(at, family)

    def observe_sync(
        self,
        report: CommitReport | None,
        *,
        families: Iterable[Family],
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
        for family in families:
            self._sync.observe(family, seconds, at, is_success=report is not None)
        if report is not None:
            self._sync.operations.add(report.operations)
            self._sync.read_backs.add(report.read_backs)

    def observe_state(
        self, *, services: int, endpoints: int, problems: int, quarantined: int
    ) -> None:
        """How much there is at present."""
        self._services.set(services)
        self._endpoints.set(endpoints)
        self._problems.set(problems)
        self._quarantined.set(quarantined)

    def exposition(self, now: float) -> str:
        """Everything, as text; `now` in monotonic seconds, for the silence of the sources."""
        lines: list[str] = []
        for metric in self._metrics(now):
            lines.extend(metric.lines())
        return "\n".join(lines) + "\n"

    def _metrics(self, now: float) -> Iterator[Metric]:
        yield from self._constant
        yield from self._sync.metrics()
        yield from self._changes.values()
        yield from (self.healthz, self.livez)
        yield from (self._services, self._endpoints, self._problems, self._quarantined)
        yield self._rejected
        yield from source_metrics(self._source_statuses(), now)
        yield from process_metrics()


class _SyncMetrics:
    """What syncs did; kube-proxy has one sync a family, here one covers both."""

    def __init__(self) -> None:
        prefix = "kubeproxy_sync_proxy_rules"
        self.duration = Histogram(
            f"{prefix}_duration_seconds", "Duration of syncs, failed ones too.", _FAMILY
        )
        self.last_success = Gauge(
            f"{prefix}_last_timestamp_seconds", "End of the last successful sync.", _FAMILY
        )
        self.last_queued = Gauge(
            f"{prefix}_last_queued_timestamp_seconds", "Last time a sync was asked for.", _FAMILY
        )
        self.failures = Counter(
            f"{prefix}_nftables_sync_failures_total", "Syncs that failed.", _FAMILY
        )
        self.operations = Counter(
            "nodeproxy_kernel_operations_total",
            "Elements, rules, chains, sets and tables added or removed.",
        )
        self.read_backs = Counter(
            "nodeproxy_mirror_read_backs_total",
            "Times the kernel's content was read because ours might differ from it.",
        )

    def observe(self, family: Family, seconds: float, at: float, *, is_success: bool) -> None:
        self.duration.observe(seconds, family)
        self.failures.add(0 if is_success else 1, family)
        if is_success:
            self.last_success.set(at, family)

    def metrics(self) -> Sequence[Metric]:
        return (
            self.duration,
            self.last_success,
            self.last_queued,
            self.failures,
            self.operations,
            self.read_backs,
        )


def source_metrics(statuses: Sequence[SourceStatus], now: float) -> Iterator[Metric]:
    """How fresh the view of the cluster is, by kind."""
    synced = Gauge("nodeproxy_source_synced", "1 if the kind is known completely.", _KIND)
    connected = Gauge("nodeproxy_source_connected", "1 while changes are followed.", _KIND)
    silence = Gauge("nodeproxy_source_silence_seconds", "Since the last sign of life.", _KIND)
    relists = Counter("nodeproxy_source_lists_total", "Complete lists fetched.", _KIND)
    for status in statuses:
        synced.set(status.is_synced, status.kind)
        connected.set(status.is_connected, status.kind)
        relists.add(status.relists, status.kind)
        if status.last_event is not None:
            silence.set(round(now - status.last_event, 3), status.kind)
    return iter((synced, connected, silence, relists))


def _constant_metrics(gates: FeatureGates) -> Iterator[Metric]:
    build = Gauge("nodeproxy_build_info", "Always 1; the labels tell.", ["version"])
    build.set(1, __version__)
    yield build
    features = Gauge(
        "kubernetes_feature_enabled", "1 if the feature gate is on.", ["name", "stage"]
    )
    for name in KNOWN_GATES:
        # An empty stage is how Kubernetes marks what is no longer alpha or beta.
        features.set(gates.is_enabled(name), name, "")
    yield features
