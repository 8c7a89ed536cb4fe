"""What packets have written: records of client affinity, each with the moment it ends.

Values, not a store: a trace gives back what the records are after each of its endings, and the
caller goes on from the ending that happened. Time is the caller's, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec


class Record(NamedTuple):
    """One element of a set that packets write."""

    map_name: str
    key: bytes
    data: bytes
    """Address and port of an endpoint, as in an endpoint map."""
    expires_at: float


class Records(msgspec.Struct, frozen=True):
    """All records, sorted; those that have expired may still be among them."""

    entries: tuple[Record, ...] = ()

    def find(self, map_name: str, key: bytes, now: float) -> bytes | None:
        """The data of a live record."""
        for entry in self.entries:
            if entry.map_name == map_name and entry.key == key and entry.expires_at > now:
                return entry.data
        return None

    def remember(self, map_name: str, key: bytes, data: bytes, now: float, seconds: int) -> Records:
        """Write a record; a live one keeps its data and gets a new end (kernel 6.18)."""
        kept = self.find(map_name, key, now)
        written = Record(map_name, key, data if kept is None else kept, now + seconds)
        others = [entry for entry in self.entries if entry[:2] != (map_name, key)]
        return Records(tuple(sorted([*others, written])))

    def keep(self, holds: Callable[[Record], bool]) -> Records:
        """The records of which something holds: user space deletes the others."""
        return Records(tuple(entry for entry in self.entries if holds(entry)))
