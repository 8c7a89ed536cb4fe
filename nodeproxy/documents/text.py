"""What readers of text files share: why a file cannot be read, and the way to a value in it."""

from __future__ import annotations

from nodeproxy.errors import SourceError

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
