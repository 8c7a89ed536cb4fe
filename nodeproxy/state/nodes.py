"""From a Node object to what the agent needs of its own node."""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.model.addresses import Addr, Cidr, parse_addr, parse_cidr
from nodeproxy.model.node import NodeInfo
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import Node, NodeAddress

ZONE_LABEL = "topology.kubernetes.io/zone"
DELETION_TAINT = "ToBeDeletedByClusterAutoscaler"
"""The cluster autoscaler is about to remove the node (HZ-6)."""


def node_from(node: Node) -> tuple[NodeInfo, tuple[Problem, ...]]:
    """Read a Node; addresses and CIDRs that do not parse are reported and left out."""
    problems: list[Problem] = []
    name = node.metadata.name or ""
    subject = f"Node {name}"
    taints = (node.spec and node.spec.taints) or ()
    info = NodeInfo(
        name=name,
        zone=(node.metadata.labels or {}).get(ZONE_LABEL) or "",
        addresses=_addresses((node.status and node.status.addresses) or (), subject, problems),
        pod_cidrs=_pod_cidrs(node, subject, problems),
        is_being_deleted=bool(node.metadata.deletion_timestamp)
        or any(taint.key == DELETION_TAINT for taint in taints),
    )
    return info, tuple(problems)


def _addresses(
    wires: Sequence[NodeAddress], subject: str, problems: list[Problem]
) -> tuple[Addr, ...]:
    """InternalIPs in order, then ExternalIPs (NODE-2); host names are not addresses."""
    found: dict[str, list[Addr]] = {"InternalIP": [], "ExternalIP": []}
    for index, wire in enumerate(wires):
        if wire.type not in found:
            continue
        try:
            found[wire.type].append(parse_addr(wire.address or ""))
        except ValueError as exc:
            field = f"status.addresses[{index}].address"
            problems.append(Problem(subject, field, f"{exc}; address ignored"))
    return tuple(found["InternalIP"] + found["ExternalIP"])


def _pod_cidrs(node: Node, subject: str, problems: list[Problem]) -> tuple[Cidr, ...]:
    if node.spec is None:
        return ()
    texts = node.spec.pod_cidrs or ([node.spec.pod_cidr] if node.spec.pod_cidr else [])
    cidrs = []
    for index, text in enumerate(texts):
        try:
            cidrs.append(parse_cidr(text))
        except ValueError as exc:
            problems.append(Problem(subject, f"spec.podCIDRs[{index}]", f"{exc}; ignored"))
    return tuple(cidrs)
