"""What can become of a packet, how likely that is, and which rules made it so."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import msgspec

from nodeproxy.backends.nftables.objects import Rule
from nodeproxy.backends.nftables.text import rule_text
from nodeproxy.backends.nftables.trace.records import Records
from nodeproxy.model.addresses import Addr, Family, format_addr_port


class Passed(msgspec.Struct, frozen=True):
    """The packet goes on, to an endpoint or where its sender wanted."""

    destination: Addr
    port: int
    is_translated: bool
    """A rule chose the destination; false means that it is the one the sender wrote."""
    is_masqueraded: bool
    """The destination sees the node's address as the source, not the sender's."""

    def __str__(self) -> str:
        verb = "to" if self.is_translated else "untouched to"
        text = f"{verb} {format_addr_port(self.destination, self.port)}"
        return f"{text}, masqueraded" if self.is_masqueraded else text


class Refused(msgspec.Struct, frozen=True):
    """The sender is told at once: by ICMP port unreachable, or by a reset."""

    by_reset: bool

    def __str__(self) -> str:
        return "refused by a reset" if self.by_reset else "refused"


class Dropped(msgspec.Struct, frozen=True):
    """Nobody is told."""

    def __str__(self) -> str:
        return "dropped"


Outcome = Passed | Refused | Dropped


class Step(NamedTuple):
    """One rule that did something to the packet."""

    family: Family
    chain: str
    rule: Rule
    note: str
    """What it came to: `10.244.0.11:8080`; empty if the rule says it all."""

    def __str__(self) -> str:
        text = f"{self.chain}: {rule_text(self.rule, self.family)}"
        return f"{text} -> {self.note}" if self.note else text


Path = tuple[Step, ...]


class Ending(msgspec.Struct, frozen=True):
    """One thing that can become of the packet."""

    outcome: Outcome
    probability: Fraction
    """Exact; those of all endings of a packet add up to one."""
    path: Path
    """The likeliest of the ways to this ending."""
    records: Records
    """What packets have written, after this one."""

    def __str__(self) -> str:
        head = f"{self.outcome}, {float(self.probability):.2%}"
        return "\n".join([head, *(f"  {step}" for step in self.path)])
