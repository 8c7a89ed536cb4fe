"""What the change from EndpointSlices to Endpoints, or back, means for each Service, in words.

Pure: the plan before, what the planner made of the other objects, lines for the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeproxy.model.events import Kind
from nodeproxy.model.keys import ServiceKey
from nodeproxy.plan.types import (
    HintReason,
    PlanDelta,
    PlanKey,
    Reason,
    ServicePortPlan,
    Target,
    format_pool,
)

MAX_LINES = 20
_MAX_TARGETS = 5
_ENDPOINTS_LIMIT = 1000
"""Addresses in an Endpoints object; its controller leaves out the rest (EPS-13)."""


def differences(
    before: Mapping[PlanKey, ServicePortPlan], delta: PlanDelta, kind: Kind | None
) -> list[str]:
    """What connections will notice, a line for each Service up to `MAX_LINES`, and a summary.

    Args:
        before: the whole plan as it was.
        delta: what is different now, and why does not matter.
        kind: what tells endpoints now.
    """
    by_service: dict[ServiceKey, list[str]] = {}
    for key in sorted({*delta.puts, *delta.removes}):
        told = _difference(before.get(key), delta.puts.get(key), kind)
        if told:
            name = f"{key.port.port_name or 'port'}/{key.port.protocol.name} {key.family}"
            by_service.setdefault(key.port.service, []).append(f"{name} {told}")
    lines = [f"Service {service}: {'; '.join(by_service[service])}" for service in by_service]
    total = len({key.port.service for key in before} | by_service.keys())
    summary = f"other endpoints than before: {len(lines)} of {total} Services"
    if len(lines) > MAX_LINES:
        summary += f", of which {len(lines) - MAX_LINES} are not listed"
    if kind is Kind.ENDPOINTS:
        summary += (
            "; Endpoints tell nothing of topology hints and of endpoints that serve while they "
            f"terminate, and hold {_ENDPOINTS_LIMIT} addresses of a Service at most"
        )
    return [*lines[:MAX_LINES], summary]


def _difference(
    before: ServicePortPlan | None, after: ServicePortPlan | None, kind: Kind | None
) -> str:
    """What is different for one service port; empty if only the reasons are."""
    old, new = _targets(before), _targets(after)
    parts = [_named("gains", new - old), _named("loses", old - new)]
    ready = before.local_ready if before else 0, after.local_ready if after else 0
    if ready[0] != ready[1]:
        parts.append(f"local ready endpoints {ready[0]} -> {ready[1]}")
    if _has_any(before) != _has_any(after) and not (old or new):
        parts.append("is refused" if _has_any(before) else "is dropped")
    found = [part for part in parts if part]
    causes = _causes(before, after, kind) if found and before and after else ()
    return " ".join([", ".join(found), *causes])


def _causes(before: ServicePortPlan, after: ServicePortPlan, kind: Kind | None) -> Iterable[str]:
    """Known reasons, in parentheses."""
    applied = HintReason.APPLIED
    if (before.selection.hint_reason is applied) != (after.selection.hint_reason is applied):
        is_now = after.selection.hint_reason is applied
        yield "(topology hints count now)" if is_now else "(topology hints do not count any more)"
    if _serves_terminating(before) and not _serves_terminating(after):
        yield "(terminating endpoints are not known any more)"
    if kind is Kind.ENDPOINTS and len(_targets(before)) > _ENDPOINTS_LIMIT:
        yield f"(more than {_ENDPOINTS_LIMIT} addresses)"


def _serves_terminating(plan: ServicePortPlan) -> bool:
    reasons = plan.selection.cluster_reason, plan.selection.local_reason
    return Reason.TERMINATING in reasons


def _targets(plan: ServicePortPlan | None) -> set[Target]:
    return {*plan.selection.cluster, *plan.selection.local} if plan else set()


def _has_any(plan: ServicePortPlan | None) -> bool:
    return plan is not None and plan.selection.has_any


def _named(verb: str, targets: set[Target]) -> str:
    if not targets:
        return ""
    shown = tuple(sorted(targets)[:_MAX_TARGETS])
    more = len(targets) - len(shown)
    return f"{verb} {format_pool(shown)}{f' and {more} more' if more else ''}"
