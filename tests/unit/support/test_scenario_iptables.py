"""How a scenario says that a packet meets something else in iptables mode."""

from __future__ import annotations

import pytest

from tests.support.scenarios.mistakes import Mistake
from tests.support.scenarios.model import Verdict, WantsBound, WantsEndpoints
from tests.support.scenarios.packets import expectation_from


def test_most_packets_meet_the_same():
    found = expectation_from(1, "pod-b -> 10.96.0.10:80 = {pod-a:80} no-masq")

    assert found.in_iptables is None


def test_the_other_outcome_stands_in_brackets():
    found = expectation_from(1, "pod-b -> 10.96.0.10:81 = refused  [iptables: untouched]")

    assert (found.outcome, found.in_iptables) == (Verdict.REFUSED, Verdict.UNTOUCHED)


def test_either_outcome_may_be_endpoints():
    line = "node -> [fd00:96::1]:80 = untouched [iptables: {pod-a:80, pod-b:80} masq]"

    found = expectation_from(1, line)

    assert found.outcome is Verdict.UNTOUCHED
    assert isinstance(found.in_iptables, WantsEndpoints)
    assert len(found.in_iptables.endpoints) == 2


def test_an_ipv6_endpoint_is_no_bracket_of_that_kind():
    found = expectation_from(1, "pod-b -> [fd00:96::1]:80 = {[fd00::1]:80} masq [iptables: X]")

    assert isinstance(found.outcome, WantsEndpoints)
    assert isinstance(found.in_iptables, WantsBound)


@pytest.mark.parametrize("wrong", ["refused", "some what", ""])
def test_what_is_no_difference_or_no_outcome_is_a_mistake(wrong: str):
    with pytest.raises(Mistake):
        expectation_from(1, f"pod-b -> 10.96.0.10:81 = refused [iptables: {wrong}]")
