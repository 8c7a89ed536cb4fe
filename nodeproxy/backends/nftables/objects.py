"""What our nftables tables are made of, as values: sets, chains, rules, elements.

The same values are encoded for the kernel (`encode`), printed as nft text (`text`) and compared
with what was read back (`readback`): nothing exists in one form only.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

import msgspec

from nodeproxy.model.addresses import Cidr, Family
from nodeproxy.plan.types import PlanKey

TABLE = "nodeproxy"
"""The name of our table, one in each family; nothing of ours lives anywhere else."""


class Field(enum.StrEnum):
    """A part of a packet that keys are made of."""

    SOURCE = "saddr"
    DESTINATION = "daddr"
    PROTOCOL = "l4proto"
    PORT = "dport"
    """Destination port of TCP, UDP or SCTP."""
    AFFINITY = "priority"
    """The packet's priority, which carries the affinity id from one rule to the next."""


# -- statements ----------------------------------------------------------------------------------


class MatchAddress(msgspec.Struct, frozen=True, tag=True):
    """Source or destination address is (not) inside a network."""

    field: Field
    cidr: Cidr
    negate: bool = False


class MatchInterface(msgspec.Struct, frozen=True, tag=True):
    """The input interface is (not) this one, or (not) one whose name starts so."""

    name: str
    is_prefix: bool = False
    negate: bool = False


class MatchLocal(msgspec.Struct, frozen=True, tag=True):
    """Source or destination is an address of the node, asked of the routing table."""

    field: Field


class MatchNewConnection(msgspec.Struct, frozen=True, tag=True):
    """ct state new."""


class MatchTranslated(msgspec.Struct, frozen=True, tag=True):
    """The connection's destination was (not) translated to another (ct status dnat)."""

    negate: bool = False


class MatchMark(msgspec.Struct, frozen=True, tag=True):
    """The packet carries this bit in its mark."""

    bit: int


class MatchTcp(msgspec.Struct, frozen=True, tag=True):
    """The packet is TCP."""


class InSet(msgspec.Struct, frozen=True, tag=True):
    """The fields together are an element of the set."""

    fields: tuple[Field, ...]
    set_name: str


class NetworkInSet(msgspec.Struct, frozen=True, tag=True):
    """The source's network of this prefix length and the fields are an element of the set."""

    prefix_length: int
    fields: tuple[Field, ...]
    """Those behind the source."""
    set_name: str


class SetMark(msgspec.Struct, frozen=True, tag=True):
    """Add this bit to the packet's mark."""

    bit: int


class ClearMark(msgspec.Struct, frozen=True, tag=True):
    """Remove this bit, which is known to be set, from the packet's mark."""

    bit: int


class DnatToSlot(msgspec.Struct, frozen=True, tag=True):
    """Translate to the endpoint in a random slot below `slots`; go on if that slot is empty."""

    fields: tuple[Field, ...]
    slots: int
    map_name: str


class DnatByMap(msgspec.Struct, frozen=True, tag=True):
    """Translate to the endpoint the map has for these fields; go on if it has none."""

    fields: tuple[Field, ...]
    map_name: str


class LoadAffinity(msgspec.Struct, frozen=True, tag=True):
    """Let the packet carry the affinity id the map has for these fields."""

    fields: tuple[Field, ...]
    map_name: str


class ClearAffinity(msgspec.Struct, frozen=True, tag=True):
    """Let the packet carry no affinity id any more."""


class Remember(msgspec.Struct, frozen=True, tag=True):
    """Write, or refresh, a record: these fields lead to the packet's destination address and port.

    A record that exists keeps its data; only its time begins anew.
    """

    fields: tuple[Field, ...]
    map_name: str
    seconds: int
    """How long the record lives without another packet that asks for it."""


class Masquerade(msgspec.Struct, frozen=True, tag=True):
    """Source translation to the outgoing address, port fully random."""


class Reject(msgspec.Struct, frozen=True, tag=True):
    """Refuse with ICMP port unreachable."""


class Reset(msgspec.Struct, frozen=True, tag=True):
    """Refuse a TCP connection with a reset."""


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Discard silently."""


class Jump(msgspec.Struct, frozen=True, tag=True):
    """Run a chain and come back."""

    chain: str


class Goto(msgspec.Struct, frozen=True, tag=True):
    """Run a chain and do not come back here."""

    chain: str


class Return(msgspec.Struct, frozen=True, tag=True):
    """Leave the chain and go on behind the jump to it."""


Statement = (
    MatchAddress
    | MatchInterface
    | MatchLocal
    | MatchNewConnection
    | MatchTranslated
    | MatchMark
    | MatchTcp
    | InSet
    | NetworkInSet
    | SetMark
    | ClearMark
    | DnatToSlot
    | DnatByMap
    | LoadAffinity
    | ClearAffinity
    | Remember
    | Masquerade
    | Reject
    | Reset
    | Drop
    | Jump
    | Goto
    | Return
)


class Rule(msgspec.Struct, frozen=True):
    """Statements in order; the first one that does not match ends the rule."""

    statements: tuple[Statement, ...]
    comment: str = ""


# -- chains and sets -----------------------------------------------------------------------------


class Hook(msgspec.Struct, frozen=True):
    """Where a base chain hangs in the packet's path."""

    type: str
    """`nat` or `filter`."""
    number: int
    """NF_INET_*."""
    priority: int
    text: str
    """As nft spells it: `hook prerouting priority dstnat`."""


class Chain(msgspec.Struct, frozen=True):
    """A chain with its rules; without a hook it is only reached from others."""

    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None
    comment: str = ""


class ValueKind(enum.Enum):
    """What the elements of a set hold beside their key."""

    NOTHING = "set"
    ENDPOINT = "endpoint map"
    """Keys end in a slot number; the data is an address and a port."""
    AFFINITY_ID = "affinity ids"
    """The data is a number of 32 bits."""
    MEMBERS = "affinity members"
    """A plain set whose keys begin with an affinity id, kept as one group for each id."""
    RECORDS = "records"
    """Written by packets; the data is an address and a port, each element has a timeout."""


MAX_RECORDS = 1 << 18
"""Room in a set of records; when it is full, new clients are not remembered."""


class SetSpec(msgspec.Struct, frozen=True):
    """A named set or map."""

    name: str
    fields: tuple[Field, ...]
    """The key; endpoint maps append the slot."""
    kind: ValueKind
    comment: str


class Skeleton(msgspec.Struct, frozen=True):
    """The sets and chains of a table: depends on the settings and the slot classes in use."""

    family: Family
    sets: tuple[SetSpec, ...]
    chains: tuple[Chain, ...]


# -- elements ------------------------------------------------------------------------------------


class Slots(tuple[bytes | None, ...]):
    """Data of an endpoint map for one frontend: the endpoint in each slot.

    None is a hole, which only a foreign hand can have made.
    """

    __slots__ = ()


class AffinityId(NamedTuple):
    """Data of an affinity id map, and the element's comment."""

    number: int
    """2^30..2^31-1, or 0 for none."""
    comment: str


class Members(frozenset[bytes]):
    """The endpoints, as data of an endpoint map, that an affinity id's clients may have."""

    __slots__ = ()


ElementValue = str | Slots | AffinityId | Members
"""The comment of an element of a plain set, or what `ValueKind` says of the others."""


class ElementId(NamedTuple):
    """One element, one frontend's whole vector of an endpoint map, or all members of an id."""

    set_name: str
    key: bytes


# -- operations ----------------------------------------------------------------------------------


class AddTable(msgspec.Struct, frozen=True, tag=True):
    """Create our table if it is missing."""

    comment: str


class DeleteTable(msgspec.Struct, frozen=True, tag=True):
    """Delete our table with all it holds."""


class AddSet(msgspec.Struct, frozen=True, tag=True):
    """Create a set or map."""

    spec: SetSpec


class DeleteSet(msgspec.Struct, frozen=True, tag=True):
    """Delete a set or map."""

    name: str


class AddChain(msgspec.Struct, frozen=True, tag=True):
    """Create a chain, without its rules."""

    chain: Chain


class FlushChain(msgspec.Struct, frozen=True, tag=True):
    """Delete the rules of a chain."""

    name: str


class DeleteChain(msgspec.Struct, frozen=True, tag=True):
    """Delete an empty chain that nothing refers to."""

    name: str


class AddRule(msgspec.Struct, frozen=True, tag=True):
    """Append a rule to a chain."""

    chain: str
    rule: Rule


class Lifetime(NamedTuple):
    """How long an element of a set with timeouts lives."""

    timeout_ms: int
    """From each use on."""
    expires_ms: int
    """From now on; not longer than the timeout."""


class RawElement(NamedTuple):
    """An element as the kernel has it: vectors are already taken apart."""

    key: bytes
    data: bytes | None
    """Address and port in an endpoint map, a number in an affinity id map, None in a set."""
    comment: str
    owner: PlanKey | None
    """The service port it serves, to name the guilty one if the kernel refuses."""
    lifetime: Lifetime | None = None
    """None: for ever."""


class AddElements(msgspec.Struct, frozen=True, tag=True):
    """Add elements to one set."""

    set_name: str
    elements: tuple[RawElement, ...]


class DeleteElements(msgspec.Struct, frozen=True, tag=True):
    """Remove elements, by key, from one set."""

    set_name: str
    elements: tuple[RawElement, ...]


Operation = (
    AddTable
    | DeleteTable
    | AddSet
    | DeleteSet
    | AddChain
    | FlushChain
    | DeleteChain
    | AddRule
    | AddElements
    | DeleteElements
)
