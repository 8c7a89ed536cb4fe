"""One lab and one agent for each module and source; a check of `nft` after every test."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from lab import nft
from lab.agent import AgentProcess
from lab.topology import private_node
from lab.waiting import eventually
from tests.live.clusters import SOURCES, open_cluster
from tests.live.site import HOST_PORT, OTHER_POD_PORT, PACKET_KINDS, POD_PORT, PacketKind, Site


@pytest.fixture(scope="module", params=SOURCES)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A node with a running agent, once for every source of Services."""
    directory, log = tmp_path_factory.mktemp("manifests"), tmp_path_factory.mktemp("log") / "agent"
    with private_node() as lab, open_cluster(request.param, directory, lab.node) as cluster:
        lab.serve(tcp=[POD_PORT, OTHER_POD_PORT], udp=[POD_PORT, OTHER_POD_PORT])
        lab.serve_on_node(tcp=[HOST_PORT], udp=[HOST_PORT])
        with AgentProcess(lab.node, cluster.agent_arguments, log) as agent:
            _wait_ready(agent)
            yield Site(lab, cluster, agent)


@pytest.fixture(params=PACKET_KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> PacketKind:
    """TCP and UDP, IPv4 and IPv6."""
    chosen: PacketKind = request.param
    return chosen


@pytest.fixture(autouse=True)
def _agent_is_well(request: pytest.FixtureRequest) -> Iterator[None]:
    """Begin each test with a running agent; see afterwards that it runs and its rules list.

    People and programs must be able to list the ruleset at any time (`nft` may abort).
    """
    if "site" not in request.fixturenames:
        yield
        return
    site: Site = request.getfixturevalue("site")
    if not site.agent.is_running:
        site.agent.start()
        _wait_ready(site.agent)
    yield
    assert site.agent.is_running, "the agent ended by itself"
    nft.list_ruleset(site.node)
    nft.list_ruleset_json(site.node)


def _wait_ready(agent: AgentProcess) -> None:
    eventually("the agent is ready", lambda: agent.is_ready() or not agent.is_running)
    if not agent.is_running:
        pytest.fail(f"the agent ended by itself:\n{agent.log_tail()}", pytrace=False)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave `exhaustive` tests out unless they are chosen by that name with -m."""
    if "exhaustive" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("exhaustive")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the agent's log with every failed test."""
    report = yield
    site = getattr(item, "funcargs", {}).get("site")
    if report.failed and isinstance(site, Site):
        report.sections.append(("agent log", site.agent.log_tail()))
    return report
