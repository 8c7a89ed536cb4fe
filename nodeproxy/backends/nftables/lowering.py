"""From the plan of one service port to the elements that carry it out.

    plan                                   elements
    ------------------------------------   -------------------------------------------------------
    ClusterIP, forward                     service-ips -> service-N, service-endpoints
    externalIP or VIP, Cluster             service-ips -> external-N, service-endpoints
    externalIP or VIP, Local               service-ips -> external-policy-local,
                                           external-cluster -> service-N, service-endpoints,
                                           external-local -> local-N, local-endpoints
    NodePort                               the same with nodeport maps and chains
    refused: reject / drop                 no-endpoint-* / no-local-endpoint-*

Each frontend belongs to one service port (SVC-60), so the elements keyed by a frontend are its
own; ClusterIP addresses and hairpin tuples may serve several service ports and are counted.
"""

from __future__ import annotations

import msgspec

from nodeproxy.backends.nftables import skeleton
from nodeproxy.backends.nftables.keys import (
    address_key,
    hairpin_key,
    nodeport_key,
    target_data,
)
from nodeproxy.backends.nftables.objects import ElementId, ElementValue, Slots, Verdict
from nodeproxy.backends.nftables.userdata import clip_comment
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import FrontendKind, ServicePortPlan, Target, Treatment


class Wanted(msgspec.Struct, frozen=True):
    """The elements of one service port."""

    own: dict[ElementId, ElementValue]
    """Keyed by a frontend of this service port. Slots hold the pool in canonical order: which
    slot an endpoint really gets is decided against the mirror."""
    shared: tuple[ElementId, ...]
    """Elements that other service ports may want as well."""


class _Maps(msgspec.Struct, frozen=True):
    """The sets and chains of one way to be reached: by address or by NodePort."""

    dispatch: str
    endpoints: str
    cluster_chain: str
    external_chain: str
    policy_chain: str
    policy_cluster: str
    policy_local: str
    local_endpoints: str
    local_chain: str
    rejected: str
    dropped: str


_BY_ADDRESS = _Maps(
    dispatch=skeleton.SERVICE_IPS,
    endpoints=skeleton.SERVICE_ENDPOINTS,
    cluster_chain=skeleton.SERVICE_CHAIN,
    external_chain=skeleton.EXTERNAL_CHAIN,
    policy_chain=skeleton.EXTERNAL_POLICY_CHAIN,
    policy_cluster=skeleton.EXTERNAL_CLUSTER,
    policy_local=skeleton.EXTERNAL_LOCAL,
    local_endpoints=skeleton.LOCAL_ENDPOINTS,
    local_chain=skeleton.LOCAL_CHAIN,
    rejected=skeleton.NO_ENDPOINTS,
    dropped=skeleton.NO_LOCAL_ENDPOINTS,
)
_BY_NODEPORT = _Maps(
    dispatch=skeleton.SERVICE_NODEPORTS,
    endpoints=skeleton.NODEPORT_ENDPOINTS,
    cluster_chain=skeleton.NODEPORT_CLUSTER_CHAIN,
    external_chain=skeleton.NODEPORT_CHAIN,
    policy_chain=skeleton.NODEPORT_POLICY_CHAIN,
    policy_cluster=skeleton.NODEPORT_CLUSTER,
    policy_local=skeleton.NODEPORT_LOCAL,
    local_endpoints=skeleton.LOCAL_NODEPORT_ENDPOINTS,
    local_chain=skeleton.NODEPORT_LOCAL_CHAIN,
    rejected=skeleton.NO_ENDPOINT_NODEPORTS,
    dropped=skeleton.NO_LOCAL_ENDPOINT_NODEPORTS,
)


def lower(plan: ServicePortPlan) -> Wanted:
    """The elements a service port needs."""
    own: dict[ElementId, ElementValue] = {}
    shared: list[ElementId] = []
    comment = clip_comment(str(plan.key))
    for frontend in plan.frontends:
        protocol, port = frontend.protocol, frontend.port
        match frontend.kind:
            case FrontendKind.CLUSTER_IP:
                key = address_key(frontend.addr, protocol, port)
                _lower_internal(own, plan, key, comment)
                shared.append(ElementId(skeleton.CLUSTER_IPS, frontend.addr))
            case FrontendKind.EXTERNAL_IP | FrontendKind.LOAD_BALANCER_IP:
                key = address_key(frontend.addr, protocol, port)
                _lower_external(own, plan, key, _BY_ADDRESS, comment)
            case FrontendKind.NODE_PORT:
                key = nodeport_key(protocol, port)
                _lower_external(own, plan, key, _BY_NODEPORT, comment)
    shared.extend(
        ElementId(skeleton.HAIRPIN, hairpin_key(target.addr, plan.key.protocol, target.port))
        for target in plan.selection.local_reachable
    )
    return Wanted(own, tuple(shared))


def _slots(pool: tuple[Target, ...]) -> Slots:
    return Slots([target_data(addr, port) for addr, port in pool])


def _lower_internal(
    own: dict[ElementId, ElementValue],
    plan: ServicePortPlan,
    key: bytes,
    comment: str,
) -> None:
    """The ClusterIP: internalTrafficPolicy decides which pool it has (DP-2)."""
    match plan.internal_treatment:
        case Treatment.FORWARD:
            slots = _slots(plan.pool(plan.internal_pool))
            chain = f"{skeleton.SERVICE_CHAIN}{len(slots)}"
            own[ElementId(skeleton.SERVICE_IPS, key)] = Verdict(chain, comment)
            own[ElementId(skeleton.SERVICE_ENDPOINTS, key)] = slots
        case Treatment.REJECT:
            own[ElementId(skeleton.NO_ENDPOINTS, key)] = None
        case Treatment.DROP:
            own[ElementId(skeleton.NO_LOCAL_ENDPOINTS, key)] = None


def _lower_external(
    own: dict[ElementId, ElementValue],
    plan: ServicePortPlan,
    key: bytes,
    maps: _Maps,
    comment: str,
) -> None:
    """A frontend reached from outside: externalTrafficPolicy decides (DP-3..5)."""
    if plan.external_treatment is Treatment.REJECT:
        own[ElementId(maps.rejected, key)] = None
        return
    cluster = _slots(plan.selection.cluster)
    if cluster:
        own[ElementId(maps.endpoints, key)] = cluster
    if plan.external_policy is not TrafficPolicy.LOCAL:
        chain = f"{maps.external_chain}{len(cluster)}"
        own[ElementId(maps.dispatch, key)] = Verdict(chain, comment)
        return
    own[ElementId(maps.dispatch, key)] = Verdict(maps.policy_chain, comment)
    if cluster:
        chain = f"{maps.cluster_chain}{len(cluster)}"
        own[ElementId(maps.policy_cluster, key)] = Verdict(chain, comment)
    local = _slots(plan.selection.local)
    if local:
        chain = f"{maps.local_chain}{len(local)}"
        own[ElementId(maps.policy_local, key)] = Verdict(chain, comment)
        own[ElementId(maps.local_endpoints, key)] = local
    else:
        own[ElementId(maps.dropped, key)] = None
