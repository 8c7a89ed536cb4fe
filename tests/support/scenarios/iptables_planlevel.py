"""What may happen to a packet in iptables mode, read from the plan by the rules of spec 30 alone.

Only what the specification calls different is here; everything else is as in `planlevel`.

    strays                  are not looked at (DP-10, DP-11, PP-12), but for martians (DP-57)
    source ranges           hold where there are endpoints (DP-43)
    what the node sends     to addresses elsewhere is refused at ClusterIPs alone (DP-13)
    NodePorts on loopback   where NodePort addresses cover it, IPv4 (DP-57)
    hairpins                whichever node the endpoint is on (DP-23)
    records of clients      belong to endpoints; the first in their order counts (DP-63, DP-65)
"""

from __future__ import annotations

from nodeproxy.model.addresses import Addr, Family, parse_cidr
from nodeproxy.plan.types import PlanKey, PoolKind, ServicePortPlan, Target
from tests.support.scenarios.model import Answer, Packet, Reaches, Verdict
from tests.support.scenarios.planlevel import (
    Choice,
    Match,
    Memory,
    PlanLevel,
    Plans,
    is_loopback,
)

_LOOPBACK = parse_cidr("127.0.0.0/8")


class EndpointMemory(Memory):
    """Who went to which endpoint, and when last: a list for each endpoint of a service port."""

    def __init__(self) -> None:
        super().__init__()
        # Mutable: as the rest of it.
        self._visits: dict[tuple[PlanKey, Target, Addr], float] = {}

    def note(self, plan: ServicePortPlan, pool: PoolKind, client: Addr, target: Target) -> None:
        """A connection was made: both pools hear of it, and other records stay (DP-65)."""
        self._visits[PlanKey(plan.family, plan.key), target, client] = self.now

    def follow(self, plans: Plans) -> None:
        """Lists go with the endpoint and with affinity."""
        self._visits = {
            (key, target, client): at
            for (key, target, client), at in self._visits.items()
            if (plan := plans.get(key)) is not None
            and plan.affinity_seconds
            and any(target in plan.pool(kind) for kind in PoolKind)
        }

    def remembered(self, plan: ServicePortPlan, pool: PoolKind, client: Addr) -> Target | None:
        """The first endpoint of the pool that has a live record (DP-62, DP-63)."""
        key = PlanKey(plan.family, plan.key)
        for target in plan.pool(pool):
            at = self._visits.get((key, target, client))
            if at is not None and self.now - at < plan.affinity_seconds:
                return target
        return None


class IptablesPlanLevel(PlanLevel):
    """A dataplane that consists of the specification's iptables column."""

    def __init__(self, node_addresses: frozenset[Addr]) -> None:
        super().__init__(node_addresses, EndpointMemory())

    def answer(self, packet: Packet) -> Answer:
        """Everything that may happen to a packet."""
        answer = super().answer(packet)
        is_lost = not isinstance(answer, Reaches) and self._is_martian(packet)
        return Verdict.DROPPED if is_lost else answer

    def _is_martian(self, packet: Packet) -> bool:
        """To loopback, and not from there: only what a NodePort translates gets through (DP-57)."""
        return (
            self._opens_loopback(packet.family)
            and _LOOPBACK.contains(packet.destination)
            and not _LOOPBACK.contains(packet.source)
        )

    def _opens_loopback(self, family: Family) -> bool:
        """DP-57: everything is selected, or a network inside or around 127.0.0.0/8."""
        selected = self._settings[family].node_ports
        return family is Family.IPV4 and (
            selected.match_all
            or any(
                cidr.contains(_LOOPBACK.addr) or _LOOPBACK.contains(cidr.addr)
                for cidr in selected.cidrs
            )
        )

    def _accepts_node_ports(self, packet: Packet) -> bool:
        destination = packet.destination
        if is_loopback(destination) and self._opens_loopback(packet.family):
            selected = self._settings[packet.family].node_ports
            return selected.match_all or any(c.contains(destination) for c in selected.cidrs)
        return super()._accepts_node_ports(packet)

    def _stray(self, packet: Packet) -> Verdict:
        return Verdict.UNTOUCHED

    def _is_admitted(self, packet: Packet, match: Match) -> bool:
        return not match.plan.selection.has_any or super()._is_admitted(packet, match)

    def _external(self, packet: Packet, plan: ServicePortPlan) -> Choice | Verdict:
        found = super()._external(packet, plan)
        stays = packet.destination in self._node_addresses or is_loopback(packet.destination)
        if isinstance(found, Verdict) and packet.is_from_node and not stays:
            return Verdict.UNTOUCHED
        return found

    def _is_hairpin(self, packet: Packet, target: Target) -> bool:
        is_translated = (packet.destination, packet.port) != target
        return is_translated and packet.source == target.addr
