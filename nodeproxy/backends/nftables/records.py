"""Records of session affinity that are no longer right: taken out, or given another lifetime.

Packets write the records (see `affinity`); what packets cannot know is that an endpoint is gone or
that a Service's timeout was changed. After a commit that took members out, and after a read-back,
the map is read once:

    endpoint is no member of the id any more     the record goes: the client gets another endpoint
    the Service remembers for longer or shorter  it lives on, counted from the same last use

Members that left are looked for in the raw answer of the kernel, so records of others cost their
reading only. The kernel walks the map from the start for every 32 KB it answers: 10,000 records
take 5 ms, 100,000 take 330 ms.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from nodeproxy.backends.nftables.encode_rules import NFPROTO
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.objects import (
    TABLE,
    AddElements,
    DeleteElements,
    ElementValue,
    Lifetime,
    Members,
    Operation,
    RawElement,
)
from nodeproxy.backends.nftables.sets import AFFINITY, parse_timeout
from nodeproxy.backends.nftables.transaction import send
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import string
from nodeproxy.netlink.channel import Channel

_log = logging.getLogger("nodeproxy.nftables")

_ATTEMPTS = 5
"""A record may expire between reading and deleting; the kernel then refuses the whole batch."""
_THREAD_RECORDS = 500
"""With more records than this the next reading is done in a thread."""
_INLINE_RECORDS = 10_000
"""With more records than this, reading them is no part of a commit (5 ms for so many)."""
_SEARCHED_MEMBERS = 32
"""With more members gone than this, taking every record apart is quicker than looking for each."""
_ID_BYTES = 4


_Timeouts = Sequence[tuple[int, Mapping[bytes, ElementValue]]]
"""Timeouts in seconds, with the members by affinity id that are remembered for so long."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A client's last endpoint."""

    key: bytes
    data: bytes
    timeout_ms: int
    expires_ms: int
    """How long it has still to live."""


class RecordKeeper:
    """Keeps the records of one family's table right. Belongs to the table.

    A few thousand records are corrected within the commit. The time to read them grows with the
    square of their number, so many are left to `run`, if somebody runs it.
    """

    # Mutable state: the members whose records may be wrong, and what is known of the map.
    def __init__(self, channel: Channel, family: Family) -> None:
        self._channel = channel
        self._family = family
        self._layout = _Layout(family)
        self._content = Content()
        self._suspects: set[bytes] = set()
        self._suspects_all = False
        self._count = 0
        self._wake: asyncio.Event | None = None
        """Set while `run` is there to take work."""

    def notice(self, operations: Iterable[Operation]) -> None:
        """A transaction was accepted; members that it took out may be in records."""
        for operation in operations:
            if isinstance(operation, DeleteElements) and parse_timeout(operation.set_name):
                self._suspects.update(raw.key for raw in operation.elements)

    async def keep(self, content: Content, *, fresh: bool) -> None:
        """Correct the records, if something happened that makes it necessary.

        Args:
            content: what the kernel holds.
            fresh: it was just read back, so everything may have changed.
        """
        if AFFINITY not in content.sets or not (self._suspects or fresh):
            return
        self._content = content
        self._suspects_all |= fresh
        if self._wake is not None and (fresh or self._count > _INLINE_RECORDS):
            self._wake.set()
        else:
            await self._correct(self._channel)

    async def run(self, channel: Channel) -> None:
        """Correct for ever what is too much for a commit.

        Args:
            channel: a channel that nobody else uses.
        """
        self._wake = asyncio.Event()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._correct(channel)
        finally:
            self._wake = None

    async def _correct(self, channel: Channel) -> None:
        suspects, is_all = self._suspects, self._suspects_all
        self._suspects, self._suspects_all = set(), False
        is_search = not is_all and len(suspects) <= _SEARCHED_MEMBERS
        search = _Search(self._layout, suspects) if is_search else None
        try:
            for _ in range(_ATTEMPTS):
                if await self._try_correct(channel, search):
                    return
        except BackendError as exc:
            # The rules are right; clients of an endpoint that is gone wait for the next commit.
            _log.warning("affinity records not corrected family=%s error=%s", self._family, exc)
        self._suspects |= suspects
        self._suspects_all |= is_all

    async def _try_correct(self, channel: Channel, search: _Search | None) -> bool:
        """One reading and one writing; False if a record expired in between."""
        timeouts = [
            (seconds, elements)
            for name, elements in self._content.elements.items()
            if (seconds := parse_timeout(name))
        ]
        if self._count < _THREAD_RECORDS:
            operations = self._corrections(channel, timeouts, search)
        else:
            operations = await asyncio.to_thread(self._corrections, channel, timeouts, search)
        if not operations:
            return True
        answer = await send(channel, self._family, operations)
        return not answer.errors

    def _corrections(
        self, channel: Channel, timeouts: _Timeouts, search: _Search | None
    ) -> list[Operation]:
        gone: list[RawElement] = []
        renewed: list[RawElement] = []
        for record in self._read(channel, search):
            timeout_ms = _seconds_of(record, timeouts) * 1000
            if timeout_ms == record.timeout_ms:
                continue
            gone.append(RawElement(record.key, None, "", None))
            left_ms = timeout_ms - (record.timeout_ms - record.expires_ms)
            if left_ms > 0:
                lifetime = Lifetime(timeout_ms, left_ms)
                renewed.append(RawElement(record.key, record.data, "", None, lifetime))
        operations: list[Operation] = []
        if gone:
            operations.append(DeleteElements(AFFINITY, tuple(gone)))
        if renewed:
            operations.append(AddElements(AFFINITY, tuple(renewed)))
        return operations

    def _read(self, channel: Channel, search: _Search | None) -> Iterator[Record]:
        count = 0
        for elements in _dump(channel, self._family):
            count += len(elements) // self._layout.row.size
            if search is None or search.hits(elements):
                yield from _records(elements, self._layout)
        self._count = count


def _seconds_of(record: Record, timeouts: _Timeouts) -> int:
    """How long the record's endpoint is remembered; 0 if it is no member of the id."""
    number = record.key[-_ID_BYTES:]
    for seconds, members_by_id in timeouts:
        members = members_by_id.get(number)
        if isinstance(members, Members) and record.data in members:
            return seconds
    return 0


class _Search:
    """Finds messages with records of certain members without taking them apart.

    In the kernel's answer the id, which ends the key, and the data stand one behind the other, with
    the same headers between them in every record.
    """

    def __init__(self, layout: _Layout, members: Iterable[bytes]) -> None:
        self._patterns = [
            member[:_ID_BYTES] + layout.before_data + member[_ID_BYTES:] for member in members
        ]

    def hits(self, elements: bytes) -> bool:
        return any(pattern in elements for pattern in self._patterns)


def read_records(channel: Channel, family: Family) -> Iterator[Record]:
    """All records of one family's table.

    Raises:
        NetlinkError: the dump failed.
    """
    layout = _Layout(family)
    for elements in _dump(channel, family):
        yield from _records(elements, layout)


def _dump(channel: Channel, family: Family) -> Iterator[bytes]:
    """The elements of the map, some thousand bytes at a time."""
    body = string(nf.NFTA_SET_ELEM_LIST_TABLE, TABLE)
    body += string(nf.NFTA_SET_ELEM_LIST_SET, AFFINITY)
    for message in channel.dump(nf.NFT_MSG_GETSETELEM, NFPROTO[family], body):
        found = attributes.parse(message.body)
        yield found.get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b"")


class _Layout:
    """An element as the kernel dumps it, for reading many without taking each apart.

    LIST_ELEM { KEY { VALUE key } DATA { VALUE data } TIMEOUT ms(8) EXPIRATION ms(8) }
    """

    def __init__(self, family: Family) -> None:
        key_bytes, data_bytes = family.addr_bytes + 8, family.addr_bytes + 4
        self.row = struct.Struct(f">12s{key_bytes}s8s{data_bytes}s4sQ4sQ")
        self.before_key = _header_bytes(
            (self.row.size, nf.NFTA_LIST_ELEM),
            (key_bytes + 8, nf.NFTA_SET_ELEM_KEY),
            (key_bytes + 4, nf.NFTA_DATA_VALUE),
        )
        self.before_data = _header_bytes(
            (data_bytes + 8, nf.NFTA_SET_ELEM_DATA), (data_bytes + 4, nf.NFTA_DATA_VALUE)
        )
        self.before_timeout = _header_bytes((12, nf.NFTA_SET_ELEM_TIMEOUT))
        self.before_expiration = _header_bytes((12, nf.NFTA_SET_ELEM_EXPIRATION))


def _header_bytes(*headers: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("=HH", *header) for header in headers)


def _records(elements: bytes, layout: _Layout) -> Iterator[Record]:
    """The elements of one message: all of one form, or else attribute by attribute."""
    headers = (
        layout.before_key,
        layout.before_data,
        layout.before_timeout,
        layout.before_expiration,
    )
    if len(elements) % layout.row.size == 0:
        rows = list(layout.row.iter_unpack(elements))
        if all(row[0::2] == headers for row in rows):
            yield from (Record(*row[1::2]) for row in rows)
            return
    for _, element in attributes.iterate(elements):
        yield _parsed(attributes.parse(element))


def _parsed(parts: dict[int, bytes]) -> Record:
    key, data = (
        attributes.parse(parts.get(kind, b"")).get(nf.NFTA_DATA_VALUE, b"")
        for kind in (nf.NFTA_SET_ELEM_KEY, nf.NFTA_SET_ELEM_DATA)
    )
    timeout, expires = (
        int.from_bytes(parts.get(kind, b""), "big")
        for kind in (nf.NFTA_SET_ELEM_TIMEOUT, nf.NFTA_SET_ELEM_EXPIRATION)
    )
    return Record(key, data, timeout, expires)
