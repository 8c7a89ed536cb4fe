"""Every file below this folder is a situation; README.md tells how they are written."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.support.scenarios.installed import InstalledLevel
from tests.support.scenarios.levels import LEVELS
from tests.support.scenarios.mistakes import ScenarioError
from tests.support.scenarios.model import Scenario
from tests.support.scenarios.parsing import read_scenario
from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.replay import (
    TELLINGS,
    depends_on_history,
    end_state,
    packets_of,
    replay,
)
from tests.support.scenarios.running import (
    Choose,
    Run,
    answer_text,
    failures_of,
    first,
    has_choices,
    last,
)
from tests.support.scenarios.world import node_addresses

FOLDER = Path(__file__).parent
FILES = sorted(FOLDER.rglob("*.txt"))


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


every_scenario = pytest.mark.parametrize("path", FILES, ids=name_of)


@cache
def scenario_of(path: Path) -> Scenario:
    return read_scenario(path)


def choices_of(scenario: Scenario) -> tuple[Choose, ...]:
    """Whichever endpoint a connection reaches; without affinity nobody would notice."""
    return (first, last) if has_choices(scenario) else (first,)


@every_scenario
@pytest.mark.parametrize("level", LEVELS)
def test_packets_meet_what_the_scenario_says(path: Path, level: str):
    scenario = scenario_of(path)

    failures = [
        failure
        for choose in choices_of(scenario)
        for failure in failures_of(scenario, LEVELS[level], choose)
    ]

    assert not failures, "\n".join(map(str, failures))


def is_for_restarts(path: Path) -> bool:
    """Of the others the end after restarts is compared, which takes a tenth of the time."""
    try:
        scenario = scenario_of(path)
    except ScenarioError:
        return False  # the other tests tell what is wrong with it
    is_chosen = scenario.is_live or has_choices(scenario)
    return is_chosen and not depends_on_history(scenario)


@pytest.mark.parametrize("path", [path for path in FILES if is_for_restarts(path)], ids=name_of)
def test_packets_meet_the_same_when_the_agent_is_killed_before_every_step(path: Path):
    """By what agents left in the kernel (DP-92); clients with affinity do not notice (DP-64)."""
    failures = failures_of(scenario_of(path), InstalledLevel, restarting=True)

    assert not failures, "\n".join(map(str, failures))


@cache
def end_of(path: Path) -> Run:
    """The scenario run to its end."""
    run = Run(scenario_of(path), PlanLevel)
    run.play()
    return run


@every_scenario
@pytest.mark.parametrize("telling", TELLINGS)
def test_the_end_is_the_same_however_it_came_about(path: Path, telling: str):
    """Plan and rules to the letter (design invariant 5)."""
    end = replay(scenario_of(path), TELLINGS[telling])

    assert end == end_state(end_of(path).cluster)


@every_scenario
def test_packets_meet_the_same_when_objects_come_the_other_way_round(path: Path):
    """By what the agent then has in the kernel. Clients are new: affinity is history."""
    scenario = scenario_of(path)
    wanted, found = PlanLevel(node_addresses(scenario)), InstalledLevel(node_addresses(scenario))
    wanted.update(end_of(path).cluster.plans, end_of(path).cluster.settings)

    replay(scenario, TELLINGS["reversed"], found)

    for packet in packets_of(scenario):
        answer = found.answer(packet)
        assert answer == wanted.answer(packet), f"{packet} meets {answer_text(answer)}"
