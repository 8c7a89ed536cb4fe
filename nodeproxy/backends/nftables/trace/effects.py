"""What one statement does to a packet, as the kernel's expressions do it.

Most statements have one effect. A random draw has one for each endpoint it can hit, and one for
all empty slots together.
"""

from __future__ import annotations

import enum
import struct
from fractions import Fraction
from typing import NamedTuple, assert_never

import msgspec
from msgspec.structs import replace

from nodeproxy.backends.nftables.objects import (
    ClearAffinity,
    ClearMark,
    DnatByMap,
    DnatToSlot,
    Drop,
    Field,
    Goto,
    InSet,
    Jump,
    LoadAffinity,
    Masquerade,
    MatchAddress,
    MatchInterface,
    MatchLocal,
    MatchMark,
    MatchNewConnection,
    MatchTcp,
    MatchTranslated,
    NetworkInSet,
    Reject,
    Remember,
    Reset,
    Return,
    SetMark,
    Statement,
)
from nodeproxy.backends.nftables.trace.frame import Frame
from nodeproxy.backends.nftables.trace.packet import NodeAddresses
from nodeproxy.backends.nftables.trace.records import Records
from nodeproxy.model.addresses import Addr, format_addr_port, netmask
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink import expressions


class Flight(msgspec.Struct, frozen=True):
    """A packet on its way, with what conntrack knows of its connection, which is new."""

    source: Addr
    destination: Addr
    protocol: int
    port: int
    interface: str
    """Empty for what the node makes: the kernel compares names with an empty one there."""
    mark: int
    priority: int
    records: Records
    is_translated: bool = False
    """A rule chose the destination."""
    has_dnat_status: bool = False
    """`ct status dnat`: the chosen destination is another than the one before."""
    is_masqueraded: bool = False


class Move(enum.Enum):
    """What happens after a statement."""

    ON = "next statement"
    STOP = "next rule"
    """The statement does not match, or a map has no such key (NFT_BREAK)."""
    RETURN = "return"
    """Behind the jump to this chain."""
    ACCEPT = "accept"
    DROP = "drop"
    REFUSE = "reject"
    RESET = "reject with tcp reset"


class Effect(NamedTuple):
    """One thing a statement may do."""

    flight: Flight
    move: Move | Jump | Goto = Move.ON
    note: str = ""
    share: Fraction = Fraction(1)


class Scene(NamedTuple):
    """What stays the same while a packet passes."""

    frame: Frame
    node: NodeAddresses
    now: float
    """Seconds."""


def effects_of(statement: Statement, flight: Flight, scene: Scene) -> list[Effect]:
    """All effects a statement may have on a packet; their shares add up to one."""
    match statement:
        case MatchAddress() | MatchInterface() | MatchLocal() | MatchNewConnection():
            return _matching(flight, matches=_matches(statement, flight, scene))
        case MatchTranslated() | MatchMark() | MatchTcp() | InSet() | NetworkInSet():
            return _matching(flight, matches=_matches(statement, flight, scene))
        case SetMark(bit):
            return [_marked(flight, flight.mark | bit)]
        case ClearMark(bit):
            return [_marked(flight, flight.mark ^ bit)]
        case DnatToSlot():
            return _draw(statement, flight, scene.frame)
        case DnatByMap(fields, map_name):
            data = flight.records.find(map_name, key_of(fields, flight), scene.now)
            return [_translated(flight, data) if data is not None else Effect(flight, Move.STOP)]
        case LoadAffinity(fields, map_name):
            number = scene.frame.affinity_id(map_name, key_of(fields, flight))
            return [_prioritized(flight, number)]
        case ClearAffinity():
            return [_prioritized(flight, 0)]
        case Remember():
            return [_remembered(statement, flight, scene.now)]
        case Masquerade():
            return [Effect(replace(flight, is_masqueraded=True), Move.ACCEPT)]
        case Reject():
            return [Effect(flight, Move.REFUSE)]
        case Reset():
            # Without a TCP header there is nothing to answer, and the packet is gone all the same.
            is_tcp = flight.protocol == Protocol.TCP
            return [Effect(flight, Move.RESET if is_tcp else Move.DROP)]
        case Drop():
            return [Effect(flight, Move.DROP)]
        case Jump() | Goto():
            return [Effect(flight, statement)]
        case Return():
            return [Effect(flight, Move.RETURN)]
        case _:
            assert_never(statement)


_Match = (
    MatchAddress
    | MatchInterface
    | MatchLocal
    | MatchNewConnection
    | MatchTranslated
    | MatchMark
    | MatchTcp
    | InSet
    | NetworkInSet
)


def _matches(statement: _Match, flight: Flight, scene: Scene) -> bool:
    match statement:
        case MatchAddress(field, cidr, negate):
            return cidr.contains(_address(field, flight)) is not negate
        case MatchInterface(name, is_prefix, negate):
            found = flight.interface
            return (found.startswith(name) if is_prefix else found == name) is not negate
        case MatchLocal(field):
            return _address(field, flight) in scene.node
        case MatchNewConnection():
            return True
        case MatchTranslated(negate):
            return flight.has_dnat_status is not negate
        case MatchMark(bit):
            return bool(flight.mark & bit)
        case MatchTcp():
            return flight.protocol == Protocol.TCP
        case InSet(fields, set_name):
            return scene.frame.has(set_name, key_of(fields, flight))
        case NetworkInSet(prefix_length, fields, set_name):
            mask = netmask(prefix_length, scene.frame.family)
            network = bytes(a & b for a, b in zip(flight.source, mask, strict=True))
            return scene.frame.has(set_name, network + key_of(fields, flight))
        case _:
            assert_never(statement)


def key_of(fields: tuple[Field, ...], flight: Flight) -> bytes:
    """The fields of a packet as the key of an element, laid out as in `keys`."""
    return b"".join(_field_of(field, flight) for field in fields)


def _field_of(field: Field, flight: Flight) -> bytes:
    match field:
        case Field.SOURCE:
            return flight.source
        case Field.DESTINATION:
            return flight.destination
        case Field.PROTOCOL:
            return struct.pack("B3x", flight.protocol)
        case Field.PORT:
            return struct.pack(">H2x", flight.port)
        case Field.AFFINITY:
            return expressions.host_u32(flight.priority)
        case _:
            assert_never(field)


def _address(field: Field, flight: Flight) -> Addr:
    return flight.source if field is Field.SOURCE else flight.destination


def _matching(flight: Flight, *, matches: bool) -> list[Effect]:
    return [Effect(flight, Move.ON if matches else Move.STOP)]


def _marked(flight: Flight, mark: int) -> Effect:
    return Effect(replace(flight, mark=mark), note=f"mark 0x{mark:08x}")


def _prioritized(flight: Flight, number: int | None) -> Effect:
    if number is None:
        return Effect(flight, Move.STOP)
    return Effect(replace(flight, priority=number), note=f"affinity id {number}" if number else "")


def _remembered(statement: Remember, flight: Flight, now: float) -> Effect:
    """A full set would forget the newcomer; that is not modelled (see MAX_RECORDS)."""
    key = key_of(statement.fields, flight)
    target = key_of((Field.DESTINATION, Field.PORT), flight)
    records = flight.records.remember(statement.map_name, key, target, now, statement.seconds)
    note = f"remember {format_addr_port(flight.destination, flight.port)}"
    return Effect(replace(flight, records=records), note=note)


def _draw(statement: DnatToSlot, flight: Flight, frame: Frame) -> list[Effect]:
    """Each slot below the bound is as likely as any other."""
    slots = frame.slots(statement.map_name, key_of(statement.fields, flight))
    filled = [data for data in slots[: statement.slots] if data is not None]
    share = Fraction(1, statement.slots)
    found = [_translated(flight, data)._replace(share=share) for data in filled]
    empty = 1 - share * len(filled)
    return [*found, Effect(flight, Move.STOP, share=empty)] if empty else found


def _translated(flight: Flight, data: bytes) -> Effect:
    """Translate as `dnat` does; the connection's status tells real changes only."""
    size = len(flight.destination)
    addr, port = Addr(data[:size]), int.from_bytes(data[size : size + 2], "big")
    changes = (addr, port) != (flight.destination, flight.port)
    after = replace(
        flight, destination=addr, port=port, is_translated=True, has_dnat_status=changes
    )
    return Effect(after, Move.ACCEPT, format_addr_port(addr, port))
