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
from nodeproxy.backends.nftables.objects import DnatByMap, Field, LoadAffinity, Members
from nodeproxy.backends.nftables.sets import parse_timeout
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
                before, after = (_seconds_by_member(_of(p, family)) for p in (former, plans))
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

    def _corrected(
        self, records: Records, before: Mapping[bytes, int], after: Mapping[bytes, int]
    ) -> Records:
        """As `nodeproxy.backends.nftables.records` does it: a new timeout counts from last use."""
        kept: list[Record] = []
        for record in records.entries:
            member = record.key[-ID_BYTES:] + record.data
            expires_at = record.expires_at - before[member] + after.get(member, 0)
            if min(expires_at, record.expires_at) > self._now and member in after:
                kept.append(record._replace(expires_at=expires_at))
        return Records(tuple(kept))


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


def _seconds_by_member(plans: Iterable[ServicePortPlan]) -> dict[bytes, int]:
    """The timeout of each affinity id with each of its endpoints, keyed as in the kernel."""
    return {
        key + data: seconds
        for (set_name, key), value in _wanted(plans).items()
        if isinstance(value, Members) and (seconds := parse_timeout(set_name))
        for data in value
    }


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
