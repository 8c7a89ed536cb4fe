"""Scenarios of tests/scenarios, sent as real packets through a node in iptables mode.

Every test run sends the first of each group; `make test-live` sends all, in both flavours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeproxy.backends.iptables.tool import Flavour
from tests.live.test_scenarios import FILES
from tests.support.scenarios.iptables_liveworld import IptablesWorld, open_iptables_world
from tests.support.scenarios.iptables_mode import in_iptables_mode
from tests.support.scenarios.livelevel import run_live
from tests.support.scenarios.parsing import read_scenario

pytestmark = pytest.mark.live

_FIRST_OF_GROUP = {
    path.parent: path for path in reversed(FILES) if "\nlive: always\n" in path.read_text()
}.values()


def _parameter(path: Path) -> object:
    marks = [] if path in _FIRST_OF_GROUP else [pytest.mark.exhaustive]
    return pytest.param(path, id=f"{path.parent.name}/{path.stem}", marks=marks)


@pytest.fixture(scope="module", params=Flavour)
def world(request: pytest.FixtureRequest) -> Iterator[IptablesWorld]:
    with open_iptables_world(request.param) as opened:
        yield opened


@pytest.mark.parametrize("path", [_parameter(path) for path in FILES])
def test_packets_meet_what_the_scenario_says_of_iptables(world: IptablesWorld, path: Path):
    scenario = in_iptables_mode(read_scenario(path))

    result = run_live(world, scenario)

    assert not result.failures, "\n".join(map(str, result.failures))
