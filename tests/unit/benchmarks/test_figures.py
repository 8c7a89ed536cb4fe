"""Percentiles, sizes, and whether a target is met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Figure, Reference, Size, parse_size, percentile

LATENCIES = st.lists(st.floats(0, 1e6), min_size=1)


def test_the_median_of_an_even_number_of_values_is_one_of_them():
    values = [4.0, 1.0, 3.0, 2.0]

    median = percentile(values, 50)

    assert median == 2.0


def test_the_99th_percentile_of_100_values_leaves_one_out():
    values = [float(value) for value in range(1, 101)]

    almost_worst = percentile(values, 99)

    assert almost_worst == 99.0


def test_the_99th_percentile_of_few_values_is_the_worst():
    values = [5.0, 9.0, 1.0]

    almost_worst = percentile(values, 99)

    assert almost_worst == 9.0


@given(LATENCIES, st.floats(0, 100))
def test_a_percentile_is_not_exceeded_by_its_share_of_the_values(
    values: list[float], percent: float
):
    found = percentile(values, percent)

    share = sum(value <= found for value in values) / len(values)
    assert found in values
    assert share * 100 >= percent - 1e-9


def test_nothing_has_no_percentile():
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_a_size_is_read_as_it_is_written():
    size = Size(1000, 10)

    assert parse_size(str(size)) == size


@pytest.mark.parametrize("text", ["", "1000", "x10", "10x", "-1x10", "10x1x1", "0x10", "10x0"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match=f"^'{text}' is"):
        parse_size(text)


@pytest.mark.parametrize(
    ("value", "target", "is_met"),
    [(1.0, 2.0, True), (2.0, 2.0, True), (2.1, 2.0, False), (None, 2.0, False), (1.0, None, None)],
)
def test_a_target_is_met_up_to_its_value(
    value: float | None, target: float | None, is_met: bool | None
):
    figure = Figure("start", "s", value, Reference(target))

    assert figure.is_met is is_met
