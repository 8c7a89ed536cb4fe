"""Records of session affinity that are no longer right: taken out, or given another lifetime.

Packets write the records (see `affinity`); what packets cannot know is that an endpoint is gone or
that a Service's timeout was changed. After a commit that took members out, and after a read-back,
the map is read once:

    endpoint is no member of the id any more     the record goes: the client gets another endpoint
    the Service remembers for longer or shorter  it lives on, counted from the same last use

Reading 100,000 records takes 0.1 s, in a thread, and after the commit: the new rules carry packets
already. The records of a million clients are the worst case (MAX_RECORDS).
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Iterator, Mapping

import msgspec

from nodeproxy.backends.nftables.encode_rules import NFPROTO
from nodeproxy.backends.nftables.mirror import Change, Content
from nodeproxy.backends.nftables.objects import (
    TABLE,
    AddElements,
    DeleteElements,
    Lifetime,
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
_THREAD_RECORDS = 200
"""With more records than this the next reading is done in a thread."""
_ID_BYTES = 4


class Record(msgspec.Struct, frozen=True, gc=False):
    """A client's last endpoint."""

    key: bytes
    data: bytes
    timeout_ms: int
    expires_ms: int
    """How long it has still to live."""

    @property
    def member_key(self) -> bytes:
        """The key that the endpoint has among the members of the id."""
        return self.key[-_ID_BYTES:] + self.data


class RecordKeeper:
    """Keeps the records of one family's table right. Belongs to the table."""

    # Mutable state: whether something happened that may have made records wrong.
    def __init__(self, channel: Channel, family: Family) -> None:
        self._channel = channel
        self._family = family
        self._is_due = False
        self._count = 0

    def notice(self, change: Change) -> None:
        """A commit was accepted; members that left it may be in records."""
        self._is_due = self._is_due or any(parse_timeout(name) for name, _ in change.removed)

    async def keep(self, content: Content, *, fresh: bool) -> None:
        """Correct the records, if something happened that makes it necessary.

        Args:
            content: what the kernel holds.
            fresh: it was just read back, so everything may have changed.
        """
        if AFFINITY not in content.sets or not (self._is_due or fresh):
            return
        seconds_by_member = {
            key: seconds
            for name, members in content.elements.items()
            if (seconds := parse_timeout(name))
            for key in members
        }
        try:
            self._is_due = not await self._correct(seconds_by_member)
        except BackendError as exc:
            # The rules are right; only clients of an endpoint that is gone suffer until the next.
            _log.warning(
                "affinity records not corrected family=%s error=%r", self._family, str(exc)
            )

    async def _correct(self, seconds_by_member: Mapping[bytes, int]) -> bool:
        for _ in range(_ATTEMPTS):
            if self._count < _THREAD_RECORDS:
                operations = self._corrections(seconds_by_member)
            else:
                operations = await asyncio.to_thread(self._corrections, seconds_by_member)
            if not operations:
                return True
            answer = await send(self._channel, self._family, operations)
            if not answer.errors:
                return True
        return False

    def _corrections(self, seconds_by_member: Mapping[bytes, int]) -> list[Operation]:
        gone: list[RawElement] = []
        renewed: list[RawElement] = []
        self._count = 0
        for record in read_records(self._channel, self._family):
            self._count += 1
            timeout_ms = seconds_by_member.get(record.member_key, 0) * 1000
            if timeout_ms == record.timeout_ms:
                continue
            gone.append(RawElement(record.key, None, "", None))
            left_ms = timeout_ms - (record.timeout_ms - record.expires_ms)
            if left_ms > 0:
                lifetime = Lifetime(timeout_ms, left_ms)
                renewed.append(RawElement(record.key, record.data, "", None, b"", lifetime))
        operations: list[Operation] = []
        if gone:
            operations.append(DeleteElements(AFFINITY, tuple(gone)))
        if renewed:
            operations.append(AddElements(AFFINITY, tuple(renewed)))
        return operations


def read_records(channel: Channel, family: Family) -> Iterator[Record]:
    """All records of one family's table.

    Raises:
        NetlinkError: the dump failed.
    """
    layout = _Layout(family)
    body = string(nf.NFTA_SET_ELEM_LIST_TABLE, TABLE)
    body += string(nf.NFTA_SET_ELEM_LIST_SET, AFFINITY)
    for message in channel.dump(nf.NFT_MSG_GETSETELEM, NFPROTO[family], body):
        found = attributes.parse(message.body)
        yield from _records(found.get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b""), layout)


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
