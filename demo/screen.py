"""What the reader of the demo sees: headings, sentences, tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence

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


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns whose cells are all numbers are aligned to the right."""
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    is_numeric = [all(_is_number(cell) for cell in column[1:]) for column in columns]
    say(_styled(_row(headers, widths, is_numeric), _BOLD))
    for row in rows:
        say(_row(row, widths, is_numeric))


def _row(cells: Sequence[str], widths: Sequence[int], is_numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, is_numeric, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _is_number(cell: str) -> bool:
    return not cell.strip("0123456789.-, ms")


def _styled(text: str, style: str) -> str:
    return f"{style}{text}{_PLAIN}" if sys.stdout.isatty() else text
