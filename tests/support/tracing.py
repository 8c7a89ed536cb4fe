"""Packets traced through what a programmed node has in its kernel.

tracer = tracer_of(node, Family.IPV4, "192.168.0.2")
tracer.trace(packet("10.244.0.11", "10.96.0.10:80", interface="pod1"))
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.trace.endings import Dropped, Ending, Passed, Refused
from nodeproxy.backends.nftables.trace.frame import skeleton_of
from nodeproxy.backends.nftables.trace.packet import NodeAddresses, Packet
from nodeproxy.backends.nftables.trace.tracer import Tracer
from nodeproxy.model.addresses import Family, format_addr_port, parse_addr
from nodeproxy.model.keys import Protocol
from tests.support.programming import ProgrammedNode


def tracer_of(node: ProgrammedNode, family: Family, *addresses: str) -> Tracer:
    """A tracer for what the node's agent knows to be installed.

    Args:
        node: after a commit.
        family: which of its tables.
        addresses: the node's own, loopback not among them.
    """
    content = content_of(node, family)
    here = NodeAddresses(frozenset(map(parse_addr, addresses)))
    return Tracer(skeleton_of(content, family), content.elements, here)


def content_of(node: ProgrammedNode, family: Family) -> Content:
    """What a node's agent knows to be installed."""
    # The mirror is what readback and commits agree on; only tests look at it from outside.
    return node.backend._tables[family].mirror.content


def packet(
    source: str,
    destination: str,
    *,
    protocol: Protocol = Protocol.TCP,
    interface: str | None = None,
    mark: int = 0,
    priority: int = 0,
) -> Packet:
    """A packet to `10.96.0.10:80` or `[fd00::10]:80`."""
    host, _, port = destination.rpartition(":")
    to = parse_addr(host.strip("[]"))
    return Packet(parse_addr(source), to, protocol, int(port), interface, mark, priority)


def summary(endings: Iterable[Ending]) -> dict[str, Fraction]:
    """Probability by outcome, in words: `10.244.0.11:8080 masq`, `refused`, `untouched`."""
    found: dict[str, Fraction] = {}
    for ending in endings:
        word = outcome_word(ending)
        found[word] = found.get(word, Fraction(0)) + ending.probability
    return found


def outcome_word(ending: Ending) -> str:
    """One outcome in a word or two."""
    match ending.outcome:
        case Passed(destination, port, is_translated, is_masqueraded):
            word = format_addr_port(destination, port) if is_translated else "untouched"
            return f"{word} masq" if is_masqueraded else word
        case Refused(by_reset):
            return "reset" if by_reset else "refused"
        case Dropped():
            return "dropped"
