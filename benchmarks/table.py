"""Figures as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, Unit

_TITLES = ("figure", "measured", "target", "met", "kube-proxy")
_VERDICTS = {True: "yes", False: "NO", None: "-"}
_NOT_REACHED = "not reached"


def table_lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Lay out figures, one line each, below a line of titles."""
    rows = [_TITLES, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    for name, *numbers in rows:
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *cells])


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
        _VERDICTS[figure.is_met],
        figure.reference.kube_proxy or "-",
    )
