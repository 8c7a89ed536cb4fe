"""What may happen to a packet in iptables mode, told by the rules themselves: chains, traced.

    plans -> chains, as they are printed for iptables-restore -> tracer -> answer

The lists of clients live here as in the kernel: packets write them, time ends them, and a list that
no rule names any more is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeproxy.backends.iptables.objects import Chain, Known, Note, Table
from nodeproxy.backends.iptables.render import all_chains
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.trace import NO_NOTES, End, Ending, Notes, Tracer
from nodeproxy.backends.iptables.trace import Packet as TracedPacket
from nodeproxy.model.addresses import FAMILIES, Addr, Family
from nodeproxy.plan.types import FamilySettings, PlanKey, ServicePortPlan, Target
from tests.support.scenarios.model import Answer, Arrival, Packet, Reaches, Verdict

Plans = Mapping[PlanKey, ServicePortPlan]


class IptablesTraceLevel:
    """A dataplane that consists of chains (see `model.Dataplane`)."""

    def __init__(self, node_addresses: frozenset[Addr]) -> None:
        self._node = node_addresses
        # Mutable: the plan as last told, tracers made of it when they are asked for, and what
        # packets have written.
        self._plans: Plans = {}
        self._settings: Mapping[Family, FamilySettings] = {}
        self._tracers: dict[Family, Tracer] = {}
        self._notes: dict[Family, Notes] = dict.fromkeys(FAMILIES, NO_NOTES)
        self._now = 0.0

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        """Take the plan that holds from now on."""
        self._plans, self._settings = dict(plans), settings
        self._tracers.clear()
        for family, notes in self._notes.items():
            if notes:
                names = _lists(self._chains(family)[Table.NAT])
                self._notes[family] = frozenset(note for note in notes if note[0] in names)

    def restart(self) -> None:
        """Nothing: chains and lists stay in the kernel (DP-64, DP-92)."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def answer(self, packet: Packet) -> Answer:
        """Everything that may happen to a packet."""
        endings = self._endings(packet)
        arrivals = {
            Arrival(_target(ending), ending.packet.is_masqueraded): ending.probability
            for ending in endings
            if ending.packet.is_translated and ending.end is End.PASSED
        }
        if not arrivals:
            (ending,) = endings
            return _verdict(ending)
        shares = set(arrivals.values())
        is_even = len(shares) == 1 and sum(arrivals.values()) == 1
        assert is_even, "\n".join(map(str, endings))
        return Reaches(
            frozenset(arrivals),
            has_affinity=any(_passed(ending, Note) for ending in endings),
            is_remembered=any(_passed(ending, Known) for ending in endings),
        )

    def connect(self, packet: Packet, target: Target) -> None:
        """Go on from the ending that led to this endpoint."""
        (self._notes[packet.family],) = {
            ending.packet.notes
            for ending in self._endings(packet)
            if ending.packet.is_translated and _target(ending) == target
        }

    def _endings(self, packet: Packet) -> tuple[Ending, ...]:
        traced = TracedPacket(
            packet.source,
            packet.destination,
            packet.transport,
            packet.port,
            packet.sender.interface,
            notes=self._notes[packet.family],
        )
        return self._tracer(packet.family).trace(traced, self._now)

    def _tracer(self, family: Family) -> Tracer:
        if family not in self._tracers:
            self._tracers[family] = Tracer(self._chains(family), self._node)
        return self._tracers[family]

    def _chains(self, family: Family) -> dict[Table, list[Chain]]:
        plans = [plan for key, plan in sorted(self._plans.items()) if key.family is family]
        return all_chains(self._settings[family], IptablesOptions(), plans)


def _lists(chains: Iterable[Chain]) -> set[str]:
    """The lists that rules name."""
    return {
        match.list_name
        for chain in chains
        for rule in chain.rules
        for match in rule.matches
        if isinstance(match, Known | Note)
    }


def _target(ending: Ending) -> Target:
    return Target(ending.packet.destination, ending.packet.port)


def _verdict(ending: Ending) -> Verdict:
    match ending.end:
        case End.PASSED:
            assert not ending.packet.is_masqueraded, f"masqueraded, of no Service: {ending}"
            return Verdict.UNTOUCHED
        case End.REFUSED:
            return Verdict.REFUSED
        case End.DROPPED:
            return Verdict.DROPPED


def _passed(ending: Ending, kind: type) -> bool:
    """True if a rule with such a match took the packet."""
    return any(isinstance(match, kind) for step in ending.path for match in step.rule.matches)
