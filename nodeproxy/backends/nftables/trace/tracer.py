"""The question and its answer: a packet, and all that can become of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec.structs import replace

from nodeproxy.backends.nftables.objects import Chain, Skeleton
from nodeproxy.backends.nftables.trace.effects import Flight, Move, Scene
from nodeproxy.backends.nftables.trace.endings import (
    Dropped,
    Ending,
    Outcome,
    Passed,
    Refused,
)
from nodeproxy.backends.nftables.trace.frame import ElementsBySet, Frame, UntraceableError
from nodeproxy.backends.nftables.trace.packet import NodeAddresses, Packet
from nodeproxy.backends.nftables.trace.records import Records
from nodeproxy.backends.nftables.trace.walk import Passage, Way

NO_RECORDS = Records()


class Tracer:
    """Tells the endings of packets for one table.

    It knows one family and one moment of the table; make a new one after a change, it costs
    little: the elements are not copied.
    """

    def __init__(self, skeleton: Skeleton, elements: ElementsBySet, node: NodeAddresses) -> None:
        """Prepare a table.

        Raises:
            UntraceableError: it holds something that is not understood.
        """
        self._frame = Frame(skeleton, elements)
        self._node = node
        self._hooks = _hooks(skeleton.chains)

    def trace(
        self, packet: Packet, records: Records = NO_RECORDS, now: float = 0.0
    ) -> tuple[Ending, ...]:
        """All endings of a packet, the likeliest first.

        Args:
            packet: the first packet of a new connection.
            records: what earlier packets have written.
            now: seconds, on the same clock as at earlier packets.

        Raises:
            UntraceableError: the packet is of the other family.
        """
        if packet.family is not self._frame.family:
            raise UntraceableError(f"table {self._frame.family}", f"sees no {packet.family}")
        passage = Passage(Scene(self._frame, self._node, now), self._hooks)
        return _endings(passage.run(_start(packet, records)))


def _start(packet: Packet, records: Records) -> Flight:
    return Flight(
        source=packet.source,
        destination=packet.destination,
        protocol=packet.protocol,
        port=packet.port,
        interface=packet.interface or "",
        mark=packet.mark,
        priority=packet.priority,
        records=records,
    )


def _hooks(chains: Iterable[Chain]) -> dict[int, list[Chain]]:
    """Base chains by hook, in the order in which the kernel asks them."""
    found: dict[int, list[Chain]] = {}
    based = [(chain.hook, chain) for chain in chains if chain.hook is not None]
    for hook, chain in sorted(based, key=lambda item: item[0].priority):
        found.setdefault(hook.number, []).append(chain)
    return found


def _endings(ways: Iterable[Way]) -> tuple[Ending, ...]:
    found: dict[tuple[Outcome, Records], Ending] = {}
    for way in sorted(ways, key=lambda each: -each.probability):
        ending = Ending(_outcome(way), way.probability, way.path, way.flight.records)
        known = found.setdefault((ending.outcome, ending.records), ending)
        if known is not ending:
            total = known.probability + ending.probability
            found[ending.outcome, ending.records] = replace(known, probability=total)
    return tuple(sorted(found.values(), key=lambda ending: -ending.probability))


def _outcome(way: Way) -> Outcome:
    match way.end:
        case Move.ON | Move.STOP | Move.RETURN | Move.ACCEPT:
            flight = way.flight
            return Passed(
                flight.destination, flight.port, flight.is_translated, flight.is_masqueraded
            )
        case Move.DROP:
            return Dropped()
        case Move.REFUSE | Move.RESET:
            return Refused(by_reset=way.end is Move.RESET)
        case _:
            assert_never(way.end)
