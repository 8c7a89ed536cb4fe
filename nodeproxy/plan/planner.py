"""What this node should do, kept up to date change by change.

ClusterState --Changes--> replan --PlanDelta--> backend
                            |
     service ports ---> claims on destinations (who owns which frontend)
     endpoints -------> selection (who answers, why)
     node, options,
     ServiceCIDRs ----> family settings, zone
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nodeproxy.model.addresses import FAMILIES, Addr, Cidr, Family
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.keys import ServiceKey, ServicePortKey
from nodeproxy.model.services import ServicePort
from nodeproxy.plan.claims import ClaimTable
from nodeproxy.plan.frontends import frontends_of
from nodeproxy.plan.selection import select
from nodeproxy.plan.settings import (
    PlanOptions,
    family_settings,
    node_address,
    remarks_on,
    unlimited_node_ports,
)
from nodeproxy.plan.types import (
    Claim,
    Conflict,
    FamilySettings,
    Frontend,
    HintReason,
    PlanDelta,
    PlanKey,
    ServicePortPlan,
    claim_of,
)
from nodeproxy.state.cluster import Changes, ClusterState

_BY_ZONE = frozenset(
    {HintReason.APPLIED, HintReason.NO_HINT_FOR_NODE, HintReason.NODE_WITHOUT_ZONE}
)
"""Decisions about hints that may be others in another zone; what is not hinted is not asked."""


class Planner:
    """The one owner of the plan.

    Goals, and how each is met:

    1. *The plan is a function of the cluster and the node*, not of history: each ServicePortPlan
       is built from the present state alone, and conflicts are decided by key order.
    2. *The work is proportional to the change.* Only Services named in the changes are planned
       again; those with hints if the own zone changes (EP-54), those with source ranges if the
       own address does (DP-41).
    3. *No change, no work for others.* A plan equal to the former one is not told.
    4. *One destination, one owner* (SVC-60). The ClaimTables know every claimant; when an owner
       goes, the next is planned again although nothing about it changed.

    Only the sync loop may call `replan` and `set_options`. The attributes are for reading.
    """

    def __init__(self, state: ClusterState, options: PlanOptions) -> None:
        self._state = state
        self._options = options
        self._wanted_options = options
        # The mutable plan is born here.
        self.plans: dict[PlanKey, ServicePortPlan] = {}
        self.settings: dict[Family, FamilySettings] = {}
        self.conflicts: dict[PlanKey, tuple[Conflict, ...]] = {}
        self._told: set[str] = set()
        """Remarks about the settings that were told and still hold."""
        self._unlimited: dict[Family, str] = {}
        """What to tell about a Service with a NodePort, see `unlimited_node_ports`."""
        self._planned: dict[ServiceKey, tuple[ServicePort, ...]] = {}
        """The service ports whose claims are entered."""
        self._claims: dict[Family, ClaimTable] = {family: ClaimTable() for family in FAMILIES}
        self._zone: str | None = None
        """The zone the plans were made for; None before the first replan."""
        self._addresses: dict[Family, Addr] = {}
        """The node's address of each family, for which the plans were made."""

    def set_options(self, options: PlanOptions) -> None:
        """Plan with other options from the next `replan` on, which plans everything again."""
        self._wanted_options = options

    def replan(self, changes: Changes) -> PlanDelta:
        """Bring the plan up to date.

        Args:
            changes: what the state reported since the last call. The first call plans
                everything there is, whatever it is given.

        Returns:
            What is different from the plan before.
        """
        delta = PlanDelta(puts={}, removes=set(), settings={})
        has_other_options = self._wanted_options != self._options
        if has_other_options:
            self._take_options()
            changes = Changes(changes.services, node_changed=True, problems=())
        self._replan_settings(changes, delta)
        affected = self._affected(changes)
        if has_other_options:
            affected |= self._planned.keys()
        for service in affected.copy():
            affected |= self._enter_claims(service, delta)
        for service in sorted(affected):
            self._plan_service(service, delta)
        return delta

    def _take_options(self) -> None:
        """Use the wanted options; claims that they make or end are entered at once."""
        before = self._entered_claims()
        self._options = self._wanted_options
        after = self._entered_claims()
        for family, claim, key in before - after:
            self._claims[family].remove(claim, key)
        for family, claim, key in after - before:
            self._claims[family].add(claim, key)

    def _entered_claims(self) -> set[tuple[Family, Claim, ServicePortKey]]:
        """Of the frontends that options decide about: those on external IPs."""
        ports = (port for ports in self._planned.values() for port in ports if port.external_ips)
        return self._claims_of(ports)

    def _replan_settings(self, changes: Changes, delta: PlanDelta) -> None:
        if self.settings and not (changes.node_changed or changes.service_cidrs_changed):
            return
        node = self._state.node
        settings = family_settings(self._options, node, self._state.service_cidrs)
        delta.settings = {f: new for f, new in settings.items() if self.settings.get(f) != new}
        self.settings = settings
        self._unlimited = {f: unlimited_node_ports(self._options, s) for f, s in settings.items()}
        remarks = remarks_on(self._options, node)
        self._told &= {*remarks, *self._unlimited.values()}
        self._tell(remarks, delta)

    def _affected(self, changes: Changes) -> set[ServiceKey]:
        """The Services to plan again; all of them at first."""
        if self._zone is not None and not changes.node_changed:
            return set(changes.services)
        node = self._state.node
        had_zone, self._zone = self._zone, node.zone if node else ""
        had_addresses, self._addresses = (
            self._addresses,
            {family: node_address(self._options, node, family) for family in FAMILIES},
        )
        if had_zone is None:
            return {*self._state.services, *self._planned}
        affected = set(changes.services)
        if self._zone != had_zone:
            affected |= self._services_where(lambda plan: plan.selection.hint_reason in _BY_ZONE)
        if self._addresses != had_addresses:
            affected |= self._services_where(lambda plan: bool(plan.source_ranges))
        return affected

    def _services_where(self, condition: Callable[[ServicePortPlan], bool]) -> set[ServiceKey]:
        return {key.port.service for key, plan in self.plans.items() if condition(plan)}

    def _enter_claims(self, service: ServiceKey, delta: PlanDelta) -> set[ServiceKey]:
        """Enter what a Service claims now, and drop plans of ports it has no more.

        Returns:
            Other Services that won or lost a destination by this.
        """
        former = self._planned.get(service, ())
        ports = self._state.services.get(service, ())
        if ports == former:
            return set()
        if ports:
            self._planned[service] = ports
        else:
            del self._planned[service]
        before, after = self._claims_of(former), self._claims_of(ports)
        touched: set[ServicePortKey] = set()
        for family, claim, key in before - after:
            touched.update(self._claims[family].remove(claim, key))
        for family, claim, key in after - before:
            touched.update(self._claims[family].add(claim, key))
        for plan_key in _plan_keys(former) - _plan_keys(ports):
            del self.plans[plan_key]
            self.conflicts.pop(plan_key, None)
            delta.removes.add(plan_key)
        return {key.service for key in touched}

    def _plan_service(self, service: ServiceKey, delta: PlanDelta) -> None:
        """Plan all ports of a Service, and tell those that came out different."""
        ports = self._state.services.get(service, ())
        endpoints = [self._state.endpoints(port.family, port.key) for port in ports]
        for port, own_endpoints in zip(ports, endpoints, strict=True):
            key = PlanKey(port.family, port.key)
            if port.node_port and self._unlimited[port.family]:
                self._tell((self._unlimited[port.family],), delta)
            local_ready = 0
            if port.health_check_node_port:
                local_ready = _count_local_ready(port.family, ports, endpoints)
            plan = ServicePortPlan(
                key=port.key,
                family=port.family,
                cluster_ip=port.cluster_ip,
                frontends=self._owned_frontends(key, port, delta),
                internal_policy=port.internal_policy,
                external_policy=port.external_policy,
                selection=select(own_endpoints, port, self._state.node_name, self._zone or ""),
                affinity_seconds=port.affinity_seconds,
                source_ranges=port.source_ranges,
                admits_vips=_contains(port.source_ranges, self._addresses[port.family]),
                health_check_node_port=port.health_check_node_port,
                local_ready=local_ready,
            )
            if self.plans.get(key) != plan:
                self.plans[key] = delta.puts[key] = plan

    def _owned_frontends(
        self, key: PlanKey, port: ServicePort, delta: PlanDelta
    ) -> tuple[Frontend, ...]:
        """The frontends a service port has; those it lost become conflicts (SVC-60)."""
        frontends = self._frontends_of(port)
        claims = self._claims[port.family]
        if not claims.has_contested and key not in self.conflicts:
            return frontends
        owners = {frontend: claims.owner(claim_of(frontend)) for frontend in frontends}
        conflicts = tuple(
            Conflict(frontend, key, owner)
            for frontend, owner in owners.items()
            if owner != port.key
        )
        known = self.conflicts.pop(key, ())
        if conflicts:
            self.conflicts[key] = conflicts
            delta.conflicts += tuple(c for c in conflicts if c not in known)
        return tuple(frontend for frontend, owner in owners.items() if owner == port.key)

    def _frontends_of(self, port: ServicePort) -> tuple[Frontend, ...]:
        return frontends_of(port, allows_external_ips=self._options.allows_external_ips)

    def _claims_of(self, ports: Iterable[ServicePort]) -> set[tuple[Family, Claim, ServicePortKey]]:
        return {
            (port.family, claim_of(frontend), port.key)
            for port in ports
            for frontend in self._frontends_of(port)
        }

    def _tell(self, remarks: Iterable[str], delta: PlanDelta) -> None:
        """Pass on what has not been told."""
        new = [remark for remark in remarks if remark not in self._told]
        self._told.update(new)
        delta.remarks += tuple(new)


def _plan_keys(ports: Iterable[ServicePort]) -> set[PlanKey]:
    return {PlanKey(port.family, port.key) for port in ports}


def _contains(cidrs: Iterable[Cidr], addr: Addr) -> bool:
    return any(cidr.contains(addr) for cidr in cidrs)


def _count_local_ready(
    family: Family, ports: Iterable[ServicePort], endpoints: Iterable[Iterable[Endpoint]]
) -> int:
    """Distinct local addresses that are ready for any port of a family (EP-33).

    Terminating ones do not count even if they are called ready: the load balancer should look
    elsewhere in time.
    """
    addrs: set[Addr] = {
        endpoint.addr
        for port, own in zip(ports, endpoints, strict=True)
        if port.family is family
        for endpoint in own
        if endpoint.is_local and endpoint.ready and not endpoint.terminating
    }
    return len(addrs)
