"""What a manifest file is to the rest of the package: objects with line numbers.

YAML and JSON files are read by different means (`yamltext`, `jsontext`), each as fast as its
format allows. Both give `RawObject`s, which decode themselves into a struct and can tell on
which line a field stands; the line of a field is only searched for when it must be reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from nodeproxy.errors import SourceError

T = TypeVar("T")

Path = tuple[str | int, ...]
"""The way to a value inside an object: `("spec", "ports", 0, "port")`."""

MAX_DEPTH = 100
"""Containers inside one another. Kubernetes objects stay below 20; more is an accident or an
attack, and would meet Python's recursion limit far from a helpful message."""


class BrokenText(SourceError):
    """A file that cannot be read as a whole."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        """1-based; 0 when the reason has no line, as for a file that may not be opened."""
        self.reason = reason

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}" if self.line else self.reason


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


def utf8_text(data: bytes) -> str:
    """The text of a file, without the byte order mark some editors put.

    Raises:
        BrokenText: not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise BrokenText(line, "not UTF-8 text; save the file as UTF-8") from exc
