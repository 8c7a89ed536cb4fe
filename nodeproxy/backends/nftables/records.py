"""Reading the records of session affinity from the kernel, thousands at a time.

Packets write the records (see `affinity`), `record_keeper` corrects what packets cannot know.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

import msgspec

from nodeproxy.backends.nftables.encode_rules import NFPROTO
from nodeproxy.backends.nftables.keys import ID_BYTES
from nodeproxy.backends.nftables.objects import TABLE
from nodeproxy.backends.nftables.sets import AFFINITY
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import string
from nodeproxy.netlink.channel import Channel


class Record(msgspec.Struct, frozen=True, gc=False):
    """A client's last endpoint, as an element of the map `affinity`."""

    key: bytes
    """Client, protocol and affinity id."""
    data: bytes
    """Address and port of the endpoint."""
    timeout_ms: int
    expires_ms: int
    """How long it has still to live."""

    @property
    def number(self) -> bytes:
        """The affinity id, as it is in keys."""
        return self.key[-ID_BYTES:]


def read_records(channel: Channel, family: Family) -> list[Record]:
    """All records of one family's table.

    Raises:
        NetlinkError: the dump failed.
    """
    return dump_records(channel, family).records()


def dump_records(channel: Channel, family: Family) -> RecordDump:
    """All records of one family's table, as the kernel tells them.

    Raises:
        NetlinkError: the dump failed.
    """
    body = string(nf.NFTA_SET_ELEM_LIST_TABLE, TABLE)
    body += string(nf.NFTA_SET_ELEM_LIST_SET, AFFINITY)
    received = channel.dump(nf.NFT_MSG_GETSETELEM, NFPROTO[family], body)
    found = (attributes.parse(message.body) for message in received)
    return RecordDump([one.get(nf.NFTA_SET_ELEM_LIST_ELEMENTS, b"") for one in found], family)


class RecordDump:
    """Records that nobody has taken apart yet, some hundred in each piece."""

    def __init__(self, pieces: list[bytes], family: Family) -> None:
        self._pieces = pieces
        self._layout = _Layout(family)

    @property
    def count(self) -> int:
        """How many there are, at least roughly."""
        return sum(map(len, self._pieces)) // self._layout.row.size

    def records(self) -> list[Record]:
        """All of them."""
        return [one for piece in self._pieces for one in _records(piece, self._layout)]

    def records_of(self, members: Iterable[bytes]) -> list[Record]:
        """Those of certain members, and neighbours of theirs.

        Looking for a few members is quicker than taking every record apart.

        Args:
            members: affinity ids with the data of an endpoint.
        """
        search = _Search(self._layout, members)
        pieces = [piece for piece in self._pieces if search.hits(piece)]
        return [one for piece in pieces for one in _records(piece, self._layout)]


class _Search:
    """Finds messages with records of certain members without taking them apart.

    In the kernel's answer the id, which ends the key, and the data stand one behind the other, with
    the same headers between them in every record.
    """

    def __init__(self, layout: _Layout, members: Iterable[bytes]) -> None:
        self._patterns = [
            member[:ID_BYTES] + layout.before_data + member[ID_BYTES:] for member in members
        ]

    def hits(self, elements: bytes) -> bool:
        return any(pattern in elements for pattern in self._patterns)


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
