"""NodePorts on loopback addresses: none, whatever is asked for (DP-54, DP-57).

docs/decisions/0014-no-node-ports-on-loopback.md
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.agent import AgentProcess
from lab.namespace import Namespace
from lab.topology import private_node
from lab.traffic import Answer, FailureKind, Target, ask
from lab.waiting import eventually
from tests.live.clusters import ManifestCluster
from tests.live.site import (
    POD_PORT,
    PacketKind,
    Site,
    Web,
    address,
    first_answer,
    first_failure,
)

pytestmark = pytest.mark.live

FLAGS = ("--nodeport-addresses=0.0.0.0/0,::/0", "--iptables-localhost-nodeports=true")
LOOPBACK = ("127.0.0.1", "::1")
ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An agent that was asked for NodePorts on every address and on loopback."""
    directory, log = tmp_path_factory.mktemp("manifests"), tmp_path_factory.mktemp("log") / "agent"
    with private_node() as lab:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        cluster = ManifestCluster(directory)
        arguments = [*cluster.agent_arguments, *FLAGS]
        with AgentProcess(lab.node, arguments, log) as agent:
            eventually("the agent is ready", agent.is_ready)
            yield Site(lab, cluster, agent)


def on_loopback(web: Web, kind: PacketKind) -> Target:
    return web.on_node(kind, LOOPBACK)


def failure_of(caller: Namespace, target: Target) -> FailureKind | None:
    outcome = ask(caller, target)
    return None if isinstance(outcome, Answer) else outcome.kind


def test_host_refuses_a_node_port_on_loopback_as_any_port_that_nobody_has(
    site: Site, kind: PacketKind
):
    """PP-14: the answer is the host's own, and the same Service answers beside it."""
    web = site.published(site.backends(1))

    beside = first_answer(site.node, web.on_node(kind))
    failure = failure_of(site.node, on_loopback(web, kind))

    assert beside.server == address(site.backends(1)[0], kind)
    assert failure == "refused"


def test_process_of_the_host_has_the_port_on_loopback_and_the_service_elsewhere(
    site: Site, kind: PacketKind
):
    """What is on loopback is none of ours: not translated, not masqueraded."""
    web = site.published(site.backends(1))
    site.lab.serve_on_node(tcp=[web.node_port], udp=[web.node_port])

    at_home = ask(site.node, on_loopback(web, kind))
    outside = first_answer(site.client, web.on_node(kind))

    assert isinstance(at_home, Answer)
    assert (at_home.server, at_home.server_port) == (on_loopback(web, kind).address, web.node_port)
    assert not at_home.is_masqueraded
    assert outside.server == address(site.backends(1)[0], kind)


def test_process_of_the_host_is_reached_also_when_the_service_refuses(site: Site, kind: PacketKind):
    web = site.published(site.backends(1))
    site.lab.serve_on_node(tcp=[web.node_port], udp=[web.node_port])
    web.scale_to([])

    first_failure(site.client, web.on_node(kind), "refused")
    at_home = ask(site.node, on_loopback(web, kind))

    assert isinstance(at_home, Answer)


def test_packets_to_loopback_stay_unroutable(site: Site):
    """CT-30: route_localnet would let neighbours reach what listens on loopback only."""
    with site.node.entered():
        value = ROUTE_LOCALNET.read_text()

    assert value == "0\n"
