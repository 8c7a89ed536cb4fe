"""Figures as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, Unit

_TITLES = ("figure", "measured", "target", "met", "kube-proxy")
_VERDICTS = {True: "yes", False: "NO", None: "-"}
_NOT_REACHED = "not reached"


def table_lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Lay out figures, one line each, below a line of titles."""
    yield from aligned([_TITLES, *map(_row, figures)])


def aligned(rows: Sequence[Sequence[str]], words: int = 1) -> Iterator[str]:
    """Lay out rows of equal length: columns of words on the left, of numbers on the right.

    Args:
        rows: the titles first.
        words: how many columns hold words.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells)


def verdict(is_met: bool | None) -> str:
    """Whether a target is met; a dash without a target."""
    return _VERDICTS[is_met]


def amount_text(value: float, unit: Unit) -> str:
    """Write a number with its unit, to three digits."""
    if unit == "bytes":
        return f"{value:,.0f} bytes"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f} {unit}"


def _row(figure: Figure) -> tuple[str, ...]:
    target = figure.reference.target
    return (
        figure.name,
        _NOT_REACHED if figure.value is None else amount_text(figure.value, figure.unit),
        "-" if target is None else amount_text(target, figure.unit),
        verdict(figure.is_met),
        figure.reference.kube_proxy or "-",
    )
