from __future__ import annotations

from nodeproxy.backends.base import CommitReport
from nodeproxy.config.gates import parse_feature_gates
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import Kind, Rejected, Removed, Synced, Upserted
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import Service
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.sources.base import SourceStatus


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

    metrics.observe_state(services=3, endpoints=9, problems=2, quarantined=1)

    values = series(metrics)
    assert values["nodeproxy_services"] == "3"
    assert values["nodeproxy_endpoints"] == "9"
    assert values["nodeproxy_problems"] == "2"
    assert values["nodeproxy_quarantined_service_ports"] == "1"


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
