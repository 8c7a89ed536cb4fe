"""The same packets through the tracer and through the kernel, compared.

What the kernel did must be one of the tracer's endings. Packets are sent many at a time; those
that read or write records of client affinity depend on each other, so of one source only one of
them is under way.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nodeproxy.backends.nftables.keys import ID_BYTES
from nodeproxy.backends.nftables.record_keeper import Membership, correct
from nodeproxy.backends.nftables.records import Record as KernelRecord
from nodeproxy.backends.nftables.records import read_records
from nodeproxy.backends.nftables.sets import AFFINITY
from nodeproxy.backends.nftables.trace.endings import Dropped, Ending, Passed, Refused
from nodeproxy.backends.nftables.trace.packet import Packet, ping
from nodeproxy.backends.nftables.trace.records import Record, Records
from nodeproxy.backends.nftables.trace.tracer import Tracer
from nodeproxy.model.addresses import FAMILIES, Family, format_addr, parse_addr
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink.channel import NetfilterSocket
from tests.kernel.random_services import Sent
from tests.kernel.surroundings import Surroundings
from tests.support.programming import ProgrammedNode
from tests.support.questions import Heard, Question, Reply, ask_all
from tests.support.tracing import content_of, outcome_word, tracer_of

PATIENCE_SECONDS = 5.0
DROP_PATIENCE_SECONDS = 0.15
_LONG_MS = 10_800_000
_NUMBERS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}


class Compared(NamedTuple):
    """One packet, what the tracer said and what the kernel did."""

    sent: Sent
    endings: tuple[Ending, ...]
    reply: Reply
    ending: Ending | None
    """The ending that happened; None if the tracer did not know it."""

    def __str__(self) -> str:
        known = "\n".join(map(str, self.endings))
        return f"{self.sent}: the kernel says {self.reply}, the tracer:\n{known}"


class Agreement:
    """A programmed node with tracers of what was programmed."""

    # Mutable state: tracers of the present rules, and what packets have written, as far as the
    # tracers know.
    def __init__(self, node: ProgrammedNode, around: Surroundings) -> None:
        self._node = node
        self._around = around
        self._records = {family: Records() for family in FAMILIES}
        self._tracers: dict[Family, Tracer] = {}
        self.renew()

    def renew(self) -> None:
        """Go on with what was committed; records of endpoints that left are gone by that."""
        for family in FAMILIES:
            self._tracers[family] = tracer_of(self._node, family, *self._around.node_addresses)
            membership = Membership(content_of(self._node, family).elements)
            self._records[family] = _corrected(self._records[family], membership)

    def records(self, family: Family) -> set[tuple[bytes, bytes]]:
        """Key and data of the records there should be."""
        return {(record.key, record.data) for record in self._records[family].entries}

    def records_in_kernel(
        self, channel: NetfilterSocket, family: Family
    ) -> set[tuple[bytes, bytes]]:
        """Key and data of the records there are."""
        if AFFINITY not in content_of(self._node, family).sets:
            return set()
        return {(record.key, record.data) for record in read_records(channel, family)}

    def compare(self, packets: Iterable[Sent]) -> list[Compared]:
        """Send all of them; in the end each was sent once."""
        compared: list[Compared] = []
        later: defaultdict[str, list[Sent]] = defaultdict(list)
        at_once: list[Sent] = []
        for sent in packets:
            endings = self.trace(sent)
            if _can_be_answered(sent, endings):
                depends = self._changes_records(sent.caller.family, endings)
                (later[sent.caller.address] if depends else at_once).append(sent)
        self._send(at_once, compared)
        for turn in itertools.zip_longest(*later.values()):
            self._send([sent for sent in turn if sent is not None], compared)
        return compared

    def trace(self, sent: Sent) -> tuple[Ending, ...]:
        """The endings of a packet sent now."""
        family = sent.caller.family
        return self._tracers[family].trace(packet_of(sent), self._records[family], time.monotonic())

    def _send(self, packets: Sequence[Sent], compared: list[Compared]) -> None:
        """Send all of these together."""
        traced = [(sent, self.trace(sent)) for sent in packets]
        replies = ask_all([_question(sent, endings) for sent, endings in traced])
        for (sent, endings), reply in zip(traced, replies, strict=True):
            compared.append(self._settle(sent, endings, reply))

    def _changes_records(self, family: Family, endings: Iterable[Ending]) -> bool:
        return any(ending.records != self._records[family] for ending in endings)

    def _settle(self, sent: Sent, endings: tuple[Ending, ...], reply: Reply) -> Compared:
        """Find the ending that happened, and go on with its records."""
        family = sent.caller.family
        ending = self._find(sent, endings, reply)
        if ending is not None and ending.records != self._records[family]:
            # Others have written since this was traced, though none from this source.
            again = self._find(sent, self.trace(sent), reply)
            self._records[family] = (again or ending).records
        return Compared(sent, endings, reply, ending)

    def _find(self, sent: Sent, endings: Iterable[Ending], reply: Reply) -> Ending | None:
        return next((e for e in endings if self._is(e, sent, reply)), None)

    def _is(self, ending: Ending, sent: Sent, reply: Reply) -> bool:
        match ending.outcome:
            case Dropped():
                return reply == "silent"
            case Refused():
                return reply == "refused"
            case Passed() as passed:
                return self._arrived(passed, sent, reply)

    def _arrived(self, passed: Passed, sent: Sent, reply: Reply) -> bool:
        """What is expected of a packet that goes on: an answer, or the error of where it ends."""
        address = format_addr(passed.destination)
        if address not in self._around.hosts:
            return reply == "unreachable"
        if sent.protocol == "ping":
            return isinstance(reply, Heard)
        if not self._around.listens(address, passed.port):
            return reply == "refused"
        return (
            isinstance(reply, Heard)
            and (reply.server, reply.server_port) == (address, passed.port)
            and reply.is_masqueraded is passed.is_masqueraded
        )


def _corrected(records: Records, membership: Membership) -> Records:
    """What user space makes of records behind a commit; no timeout changes here."""
    read = [_as_read(entry, membership) for entry in records.entries]
    removed, added = correct(read, membership, inherits=True)
    expires_at = {entry.key: entry.expires_at for entry in records.entries}
    kept = [entry for entry in records.entries if entry.key not in removed]
    new = [Record(AFFINITY, one.key, one.data, max(expires_at.values())) for one in added]
    return Records(tuple(sorted([*kept, *new])))


def _as_read(entry: Record, membership: Membership) -> KernelRecord:
    timeout_ms = membership.seconds(entry.key[-ID_BYTES:], entry.data) * 1000 or _LONG_MS
    return KernelRecord(entry.key, entry.data, timeout_ms, timeout_ms)


def _can_be_answered(sent: Sent, endings: Iterable[Ending]) -> bool:
    """A pod takes no packet from itself; to one of another node that may happen (DP-23)."""
    return not any(
        isinstance(passed := ending.outcome, Passed)
        and passed.is_translated
        and not passed.is_masqueraded
        and format_addr(passed.destination) == sent.caller.address
        for ending in endings
    )


def packet_of(sent: Sent) -> Packet:
    """The packet as the tracer takes it."""
    source, destination = parse_addr(sent.caller.address), parse_addr(sent.destination)
    interface = sent.caller.interface
    if sent.protocol == "ping":
        return ping(source, destination, interface)
    return Packet(source, destination, _NUMBERS[sent.protocol], sent.port, interface)


def _question(sent: Sent, endings: Iterable[Ending]) -> Question:
    may_drop = any(isinstance(ending.outcome, Dropped) for ending in endings)
    return Question(
        sent.caller.namespace,
        sent.caller.address,
        sent.protocol,
        sent.destination,
        sent.port,
        DROP_PATIENCE_SECONDS if may_drop else PATIENCE_SECONDS,
    )


def kinds(compared: Iterable[Compared]) -> Counter[str]:
    """How often each kind of outcome happened."""
    return Counter(_kind(each.ending) for each in compared if each.ending is not None)


def _kind(ending: Ending) -> str:
    match ending.outcome:
        case Passed(is_translated=True, is_masqueraded=is_masqueraded):
            if any(step.chain == "known-clients" for step in ending.path):
                return "remembered"
            return "translated masq" if is_masqueraded else "translated"
        case _:
            return outcome_word(ending)
