"""What the reader of the demo sees: headings, sentences, tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

_BOLD, _RED, _GREEN, _PLAIN = "\033[1m", "\033[31m", "\033[32m", "\033[0m"


def heading(text: str) -> None:
    """Begin a step."""
    print(f"\n{_styled(text, _BOLD)}", flush=True)


def say(text: str) -> None:
    """Say one thing."""
    print(f"  {text}", flush=True)


def good(text: str) -> None:
    """Say that all is well."""
    print(_styled(text, _GREEN), flush=True)


def bad(text: str) -> None:
    """Say that something is wrong."""
    print(_styled(text, _RED), flush=True)


class Column(NamedTuple):
    """A column of a table."""

    title: str
    width: int = 0
    """At least as wide as the title."""
    is_number: bool = False
    """Numbers stand at the right."""

    def cell(self, text: str) -> str:
        """Fill a text up to the column's width."""
        width = max(self.width, len(self.title))
        return text.rjust(width) if self.is_number else text.ljust(width)


class Table:
    """A table whose rows appear as they become known."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        say(_styled(self._line([column.title for column in columns]), _BOLD))

    def row(self, cells: Sequence[str]) -> None:
        """Print a row, one text for each column."""
        say(self._line(cells))

    def _line(self, cells: Sequence[str]) -> str:
        filled = [column.cell(text) for column, text in zip(self._columns, cells, strict=True)]
        return "  ".join(filled).rstrip()


def _styled(text: str, style: str) -> str:
    return f"{style}{text}{_PLAIN}" if sys.stdout.isatty() else text
