"""The statistics of the live tests; no packets, no root."""

from __future__ import annotations

import pytest

from tests.live.statistics import FALSE_ALARM, chi_square_tail, evenness


def test_chi_square_tail_matches_printed_tables():
    quantiles = [(3.841, 1, 0.05), (5.991, 2, 0.05), (124.342, 100, 0.05), (22.458, 6, 0.001)]

    tails = [chi_square_tail(statistic, degrees) for statistic, degrees, _ in quantiles]

    assert tails == [pytest.approx(tail, rel=2e-3) for *_, tail in quantiles]


def test_lopsided_counts_are_not_even():
    assert evenness({"a": 500, "b": 500, "c": 400}, choices=3) < 0.01
    assert evenness({"a": 500, "b": 500}, choices=3) < FALSE_ALARM
    assert evenness({"a": 340, "b": 335, "c": 325}, choices=3) > 0.5
