"""The same files in iptables mode: packets through the chains, with the differences they state."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.scenarios.iptables_mode import in_iptables_mode
from tests.support.scenarios.iptables_tracelevel import IptablesTraceLevel
from tests.support.scenarios.model import Scenario
from tests.support.scenarios.parsing import read_scenario
from tests.support.scenarios.replay import TELLINGS, packets_of, replay
from tests.support.scenarios.running import Run, answer_text, failures_of, first, has_choices, last
from tests.support.scenarios.world import node_addresses

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.txt"))
every_scenario = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)


@cache
def scenario_of(path: Path) -> Scenario:
    return in_iptables_mode(read_scenario(path))


@every_scenario
def test_packets_meet_what_the_scenario_says_of_iptables(path: Path):
    scenario = scenario_of(path)
    choices = (first, last) if has_choices(scenario) else (first,)

    failures = [
        failure
        for choose in choices
        for failure in failures_of(scenario, IptablesTraceLevel, choose)
    ]

    assert not failures, "\n".join(map(str, failures))


@every_scenario
def test_packets_meet_the_same_when_objects_come_the_other_way_round(path: Path):
    """Clients are new: affinity is history."""
    scenario = scenario_of(path)
    end = Run(scenario, IptablesTraceLevel)
    end.play()
    wanted = IptablesTraceLevel(node_addresses(scenario))
    wanted.update(end.cluster.plans, end.cluster.settings)
    found = IptablesTraceLevel(node_addresses(scenario))

    replay(scenario, TELLINGS["reversed"], found)

    for packet in packets_of(scenario):
        answer = found.answer(packet)
        assert answer == wanted.answer(packet), f"{packet} meets {answer_text(answer)}"
