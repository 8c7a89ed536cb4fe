"""What a manifest file is to the rest of the package: objects with line numbers.

YAML and JSON files are read by different means (`yamltext`, `jsontext`), each as fast as its
format allows. Both give `RawObject`s, which decode themselves into a struct and can tell on
which line a field stands; the line of a field is only searched for when it must be reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from nodeproxy.documents.text import Path

T = TypeVar("T")


class RawObject(Protocol):
    """One document of a file, or one item of a List, not yet given a type."""

    @property
    def line(self) -> int:
        """Where the object starts, 1-based."""

    def decode(self, as_type: type[T]) -> T:
        """The object as `as_type`, with strict types.

        Raises:
            msgspec.DecodeError: the object does not fit the type (`ValidationError`), or its
                text turned out to be malformed.
        """

    def line_of(self, path: Path) -> int:
        """The line of a field, or of the deepest part of the path that exists; 1-based."""

    def items(self) -> Sequence[RawObject]:
        """The objects in its list `items`; empty when there is none."""
