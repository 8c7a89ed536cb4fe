"""Scenarios name the rules they show; and what is known of kube-proxy is shown or excused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.scenarios.parsing import read_scenario
from tests.unit.test_documentation import BEHAVIOUR, ROOT, defined_rules

FILES = sorted(Path(__file__).parent.rglob("*.txt"))
KNOWN_CASES = BEHAVIOUR / "70-peer-test-scenarios.md"
_CASE = re.compile(r"(?:\*\*|^\| )(TS-\d+)\b", re.MULTILINE)
_RANGE = re.compile(r"\bTS-(\d+)(?:\.\.(?:TS-)?(\d+))?")

SHOWN_OTHERWISE = {
    "TS-208": "changes are told as deltas: tests/property/test_plan_histories.py",
    "TS-501..504": "watching an API server: tests/apiserver",
    "TS-508": "what is asked of an API server: tests/unit/sources/apiserver",
    "TS-601..604": "no timed runner here, one round for all that came: tests/unit/agent",
    "TS-701..706": "conntrack and sysctls (spec 50) are not part of the rules",
    "TS-892": "iptables mode: accepts for health check ports",
    "TS-902": "names and layout of kube-proxy's own tables",
    "TS-904..905": "what a start and a sync write: tests/unit/backends/nftables, tests/kernel",
    "TS-906..915": "iptables mode",
    "TS-916": "a metric: spec 60",
    "TS-918": "text of rules; what they do to packets is TS-895",
    "TS-919..920": "iptables mode",
    "TS-1101..1106": "health check servers (spec 60)",
    "TS-1108": "health check servers (spec 60)",
    "TS-1201..1205": "how the agent waits for its Node: tests/unit/agent",
    "TS-1301..1306": "configuration: tests/unit/config, tests/unit/cli",
    "TS-1309..1311": "configuration: tests/unit/config, tests/unit/cli",
    "TS-1313..1314": "configuration: tests/unit/config, tests/unit/cli",
    "TS-1352": "configuration: tests/unit/config",
    "TS-1354..1358": "configuration: tests/unit/config",
}
"""Cases that are no matter of packets, or not of this backend; and where they belong."""


@cache
def known_cases() -> frozenset[str]:
    """The ids of spec 70, without the headings that group them."""
    return frozenset(_CASE.findall(KNOWN_CASES.read_text()))


def cases_in(text: str) -> Iterator[str]:
    """The ids a text names, ranges written out."""
    for begin, end in _RANGE.findall(text):
        yield from (f"TS-{number}" for number in range(int(begin), int(end or begin) + 1))


@cache
def shown_cases() -> frozenset[str]:
    """The ids that scenarios and tests name."""
    tests = (path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
    texts = [path.read_text() for path in tests]
    rules = (rule for path in FILES for rule in read_scenario(path).rules)
    return frozenset(cases_in("\n".join([*texts, *rules])))


def test_the_rules_a_scenario_names_exist():
    defined = defined_rules()

    unknown = {
        f"{path}: {rule}"
        for path in FILES
        for rule in read_scenario(path).rules
        if rule not in defined
    }

    assert unknown == set()


def test_every_known_case_is_shown_or_excused():
    excused = {case for cases in SHOWN_OTHERWISE for case in cases_in(cases)}

    assert sorted(known_cases() - shown_cases() - excused) == []


def test_excuses_are_for_cases_that_exist():
    excused = [case for cases in SHOWN_OTHERWISE for case in cases_in(cases)]

    assert set(excused) <= known_cases()
    assert len(excused) == len(set(excused))
