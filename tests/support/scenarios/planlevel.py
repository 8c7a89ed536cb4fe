"""What may happen to a packet, read from the plan by the rules of spec 30 alone.

A second, executable reading of the specification, written for clarity: it shares no code with
the backend and uses of a plan only its facts (frontends, policies, pools), none of its decisions.

    packet -> which service port is addressed? (DP-1, DP-9) -- none --> strays: DP-10..DP-12, PP-12
           -> may this source? (DP-41)
           -> which pool, and is the source kept? (DP-2..DP-6, DP-20..DP-23)
           -> does the client have affinity? (DP-61..DP-65)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from nodeproxy.model.addresses import Addr, Family, parse_cidr
from nodeproxy.model.services import TrafficPolicy
from nodeproxy.plan.types import (
    FamilySettings,
    Frontend,
    FrontendKind,
    LocalDetector,
    PlanKey,
    PoolKind,
    ServicePortPlan,
    Target,
)
from tests.support.scenarios.model import Answer, Arrival, Packet, Reaches, Verdict

_LOOPBACK = (parse_cidr("127.0.0.0/8"), parse_cidr("::1/128"))

Plans = Mapping[PlanKey, ServicePortPlan]


class Match(NamedTuple):
    """The service port a packet addresses, and by which of its frontends."""

    plan: ServicePortPlan
    frontend: Frontend

    @property
    def key(self) -> PlanKey:
        """Name of the plan."""
        return PlanKey(self.plan.family, self.plan.key)


class Choice(NamedTuple):
    """Who may answer, before hairpins and affinity."""

    plan: ServicePortPlan
    pool: PoolKind
    is_masqueraded: bool

    @property
    def targets(self) -> tuple[Target, ...]:
        """The endpoints of the pool."""
        return self.plan.pool(self.pool)


class Record(NamedTuple):
    """Where a client went, and when last."""

    target: Target
    at: float


class Memory:
    """Which client went where (DP-61..65).

    Each of the two pools of a service port knows a client by one endpoint. A connection is noted in
    both, as far as they have its endpoint; a pool that knows the client already keeps to what it
    knows (DP-63).
    """

    def __init__(self) -> None:
        # Mutable: the clock and the records.
        self.now = 0.0
        self._records: dict[tuple[PlanKey, PoolKind, Addr], Record] = {}

    def note(self, plan: ServicePortPlan, pool: PoolKind, client: Addr, target: Target) -> None:
        """A connection was made by a pool: records begin or are refreshed (DP-62)."""
        key = PlanKey(plan.family, plan.key)
        for kind in PoolKind:
            if target in plan.pool(kind):
                known = self.remembered(plan, kind, client)
                if kind is pool or known is None:
                    known = target
                self._records[key, kind, client] = Record(known, self.now)

    def follow(self, plans: Plans) -> None:
        """Records go with the endpoint and with affinity, and come with it into the other pool."""
        lasting = {
            (key, kind, client): record
            for (key, kind, client), record in self._records.items()
            if (plan := plans.get(key)) is not None
            and plan.affinity_seconds
            and record.target in plan.pool(kind)
            and self.now - record.at < plan.affinity_seconds
        }
        self._records = dict(lasting)
        for (key, _, client), record in lasting.items():
            for kind in PoolKind:
                if record.target in plans[key].pool(kind):
                    self._records.setdefault((key, kind, client), record)

    def remembered(self, plan: ServicePortPlan, pool: PoolKind, client: Addr) -> Target | None:
        """The endpoint a pool knows a client by, if the record still lives (DP-62)."""
        record = self._records.get((PlanKey(plan.family, plan.key), pool, client))
        if record is None or self.now - record.at >= plan.affinity_seconds:
            return None
        return record.target


class PlanLevel:
    """A dataplane that consists of the specification (see `model.Dataplane`)."""

    def __init__(self, node_addresses: frozenset[Addr], memory: Memory | None = None) -> None:
        self._node_addresses = node_addresses
        # Mutable: the plan as last told, and what clients did.
        self._plans: Plans = {}
        self._settings: Mapping[Family, FamilySettings] = {}
        self._memory = memory or Memory()

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        """Take the plan that holds from now on."""
        self._plans = dict(plans)
        self._settings = settings
        self._memory.follow(self._plans)

    def restart(self) -> None:
        """Nothing: rules and affinity stay in the kernel (DP-64, DP-92)."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._memory.now += seconds

    def answer(self, packet: Packet) -> Answer:
        """Everything that may happen to a packet."""
        match = self._match(packet)
        if match is None:
            return self._stray(packet)
        if not self._is_admitted(packet, match):
            return Verdict.DROPPED
        choice = self._choice(packet, match)
        if not isinstance(choice, Choice):
            return choice
        remembered = self._memory.remembered(match.plan, choice.pool, packet.source)
        targets = choice.targets if remembered is None else (remembered,)
        return Reaches(
            frozenset(
                Arrival(target, self._is_masqueraded(packet, choice, target)) for target in targets
            ),
            has_affinity=match.plan.affinity_seconds > 0,
            is_remembered=remembered is not None,
        )

    def connect(self, packet: Packet, target: Target) -> None:
        """Remember the endpoint of a client, for all frontends of the service port (DP-61)."""
        match = self._match(packet)
        choice = match and self._choice(packet, match)
        if isinstance(choice, Choice) and choice.plan.affinity_seconds:
            self._memory.note(choice.plan, choice.pool, packet.source, target)

    # Which service port?

    def _match(self, packet: Packet) -> Match | None:
        """DP-1: exactly this destination; DP-9: NodePorts where NodePorts are accepted."""
        by_address = self._find(packet, packet.destination)
        if by_address is not None or not self._accepts_node_ports(packet):
            return by_address
        return self._find(packet, Addr(b""))

    def _find(self, packet: Packet, addr: Addr) -> Match | None:
        for key, plan in self._plans.items():
            for frontend in plan.frontends if key.family is packet.family else ():
                wanted = (addr, packet.transport, packet.port)
                if (frontend.addr, frontend.protocol, frontend.port) == wanted:
                    return Match(plan, frontend)
        return None

    def _accepts_node_ports(self, packet: Packet) -> bool:
        """DP-50..55: addresses of the node that are selected, loopback never (DP-57)."""
        destination = packet.destination
        if destination not in self._node_addresses or is_loopback(destination):
            return False
        selected = self._settings[packet.family].node_ports
        if not selected.primary and not selected.cidrs:
            return True
        in_networks = any(cidr.contains(destination) for cidr in selected.cidrs)
        return destination in selected.primary or in_networks

    # No service port.

    def _stray(self, packet: Packet) -> Verdict:
        """DP-10 and PP-12: known ClusterIPs refuse; DP-11: others of the range drop.

        Both hold for what the node forwards and sends, not for what ends at the node itself.
        """
        if packet.destination in self._node_addresses and not packet.is_from_node:
            return Verdict.UNTOUCHED
        cluster_ips = {plan.cluster_ip for plan in self._plans.values()}
        if packet.destination in cluster_ips:
            return Verdict.REFUSED
        cidrs = self._settings[packet.family].service_cidrs
        if any(cidr.contains(packet.destination) for cidr in cidrs):
            return Verdict.DROPPED
        return Verdict.UNTOUCHED

    # May this source?

    def _is_admitted(self, packet: Packet, match: Match) -> bool:
        """DP-41, DP-44: ranges hold for load balancer IPs alone, and before anything else."""
        ranges = match.plan.source_ranges
        if match.frontend.kind is not FrontendKind.LOAD_BALANCER_IP or not ranges:
            return True
        if any(cidr.contains(packet.source) for cidr in ranges):
            return True
        # The kernel takes a load balancer IP as source if it is an address of the node (DP-41).
        return match.plan.admits_vips and any(
            frontend.addr == packet.source
            for frontend in match.plan.frontends
            if frontend.kind is FrontendKind.LOAD_BALANCER_IP
        )

    # Which endpoints?

    def _choice(self, packet: Packet, match: Match) -> Choice | Verdict:
        if match.frontend.kind is FrontendKind.CLUSTER_IP:
            return self._internal(packet, match.plan)
        return self._external(packet, match.plan)

    def _internal(self, packet: Packet, plan: ServicePortPlan) -> Choice | Verdict:
        """DP-2, DP-20, DP-21: the internal list."""
        is_local = plan.internal_policy is TrafficPolicy.LOCAL
        pool = PoolKind.LOCAL if is_local else PoolKind.CLUSTER
        if not plan.pool(pool):
            return Verdict.DROPPED if plan.selection.has_any else Verdict.REFUSED
        settings = self._settings[packet.family]
        if settings.masquerade_all:
            return Choice(plan, pool, is_masqueraded=True)
        detector = settings.local_detector
        is_stranger = detector is not None and not _is_from_pod(packet, detector)
        return Choice(plan, pool, is_masqueraded=is_stranger)

    def _is_masqueraded(self, packet: Packet, choice: Choice, target: Target) -> bool:
        """Marked packets and hairpins, where they leave the node again (PP-2)."""
        if target.addr in self._node_addresses and not packet.is_from_node:
            return False
        return choice.is_masqueraded or self._is_hairpin(packet, target)

    def _is_hairpin(self, packet: Packet, target: Target) -> bool:
        """DP-23: an endpoint of this node that reaches itself, by whatever Service."""
        is_translated = (packet.destination, packet.port) != target
        return (
            is_translated
            and packet.source == target.addr
            and any(
                target in plan.selection.local_reachable
                for key, plan in self._plans.items()
                if key.port.protocol is packet.transport
            )
        )

    def _external(self, packet: Packet, plan: ServicePortPlan) -> Choice | Verdict:
        """DP-3, DP-4, DP-5, in this order."""
        selection = plan.selection
        if not selection.has_any:
            return Verdict.REFUSED
        if plan.external_policy is not TrafficPolicy.LOCAL:
            return Choice(plan, PoolKind.CLUSTER, is_masqueraded=True)
        detector = self._settings[packet.family].local_detector
        if detector is not None and _is_from_pod(packet, detector):
            return Choice(plan, PoolKind.CLUSTER, is_masqueraded=False)
        if packet.is_from_node:
            return Choice(plan, PoolKind.CLUSTER, is_masqueraded=True)
        if selection.local:
            return Choice(plan, PoolKind.LOCAL, is_masqueraded=False)
        return Verdict.DROPPED


def _is_from_pod(packet: Packet, detector: LocalDetector) -> bool:
    """Spec 30 section 4; what the node sends has no input interface (DP-32)."""
    if detector.cidr is not None:
        return detector.cidr.contains(packet.source)
    interface = packet.sender.interface
    if detector.interface:
        return interface == detector.interface
    return bool(interface) and interface.startswith(detector.interface_prefix)


def is_loopback(addr: Addr) -> bool:
    """Neither mode needs to be told of these addresses: every node has them."""
    return any(network.contains(addr) for network in _LOOPBACK)
