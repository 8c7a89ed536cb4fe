"""Kernel settings a node needs for Services: what to write, and a thin writer (spec 50 section 2).

    Config --conntrack_settings--> Settings --apply--> Outcomes --told--> log
                                                 |
                                       /proc/sys, hashsize

Nothing here is fatal: what cannot be set leaves the node as it was, and the outcome says what
would help. A value is written only if another is in force, so an agent without privileges, or in
a network namespace where some settings are read-only, starts in peace once they are right.
IP forwarding belongs to the operator (CT-33): it is looked at, never written; route_localnet is
of the iptables mode alone (CT-30).
"""

from __future__ import annotations

import enum
import errno
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import msgspec

from nodeproxy.config.schema import Config, ConntrackConfig
from nodeproxy.model.addresses import Family

MAX = "net.netfilter.nf_conntrack_max"
MAX_ENTRIES = 1 << 20
"""What `max_per_core` may come to; only `min` goes beyond (CT-21)."""
HASHSIZE = "nf_conntrack hashsize"
_HASHSIZE_FILE = "module/nf_conntrack/parameters/hashsize"

PROC = Path("/proc")
SYS = Path("/sys")


class Setting(msgspec.Struct, frozen=True):
    """One sysctl and the value it shall have."""

    name: str
    """With dots, as `sysctl` takes it."""
    value: int


class Result(enum.StrEnum):
    """What came of a setting."""

    DONE = "done"
    UNCHANGED = "unchanged"
    """It had the value already."""
    MISSING = "missing"
    """The kernel has no such setting; later it may, as modules are loaded when they are needed."""
    REFUSED = "refused"
    ENOUGH = "enough"
    """Refused, and what is there is more than was wanted, which does no harm."""


class Outcome(msgspec.Struct, frozen=True):
    """One setting: what was wanted, what was there, what happened."""

    name: str
    wanted: int
    found: int | None
    """None if it could not be read."""
    result: Result
    remedy: str = ""
    """Why not, and what helps; empty if it is as wanted."""

    @property
    def is_failure(self) -> bool:
        """True if something should be done about it."""
        return self.result in (Result.MISSING, Result.REFUSED)

    def __str__(self) -> str:
        found = "" if self.found is None else f" instead of {self.found}"
        if self.remedy:
            return f"{self.name} is not set to {self.wanted}{found}: {self.remedy}"
        return f"{self.name}={self.wanted}{found if self.result is Result.DONE else ''}"


def conntrack_max(config: ConntrackConfig, cpus: int) -> int:
    """Entries of the conntrack table, 0 to leave it alone (CT-21)."""
    per_core = config.max_per_core or 0
    if per_core <= 0:
        return 0
    scaled = per_core * cpus
    if scaled > MAX_ENTRIES:
        return MAX_ENTRIES
    return max(scaled, config.min or 0)


def conntrack_settings(config: ConntrackConfig, cpus: int) -> tuple[Setting, ...]:
    """What to set, in order; whatever is 0 or not given stays alone (CT-20)."""
    wanted = {
        "max": conntrack_max(config, cpus),
        "tcp_timeout_established": config.tcp_established_seconds,
        "tcp_timeout_close_wait": config.tcp_close_wait_seconds,
        # Never set back to 0: somebody else may want it.
        "tcp_be_liberal": int(config.tcp_be_liberal),
        "udp_timeout": config.udp_seconds,
        "udp_timeout_stream": config.udp_stream_seconds,
    }
    return tuple(
        Setting(f"net.netfilter.nf_conntrack_{name}", value)
        for name, value in wanted.items()
        if value is not None and value > 0
    )


def apply(
    config: Config, *, proc: Path = PROC, sys: Path = SYS, cpus: int | None = None
) -> tuple[Outcome, ...]:
    """Bring the kernel to what the configuration asks for; a dozen small files, no waiting.

    Args:
        config: its part about connection tracking counts.
        proc: where procfs is mounted.
        sys: where sysfs is mounted.
        cpus: of the machine; None counts them.

    Returns:
        One outcome for each setting, and one for the table's buckets if they are too few.
    """
    settings = conntrack_settings(config.conntrack, count_cpus(sys) if cpus is None else cpus)
    return tuple(_outcomes(settings, proc, sys))


def _outcomes(settings: Collection[Setting], proc: Path, sys: Path) -> Iterator[Outcome]:
    for setting in settings:
        file = proc.joinpath("sys", *setting.name.split("."))
        outcome = _write(setting, file, lambda found, value: found == value)
        yield outcome
        # Buckets for a table that stays as it is would be somebody else's to choose.
        if setting.name == MAX and outcome.result in (Result.DONE, Result.UNCHANGED):
            yield _write(Setting(HASHSIZE, setting.value // 4), sys / _HASHSIZE_FILE, int.__ge__)


def _write(setting: Setting, file: Path, is_enough: Callable[[int, int], bool]) -> Outcome:
    """Write one file unless what is there is enough."""
    found: int | None = None
    try:
        found = int(file.read_text())
        if is_enough(found, setting.value):
            return Outcome(setting.name, setting.value, found, Result.UNCHANGED)
        file.write_text(f"{setting.value}\n")
    except (OSError, ValueError) as exc:
        return _failed(setting, file, found, exc)
    return Outcome(setting.name, setting.value, found, Result.DONE)


def _failed(setting: Setting, file: Path, found: int | None, exc: OSError | ValueError) -> Outcome:
    is_missing = isinstance(exc, OSError) and exc.errno in (errno.ENOENT, errno.ENOTDIR)
    if is_missing:
        cause = "this kernel has no such setting, or nf_conntrack is not loaded"
        help_ = "run on the node: modprobe nf_conntrack"
    else:
        cause = (isinstance(exc, OSError) and exc.strerror) or str(exc)
        help_ = f"run on the node: {_command(setting, file)}"
    result = Result.MISSING if is_missing else Result.REFUSED
    if setting.name == MAX and found is not None and found > setting.value:
        result = Result.ENOUGH
    remedy = f"{cause}; {help_}{_left_alone(setting.name)}"
    return Outcome(setting.name, setting.value, found, result, remedy)


def _command(setting: Setting, file: Path) -> str:
    """What an operator can type to do the same."""
    if setting.name == HASHSIZE:
        return f"echo {setting.value} > {file}"
    return f"sysctl -w {setting.name}={setting.value}"


def _left_alone(name: str) -> str:
    """How to tell the agent not to want it."""
    if name in (MAX, HASHSIZE):
        return ", or leave the size alone with --conntrack-max-per-core=0"
    if name.endswith("be_liberal"):
        return ""
    flag = name.removeprefix("net.netfilter.nf_conntrack_").replace("_", "-")
    return f", or leave it alone with --conntrack-{flag}=0"


def count_cpus(sys: Path = SYS) -> int:
    """Processors of the machine that are online, whatever this process may use (CT-22)."""
    try:
        return _count_ranges((sys / "devices/system/cpu/online").read_text())
    except (OSError, ValueError):
        return len(os.sched_getaffinity(0))


def _count_ranges(text: str) -> int:
    """How many numbers a list like `0-3,8` names.

    Raises:
        ValueError: it names none, or is not such a list.
    """
    count = 0
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    if count < 1:
        raise ValueError(text)
    return count


_FORWARDING = {
    Family.IPV4: "net.ipv4.ip_forward",
    Family.IPV6: "net.ipv6.conf.all.forwarding",
}


class ForwardingCheck:
    """Tells once for each family that the node does not forward packets; never changes it."""

    # Mutable: the families nobody needs to be told about any more.
    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._told: set[Family] = set()

    def remarks(self, families: Collection[Family]) -> tuple[str, ...]:
        """What to tell now.

        Args:
            families: those that have Services; forwarding matters to no other.
        """
        new = [family for family in families if family not in self._told]
        self._told.update(new)
        return tuple(filter(None, (self._remark(family) for family in new)))

    def _remark(self, family: Family) -> str:
        name = _FORWARDING[family]
        try:
            is_on = int(self._proc.joinpath("sys", *name.split(".")).read_text()) != 0
        except (OSError, ValueError):
            return ""
        if is_on:
            return ""
        return (
            f"{name} is 0: this node forwards no {family} packets, so {family} Services work for "
            f"its own processes only, not for pods or clients; run on the node: sysctl -w {name}=1"
        )
