"""Which way would the first packet of a connection take through these very chains?

    own packet      nat OUTPUT      filter OUTPUT    nat POSTROUTING, then INPUT if it stays here
    to the node     nat PREROUTING  filter INPUT
    passing by      nat PREROUTING  filter FORWARD   nat POSTROUTING

All ways are followed at once, each with its exact probability. What packets write, the lists of
clients, is a value: a trace gives back what they are after each of its endings.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from nodeproxy.backends.iptables.objects import (
    HOOKS,
    Accept,
    Chain,
    Chance,
    ClearMark,
    Comment,
    Dnat,
    Drop,
    FromInterface,
    FromNetwork,
    Goto,
    InState,
    Jump,
    Known,
    Local,
    Marked,
    Masquerade,
    Match,
    Note,
    OfProtocol,
    Reject,
    Reset,
    Return,
    Rule,
    SetMark,
    Table,
    ToItself,
    ToNetwork,
    ToPorts,
)
from nodeproxy.backends.iptables.settings import LOOPBACK
from nodeproxy.backends.iptables.text import rule_text
from nodeproxy.model.addresses import Addr, family_of
from nodeproxy.model.keys import Protocol

Notes = frozenset[tuple[str, Addr, float]]
"""List, client, and when it was noted last."""
NO_NOTES: Notes = frozenset()


class Packet(msgspec.Struct, frozen=True):
    """The first packet of a connection and what rules made of it so far."""

    source: Addr
    destination: Addr
    protocol: Protocol | None
    """None for a ping."""
    port: int
    interface: str = ""
    """Where it came in; empty for a packet the node itself makes."""
    mark: int = 0
    is_translated: bool = False
    is_masqueraded: bool = False
    notes: Notes = NO_NOTES


class End(enum.Enum):
    """What became of it."""

    PASSED = "passed"
    REFUSED = "refused"
    DROPPED = "dropped"


class Step(NamedTuple):
    """A rule whose matches held."""

    chain: str
    rule: Rule

    def __str__(self) -> str:
        return f"{self.chain}:{rule_text(self.rule)}"


class Ending(msgspec.Struct, frozen=True):
    """One thing that can become of the packet."""

    end: End
    packet: Packet
    """As it goes on; with the notes as they are afterwards."""
    probability: Fraction
    path: tuple[Step, ...]

    def __str__(self) -> str:
        head = f"{self.end.value}, {float(self.probability):.2%}"
        return "\n".join([head, *(f"  {step}" for step in self.path)])


class _Way(msgspec.Struct, frozen=True):
    """A packet on its way: where in which chains, the innermost last."""

    packet: Packet
    probability: Fraction
    path: tuple[Step, ...]
    stack: tuple[tuple[str, int], ...] = ()
    end: End = End.PASSED


class Tracer:
    """Tells the endings of packets for the chains of one family."""

    def __init__(
        self, chains: Mapping[Table, Iterable[Chain]], node_addresses: frozenset[Addr]
    ) -> None:
        """Prepare chains.

        Args:
            chains: all of ours, by table.
            node_addresses: what the routing table calls local; loopback is without being named.
        """
        self._rules = {
            (table, chain.name): chain.rules for table, found in chains.items() for chain in found
        }
        self._node = node_addresses
        # Mutable: the moment of the trace that is being made.
        self._now = 0.0

    def trace(self, packet: Packet, now: float = 0.0) -> tuple[Ending, ...]:
        """All endings of a packet, the likeliest first; probabilities add up to one."""
        self._now = now
        is_own = not packet.interface
        ways = [_Way(packet, Fraction(1), ())]
        ways = self._at(Table.NAT, "OUTPUT" if is_own else "PREROUTING", ways)
        if is_own:
            ways = self._at(Table.FILTER, "OUTPUT", ways)
            ways = self._at(Table.NAT, "POSTROUTING", ways)
        here = [way for way in ways if self._is_local(way.packet.destination)]
        beyond = [way for way in ways if not self._is_local(way.packet.destination)]
        here = self._at(Table.FILTER, "INPUT", here)
        if not is_own:
            beyond = self._at(Table.FILTER, "FORWARD", beyond)
            beyond = self._at(Table.NAT, "POSTROUTING", beyond)
        return _endings(here + beyond)

    def _is_local(self, addr: Addr) -> bool:
        return addr in self._node or LOOPBACK[family_of(addr)].contains(addr)

    def _at(self, table: Table, builtin: str, ways: list[_Way]) -> list[_Way]:
        """All ways behind one hook."""
        (chain,) = (h.chain for h in HOOKS if h.table is table and h.builtin == builtin)
        done = [way for way in ways if way.end is not End.PASSED]
        todo = [replace(way, stack=((chain, 0),)) for way in ways if way.end is End.PASSED]
        while todo:
            way = todo.pop()
            if not way.stack:
                done.append(way)
                continue
            todo += self._step(table, way)
        return done

    def _step(self, table: Table, way: _Way) -> list[_Way]:
        """Ask one rule."""
        *below, (name, index) = way.stack
        rules = self._rules[table, name]
        if index == len(rules):
            return [replace(way, stack=tuple(below))]
        rule = rules[index]
        behind = (*below, (name, index + 1))
        packet, chance = self._matched(rule.matches, way.packet)
        missed = replace(
            way,
            packet=_reaped(rule.matches, way.packet, self._now),
            stack=behind,
            probability=way.probability * (1 - chance),
        )
        if not chance:
            return [missed]
        hit = replace(
            way,
            packet=packet,
            probability=way.probability * chance,
            path=(*way.path, Step(name, rule)),
        )
        taken = _done(hit, rule, tuple(below), behind)
        return [taken] if chance == 1 else [missed, taken]

    def _matched(self, matches: Iterable[Match], packet: Packet) -> tuple[Packet, Fraction]:
        """How likely all matches hold, and what they write then."""
        chance = Fraction(1)
        for match in matches:
            if isinstance(match, Chance):
                chance /= match.of
            elif isinstance(match, Note):
                others = {n for n in packet.notes if n[:2] != (match.list_name, packet.source)}
                written = frozenset(others | {(match.list_name, packet.source, self._now)})
                packet = replace(packet, notes=written)
            elif not self._holds(match, packet):
                return packet, Fraction(0)
        return packet, chance

    def _holds(self, match: Match, packet: Packet) -> bool:
        match match:
            case FromNetwork(cidr=cidr, negate=negate):
                return cidr.contains(packet.source) is not negate
            case ToNetwork(cidr=cidr, negate=negate):
                return cidr.contains(packet.destination) is not negate
            case FromInterface(name=name, is_prefix=True, negate=negate):
                return packet.interface.startswith(name) is not negate
            case FromInterface(name=name, negate=negate):
                return (packet.interface == name) is not negate
            case OfProtocol(protocol=protocol):
                return packet.protocol is protocol
            case ToPorts(protocol=protocol, first=first, last=last):
                return packet.protocol is protocol and first <= packet.port <= last
            case Local(is_source=is_source):
                return self._is_local(packet.source if is_source else packet.destination)
            case InState(states=states, negate=negate):
                has = {"NEW", "DNAT"} if packet.is_translated else {"NEW"}
                return has.isdisjoint(states.split(",")) is negate
            case Marked(bit=bit, negate=negate):
                return bool(packet.mark & bit) is not negate
            case Known(list_name=name, seconds=seconds):
                return any(
                    each[:2] == (name, packet.source) and self._now - each[2] < seconds
                    for each in packet.notes
                )
            case ToItself():
                return packet.source == packet.destination
            case Comment() | Chance() | Note():
                return True
        assert_never(match)


def _done(way: _Way, rule: Rule, below: Stack, behind: Stack) -> _Way:
    """What the target makes of a way."""
    packet = way.packet
    match rule.target:
        case Jump(chain=chain):
            return replace(way, stack=(*behind, (chain, 0)))
        case Goto(chain=chain):
            return replace(way, stack=(*below, (chain, 0)))
        case Return():
            return replace(way, stack=below)
        case Accept():
            return replace(way, stack=())
        case Drop():
            return replace(way, stack=(), end=End.DROPPED)
        case Reject() | Reset():
            return replace(way, stack=(), end=End.REFUSED)
        case SetMark(bit=bit):
            return replace(way, packet=replace(packet, mark=packet.mark | bit), stack=behind)
        case ClearMark(bit=bit):
            return replace(way, packet=replace(packet, mark=packet.mark & ~bit), stack=behind)
        case Dnat(endpoint=(addr, port)):
            sent = replace(packet, destination=addr, port=port, is_translated=True)
            return replace(way, packet=sent, stack=())
        case Masquerade():
            return replace(way, packet=replace(packet, is_masqueraded=True), stack=())
    raise AssertionError(f"no such target: {rule.target}")


Stack = tuple[tuple[str, int], ...]


def _reaped(matches: Iterable[Match], packet: Packet, now: float) -> Packet:
    """A list that was asked forgets the client if it is too old (IPT-70)."""
    for match in matches:
        if isinstance(match, Known):
            old = {
                each
                for each in packet.notes
                if each[:2] == (match.list_name, packet.source) and now - each[2] >= match.seconds
            }
            packet = replace(packet, notes=packet.notes - old) if old else packet
    return packet


def _endings(ways: Iterable[_Way]) -> tuple[Ending, ...]:
    found: dict[tuple[End, Packet], Ending] = {}
    for way in sorted(ways, key=lambda each: -each.probability):
        ending = Ending(way.end, way.packet, way.probability, way.path)
        known = found.setdefault((way.end, way.packet), ending)
        if known is not ending:
            total = known.probability + way.probability
            found[way.end, way.packet] = replace(known, probability=total)
    return tuple(sorted(found.values(), key=lambda ending: -ending.probability))
