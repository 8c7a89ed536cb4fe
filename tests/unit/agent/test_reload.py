"""What a reload takes over, what it leaves, and what it says."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nodeproxy.agent.reload import Reloader
from nodeproxy.config.load import load_config
from nodeproxy.config.schema import Config

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


class Agent:
    """A reloader over a file, and what it applied."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.applied: list[Config] = []
        self.write("mode: nftables\n")
        config = load_config({"config": str(file), "hostname-override": "n1"}, "host")
        self.reloader = Reloader(config, self.applied.append)

    def write(self, text: str) -> None:
        self._file.write_text(HEAD + text)


@pytest.fixture
def agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Agent:
    caplog.set_level(logging.INFO)
    return Agent(tmp_path / "config.yaml")


async def test_live_settings_are_applied_and_told(agent: Agent, caplog: pytest.LogCaptureFixture):
    agent.write("mode: nftables\nnftables: {masqueradeAll: true}\n")

    await agent.reloader.reload("SIGHUP")

    assert [config.masquerade_all for config in agent.applied] == [True]
    assert "in force now: nftables.masqueradeAll: false -> true" in caplog.text


async def test_what_needs_a_restart_stays_as_it_was_and_is_told(
    agent: Agent, caplog: pytest.LogCaptureFixture
):
    agent.write("mode: nftables\nmetricsBindAddress: 0.0.0.0:10249\nlogging: {verbosity: 4}\n")

    await agent.reloader.reload("SIGHUP")

    (applied,) = agent.applied
    assert (str(applied.metrics_bind_address), applied.verbosity) == ("127.0.0.1:10249", 4)
    assert (
        "takes effect when the agent is started again: metricsBindAddress: "
        "127.0.0.1:10249 -> 0.0.0.0:10249"
    ) in caplog.text


async def test_a_broken_file_changes_nothing_and_says_why(
    agent: Agent, caplog: pytest.LogCaptureFixture
):
    before = agent.reloader.config
    agent.write("mode: nftables\nclusterCIDR: 10.244\nnftables: {masqueradeBit: 99}\n")

    await agent.reloader.reload("SIGHUP")

    errors = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert agent.reloader.config is before
    assert not agent.applied
    assert [":4: clusterCIDR: " in errors[0], ":5: " in errors[1], len(errors)] == [True, True, 3]
    assert "the settings before stay in force" in errors[2]


async def test_a_file_that_is_gone_changes_nothing(
    agent: Agent, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "config.yaml").unlink()

    await agent.reloader.reload("SIGHUP")

    assert not agent.applied
    assert "No such file or directory" in caplog.text


async def test_what_was_mended_is_taken_over(agent: Agent):
    agent.write("mode: [")
    await agent.reloader.reload("SIGHUP")
    agent.write("mode: nftables\nlogging: {verbosity: 4}\n")

    await agent.reloader.reload("SIGHUP")

    assert [config.verbosity for config in agent.applied] == [4]


async def test_no_difference_is_told_and_applied_all_the_same(
    agent: Agent, caplog: pytest.LogCaptureFixture
):
    """A change of the gate that was given up is tried again so."""
    await agent.reloader.reload("SIGHUP")

    assert len(agent.applied) == 1
    assert "configuration read again cause='SIGHUP' changes=0" in caplog.text


async def test_remarks_that_were_told_at_the_start_are_not_repeated(
    agent: Agent, caplog: pytest.LogCaptureFixture
):
    agent.write("mode: nftables\nunknown: 1\n")

    await agent.reloader.reload("SIGHUP")
    await agent.reloader.reload("SIGHUP")

    assert caplog.text.count("unknown field") == 1
