"""The agent's rules as `nft` lists them, shortened for reading."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

_SHOWN_ELEMENTS = 6
_DECLARATIONS = ("type ", "typeof ", "comment ", "flags ", "size ")


def abridged(listing: str) -> Iterator[str]:
    """Yield the lines of a listing, shortened.

    Empty sets, maps and chains are left out and counted; long lists of elements are cut; rules
    that repeat are shown once.

    Args:
        listing: what `nft list table` printed.
    """
    left_out = 0
    for block in _blocks(listing.expandtabs(4).splitlines()):
        if _is_empty(block):
            left_out += 1
        else:
            yield from _without_repetition(_with_fewer_elements(block))
    if left_out:
        yield f"({left_out} empty sets, maps and chains are not shown)"


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Split a table into its sets, maps and chains; other lines come alone."""
    block: list[str] = []
    for line in lines:
        if block or (line.endswith("{") and not line.startswith("table")):
            block.append(line)
            if line == "    }":
                yield block
                block = []
        elif line.strip():
            yield [line]


def _is_empty(block: Sequence[str]) -> bool:
    """A set or chain with declarations only."""
    inside = [line.strip() for line in block[1:-1]]
    return len(block) > 1 and all(line.startswith(_DECLARATIONS) for line in inside)


def _with_fewer_elements(block: list[str]) -> list[str]:
    start = next((i for i, line in enumerate(block) if "elements = {" in line), None)
    if start is None or len(block) - start - 1 <= _SHOWN_ELEMENTS + 1:
        return block
    shown = block[: start + _SHOWN_ELEMENTS]
    hidden = len(block) - 1 - len(shown)
    indent = " " * (len(shown[-1]) - len(shown[-1].lstrip()))
    return [*shown, f"{indent}... {hidden} more lines }}", block[-1]]


def _without_repetition(lines: Sequence[str]) -> Iterator[str]:
    for line, same in itertools.groupby(lines):
        count = len(list(same))
        yield line if count == 1 else f"{line}    # {count} times"
