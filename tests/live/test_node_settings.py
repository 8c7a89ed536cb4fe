"""Kernel settings of a node whose agent runs in a network namespace (CT-20..CT-23, CT-33)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.agent import AgentProcess
from lab.topology import Lab, private_node
from lab.waiting import eventually
from tests.live.clusters import ManifestCluster

pytestmark = pytest.mark.live

SIZE = Path("/proc/sys/net/netfilter/nf_conntrack_max")
TCP_TIMEOUTS = {
    "net.netfilter.nf_conntrack_tcp_timeout_established": "86400\n",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "3600\n",
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    with private_node() as lab:
        yield lab


def values(lab: Lab, names: list[str]) -> dict[str, str]:
    with lab.node.entered():
        return {name: Path("/proc/sys", *name.split(".")).read_text() for name in names}


def test_timeouts_are_set_and_a_size_that_is_read_only_is_told_with_a_remedy(
    lab: Lab, tmp_path: Path
):
    (tmp_path / "manifests").mkdir()
    cluster = ManifestCluster(tmp_path / "manifests")
    size = SIZE.read_text()
    wanted = int(size) + 1
    flags = (f"--conntrack-min={wanted}", "--conntrack-max-per-core=1")

    with AgentProcess(lab.node, [*cluster.agent_arguments, *flags], tmp_path / "log") as agent:
        eventually("the agent is ready", agent.is_ready)
        found = values(lab, list(TCP_TIMEOUTS))
        told = eventually(
            "what could not be set",
            lambda: (tmp_path / "log").read_text(),
            lambda log: "nf_conntrack_max is not set" in log,
        )
        is_running = agent.is_running

    assert found == TCP_TIMEOUTS
    assert f"run on the node: sysctl -w net.netfilter.nf_conntrack_max={wanted}" in told
    assert SIZE.read_text() == size
    assert is_running


def test_forwarding_that_is_off_is_told_and_left_alone(lab: Lab, tmp_path: Path):
    (tmp_path / "manifests").mkdir()
    cluster = ManifestCluster(tmp_path / "manifests")
    (tmp_path / "manifests" / "web.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
        "spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}\n"
    )
    lab.node.set_sysctls({"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"})

    with AgentProcess(lab.node, cluster.agent_arguments, tmp_path / "log") as agent:
        eventually("the agent is ready", agent.is_ready)
        told = eventually(
            "that nothing is forwarded",
            lambda: (tmp_path / "log").read_text(),
            lambda log: "net.ipv4.ip_forward is 0" in log,
        )

    assert "net.ipv6.conf.all.forwarding is 0" not in told
    assert values(lab, ["net.ipv4.ip_forward"]) == {"net.ipv4.ip_forward": "0\n"}
