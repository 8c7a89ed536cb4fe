"""Every file below this folder is a situation; README.md tells how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.support.scenarios.levels import LEVELS
from tests.support.scenarios.mistakes import ScenarioError
from tests.support.scenarios.model import Answer, Packet, Scenario
from tests.support.scenarios.parsing import read_scenario
from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.replay import (
    TELLINGS,
    EndState,
    depends_on_history,
    end_state,
    packets_of,
    replay,
)
from tests.support.scenarios.running import Run, answer_text, failures_of, first, last
from tests.support.scenarios.world import node_addresses

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.txt"))


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


every_scenario = pytest.mark.parametrize("path", FILES, ids=name_of)


@cache
def scenario_of(path: Path) -> Scenario:
    return read_scenario(path)


@cache
def end_of(path: Path) -> tuple[EndState, Mapping[Packet, Answer]]:
    """What the agent decided in the end, and what packets of clients nobody knows meet then."""
    scenario = scenario_of(path)
    run = Run(scenario, PlanLevel)
    run.play()
    # Fresh, because affinity is history and meant to be.
    fresh = PlanLevel(node_addresses(scenario))
    fresh.update(run.cluster.plans, run.cluster.settings)
    answers = {packet: fresh.answer(packet) for packet in packets_of(scenario)}
    return end_state(run.cluster), answers


@every_scenario
@pytest.mark.parametrize("level", LEVELS)
def test_packets_meet_what_the_scenario_says(path: Path, level: str):
    """Whichever endpoint a connection with affinity reaches first."""
    scenario = scenario_of(path)

    failures = [
        failure
        for choose in (first, last)
        for failure in failures_of(scenario, LEVELS[level], choose)
    ]

    assert not failures, "\n".join(map(str, failures))


def is_the_same_to_a_new_agent(path: Path) -> bool:
    try:
        return not depends_on_history(scenario_of(path))
    except ScenarioError:
        return True


@pytest.mark.parametrize(
    "path", [path for path in FILES if is_the_same_to_a_new_agent(path)], ids=name_of
)
@pytest.mark.parametrize("level", LEVELS)
def test_packets_meet_the_same_when_the_agent_is_killed_before_every_step(path: Path, level: str):
    """DP-64, DP-92: and clients with affinity do not notice."""
    assert not failures_of(scenario_of(path), LEVELS[level], restarting=True)


@every_scenario
@pytest.mark.parametrize("telling", TELLINGS)
def test_the_end_is_the_same_however_it_came_about(path: Path, telling: str):
    """Plan and rules to the letter (design invariant 5), and every packet of the scenario."""
    scenario = scenario_of(path)
    expected, answers = end_of(path)
    dataplanes = {name: make(node_addresses(scenario)) for name, make in LEVELS.items()}

    end = replay(scenario, TELLINGS[telling], *dataplanes.values())

    assert end == expected
    for packet, wanted in answers.items():
        for level, dataplane in dataplanes.items():
            found = dataplane.answer(packet)
            assert found == wanted, f"{level}: {packet} meets {answer_text(found)}"
