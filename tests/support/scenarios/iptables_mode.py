"""A scenario as it goes in iptables mode: the outcomes its lines give for that mode."""

from __future__ import annotations

from msgspec.structs import replace

from tests.support.scenarios.model import Expect, Expectation, Scenario


def in_iptables_mode(scenario: Scenario) -> Scenario:
    """The same situation; where the modes differ, packets meet what iptables does."""
    sections = tuple(
        replace(section, expectations=tuple(map(_expectation, section.expectations)))
        if isinstance(section, Expect)
        else section
        for section in scenario.sections
    )
    return replace(scenario, sections=sections)


def _expectation(expectation: Expectation) -> Expectation:
    if expectation.in_iptables is None:
        return expectation
    return replace(expectation, outcome=expectation.in_iptables, in_iptables=None)
