"""The plan as text, for people, for goldens and for comparing.

One block for each service port and family. The text depends on the plan alone: it is sorted, and
nothing in it tells in which order things came to be (design invariant 5).

    shop/web:http TCP IPv4
      ClusterIP 10.96.0.10:80/tcp: forward to cluster
      NodePort node:30080/tcp: forward to local; from pods and this node to cluster
      policies: internal Cluster, external Local
      cluster: serving-terminating
        10.0.0.1:8080 local
        10.0.0.2:8080
      local: serving-terminating
        10.0.0.1:8080
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    Frontend,
    FrontendKind,
    HintReason,
    PlanKey,
    PoolKind,
    Reason,
    Selection,
    ServicePortPlan,
    Target,
    Topology,
    Treatment,
)

REASON_SENTENCES: Mapping[Reason, str] = {
    Reason.READY: "ready endpoints answer",
    Reason.TERMINATING: "no endpoint is ready: those terminating but still serving answer",
    Reason.NO_ENDPOINTS: "the Service has no endpoints for this port",
    Reason.NONE_USABLE: "there are endpoints, but none is ready or serving while terminating",
    Reason.NOT_USED: "no traffic policy of the Service asks for this pool",
    Reason.NONE_LOCAL: "usable endpoints exist, but none on this node",
}
"""For each reason of a pool's content a sentence a person understands."""

HINT_SENTENCES: Mapping[HintReason, str] = {
    HintReason.NOT_USED: "the cluster pool is not used, so hints play no part",
    HintReason.NO_READY_ENDPOINTS: "no endpoint is ready, so hints play no part",
    HintReason.NOT_HINTED: "no ready endpoint carries hints",
    HintReason.SOME_NOT_HINTED: "some ready endpoints carry no hint, so hints are ignored",
    HintReason.NO_HINT_FOR_NODE: "no hint names this node or its zone, so hints are ignored",
    HintReason.NODE_WITHOUT_ZONE: "this node has no zone label, so zone hints are ignored",
    HintReason.APPLIED: "every ready endpoint carries hints; only those for here answer",
}
"""For each decision about hints a sentence a person understands."""


def format_plan(plans: Mapping[PlanKey, ServicePortPlan]) -> str:
    """All plans, sorted by service port and family; empty for no plans."""
    ordered = sorted(plans, key=lambda key: (key.port, key.family))
    return "\n".join(format_service_port(plans[key]) for key in ordered)


def format_service_port(plan: ServicePortPlan) -> str:
    """The block of one service port, ending in a newline."""
    return "".join(f"{line}\n" for line in _lines(plan))


def describe_frontend(plan: ServicePortPlan, frontend: Frontend) -> str:
    """What a new connection to a frontend meets, `forward to cluster` or `reject`."""
    if frontend.kind is FrontendKind.CLUSTER_IP:
        return _describe(plan.internal_treatment, plan.internal_pool)
    if plan.external_policy is TrafficPolicy.CLUSTER or not plan.selection.has_any:
        return _describe(plan.external_treatment, PoolKind.CLUSTER)
    outside = _describe(plan.external_treatment, PoolKind.LOCAL)
    return f"{outside}; from pods and this node to cluster"


def _describe(treatment: Treatment, pool: PoolKind) -> str:
    return f"forward to {pool}" if treatment is Treatment.FORWARD else str(treatment)


def _lines(plan: ServicePortPlan) -> Iterator[str]:
    yield f"{plan.key} {plan.key.protocol.name} {plan.family}"
    for frontend in plan.frontends:
        yield f"  {frontend.kind} {frontend}: {describe_frontend(plan, frontend)}"
    yield f"  policies: internal {plan.internal_policy}, external {plan.external_policy}"
    yield from _extras(plan)
    yield from _pools(plan.selection)


def _extras(plan: ServicePortPlan) -> Iterator[str]:
    if plan.affinity_seconds:
        yield f"  affinity: {plan.affinity_seconds} s"
    if plan.source_ranges:
        vips = "; and each load balancer IP from itself" if plan.admits_vips else ""
        yield f"  source ranges: {', '.join(map(str, plan.source_ranges))}{vips}"
    if plan.health_check_node_port:
        yield f"  health check: port {plan.health_check_node_port}, {plan.local_ready} ready here"


def _pools(selection: Selection) -> Iterator[str]:
    if selection.cluster_reason is not Reason.NOT_USED:
        yield f"  cluster: {selection.cluster_reason}{_hints(selection)}"
        yield from _targets(selection.cluster, selection.local_reachable)
    if selection.local_reason is not Reason.NOT_USED:
        yield f"  local: {selection.local_reason}"
        yield from _targets(selection.local, ())


def _hints(selection: Selection) -> str:
    """How hints came in, left out where there are none to speak of."""
    if selection.topology is not Topology.ANY:
        return f", {selection.topology}"
    silent = (HintReason.NOT_HINTED, HintReason.NO_READY_ENDPOINTS)
    return "" if selection.hint_reason in silent else f", hints: {selection.hint_reason}"


def _targets(targets: Iterable[Target], local: Iterable[Target]) -> Iterator[str]:
    marked = set(local)
    for target in targets:
        yield f"    {target} local" if target in marked else f"    {target}"
