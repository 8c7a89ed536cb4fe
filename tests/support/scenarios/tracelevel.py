"""What may happen to a packet, told by the rules themselves: the table, traced.

    plans -> elements and frame, as they are encoded for the kernel -> tracer -> answer

Records of affinity live here as in the kernel: packets write them, time ends them, and those that
name an endpoint which is no member any more are taken out behind every change of the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.backends.nftables.keys import ID_BYTES
from nodeproxy.backends.nftables.lowering import Wanted, lower, needed_shape, shared_elements
from nodeproxy.backends.nftables.objects import DnatByMap, Field, LoadAffinity
from nodeproxy.backends.nftables.record_keeper import Membership, correct
from nodeproxy.backends.nftables.records import Record as KernelRecord
from nodeproxy.backends.nftables.sets import AFFINITY
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.trace.endings import Dropped, Ending, Passed, Refused
from nodeproxy.backends.nftables.trace.frame import elements_by_set
from nodeproxy.backends.nftables.trace.packet import NodeAddresses, ping
from nodeproxy.backends.nftables.trace.packet import Packet as TracedPacket
from nodeproxy.backends.nftables.trace.records import Record, Records
from nodeproxy.backends.nftables.trace.tracer import Tracer
from nodeproxy.model.addresses import FAMILIES, Addr, Family
from nodeproxy.plan.types import FamilySettings, PlanKey, ServicePortPlan, Target
from tests.support.scenarios.model import Answer, Arrival, Packet, Reaches, Verdict

Plans = Mapping[PlanKey, ServicePortPlan]

UNEVENNESS = Fraction(1, 256)
"""By how much of its share an endpoint may be drawn more rarely or more often than others."""


class TraceLevel:
    """A dataplane that consists of the rules (see `model.Dataplane`)."""

    def __init__(self, node_addresses: frozenset[Addr]) -> None:
        self._node = NodeAddresses(node_addresses)
        # Mutable: the plan as last told, tracers made of it when they are asked for, and what
        # packets have written.
        self._plans: Plans = {}
        self._settings: Mapping[Family, FamilySettings] = {}
        self._tracers: dict[Family, Tracer] = {}
        self._records = {family: Records() for family in FAMILIES}
        self._now = 0.0

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        """Take the plan that holds from now on."""
        former, self._plans, self._settings = self._plans, dict(plans), settings
        self._tracers.clear()
        for family in FAMILIES:
            if self._records[family].entries:
                before, after = (_membership(_of(p, family)) for p in (former, plans))
                self._records[family] = self._corrected(self._records[family], before, after)

    def restart(self) -> None:
        """Nothing: rules and records stay in the kernel (DP-64, DP-92)."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def answer(self, packet: Packet) -> Answer:
        """Everything that may happen to a packet."""
        endings = self._endings(packet)
        arrivals = {
            Arrival(_target(passed), passed.is_masqueraded): ending.probability
            for ending in endings
            if isinstance(passed := ending.outcome, Passed) and passed.is_translated
        }
        if not arrivals:
            (ending,) = endings
            return _verdict(ending)
        _check_spread(endings, arrivals.values())
        return Reaches(
            frozenset(arrivals),
            has_affinity=any(map(_has_affinity, endings)),
            is_remembered=any(map(_is_remembered, endings)),
        )

    def connect(self, packet: Packet, target: Target) -> None:
        """Go on from the ending that led to this endpoint."""
        (self._records[packet.family],) = {
            ending.records
            for ending in self._endings(packet)
            if isinstance(ending.outcome, Passed) and _target(ending.outcome) == target
        }

    def _endings(self, packet: Packet) -> tuple[Ending, ...]:
        records = self._records[packet.family]
        return self._tracer(packet.family).trace(_traced(packet), records, self._now)

    def _tracer(self, family: Family) -> Tracer:
        if family not in self._tracers:
            wanted = _wanted(_of(self._plans, family))
            skeleton = build_skeleton(self._settings[family], needed_shape([wanted]))
            self._tracers[family] = Tracer(skeleton, elements_by_set(wanted), self._node)
        return self._tracers[family]

    def _corrected(self, records: Records, before: Membership, after: Membership) -> Records:
        """What the agent makes of the records behind the commit of a plan."""
        found = {entry.key: self._as_read(entry, before) for entry in records.entries}
        alive = {key: record for key, record in found.items() if record.expires_ms > 0}
        correction = correct(alive.values(), after, inherits=True)
        kept = {key: record for key, record in alive.items() if key not in correction.removed}
        kept |= {record.key: record for record in correction.added}
        return Records(
            tuple(
                Record(AFFINITY, key, record.data, self._now + record.expires_ms / 1000)
                for key, record in sorted(kept.items())
            )
        )

    def _as_read(self, entry: Record, before: Membership) -> KernelRecord:
        timeout_ms = before.seconds(entry.key[-ID_BYTES:], entry.data) * 1000
        return KernelRecord(
            entry.key, entry.data, timeout_ms, round((entry.expires_at - self._now) * 1000)
        )


def _of(plans: Plans, family: Family) -> list[ServicePortPlan]:
    return [plan for key, plan in sorted(plans.items()) if key.family is family]


def _wanted(plans: Iterable[ServicePortPlan]) -> Wanted:
    """All elements of a table."""
    wanted: Wanted = {}
    ids = AffinityIds()
    for plan in plans:
        wanted.update(lower(plan, ids))
        wanted.update(dict.fromkeys(shared_elements(plan), ""))
    return wanted


def _membership(plans: Iterable[ServicePortPlan]) -> Membership:
    return Membership(elements_by_set(_wanted(plans)))


def _traced(packet: Packet) -> TracedPacket:
    interface = packet.sender.interface or None
    if packet.transport is None:
        return ping(packet.source, packet.destination, interface)
    return TracedPacket(packet.source, packet.destination, packet.transport, packet.port, interface)


def _target(passed: Passed) -> Target:
    return Target(passed.destination, passed.port)


def _verdict(ending: Ending) -> Verdict:
    match ending.outcome:
        case Passed(is_masqueraded=is_masqueraded):
            assert not is_masqueraded, f"masqueraded, though of no Service: {ending}"
            return Verdict.UNTOUCHED
        case Refused():
            return Verdict.REFUSED
        case Dropped():
            return Verdict.DROPPED


def _check_spread(endings: Iterable[Ending], shares: Iterable[Fraction]) -> None:
    """Translated in any case, and to each endpoint as often as to any other (DP-60)."""
    shares = list(shares)
    even = all(abs(share * len(shares) - 1) <= UNEVENNESS for share in shares)
    assert even, "\n".join(map(str, endings))
    assert sum(shares) == 1, "\n".join(map(str, endings))


def _has_affinity(ending: Ending) -> bool:
    """The frontend has an affinity id, which its pick chain found."""
    return any(
        isinstance(statement, LoadAffinity) and Field.PORT in statement.fields
        for step in ending.path
        for statement in step.rule.statements
    )


def _is_remembered(ending: Ending) -> bool:
    return any(
        isinstance(statement, DnatByMap)
        for step in ending.path
        for statement in step.rule.statements
    )
