from __future__ import annotations

from collections.abc import Sequence

import pytest

from nodeproxy.backends.base import CommitReport
from nodeproxy.config.gates import parse_feature_gates
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Synced, Upserted
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import Service
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.server.exposition import Gauge
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.sources.base import SourceStatus
from nodeproxy.state.cluster import ClusterState
from nodeproxy.state.triggers import Trigger
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_


def series(metrics: AgentMetrics, now: float = 100.0) -> dict[str, str]:
    """Value by name and labels."""
    lines = metrics.exposition(now).splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_a_successful_sync_is_counted_for_each_family_it_was_about():
    metrics = AgentMetrics()
    report = CommitReport(operations=12, seconds=0.003, read_backs=1)

    metrics.observe_sync(report, families=FAMILIES, seconds=0.004, at=1795435200.5)

    values = series(metrics)
    prefix = "kubeproxy_sync_proxy_rules"
    assert values[f'{prefix}_duration_seconds_count{{ip_family="IPv4"}}'] == "1"
    assert values[f'{prefix}_duration_seconds_bucket{{ip_family="IPv6",le="0.004"}}'] == "1"
    assert values[f'{prefix}_last_timestamp_seconds{{ip_family="IPv6"}}'] == "1795435200.5"
    assert values[f'{prefix}_nftables_sync_failures_total{{ip_family="IPv4"}}'] == "0"
    assert values["nodeproxy_kernel_operations_total"] == "12"
    assert values["nodeproxy_mirror_read_backs_total"] == "1"


def test_a_failed_sync_counts_its_time_and_leaves_the_last_success():
    metrics = AgentMetrics()

    metrics.observe_sync(None, families=[Family.IPV4], seconds=0.5, at=1.0)

    values = series(metrics)
    prefix = "kubeproxy_sync_proxy_rules"
    assert values[f'{prefix}_duration_seconds_count{{ip_family="IPv4"}}'] == "1"
    assert values[f'{prefix}_nftables_sync_failures_total{{ip_family="IPv4"}}'] == "1"
    assert f'{prefix}_last_timestamp_seconds{{ip_family="IPv4"}}' not in values


def test_events_are_counted_by_what_they_are_about():
    """EP-32, SVC-45."""
    metrics = AgentMetrics()
    problem = Problem("EndpointSlice a/b", "", "no object")

    metrics.observe_events(
        [
            Upserted(Kind.SERVICE, "a", "b", Service()),
            Removed(Kind.SERVICE, "a", "b"),
            Removed(Kind.ENDPOINT_SLICE, "a", "b"),
            Removed(Kind.ENDPOINTS, "a", "b"),
            Removed(Kind.NODE, "", "n"),
            Rejected(Kind.ENDPOINT_SLICE, "a", "b", problem),
            Synced(Kind.SERVICE),
        ]
    )

    values = series(metrics)
    assert values["kubeproxy_sync_proxy_rules_service_changes_total"] == "2"
    assert values["kubeproxy_sync_proxy_rules_endpoint_changes_total"] == "2"
    assert values['nodeproxy_source_rejected_objects_total{kind="EndpointSlice"}'] == "1"


def test_the_present_state_is_told():
    metrics = AgentMetrics()

    metrics.observe_state(services=3, endpoints=9, problems=2, quarantined=1, conflicts=4)

    values = series(metrics)
    assert values["nodeproxy_services"] == "3"
    assert values["nodeproxy_endpoints"] == "9"
    assert values["nodeproxy_problems"] == "2"
    assert values["nodeproxy_quarantined_service_ports"] == "1"
    assert values["nodeproxy_conflicts"] == "4"


def test_sources_are_asked_at_each_scrape():
    statuses = [
        SourceStatus(Kind.SERVICE, True, False, 97.5, "connection reset", 2),
        SourceStatus(Kind.NODE, False, False, None, "", 0),
    ]
    metrics = AgentMetrics(source_statuses=lambda: statuses)

    values = series(metrics, now=100.0)

    assert values['nodeproxy_source_synced{kind="Service"}'] == "1"
    assert values['nodeproxy_source_connected{kind="Service"}'] == "0"
    assert values['nodeproxy_source_silence_seconds{kind="Service"}'] == "2.5"
    assert values['nodeproxy_source_lists_total{kind="Service"}'] == "2"
    assert 'nodeproxy_source_silence_seconds{kind="Node"}' not in values


def test_gates_are_exported_as_they_are():
    """CFG-30."""
    metrics = AgentMetrics(parse_feature_gates("EndpointSliceProxying=false"))

    values = series(metrics)

    assert values['kubernetes_feature_enabled{name="EndpointSliceProxying",stage=""}'] == "0"


def test_gates_are_exported_as_they_are_after_a_reload():
    metrics = AgentMetrics()

    metrics.set_gates(parse_feature_gates("EndpointSliceProxying=false"))

    name = 'kubernetes_feature_enabled{name="EndpointSliceProxying",stage=""}'
    assert series(metrics)[name] == "0"


def test_a_request_for_a_sync_leaves_its_time():
    metrics = AgentMetrics()

    metrics.observe_queued([Family.IPV4], at=7.0)

    name = 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"}'
    assert series(metrics)[name] == "7"


def test_every_metric_is_introduced_once_and_ends_its_line():
    metrics = AgentMetrics()
    metrics.observe_sync(None, families=FAMILIES, seconds=0.5, at=1.0)

    text = metrics.exposition(0.0)

    introduced = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(introduced) == len(set(introduced))
    assert text.endswith("\n")
    assert "\n\n" not in text


V4, V6 = Family.IPV4, Family.IPV6


def test_a_sync_that_compared_everything_is_a_full_one():
    metrics = AgentMetrics()
    for read_backs in (1, 0, 0):
        report = CommitReport(operations=1, seconds=0.003, read_backs=read_backs)
        metrics.observe_sync(report, families=[V4], seconds=0.004, at=1.0)

    values = series(metrics)
    name = 'kubeproxy_sync_{}_proxy_rules_duration_seconds_count{{ip_family="IPv4"}}'
    assert [values[name.format(kind)] for kind in ("full", "partial")] == ["1", "2"]


def test_changes_are_pending_until_they_are_in_force():
    """EP-32, SVC-45."""
    metrics = AgentMetrics()
    name = "kubeproxy_sync_proxy_rules_{}_changes_pending"
    events = [Removed(Kind.SERVICE, "a", "b"), Removed(Kind.ENDPOINTS, "a", "b")]

    metrics.observe_events(events)
    metrics.observe_sync(None, families=FAMILIES, seconds=0.1, at=1.0)
    metrics.observe_events(events)
    before = [series(metrics)[name.format(kind)] for kind in ("service", "endpoint")]
    metrics.observe_settled((), at=2.0)
    after = [series(metrics)[name.format(kind)] for kind in ("service", "endpoint")]

    assert before == ["2", "2"]
    assert after == ["0", "0"]


def test_the_way_from_a_change_to_rules_in_force_is_measured_for_each_change():
    """EP-31."""
    metrics = AgentMetrics()

    metrics.observe_settled([Trigger(V4, 100.0), Trigger(V4, 97.0), Trigger(V6, 103.0)], at=101.0)

    values = series(metrics)
    name = "kubeproxy_network_programming_duration_seconds"
    assert values[f'{name}_count{{ip_family="IPv4"}}'] == "2"
    assert values[f'{name}_bucket{{ip_family="IPv4",le="1"}}'] == "1"
    assert values[f'{name}_sum{{ip_family="IPv4"}}'] == "5"
    assert values[f'{name}_sum{{ip_family="IPv6"}}'] == "0"


def test_looks_for_stale_flows_are_counted():
    metrics = AgentMetrics()

    metrics.observe_flows(V4, 0.25, 3)
    metrics.observe_flows(V4, 0.25, 0)

    values = series(metrics)
    prefix = "kubeproxy_conntrack_reconciler"
    assert values[f'{prefix}_sync_duration_seconds_sum{{ip_family="IPv4"}}'] == "0.5"
    assert values[f'{prefix}_deleted_entries_total{{ip_family="IPv4"}}'] == "3"


class Planned:
    """A plan, and metrics that follow it."""

    def __init__(self) -> None:
        self.state = ClusterState("n1")
        self.planner = Planner(self.state, PlanOptions())
        self.metrics = AgentMetrics()

    def apply(self, *builders: ServiceBuilder | SliceBuilder) -> None:
        self.take([builder.upserted() for builder in builders])

    def take(self, events: Sequence[SourceEvent]) -> None:
        self.metrics.decided(self.planner.replan(self.state.apply(events)))

    def install(self) -> None:
        report = CommitReport(operations=1, seconds=0.1, read_backs=0)
        self.metrics.observe_sync(report, families=FAMILIES, seconds=0.1, at=1.0)

    def without_local(self) -> tuple[str, str]:
        """Internal and external, of IPv4."""
        name = (
            "kubeproxy_sync_proxy_rules_no_local_endpoints_total"
            '{{traffic_policy="{}",ip_family="IPv4"}}'
        )
        values = series(self.metrics)
        return values[name.format("internal")], values[name.format("external")]


def web() -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10").port(80).node_port(30080).type("NodePort")


def endpoint_on(node: str) -> SliceBuilder:
    return slice_("web-1", service="web").port(80).endpoint("10.0.0.1", node=node)


@pytest.mark.parametrize(
    ("builder", "node", "expected"),
    [
        (web().internal_local().local(), "n1", ("0", "0")),
        (web().internal_local(), "n2", ("1", "0")),
        (web().local(), "n2", ("0", "1")),
        (web().internal_local().local(), "n2", ("1", "1")),
        (web().internal_local().local(), None, ("0", "0")),
        (web(), "n2", ("0", "0")),
    ],
)
def test_service_ports_without_local_endpoints_are_counted_if_there_are_others(
    builder: ServiceBuilder, node: str | None, expected: tuple[str, str]
):
    """TS-916."""
    planned = Planned()

    planned.apply(builder, *([endpoint_on(node)] if node else []))
    planned.install()

    assert planned.without_local() == expected


def test_service_ports_are_counted_as_they_are_in_force():
    planned = Planned()
    planned.apply(web().local(), endpoint_on("n2"))
    planned.install()

    planned.apply(endpoint_on("n1"))
    before = planned.without_local()
    planned.install()
    after = planned.without_local()
    planned.apply(endpoint_on("n2"))
    planned.take([web().removed()])
    planned.install()

    assert [before, after, planned.without_local()] == [("0", "1"), ("0", "0"), ("0", "0")]


def test_service_ports_with_affinity_are_counted():
    planned = Planned()

    planned.apply(web().affinity(60), endpoint_on("n1"))
    planned.install()

    assert series(planned.metrics)['nodeproxy_affinity_service_ports{ip_family="IPv4"}'] == "1"


def test_others_may_add_numbers_that_are_made_when_they_are_asked_for():
    metrics = AgentMetrics()
    gauge = Gauge("nodeproxy_x", "X.")
    metrics.collect_from(lambda: [gauge])

    gauge.set(7)

    assert series(metrics)["nodeproxy_x"] == "7"
