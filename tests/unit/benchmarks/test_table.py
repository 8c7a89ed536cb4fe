"""The table people read."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, Reference, Unit
from benchmarks.table import amount_text, table_lines


def test_a_figure_stands_beside_its_target_and_kube_proxy():
    figures = [
        Figure("start", "s", 0.5, Reference(0.8, "0.83 s")),
        Figure("memory", "MB", 90.0, Reference(80, "80-105 MB")),
    ]

    lines = list(table_lines(figures))

    assert lines == [
        "figure  measured   target  met  kube-proxy",
        "start     0.50 s   0.80 s  yes      0.83 s",
        "memory   90.0 MB  80.0 MB   NO   80-105 MB",
    ]


def test_a_figure_without_target_is_neither_met_nor_missed():
    lines = list(table_lines([Figure("start", "s", 0.5)]))

    assert lines[1].split() == ["start", "0.50", "s", "-", "-", "-"]


def test_a_figure_that_was_not_reached_says_so():
    lines = list(table_lines([Figure("start", "s", None, Reference(0.8))]))

    assert lines[1].split() == ["start", "not", "reached", "0.80", "s", "NO", "-"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0494, "ms", "0.05 ms"),
        (12.34, "MB", "12.3 MB"),
        (140.0, "MB", "140 MB"),
        (21172.4, "bytes", "21,172 bytes"),
    ],
)
def test_amounts_have_three_digits_and_bytes_have_all(value: float, unit: Unit, text: str):
    assert amount_text(value, unit) == text
