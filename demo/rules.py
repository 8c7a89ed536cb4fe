"""The agent's rules as `nft` lists them, shortened for reading."""

from __future__ import annotations

from collections.abc import Iterator

_SHOWN_ELEMENTS = 6


def abridged(listing: str) -> Iterator[str]:
    """Yield the lines of a listing, with long lists of elements cut.

    Args:
        listing: what `nft list table` printed.
    """
    elements: list[str] = []
    for line in listing.expandtabs(4).splitlines():
        if elements or "elements = {" in line:
            elements.append(line)
            if line.rstrip().endswith("}"):
                yield from _shortened(elements)
                elements = []
        else:
            yield line


def _shortened(elements: list[str]) -> list[str]:
    if len(elements) <= _SHOWN_ELEMENTS + 1:
        return elements
    indent = " " * (len(elements[1]) - len(elements[1].lstrip()))
    hidden = len(elements) - _SHOWN_ELEMENTS
    return [*elements[:_SHOWN_ELEMENTS], f"{indent}... {hidden} more lines }}"]
