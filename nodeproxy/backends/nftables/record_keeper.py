"""Records of session affinity that packets cannot keep right by themselves.

After a commit that changed members of affinity ids, and after a read-back:

    endpoint is no member of the id any more     the record goes: the client gets another endpoint
    the Service remembers for longer or shorter  it lives on, counted from the same last use
    endpoint is in the other pool too            the record holds there as well (DP-65), unless
                                                 that pool knows the client already

Members that left are looked for in the raw answer of the kernel, so records of others cost their
reading only. The kernel walks the map from the start for every 32 KB it answers: 10,000 records
take 5 ms, 100,000 take 330 ms.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from nodeproxy.backends.nftables.keys import ID_BYTES, affinity_key
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.objects import (
    AddElements,
    AffinityId,
    DeleteElements,
    ElementValue,
    Lifetime,
    Members,
    Operation,
    RawElement,
)
from nodeproxy.backends.nftables.records import Record, dump_records
from nodeproxy.backends.nftables.sets import AFFINITY, AFFINITY_SIBLINGS, parse_timeout
from nodeproxy.backends.nftables.transaction import send
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink.channel import Channel

_log = logging.getLogger("nodeproxy.nftables")

_ATTEMPTS = 5
"""A record may come or go between reading and writing; the kernel then refuses the batch."""
_THREAD_RECORDS = 500
"""With more records than this the next reading is done in a thread."""
_INLINE_RECORDS = 10_000
"""With more records than this, reading them is no part of a commit (5 ms for so many)."""
_SEARCHED_MEMBERS = 32
"""With more members gone than this, taking every record apart is quicker than looking for each."""

Elements = Mapping[str, Mapping[bytes, ElementValue]]
"""By set name and key, as the mirror has them."""


class Membership:
    """Which endpoints the clients of an affinity id may have, and for how long."""

    def __init__(self, elements: Elements) -> None:
        self._timeouts = [
            (seconds, members)
            for name, members in elements.items()
            if (seconds := parse_timeout(name))
        ]
        self._siblings = elements.get(AFFINITY_SIBLINGS, {})

    def seconds(self, number: bytes, data: bytes) -> int:
        """How long an endpoint is remembered for an id; 0 if it is no member."""
        for seconds, members_by_id in self._timeouts:
            members = members_by_id.get(number)
            if isinstance(members, Members) and data in members:
                return seconds
        return 0

    def sibling(self, number: bytes, data: bytes) -> bytes:
        """The id of the other pool, if it has this endpoint too; empty if not."""
        found = self._siblings.get(number)
        if not isinstance(found, AffinityId) or not found.number:
            return b""
        other = affinity_key(found.number)
        return other if self.seconds(other, data) else b""

    def has_sibling(self, number: bytes) -> bool:
        """True if the service port has another pool."""
        found = self._siblings.get(number)
        return isinstance(found, AffinityId) and bool(found.number)


class Correction(NamedTuple):
    """What has to be done to records: first the removals, then the additions."""

    removed: list[bytes]
    """Keys."""
    added: list[Record]


def correct(records: Iterable[Record], membership: Membership, *, inherits: bool) -> Correction:
    """What is wrong with records.

    Args:
        records: some, or with `inherits` all that there are.
        membership: what holds now.
        inherits: let a pool that has a client's endpoint too know the client.
    """
    correction = Correction([], [])
    lasting: dict[bytes, Record] = {}
    for record in records:
        timeout_ms = membership.seconds(record.number, record.data) * 1000
        if timeout_ms == record.timeout_ms:
            lasting[record.key] = record
            continue
        correction.removed.append(record.key)
        left_ms = timeout_ms - (record.timeout_ms - record.expires_ms)
        if left_ms > 0:
            lasting[record.key] = replace(record, timeout_ms=timeout_ms, expires_ms=left_ms)
            correction.added.append(lasting[record.key])
    if inherits:
        correction.added.extend(_inherited(lasting, membership))
    return correction


def _inherited(lasting: Mapping[bytes, Record], membership: Membership) -> Iterable[Record]:
    for record in lasting.values():
        sibling = membership.sibling(record.number, record.data)
        key = record.key[:-ID_BYTES] + sibling
        if sibling and key not in lasting:
            yield replace(record, key=key)


class RecordKeeper:
    """Keeps the records of one family's table right. Belongs to the table.

    A few thousand records are corrected within the commit. The time to read them grows with the
    square of their number, so many are left to `run`, if somebody runs it.
    """

    # Mutable state: the members whose records may be wrong, and what is known of the map.
    def __init__(self, channel: Channel, family: Family) -> None:
        self._channel = channel
        self._family = family
        self._content = Content()
        self._left: set[bytes] = set()
        self._joined: set[bytes] = set()
        self._looks_at_all = False
        self._count = 0
        self._wake: asyncio.Event | None = None
        """Set while `run` is there to take work."""

    def notice(self, operations: Iterable[Operation]) -> None:
        """A transaction was accepted; members that it took out or put in may be in records."""
        for operation in operations:
            match operation:
                case DeleteElements(name, elements) if parse_timeout(name):
                    self._left.update(raw.key for raw in elements)
                case AddElements(name, elements) if parse_timeout(name):
                    self._joined.update(raw.key for raw in elements)
                case _:
                    pass

    async def keep(self, content: Content, *, fresh: bool) -> None:
        """Correct the records, if something happened that makes it necessary.

        Args:
            content: what the kernel holds.
            fresh: it was just read back, so everything may have changed.
        """
        joined, self._joined = self._joined, set()
        if AFFINITY not in content.sets:
            return
        self._content = content
        self._looks_at_all |= fresh or _may_inherit(
            self._left, joined, Membership(content.elements)
        )
        if not (self._left or self._looks_at_all):
            return
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
        left, looks_at_all = self._left, self._looks_at_all
        self._left, self._looks_at_all = set(), False
        is_search = not looks_at_all and len(left) <= _SEARCHED_MEMBERS
        try:
            for _ in range(_ATTEMPTS):
                if await self._try_correct(channel, left if is_search else None):
                    return
        except BackendError as exc:
            # The rules are right; clients of an endpoint that is gone wait for the next commit.
            _log.warning("affinity records not corrected family=%s error=%s", self._family, exc)
        self._left |= left
        self._looks_at_all |= looks_at_all

    async def _try_correct(self, channel: Channel, left: set[bytes] | None) -> bool:
        """One reading and one writing; False if a record came or went in between."""
        membership = Membership(self._content.elements)
        if self._count < _THREAD_RECORDS:
            correction = self._read_and_correct(channel, membership, left)
        else:
            correction = await asyncio.to_thread(self._read_and_correct, channel, membership, left)
        operations = _operations(correction)
        if not operations:
            return True
        answer = await send(channel, self._family, operations)
        return not answer.errors

    def _read_and_correct(
        self, channel: Channel, membership: Membership, left: set[bytes] | None
    ) -> Correction:
        dump = dump_records(channel, self._family)
        self._count = dump.count
        records = dump.records() if left is None else dump.records_of(left)
        return correct(records, membership, inherits=left is None)


def _may_inherit(left: set[bytes], joined: set[bytes], membership: Membership) -> bool:
    """True if a pool may know clients now that the other pool could tell it about.

    It lost an endpoint, or got one that the other pool has had before.
    """
    return any(membership.has_sibling(key[:ID_BYTES]) for key in left) or any(
        (sibling := membership.sibling(key[:ID_BYTES], key[ID_BYTES:]))
        and sibling + key[ID_BYTES:] not in joined
        for key in joined
    )


def _operations(correction: Correction) -> Sequence[Operation]:
    removed = tuple(RawElement(key, None, "", None) for key in correction.removed)
    added = tuple(
        RawElement(
            record.key, record.data, "", None, Lifetime(record.timeout_ms, record.expires_ms)
        )
        for record in correction.added
    )
    operations: list[Operation] = []
    if removed:
        operations.append(DeleteElements(AFFINITY, removed))
    if added:
        operations.append(AddElements(AFFINITY, added))
    return operations
