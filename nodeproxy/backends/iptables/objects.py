"""What our iptables rules are made of, as values: matches, targets, rules, chains.

The same values are printed for iptables-restore (`text`), compared with what iptables-save
printed (`readback`) and followed by the tracer (`trace`): nothing exists in one form only.
"""

from __future__ import annotations

import enum
import re

import msgspec

from nodeproxy.model.addresses import Cidr
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Target as Endpoint

PREFIX = "NP-"
"""How the names of all our chains begin; nothing of ours has another name."""


SERVICE_PORT_CHAIN = re.compile(r"NP-[A-Z]+-[A-Z2-7]{16}")
"""The names of chains that belong to one service port."""


class Table(enum.StrEnum):
    """The tables we have chains in."""

    FILTER = "filter"
    NAT = "nat"


# -- matches -------------------------------------------------------------------------------------
# In a rule they stand in this order, which is the order iptables-save prints.


class FromNetwork(msgspec.Struct, frozen=True, tag=True):
    """The source address is (not) inside a network."""

    cidr: Cidr
    negate: bool = False


class ToNetwork(msgspec.Struct, frozen=True, tag=True):
    """The destination address is (not) inside a network."""

    cidr: Cidr
    negate: bool = False


class FromInterface(msgspec.Struct, frozen=True, tag=True):
    """The input interface is (not) this one, or (not) one whose name starts so."""

    name: str
    is_prefix: bool = False
    negate: bool = False


class OfProtocol(msgspec.Struct, frozen=True, tag=True):
    """The packet is of this transport protocol."""

    protocol: Protocol


class Comment(msgspec.Struct, frozen=True, tag=True):
    """Always matches; tells people what the rule is for."""

    text: str


class ToPorts(msgspec.Struct, frozen=True, tag=True):
    """The destination port is one of first..last, inclusive."""

    protocol: Protocol
    first: int
    last: int


class Local(msgspec.Struct, frozen=True, tag=True):
    """Source or destination is an address of the node, asked of the routing table."""

    is_source: bool


class InState(msgspec.Struct, frozen=True, tag=True):
    """Connection tracking says (none of) these of the packet: NEW, INVALID, DNAT, ..."""

    states: str
    negate: bool = False


class Marked(msgspec.Struct, frozen=True, tag=True):
    """The packet carries (does not carry) this bit in its mark."""

    bit: int
    negate: bool = False


class Chance(msgspec.Struct, frozen=True, tag=True):
    """True once in `of` times, at random."""

    of: int


class Known(msgspec.Struct, frozen=True, tag=True):
    """The source was noted in this list less than `seconds` ago; older notes are forgotten."""

    list_name: str
    seconds: int
    is_ipv6: bool


class Note(msgspec.Struct, frozen=True, tag=True):
    """Always matches; notes the source in this list, with the time."""

    list_name: str
    is_ipv6: bool


class ToItself(msgspec.Struct, frozen=True, tag=True):
    """Source and destination are the same address."""

    is_ipv6: bool


Match = (
    FromNetwork
    | ToNetwork
    | FromInterface
    | OfProtocol
    | Comment
    | ToPorts
    | Local
    | InState
    | Marked
    | Chance
    | Known
    | Note
    | ToItself
)


# -- targets -------------------------------------------------------------------------------------


class Jump(msgspec.Struct, frozen=True, tag=True):
    """Run a chain and come back."""

    chain: str


class Goto(msgspec.Struct, frozen=True, tag=True):
    """Run a chain and do not come back here, but to whoever jumped last."""

    chain: str


class Return(msgspec.Struct, frozen=True, tag=True):
    """Leave the chain and go on behind the last jump."""


class Accept(msgspec.Struct, frozen=True, tag=True):
    """No further rule of this table is asked."""


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Discard silently."""


class Reject(msgspec.Struct, frozen=True, tag=True):
    """Refuse with ICMP port unreachable."""

    is_ipv6: bool


class Reset(msgspec.Struct, frozen=True, tag=True):
    """Refuse a TCP connection with a reset."""


class SetMark(msgspec.Struct, frozen=True, tag=True):
    """Add this bit to the packet's mark and go on."""

    bit: int


class ClearMark(msgspec.Struct, frozen=True, tag=True):
    """Remove this bit, which is known to be set, from the packet's mark and go on."""

    bit: int


class Dnat(msgspec.Struct, frozen=True, tag=True):
    """Translate the destination to this endpoint."""

    endpoint: Endpoint


class Masquerade(msgspec.Struct, frozen=True, tag=True):
    """Source translation to the outgoing address, port fully random (DP-24)."""


Target = (
    Jump | Goto | Return | Accept | Drop | Reject | Reset | SetMark | ClearMark | Dnat | Masquerade
)


class Rule(msgspec.Struct, frozen=True):
    """If all matches hold, the target happens; otherwise the next rule is asked."""

    matches: tuple[Match, ...]
    target: Target


class Chain(msgspec.Struct, frozen=True):
    """A chain of ours with its rules; behind the last one the caller goes on."""

    name: str
    rules: tuple[Rule, ...]


class Hook(msgspec.Struct, frozen=True):
    """The one rule of ours in a built-in chain, the first there: a jump to our own chain."""

    table: Table
    builtin: str
    chain: str


HOOKS = (
    Hook(Table.FILTER, "INPUT", "NP-INPUT"),
    Hook(Table.FILTER, "FORWARD", "NP-FORWARD"),
    Hook(Table.FILTER, "OUTPUT", "NP-OUTPUT"),
    Hook(Table.NAT, "PREROUTING", "NP-SERVICES"),
    Hook(Table.NAT, "OUTPUT", "NP-SERVICES"),
    Hook(Table.NAT, "POSTROUTING", "NP-POSTROUTING"),
)
