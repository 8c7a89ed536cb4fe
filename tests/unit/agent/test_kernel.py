"""When kernel settings are made, and what is said about them."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from nodeproxy.agent.kernel import KernelSettings
from nodeproxy.config.schema import Config, ConntrackConfig
from nodeproxy.model.addresses import Family
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.types import PlanDelta, PlanKey
from nodeproxy.state.cluster import Changes

LIBERAL = "sys/net/netfilter/nf_conntrack_tcp_be_liberal"
ONLY_LIBERAL = ConntrackConfig(
    max_per_core=None,
    tcp_established_seconds=None,
    tcp_close_wait_seconds=None,
    tcp_be_liberal=True,
)
CONFIG = Config(node_name="n1", conntrack=ONLY_LIBERAL)
NOTHING = Changes(services=set(), node_changed=False, problems=())


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A kernel that forwards nothing, and whose conntrack is strict."""
    for name, text in ((LIBERAL, "0\n"), ("sys/net/ipv4/ip_forward", "0\n")):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def test_settings_are_made_and_told(proc: Path, caplog: pytest.LogCaptureFixture):
    kernel = KernelSettings(CONFIG, proc, proc)

    with caplog.at_level(logging.INFO):
        kernel.apply()

    assert (proc / LIBERAL).read_text() == "1\n"
    assert caplog.text.count("tcp_be_liberal=1 instead of 0") == 1


def test_what_the_kernel_lacks_is_tried_again_behind_the_first_rules(
    proc: Path, caplog: pytest.LogCaptureFixture
):
    (proc / LIBERAL).unlink()
    kernel = KernelSettings(CONFIG, proc, proc)
    kernel.apply()
    before = caplog.text

    (proc / LIBERAL).write_text("0\n")
    kernel.installed()

    assert (before, (proc / LIBERAL).read_text()) == ("", "1\n")


def test_what_is_still_missing_then_is_told_once(proc: Path, caplog: pytest.LogCaptureFixture):
    (proc / LIBERAL).unlink()
    kernel = KernelSettings(CONFIG, proc, proc)

    kernel.apply()
    kernel.installed()
    kernel.installed()

    assert caplog.text.count("modprobe nf_conntrack") == 1


def test_a_reload_makes_what_changed(proc: Path):
    off = msgspec.structs.replace(ONLY_LIBERAL, tcp_be_liberal=False)
    kernel = KernelSettings(Config(node_name="n1", conntrack=off), proc, proc)
    kernel.apply()

    kernel.reconfigure(CONFIG)

    assert (proc / LIBERAL).read_text() == "1\n"


def test_a_node_that_does_not_forward_is_told_once_it_has_services(
    proc: Path, caplog: pytest.LogCaptureFixture
):
    """CT-33."""
    kernel = KernelSettings(CONFIG, proc, proc)
    key = PlanKey(Family.IPV4, ServicePortKey("default", "web", "", Protocol.TCP))
    removed = PlanDelta(puts={}, removes={key}, settings={})

    kernel.decided(NOTHING, removed)
    kernel.installed()
    before = caplog.text
    for _ in range(2):
        kernel.decided(NOTHING, PlanDelta(puts={key: None}, removes=set(), settings={}))  # type: ignore[dict-item] # only keys count
        kernel.installed()

    assert (before, caplog.text.count("net.ipv4.ip_forward is 0")) == ("", 1)
