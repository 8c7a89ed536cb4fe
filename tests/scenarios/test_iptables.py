"""The same files in iptables mode: packets through the chains, with the differences they state."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.scenarios.iptables_mode import in_iptables_mode
from tests.support.scenarios.iptables_planlevel import IptablesPlanLevel
from tests.support.scenarios.iptables_tracelevel import IptablesTraceLevel
from tests.support.scenarios.levels import IPTABLES_LEVELS
from tests.support.scenarios.model import Dataplane, Scenario
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
@pytest.mark.parametrize("level", IPTABLES_LEVELS)
def test_packets_meet_what_the_scenario_says_of_iptables(path: Path, level: str):
    scenario = scenario_of(path)
    choices = (first, last) if has_choices(scenario) else (first,)

    failures = [
        failure
        for choose in choices
        for failure in failures_of(scenario, IPTABLES_LEVELS[level], choose)
    ]

    assert not failures, "\n".join(map(str, failures))


def end_of(scenario: Scenario, dataplane: Dataplane) -> Dataplane:
    """A dataplane that knows the end of a scenario, and no client."""
    run = Run(scenario, IptablesPlanLevel)
    run.play()
    dataplane.update(run.cluster.plans, run.cluster.settings)
    return dataplane


@every_scenario
def test_packets_meet_the_same_when_objects_come_the_other_way_round(path: Path):
    """Clients are new: affinity is history."""
    scenario = scenario_of(path)
    wanted = end_of(scenario, IptablesPlanLevel(node_addresses(scenario)))
    found = IptablesTraceLevel(node_addresses(scenario))

    replay(scenario, TELLINGS["reversed"], found)

    for packet in packets_of(scenario):
        answer = found.answer(packet)
        assert answer == wanted.answer(packet), f"{packet} meets {answer_text(answer)}"
