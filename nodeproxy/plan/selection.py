"""Which endpoints answer for a service port on this node, and why (spec 10 section 5).

      all endpoints --ready?--> by hints (node, then zone) ----> cluster pool
            |                     none ready: serving while terminating, hints aside
            +-- on this node --ready?--------------------------> local pool
                                  none ready: serving while terminating

The two fall back independently of one another (EP-46). An endpoint that is neither ready nor
serving while terminating is never used (EP-47). Nothing of the Service object decides about
topology: hints alone do (EP-51), and there is no minimum of endpoints (EP-53).
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.services import ServicePort, TrafficPolicy
from nodeproxy.plan.types import HintReason, Reason, Selection, Target, Topology

_Candidate = tuple[Endpoint, Target]
"""An endpoint with the one Target that all pools share."""


def select(
    endpoints: Sequence[Endpoint], port: ServicePort, node_name: str, zone: str
) -> Selection:
    """Choose the endpoints that may answer.

    Args:
        endpoints: all endpoints of the service port in canonical order, without duplicates.
        port: for its policies, and whether it can be reached from outside.
        node_name: the own node, for node hints.
        zone: the own node's zone, empty if it has none.
    """
    uses_cluster = uses_cluster_pool(port)
    uses_local = uses_local_pool(port)
    candidates = [(endpoint, Target(endpoint.addr, endpoint.port)) for endpoint in endpoints]
    usable, reason = _usable(candidates)
    cluster: Sequence[_Candidate] = ()
    topology, hint_reason = Topology.ANY, HintReason.NOT_USED
    if uses_cluster:
        topology, hint_reason = _topology(usable, reason, node_name, zone)
        cluster = _narrowed(usable, topology, node_name, zone)
    local: Sequence[_Candidate] = ()
    local_reason = Reason.NOT_USED
    if uses_local:
        local, local_reason = _local(candidates, reason)
    cluster_targets = _targets(cluster)
    local_targets = _shared(cluster_targets, _targets(local))
    return Selection(
        cluster=cluster_targets,
        local=local_targets,
        local_reachable=_local_reachable(cluster, cluster_targets, local_targets),
        # Both pools in use come to the same (EP-48): is anything usable, here or elsewhere?
        has_any=bool(usable),
        topology=topology,
        cluster_reason=reason if uses_cluster else Reason.NOT_USED,
        local_reason=local_reason,
        hint_reason=hint_reason,
    )


def uses_cluster_pool(port: ServicePort) -> bool:
    """True if some traffic may go to any node (EP-42).

    External policy Local needs the cluster pool too, for traffic from pods and the node.
    """
    return port.internal_policy is not TrafficPolicy.LOCAL or port.is_externally_accessible


def uses_local_pool(port: ServicePort) -> bool:
    """True if some traffic must stay on this node (EP-43)."""
    return port.internal_policy is TrafficPolicy.LOCAL or (
        port.external_policy is TrafficPolicy.LOCAL and port.is_externally_accessible
    )


def _usable(candidates: list[_Candidate]) -> tuple[list[_Candidate], Reason]:
    """Ready endpoints; if there are none, those terminating but still serving (EP-44)."""
    ready = [candidate for candidate in candidates if candidate[0].ready]
    if ready:
        return ready, Reason.READY
    terminating = [
        candidate for candidate in candidates if candidate[0].serving and candidate[0].terminating
    ]
    if terminating:
        return terminating, Reason.TERMINATING
    return [], Reason.NONE_USABLE if candidates else Reason.NO_ENDPOINTS


def _local(candidates: list[_Candidate], reason: Reason) -> tuple[list[_Candidate], Reason]:
    """The same on this node alone, hints aside (EP-45).

    Args:
        candidates: all endpoints.
        reason: what `_usable` said about all of them.
    """
    local, local_reason = _usable([candidate for candidate in candidates if candidate[0].is_local])
    if local:
        return local, local_reason
    return [], Reason.NONE_LOCAL if reason in (Reason.READY, Reason.TERMINATING) else reason


def _topology(
    usable: list[_Candidate], reason: Reason, node_name: str, zone: str
) -> tuple[Topology, HintReason]:
    """Which hints narrow the cluster pool (EP-50), and why not others (EP-52).

    A level of hints counts only if every ready endpoint has one; those of endpoints that are
    not ready count in neither direction.
    """
    if reason is not Reason.READY:
        return Topology.ANY, HintReason.NO_READY_ENDPOINTS
    hinted_nodes = sum(1 for endpoint, _ in usable if endpoint.node_hints)
    hinted_zones = sum(1 for endpoint, _ in usable if endpoint.zone_hints)
    if not (hinted_nodes or hinted_zones):
        return Topology.ANY, HintReason.NOT_HINTED
    every_node = hinted_nodes == len(usable)
    every_zone = hinted_zones == len(usable)
    if every_node and any(node_name in endpoint.node_hints for endpoint, _ in usable):
        return Topology.SAME_NODE, HintReason.APPLIED
    if every_zone and zone and any(zone in endpoint.zone_hints for endpoint, _ in usable):
        return Topology.SAME_ZONE, HintReason.APPLIED
    if every_zone and not zone:
        return Topology.ANY, HintReason.NODE_WITHOUT_ZONE
    if every_zone or every_node:
        return Topology.ANY, HintReason.NO_HINT_FOR_NODE
    return Topology.ANY, HintReason.SOME_NOT_HINTED


def _narrowed(
    usable: list[_Candidate], topology: Topology, node_name: str, zone: str
) -> list[_Candidate]:
    if topology is Topology.SAME_NODE:
        return [candidate for candidate in usable if node_name in candidate[0].node_hints]
    if topology is Topology.SAME_ZONE:
        return [candidate for candidate in usable if zone in candidate[0].zone_hints]
    return usable


def _local_reachable(
    cluster: Sequence[_Candidate], cluster_targets: tuple[Target, ...], local: tuple[Target, ...]
) -> tuple[Target, ...]:
    """Endpoints on this node in either pool, in canonical order (EP-49, DP-23)."""
    in_cluster = tuple(target for endpoint, target in cluster if endpoint.is_local)
    if not local or in_cluster == local:
        return _shared(cluster_targets, in_cluster)
    return _shared(local, tuple(sorted({*in_cluster, *local})))


def _targets(candidates: Sequence[_Candidate]) -> tuple[Target, ...]:
    return tuple(target for _, target in candidates)


def _shared(known: tuple[Target, ...], new: tuple[Target, ...]) -> tuple[Target, ...]:
    """The known tuple if the new one is equal, so that it is held once."""
    return known if new == known else new
