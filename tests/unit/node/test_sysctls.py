"""Conntrack and forwarding settings on a made-up /proc and /sys (spec 50 section 2, TS-706)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeproxy.config.schema import Config, ConntrackConfig
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.node.sysctls import (
    HASHSIZE,
    MAX,
    ForwardingCheck,
    Outcome,
    Result,
    Setting,
    apply,
    conntrack_max,
    conntrack_settings,
    count_cpus,
)

PREFIX = "net.netfilter.nf_conntrack_"
NOTHING = ConntrackConfig(
    max_per_core=None, min=None, tcp_established_seconds=None, tcp_close_wait_seconds=None
)


class Machine:
    """A directory that looks like /proc and /sys of a node."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.sys = directory / "sys"
        self.hashsize = self.sys / "module/nf_conntrack/parameters/hashsize"
        self.hashsize.parent.mkdir(parents=True)
        self.set({MAX: 262144, f"{PREFIX}tcp_timeout_established": 432000})
        self.set({f"{PREFIX}tcp_timeout_close_wait": 60, f"{PREFIX}tcp_be_liberal": 0})
        self.set({f"{PREFIX}udp_timeout": 30, f"{PREFIX}udp_timeout_stream": 120})
        self.hashsize.write_text("65536\n")

    def file(self, name: str) -> Path:
        return self.proc.joinpath("sys", *name.split("."))

    def set(self, values: dict[str, int]) -> None:
        for name, value in values.items():
            self.file(name).parent.mkdir(parents=True, exist_ok=True)
            self.file(name).write_text(f"{value}\n")

    def value(self, name: str) -> int:
        return int(self.file(name).read_text())

    def apply(self, conntrack: ConntrackConfig, cpus: int = 4) -> dict[str, Outcome]:
        config = Config(node_name="lab-node", conntrack=conntrack)
        outcomes = apply(config, proc=self.proc, sys=self.sys, cpus=cpus)
        return {outcome.name: outcome for outcome in outcomes}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("per_core", "least", "cpus", "entries"),
    [
        (0, 0, 4, 0),
        (None, 0, 4, 0),
        (0, 123456, 4, 0),
        (None, 123456, 4, 0),
        (67890, 1, 4, 271560),
        (67890, 1, 16, 1048576),
        (1, 123456, 4, 123456),
        (32768, 0, 512, 1048576),
        (32768, 131072, 1, 131072),
        (32768, 131072, 4, 131072),
        (32768, 131072, 8, 262144),
        (32768, 131072, 32, 1048576),
        (32768, 131072, 512, 1048576),
        (1, 2000000, 4, 2000000),
        (32768, 2000000, 512, 1048576),
        (32768, None, 2, 65536),
    ],
)
def test_table_is_as_large_as_processors_and_limits_say(
    per_core: int | None, least: int | None, cpus: int, entries: int
):
    """CT-21, CT-22, TS-706."""
    config = ConntrackConfig(max_per_core=per_core, min=least)

    found = conntrack_max(config, cpus)

    assert found == entries


def test_defaults_set_size_and_tcp_timeouts_only():
    """Spec 50 section 2: UDP timeouts and liberality are the kernel's unless asked for."""
    settings = conntrack_settings(ConntrackConfig(), cpus=8)

    assert settings == (
        Setting("net.netfilter.nf_conntrack_max", 262144),
        Setting("net.netfilter.nf_conntrack_tcp_timeout_established", 86400),
        Setting("net.netfilter.nf_conntrack_tcp_timeout_close_wait", 3600),
    )


@pytest.mark.parametrize(
    ("config", "setting"),
    [
        (ConntrackConfig(max_per_core=1, min=7), Setting(MAX, 7)),
        (
            ConntrackConfig(tcp_established_seconds=5),
            Setting(f"{PREFIX}tcp_timeout_established", 5),
        ),
        (ConntrackConfig(tcp_close_wait_seconds=6), Setting(f"{PREFIX}tcp_timeout_close_wait", 6)),
        (ConntrackConfig(tcp_be_liberal=True), Setting(f"{PREFIX}tcp_be_liberal", 1)),
        (ConntrackConfig(udp_seconds=8), Setting(f"{PREFIX}udp_timeout", 8)),
        (ConntrackConfig(udp_stream_seconds=9), Setting(f"{PREFIX}udp_timeout_stream", 9)),
    ],
)
def test_each_setting_is_wanted_when_configured(config: ConntrackConfig, setting: Setting):
    """TS-706."""
    settings = conntrack_settings(config, cpus=1)

    assert setting in settings


@pytest.mark.parametrize(
    "config",
    [
        NOTHING,
        ConntrackConfig(max_per_core=0, tcp_established_seconds=0, tcp_close_wait_seconds=0),
    ],
    ids=["absent", "zero"],
)
def test_nothing_is_wanted_when_everything_is_left_alone(config: ConntrackConfig):
    """CT-20, TS-706."""
    settings = conntrack_settings(config, cpus=64)

    assert settings == ()


def test_differing_values_are_written(machine: Machine):
    outcomes = machine.apply(ConntrackConfig())

    assert machine.value(MAX) == 131072
    assert machine.value(f"{PREFIX}tcp_timeout_established") == 86400
    assert machine.value(f"{PREFIX}tcp_timeout_close_wait") == 3600
    assert machine.value(f"{PREFIX}udp_timeout") == 30
    assert outcomes[MAX] == Outcome(MAX, 131072, 262144, Result.DONE)
    assert str(outcomes[MAX]) == "net.netfilter.nf_conntrack_max=131072 instead of 262144"


def test_equal_values_are_not_written_so_that_no_privilege_is_needed(machine: Machine):
    """Spec 50 section 2: a second start without privileges succeeds."""
    machine.apply(ConntrackConfig())
    written_at = machine.file(MAX).stat().st_mtime_ns
    os.utime(machine.file(MAX), ns=(0, 1_000_000_000))

    outcomes = machine.apply(ConntrackConfig())

    assert {outcome.result for outcome in outcomes.values()} == {Result.UNCHANGED}
    assert machine.file(MAX).stat().st_mtime_ns == 1_000_000_000 != written_at


@pytest.mark.parametrize(
    ("buckets", "entries", "after"),
    [(32767, 131072, 32768), (32768, 131072, 32768), (32768, 131075, 32768), (1, 7, 1)],
)
def test_buckets_are_at_least_a_quarter_of_the_entries(
    machine: Machine, buckets: int, entries: int, after: int
):
    """CT-23."""
    machine.hashsize.write_text(f"{buckets}\n")

    machine.apply(ConntrackConfig(max_per_core=1, min=entries))

    assert int(machine.hashsize.read_text()) == after


def test_buckets_are_raised_also_when_the_size_was_right_already(machine: Machine):
    """CT-23."""
    machine.set({MAX: 131072})
    machine.hashsize.write_text("1024\n")

    outcomes = machine.apply(ConntrackConfig())

    assert outcomes[MAX].result is Result.UNCHANGED
    assert outcomes[HASHSIZE] == Outcome(HASHSIZE, 32768, 1024, Result.DONE)


def test_buckets_stay_when_the_table_could_not_be_resized(machine: Machine):
    machine.file(MAX).unlink()
    machine.hashsize.write_text("1024\n")

    outcomes = machine.apply(ConntrackConfig())

    assert HASHSIZE not in outcomes
    assert int(machine.hashsize.read_text()) == 1024


def test_missing_setting_is_told_with_a_remedy_and_the_others_are_set(machine: Machine):
    machine.file(MAX).unlink()

    outcomes = machine.apply(ConntrackConfig())

    assert outcomes[MAX].result is Result.MISSING
    assert str(outcomes[MAX]) == (
        "net.netfilter.nf_conntrack_max is not set to 131072: this kernel has no such setting, "
        "or nf_conntrack is not loaded; run on the node: modprobe nf_conntrack, or leave the size "
        "alone with --conntrack-max-per-core=0"
    )
    assert machine.value(f"{PREFIX}tcp_timeout_established") == 86400


def test_unreadable_value_is_told_with_a_remedy(machine: Machine):
    name = f"{PREFIX}tcp_timeout_close_wait"
    machine.file(name).unlink()
    machine.file(name).mkdir()

    outcomes = machine.apply(ConntrackConfig())

    assert outcomes[name].result is Result.REFUSED
    assert str(outcomes[name]) == (
        "net.netfilter.nf_conntrack_tcp_timeout_close_wait is not set to 3600: Is a directory; run "
        "on the node: sysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=3600, or leave "
        "it alone with --conntrack-tcp-timeout-close-wait=0"
    )


def test_refused_buckets_are_told_with_the_command_that_sets_them(machine: Machine):
    machine.hashsize.unlink()
    machine.hashsize.mkdir()

    outcomes = machine.apply(ConntrackConfig())

    assert outcomes[HASHSIZE].result is Result.REFUSED
    assert f"echo 32768 > {machine.hashsize}" in outcomes[HASHSIZE].remedy


@pytest.mark.parametrize(
    ("online", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8,10-11\n", 7), ("0-511\n", 512)]
)
def test_processors_are_counted_by_the_hardware(tmp_path: Path, online: str, count: int):
    """CT-22."""
    (tmp_path / "devices/system/cpu").mkdir(parents=True)
    (tmp_path / "devices/system/cpu/online").write_text(online)

    found = count_cpus(tmp_path)

    assert found == count


@pytest.mark.parametrize("online", ["", "\n", "all\n", None])
def test_processors_are_counted_by_the_scheduler_if_the_hardware_is_not_told(
    tmp_path: Path, online: str | None
):
    """CT-22."""
    (tmp_path / "devices/system/cpu").mkdir(parents=True)
    if online is not None:
        (tmp_path / "devices/system/cpu/online").write_text(online)

    found = count_cpus(tmp_path)

    assert found == len(os.sched_getaffinity(0))


def test_forwarding_that_is_off_is_told_once_with_the_command(machine: Machine):
    """CT-33: it is not switched on."""
    machine.set({"net.ipv4.ip_forward": 0, "net.ipv6.conf.all.forwarding": 1})
    check = ForwardingCheck(machine.proc)

    first, second = check.remarks(FAMILIES), check.remarks(FAMILIES)

    assert first == (
        "net.ipv4.ip_forward is 0: this node forwards no IPv4 packets, so IPv4 Services work for "
        "its own processes only, not for pods or clients; run on the node: sysctl -w "
        "net.ipv4.ip_forward=1",
    )
    assert second == ()
    assert machine.value("net.ipv4.ip_forward") == 0


def test_forwarding_is_told_of_a_family_when_it_has_its_first_service(machine: Machine):
    machine.set({"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 0})
    check = ForwardingCheck(machine.proc)

    without, with_ipv6 = check.remarks([Family.IPV4]), check.remarks(FAMILIES)

    assert without == ()
    assert [remark.split()[0] for remark in with_ipv6] == ["net.ipv6.conf.all.forwarding"]


def test_forwarding_of_a_kernel_without_the_family_is_not_told(machine: Machine):
    machine.set({"net.ipv4.ip_forward": 1})
    check = ForwardingCheck(machine.proc)

    remarks = check.remarks(FAMILIES)

    assert remarks == ()
