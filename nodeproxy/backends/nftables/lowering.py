"""From the plan of one service port to the elements that carry it out.

    frontend                      elements of
    ---------------------------   --------------------------------------------------------------
    ClusterIP                     services-N, service-endpoints
    externalIP or VIP, Cluster    external-services, services-N, service-endpoints
    externalIP or VIP, Local      policy-local-services, services-N, service-endpoints,
                                  local-services-N, local-service-endpoints
    NodePort                      the same sets for NodePorts
    any, rejected / dropped       no-endpoint-* / no-local-endpoint-*

Each frontend belongs to one service port (SVC-60), so the elements keyed by a frontend are its
own; ClusterIP addresses and hairpin tuples may serve several service ports and are counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nodeproxy.backends.nftables import skeleton
from nodeproxy.backends.nftables.keys import (
    address_key,
    hairpin_key,
    nodeport_key,
    target_data,
)
from nodeproxy.backends.nftables.objects import ElementId, ElementValue, Slots
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool, slot_class_for
from nodeproxy.backends.nftables.userdata import clip_comment
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    Frontend,
    FrontendKind,
    PoolKind,
    ServicePortPlan,
    Target,
    Treatment,
)

Wanted = dict[ElementId, ElementValue]
"""The elements of one service port's own. Slots hold the pool in canonical order: which slot an
endpoint really gets is decided against the mirror."""


class _Sets(msgspec.Struct, frozen=True):
    """The sets of one way to be reached: by address or by NodePort."""

    pool: SlotPool
    local_pool: SlotPool
    external: str
    policy_local: str
    rejected: str
    dropped: str


_BY_ADDRESS = _Sets(
    pool=SlotPool.SERVICE,
    local_pool=SlotPool.LOCAL_SERVICE,
    external=skeleton.EXTERNAL_SERVICES,
    policy_local=skeleton.POLICY_LOCAL_SERVICES,
    rejected=skeleton.NO_ENDPOINTS,
    dropped=skeleton.NO_LOCAL_ENDPOINTS,
)
_BY_NODEPORT = _Sets(
    pool=SlotPool.NODEPORT,
    local_pool=SlotPool.LOCAL_NODEPORT,
    external=skeleton.EXTERNAL_NODEPORTS,
    policy_local=skeleton.POLICY_LOCAL_NODEPORTS,
    rejected=skeleton.NO_ENDPOINT_NODEPORTS,
    dropped=skeleton.NO_LOCAL_ENDPOINT_NODEPORTS,
)


def lower(plan: ServicePortPlan) -> Wanted:
    """The elements that belong to this service port alone, keyed by its frontends."""
    lowering = _Lowering(plan)
    for frontend in plan.frontends:
        lowering.add(frontend)
    return lowering.own


def own_elements(plan: ServicePortPlan) -> Iterable[ElementId]:
    """The ids of what `lower` gives, without building the slots."""
    lowering = _Lowering(plan, builds_slots=False)
    for frontend in plan.frontends:
        lowering.add(frontend)
    return lowering.own


def shared_elements(plan: ServicePortPlan) -> list[ElementId]:
    """The elements that other service ports may want as well: ClusterIPs, hairpin tuples."""
    shared = [
        ElementId(skeleton.CLUSTER_IPS, frontend.addr)
        for frontend in plan.frontends
        if frontend.kind is FrontendKind.CLUSTER_IP
    ]
    for target in plan.selection.local_reachable:
        key = hairpin_key(target.addr, plan.key.protocol, target.port)
        shared.append(ElementId(skeleton.HAIRPIN, key))
    return shared


def slot_classes(wanted: Wanted) -> set[SlotClass]:
    """The slot classes these elements are in."""
    return {
        slot_class for name, _ in wanted if (slot_class := skeleton.parse_class(name)) is not None
    }


class _Lowering:
    """Collects the elements of one plan, frontend by frontend."""

    def __init__(self, plan: ServicePortPlan, *, builds_slots: bool = True) -> None:
        self._plan = plan
        self._comment = clip_comment(str(plan.key))
        self._cluster = plan.selection.cluster
        self._local = plan.selection.local
        self._builds_slots = builds_slots
        self._slots: dict[int, Slots] = {}
        self.own: Wanted = {}

    def add(self, frontend: Frontend) -> None:
        addr, protocol, port = frontend.addr, frontend.protocol, frontend.port
        match frontend.kind:
            case FrontendKind.CLUSTER_IP:
                self._internal(address_key(addr, protocol, port))
            case FrontendKind.LOAD_BALANCER_IP if self._plan.source_ranges:
                # Not served until the ranges can be enforced: a VIP that is restricted must not
                # be open to everybody (DP-41). The packet takes its normal route.
                return
            case FrontendKind.EXTERNAL_IP | FrontendKind.LOAD_BALANCER_IP:
                self._external(address_key(addr, protocol, port), _BY_ADDRESS)
            case FrontendKind.NODE_PORT:
                self._external(nodeport_key(protocol, port), _BY_NODEPORT)

    def _internal(self, key: bytes) -> None:
        """The ClusterIP: internalTrafficPolicy decides which pool it has (DP-2)."""
        match self._plan.internal_treatment:
            case Treatment.FORWARD:
                is_local = self._plan.internal_pool is PoolKind.LOCAL
                self._pool(SlotPool.SERVICE, key, self._local if is_local else self._cluster)
            case Treatment.REJECT:
                self._member(skeleton.NO_ENDPOINTS, key)
            case Treatment.DROP:
                self._member(skeleton.NO_LOCAL_ENDPOINTS, key)

    def _external(self, key: bytes, sets: _Sets) -> None:
        """A frontend reached from outside: externalTrafficPolicy decides (DP-3..5)."""
        if self._plan.external_treatment is Treatment.REJECT:
            self._member(sets.rejected, key)
            return
        if self._cluster:
            self._pool(sets.pool, key, self._cluster)
        if self._plan.external_policy is not TrafficPolicy.LOCAL:
            self._member(sets.external, key)
            return
        self._member(sets.policy_local, key)
        if self._local:
            self._pool(sets.local_pool, key, self._local)
        else:
            self._member(sets.dropped, key)

    def _member(self, set_name: str, key: bytes) -> None:
        self.own[ElementId(set_name, key)] = self._comment

    def _pool(self, pool: SlotPool, key: bytes, targets: tuple[Target, ...]) -> None:
        """A frontend with its endpoints: the class by their number, and a slot each."""
        self._member(slot_class_for(pool, len(targets)).set_name, key)
        self.own[ElementId(pool.endpoints, key)] = self._slots_of(targets)

    def _slots_of(self, targets: tuple[Target, ...]) -> Slots:
        """One vector for all frontends that share a pool."""
        if not self._builds_slots:
            return _NO_SLOTS
        slots = self._slots.get(id(targets))
        if slots is None:
            slots = Slots([target_data(addr, port) for addr, port in targets])
            self._slots[id(targets)] = slots
        return slots


_NO_SLOTS = Slots()
