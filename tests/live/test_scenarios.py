"""Scenarios of tests/scenarios, sent as real packets through the kernel's rules.

Every test run sends those marked `live: always`; `make test-live` sends all. One world serves them
all: what a scenario leaves behind is removed before the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scenarios.livelevel import Result, run_live
from tests.support.scenarios.liveworld import LiveWorld, open_world
from tests.support.scenarios.parsing import read_scenario

pytestmark = pytest.mark.live

FOLDER = Path(__file__).parents[1] / "scenarios"
FILES = sorted(FOLDER.rglob("*.txt"))
_ALWAYS_RESTARTED = ("affinity", "lifecycle", "loadbalancer")
"""Groups whose first scenario every test run sends with restarts; the others when all are sent."""


def _is_always(path: Path) -> bool:
    """Only this line is looked for here: what is wrong with a file, its own test shall tell."""
    return "\nlive: always\n" in path.read_text()


def _parameter(path: Path, *, is_always: bool) -> object:
    marks = [] if is_always else [pytest.mark.exhaustive]
    return pytest.param(path, id=f"{path.parent.name}/{path.stem}", marks=marks)


def _first_of_each_group() -> list[Path]:
    always = filter(_is_always, reversed(FILES))
    return list({path.parent: path for path in always}.values())


@pytest.fixture(scope="module")
def world() -> Iterator[LiveWorld]:
    with open_world() as opened:
        yield opened


@pytest.mark.parametrize("path", [_parameter(p, is_always=_is_always(p)) for p in FILES])
def test_packets_meet_what_the_scenario_says(world: LiveWorld, path: Path):
    scenario = read_scenario(path)

    result = run_live(world, scenario)

    _see_that_all_held(result)


@pytest.mark.parametrize(
    "path",
    [
        _parameter(path, is_always=path.parent.name in _ALWAYS_RESTARTED)
        for path in _first_of_each_group()
    ],
)
def test_packets_meet_the_same_if_the_agent_restarts_all_the_time(world: LiveWorld, path: Path):
    """DP-92, and DP-64 for affinity: what is in the kernel serves on."""
    scenario = read_scenario(path)

    result = run_live(world, scenario, restarts=True)

    _see_that_all_held(result)


def _see_that_all_held(result: Result) -> None:
    if result.failures:
        rules = ["the rules when the first of these was sent:", result.ruleset]
        pytest.fail("\n".join([*map(str, result.failures), *rules]), pytrace=False)
