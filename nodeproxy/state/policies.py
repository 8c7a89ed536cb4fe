"""How a Service wants its connections treated: traffic policies, affinity, health check port."""

from __future__ import annotations

from nodeproxy.model.services import TrafficPolicy
from nodeproxy.model.wire import ServiceSpec, Text
from nodeproxy.state.report import MAX_PORT, Report

DEFAULT_AFFINITY_SECONDS = 10800
MAX_AFFINITY_SECONDS = 86400


def policy_from(text: Text, field: str, report: Report) -> TrafficPolicy:
    """Cluster unless Local is asked for (SVC-20, SVC-21)."""
    if text == TrafficPolicy.LOCAL:
        return TrafficPolicy.LOCAL
    if text and text != TrafficPolicy.CLUSTER:
        report.add(f"spec.{field}", f'"{text}" is neither Cluster nor Local; Cluster applies')
    return TrafficPolicy.CLUSTER


def external_policy_from(spec: ServiceSpec, report: Report) -> TrafficPolicy:
    """The external policy; it means nothing unless the type lets traffic in (SVC-20)."""
    policy = policy_from(spec.external_traffic_policy, "externalTrafficPolicy", report)
    if spec.type in ("LoadBalancer", "NodePort"):
        return policy
    if spec.type in (None, "", "ClusterIP") and spec.external_ips:
        return policy
    return TrafficPolicy.CLUSTER


def affinity_seconds_from(spec: ServiceSpec, report: Report) -> int:
    """Timeout of ClientIP affinity, 0 without affinity (SVC-22)."""
    if spec.session_affinity != "ClientIP":
        if spec.session_affinity not in (None, "", "None"):
            report.add(
                "spec.sessionAffinity",
                f'"{spec.session_affinity}" is neither None nor ClientIP; no affinity',
            )
        return 0
    config = spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    if seconds is None:
        return DEFAULT_AFFINITY_SECONDS
    if 0 < seconds <= MAX_AFFINITY_SECONDS:
        return seconds
    report.add(
        "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
        f"{seconds} is not in 1..{MAX_AFFINITY_SECONDS}; {DEFAULT_AFFINITY_SECONDS} applies",
    )
    return DEFAULT_AFFINITY_SECONDS


def health_check_node_port_from(spec: ServiceSpec, policy: TrafficPolicy, report: Report) -> int:
    """The port; only load balancers with external policy Local have one (SVC-30)."""
    if spec.type != "LoadBalancer" or policy is not TrafficPolicy.LOCAL:
        return 0
    number = spec.health_check_node_port or 0
    if 0 < number <= MAX_PORT:
        return number
    what = f"{number} is not in 1..{MAX_PORT}" if number else "not set"
    report.add(
        "spec.healthCheckNodePort",
        f"{what}; load balancers cannot ask this node whether it has local endpoints",
    )
    return 0
