"""Numbers about syncs, under kube-proxy's names (spec 60 section 8).

kube-proxy syncs each family by itself. Here one sync covers the families that have something to do,
and counts for each of them.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence

from nodeproxy.backends.base import CommitReport
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import Kind, Removed, SourceEvent, Upserted
from nodeproxy.server.exposition import Counter, Gauge, Histogram, Metric

FAMILY_LABEL = ("ip_family",)
PREFIX = "kubeproxy_sync_proxy_rules"

_CHANGES = frozenset({Upserted, Removed})

PROGRAMMING_BUCKETS = (
    0.25,
    0.5,
    *(float(second) for second in range(1, 60)),
    *(float(second) for second in range(60, 120, 5)),
    *(float(second) for second in range(120, 301, 30)),
)
"""From a quarter of a second to five minutes."""


class SyncMetrics:
    """What syncs did; mutable, changed by the sync loop only."""

    def __init__(self) -> None:
        self.duration = Histogram(
            f"{PREFIX}_duration_seconds", "Duration of syncs, failed ones too.", FAMILY_LABEL
        )
        self.full_duration = Histogram(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "Duration of syncs that compared everything with the kernel: the first one, and those "
            "after a foreign change or a failure.",
            FAMILY_LABEL,
        )
        self.partial_duration = Histogram(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "Duration of syncs that wrote what had changed.",
            FAMILY_LABEL,
        )
        self.last_success = Gauge(
            f"{PREFIX}_last_timestamp_seconds", "End of the last successful sync.", FAMILY_LABEL
        )
        self.last_queued = Gauge(
            f"{PREFIX}_last_queued_timestamp_seconds",
            "Last time a sync was asked for.",
            FAMILY_LABEL,
        )
        self.failures = Counter(
            f"{PREFIX}_nftables_sync_failures_total", "Syncs that failed.", FAMILY_LABEL
        )
        self.cleanup_failures = Counter(
            f"{PREFIX}_nftables_cleanup_failures_total",
            "Always 0: what is not wanted any more goes in the transaction that brings the rest.",
            FAMILY_LABEL,
        )
        self.programming = Histogram(
            "kubeproxy_network_programming_duration_seconds",
            "From the change of a pod or Service, as the endpoints tell it, to rules in force.",
            FAMILY_LABEL,
            PROGRAMMING_BUCKETS,
        )
        self.operations = Counter(
            "nodeproxy_kernel_operations_total",
            "Elements, rules, chains, sets and tables added or removed.",
        )
        self.read_backs = Counter(
            "nodeproxy_mirror_read_backs_total",
            "Times the kernel's content was read because ours might differ from it.",
        )

    def observe(
        self, report: CommitReport | None, families: Iterable[Family], seconds: float, at: float
    ) -> None:
        """A sync ended, see `AgentMetrics.observe_sync`."""
        for family in families:
            self.duration.observe(seconds, family)
            self.failures.add(0 if report else 1, family)
            self.cleanup_failures.add(0, family)
            if report:
                self.last_success.set(at, family)
                by_extent = self.full_duration if report.read_backs else self.partial_duration
                by_extent.observe(seconds, family)
        if report is not None:
            self.operations.add(report.operations)
            self.read_backs.add(report.read_backs)

    def metrics(self) -> Sequence[Metric]:
        """All of them."""
        return (
            self.duration,
            self.full_duration,
            self.partial_duration,
            self.last_success,
            self.last_queued,
            self.failures,
            self.cleanup_failures,
            self.programming,
            self.operations,
            self.read_backs,
        )


class ChangeMetrics:
    """How much changes, and what of it is not in force yet (EP-32, SVC-45)."""

    def __init__(self) -> None:
        kinds = (("service", Kind.SERVICE), ("endpoint", Kind.ENDPOINT_SLICE))
        self._total = {
            kind: Counter(f"{PREFIX}_{name}_changes_total", f"Changes of {kind} objects.")
            for name, kind in kinds
        }
        self._pending = {
            kind: Gauge(
                f"{PREFIX}_{name}_changes_pending",
                f"Changes of {kind} objects that are not in force yet.",
            )
            for name, kind in kinds
        }
        self._counts = dict.fromkeys(self._total, 0)

    def count(self, events: Iterable[SourceEvent]) -> None:
        """Events were taken from the inbox; 20,000 of them take 3 ms."""
        kinds = Tally([event.kind for event in events if type(event) in _CHANGES])
        kinds[Kind.ENDPOINT_SLICE] += kinds[Kind.ENDPOINTS]
        for kind, pending in self._pending.items():
            self._total[kind].add(kinds[kind])
            self._counts[kind] += kinds[kind]
            pending.set(self._counts[kind])

    def settle(self) -> None:
        """Everything counted is in force."""
        for kind, pending in self._pending.items():
            self._counts[kind] = 0
            pending.set(0)

    def metrics(self) -> Sequence[Metric]:
        """All of them."""
        return (*self._total.values(), *self._pending.values())
