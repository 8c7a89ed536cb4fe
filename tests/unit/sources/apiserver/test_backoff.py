from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.sources.apiserver.backoff import Backoff, BackoffLimits

LIMITS = BackoffLimits()


def backoff(seed: int = 1) -> Backoff:
    return Backoff(LIMITS, random.Random(seed))


@given(st.integers())
def test_the_first_failure_is_followed_well_within_a_second(seed: int):
    retries = backoff(seed)
    retries.started(100.0)

    wait = retries.failed(100.0)

    assert 0 <= wait <= 0.4


@given(st.integers())
def test_waits_double_up_to_the_maximum(seed: int):
    retries = backoff(seed)
    retries.started(0.0)

    waits = [retries.failed(0.0) for _ in range(40)]

    for number, wait in enumerate(waits[1:]):
        expected = min(2.0**number, LIMITS.maximum)
        assert expected / 2 <= wait <= expected


def test_two_agents_do_not_wait_equally_long():
    one, other = backoff(1), backoff(2)

    waits = [(one.failed(0.0), other.failed(0.0)) for _ in range(5)]

    assert all(a != b for a, b in waits)


def test_success_makes_the_next_failure_the_first_again():
    retries = backoff()
    for _ in range(5):
        retries.failed(0.0)

    retries.worked()

    assert retries.failed(0.0) <= LIMITS.first


def test_an_attempt_that_lasted_long_was_no_failure():
    retries = backoff()
    for _ in range(5):
        retries.failed(0.0)
    retries.started(50.0)

    wait = retries.failed(50.0 + LIMITS.healthy_after)

    assert wait <= LIMITS.first


@given(st.integers())
def test_the_server_is_left_alone_as_long_as_it_asks(seed: int):
    retries = backoff(seed)

    wait = retries.failed(0.0, retry_after=7)

    assert 7 <= wait <= 7 + LIMITS.first


def test_an_absurd_retry_after_is_cut():
    retries = backoff()

    wait = retries.failed(0.0, retry_after=86400)

    assert wait <= LIMITS.max_retry_after + LIMITS.first
