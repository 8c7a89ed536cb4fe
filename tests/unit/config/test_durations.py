from __future__ import annotations

import pytest
from hypothesis import given, strategies

from nodeproxy.config.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("15m0s", 900.0),
        ("1h30m", 5400.0),
        ("24h", 86400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("7us", 7e-6),
        ("7µs", 7e-6),
        ("-5s", -5.0),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("30", "write it as 30s"),
        ("", "as in 30s or 1h30m"),
        ("soon", "as in 30s or 1h30m"),
        ("1d", "as in 30s or 1h30m"),
        ("1 s", "as in 30s or 1h30m"),
        ("٣s", "as in 30s or 1h30m"),
    ],
)
def test_what_is_no_duration_is_told_with_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f"is not a duration; {remedy}"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (900.0, "15m0s"),
        (86400.0, "24h0m0s"),
        (1.5, "1.5s"),
        (0.25, "250ms"),
        (7e-6, "7µs"),
        (5e-9, "5ns"),
        (-5.0, "-5s"),
        (61.25, "1m1.25s"),
    ],
)
def test_durations_are_told_as_go_tells_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(strategies.integers(min_value=-(10**14), max_value=10**14))
def test_a_duration_survives_being_written_down(microseconds: int) -> None:
    seconds = microseconds / 1e6

    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)
