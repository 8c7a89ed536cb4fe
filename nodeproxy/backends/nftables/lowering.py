"""From the plan of one service port to the elements that carry it out.

    frontend                      elements of
    ---------------------------   --------------------------------------------------------------
    ClusterIP                     services-N, service-endpoints
    externalIP or VIP, Cluster    external-services, services-N, service-endpoints
    externalIP or VIP, Local      policy-local-services, services-N, service-endpoints,
                                  local-services-N, local-service-endpoints
    NodePort                      the same sets for NodePorts
    any, rejected / dropped       no-endpoint-* / no-local-endpoint-*
    VIP with source ranges        restricted-services, allowed-sources-LENGTH
    any, with session affinity    affinity-services, ... and for each of the two pools in use
                                  affinity-siblings, affinity-members-SECONDS

Each frontend belongs to one service port (SVC-60), so the elements keyed by a frontend are its
own; ClusterIP addresses and hairpin tuples may serve several service ports and are counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from nodeproxy.backends.nftables import sets
from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.backends.nftables.keys import (
    address_key,
    affinity_key,
    hairpin_key,
    nodeport_key,
    target_data,
)
from nodeproxy.backends.nftables.objects import (
    AffinityId,
    ElementId,
    ElementValue,
    Members,
    Slots,
)
from nodeproxy.backends.nftables.sets import Shape
from nodeproxy.backends.nftables.slots import SlotPool, slot_class_for
from nodeproxy.backends.nftables.userdata import clip_comment
from nodeproxy.model.addresses import Cidr
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    Frontend,
    FrontendKind,
    PlanKey,
    PoolKind,
    ServicePortPlan,
    Target,
    Treatment,
)

Wanted = dict[ElementId, ElementValue]
"""The elements of one service port's own. Slots hold the pool in canonical order: which slot an
endpoint really gets is decided against the mirror."""


class _Ways(msgspec.Struct, frozen=True):
    """The sets of one way to be reached: by address or by NodePort."""

    pool: SlotPool
    local_pool: SlotPool
    external: str
    policy_local: str
    rejected: str
    dropped: str


_BY_ADDRESS = _Ways(
    pool=SlotPool.SERVICE,
    local_pool=SlotPool.LOCAL_SERVICE,
    external=sets.EXTERNAL_SERVICES,
    policy_local=sets.POLICY_LOCAL_SERVICES,
    rejected=sets.NO_ENDPOINTS,
    dropped=sets.NO_LOCAL_ENDPOINTS,
)
_BY_NODEPORT = _Ways(
    pool=SlotPool.NODEPORT,
    local_pool=SlotPool.LOCAL_NODEPORT,
    external=sets.EXTERNAL_NODEPORTS,
    policy_local=sets.POLICY_LOCAL_NODEPORTS,
    rejected=sets.NO_ENDPOINT_NODEPORTS,
    dropped=sets.NO_LOCAL_ENDPOINT_NODEPORTS,
)


def lower(plan: ServicePortPlan, ids: AffinityIds) -> Wanted:
    """The elements that belong to this service port alone."""
    return _Lowering(plan, ids).run()


def own_elements(plan: ServicePortPlan, ids: AffinityIds) -> Iterable[ElementId]:
    """The ids of what `lower` gives, without building the slots."""
    return _Lowering(plan, ids, builds_slots=False).run()


def shared_elements(plan: ServicePortPlan) -> list[ElementId]:
    """The elements that other service ports may want as well: ClusterIPs, hairpin tuples."""
    shared = [ElementId(sets.CLUSTER_IPS, plan.cluster_ip)]
    for target in plan.selection.local_reachable:
        key = hairpin_key(target.addr, plan.key.protocol, target.port)
        shared.append(ElementId(sets.HAIRPIN, key))
    return shared


def needed_shape(wanted: Iterable[Wanted]) -> Shape:
    """What the frame must have so that these elements find their sets."""
    return sets.shape_of({name for elements in wanted for name, _ in elements})


class _Lowering:
    """Collects the elements of one plan, frontend by frontend."""

    def __init__(
        self, plan: ServicePortPlan, ids: AffinityIds, *, builds_slots: bool = True
    ) -> None:
        self._plan = plan
        self._ids = ids
        self._comment = clip_comment(str(plan.key))
        self._cluster = plan.selection.cluster
        self._local = plan.selection.local
        self._builds_slots = builds_slots
        self._slots: dict[int, Slots] = {}
        self._own: Wanted = {}

    def run(self) -> Wanted:
        for frontend in self._plan.frontends:
            self._frontend(frontend)
        if self._plan.affinity_seconds:
            self._members()
        return self._own

    def _frontend(self, frontend: Frontend) -> None:
        addr, protocol, port = frontend.addr, frontend.protocol, frontend.port
        match frontend.kind:
            case FrontendKind.CLUSTER_IP:
                self._internal(address_key(addr, protocol, port))
            case FrontendKind.EXTERNAL_IP | FrontendKind.LOAD_BALANCER_IP:
                if frontend.kind is FrontendKind.LOAD_BALANCER_IP and self._plan.source_ranges:
                    self._restrict(frontend)
                self._external(address_key(addr, protocol, port), _BY_ADDRESS)
            case FrontendKind.NODE_PORT:
                self._external(nodeport_key(protocol, port), _BY_NODEPORT)

    def _restrict(self, frontend: Frontend) -> None:
        """Only these sources may use a VIP, whether it has endpoints or not (DP-41, DP-43)."""
        key = address_key(frontend.addr, frontend.protocol, frontend.port)
        self._member(sets.RESTRICTED_SERVICES, key)
        for network in (*self._plan.source_ranges, *self._vips()):
            self._member(sets.allowed_name(network.prefix_length), network.addr + key)

    def _vips(self) -> list[Cidr]:
        """The load balancer IPs, where they may be sources: the node may choose them (DP-41)."""
        if not self._plan.admits_vips:
            return []
        return [
            Cidr(frontend.addr, len(frontend.addr) * 8)
            for frontend in self._plan.frontends
            if frontend.kind is FrontendKind.LOAD_BALANCER_IP
        ]

    def _internal(self, key: bytes) -> None:
        """The ClusterIP: internalTrafficPolicy decides which pool it has (DP-2)."""
        match self._plan.internal_treatment:
            case Treatment.FORWARD:
                self._pool(SlotPool.SERVICE, key, self._plan.internal_pool)
            case Treatment.REJECT:
                self._member(sets.NO_ENDPOINTS, key)
            case Treatment.DROP:
                self._member(sets.NO_LOCAL_ENDPOINTS, key)

    def _external(self, key: bytes, ways: _Ways) -> None:
        """A frontend reached from outside: externalTrafficPolicy decides (DP-3..5)."""
        if self._plan.external_treatment is Treatment.REJECT:
            self._member(ways.rejected, key)
            return
        if self._cluster:
            self._pool(ways.pool, key, PoolKind.CLUSTER)
        if self._plan.external_policy is not TrafficPolicy.LOCAL:
            self._member(ways.external, key)
            return
        self._member(ways.policy_local, key)
        if self._local:
            self._pool(ways.local_pool, key, PoolKind.LOCAL)
        else:
            self._member(ways.dropped, key)

    def _member(self, set_name: str, key: bytes) -> None:
        self._own[ElementId(set_name, key)] = self._comment

    def _pool(self, pool: SlotPool, key: bytes, kind: PoolKind) -> None:
        """A frontend with its endpoints: the class by their number, and a slot each."""
        targets = self._plan.pool(kind)
        self._member(slot_class_for(pool, len(targets)).set_name, key)
        self._own[ElementId(pool.endpoints, key)] = self._slots_of(targets)
        if self._plan.affinity_seconds:
            self._affinity(pool.affinity_ids, key, self._id(kind), self._comment)

    def _members(self) -> None:
        """The endpoints of the pools in use, and the way from one pool's id to the other's."""
        name = sets.members_name(self._plan.affinity_seconds)
        kinds = [kind for kind in PoolKind if self._plan.pool(kind)]
        for kind in kinds:
            number = self._id(kind)
            sibling = next((self._id(other) for other in kinds if other is not kind), 0)
            self._affinity(sets.AFFINITY_SIBLINGS, affinity_key(number), sibling, self._comment)
            members = Members(filter(None, self._slots_of(self._plan.pool(kind))))
            self._own[ElementId(name, affinity_key(number))] = members

    def _affinity(self, map_name: str, key: bytes, number: int, comment: str) -> None:
        self._own[ElementId(map_name, key)] = AffinityId(number, comment)

    def _id(self, kind: PoolKind) -> int:
        return self._ids.of(PlanKey(self._plan.family, self._plan.key), kind)

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
