"""Connection tracking in memory, with the manners of the kernel's.

    conntrack = FakeConntrack([Entry.to(("10.96.0.10", 53), ("10.244.0.4", 5353))])
    ... a FlowCleaner works on it ...
    conntrack.entries

Answers are encoded as the kernel encodes them, and filtered by what the request asks for.
"""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from lab.conntrack import Entry, encode
from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Addr, Cidr, Family, family_of, parse_addr
from nodeproxy.netlink.conntrack import FlowFilter

_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_DATAGRAM_BYTES = 32_000


class FakeConntrack:
    """A `ConntrackChannel`; the fault switches say what goes wrong next."""

    def __init__(self, entries: Iterable[Entry] = (), own: Iterable[Cidr] = ()) -> None:
        self.entries: dict[Entry, int] = {}
        """With the kernel's id of each."""
        self.requests: list[str] = []
        """`dump ...` and `delete`, in order."""
        self.fail_next_dump = 0
        """An errno: the next dump is refused with it."""
        self.interrupted_dumps = 0
        """So many dumps are called inconsistent."""
        self.ignores_filters = False
        """As kernels before 5.8."""
        self.is_closed = False
        self._ids = itertools.count(1)
        self._own = tuple(own)
        self._answer: Iterator[bytes] = iter(())
        self.add(*entries)

    def add(self, *entries: Entry) -> None:
        """New entries; one that is there already gets another id."""
        self.entries.update((entry, next(self._ids)) for entry in entries)

    def start_dump(self, flow_filter: FlowFilter) -> None:
        """See `ConntrackChannel.start_dump`."""
        self.requests.append(_describe(flow_filter))
        if self.fail_next_dump:
            errno, self.fail_next_dump = self.fail_next_dump, 0
            raise NetlinkError("request to connection tracking", errno)
        found = [e for e in self.entries if self.ignores_filters or _passes(e, flow_filter)]
        family = flow_filter.family
        self._answer = self._datagrams([e for e in found if _family(e) is family])

    def receive(self) -> bytes:
        """See `ConntrackChannel.receive`."""
        return next(self._answer)

    def delete(self, family: Family, identities: Sequence[bytes]) -> int:
        """See `ConntrackChannel.delete`."""
        self.requests += ["delete"] * len(identities)
        known = {_identity(entry, id_): entry for entry, id_ in self.entries.items()}
        found = [known[identity] for identity in identities if identity in known]
        for entry in found:
            del self.entries[entry]
        return len(found)

    def own_networks(self, family: Family) -> tuple[Cidr, ...]:
        """See `ConntrackChannel.own_networks`."""
        return tuple(network for network in self._own if network.family is family)

    def close(self) -> None:
        """See `ConntrackChannel.close`."""
        self.is_closed = True

    def _datagrams(self, entries: Sequence[Entry]) -> Iterator[bytes]:
        flags = 2
        if self.interrupted_dumps:
            self.interrupted_dumps -= 1
            flags |= 0x10
        datagram = b""
        for entry in entries:
            datagram += entry_message(entry, self.entries[entry], flags)
            if len(datagram) > _DATAGRAM_BYTES:
                yield datagram
                datagram = b""
        yield datagram + end_of_dump(flags)


def entry_message(entry: Entry, id_: int, flags: int = 2, more: bytes = b"") -> bytes:
    """An entry as a dump tells it, with `more` attributes at its end."""
    body = _identity(entry, id_) + more
    family = socket.AF_INET if _family(entry) is Family.IPV4 else socket.AF_INET6
    header = struct.pack("=IHHII", 20 + len(body), 1 << 8, flags, 1, 1)
    return header + struct.pack("=BBH", family, 0, 0) + body


def end_of_dump(flags: int = 2) -> bytes:
    """NLMSG_DONE."""
    return struct.pack("=IHHIIi", 20, 3, flags, 1, 1, 0)


def _identity(entry: Entry, id_: int) -> bytes:
    return encode(entry) + struct.pack("=HHI", 8, 12, id_)


def _family(entry: Entry) -> Family:
    return family_of(parse_addr(entry.original.source))


def _passes(entry: Entry, wanted: FlowFilter) -> bool:
    if _NUMBERS[entry.protocol] != wanted.protocol:
        return False
    if wanted.port and wanted.port != entry.original.destination_port:
        return False
    addr = parse_addr(entry.original.destination)
    return wanted.addr == Addr(b"") or wanted.family is Family.IPV6 or wanted.addr == addr


def _describe(wanted: FlowFilter) -> str:
    addr = socket.inet_ntop(socket.AF_INET, wanted.addr) if len(wanted.addr) == 4 else "*"
    return f"dump {wanted.family} {wanted.protocol} {addr}:{wanted.port or '*'}"
