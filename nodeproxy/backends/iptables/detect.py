"""Which of the two kernel interfaces do the others on this host use?

iptables exists in two flavours that keep their rules apart: `nft` writes nf_tables, `legacy` the
tables of old. The kernel asks both, so rules in the wrong one work, but whoever lists one of them
sees half of the truth, and INVALID or MARK of one meets accepts of the other. We go where the
kubelet is, else where most rules are, else where the host's own command goes.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from nodeproxy.backends.iptables.objects import PREFIX
from nodeproxy.backends.iptables.tool import Flavour
from nodeproxy.errors import KernelUnsupported

_KUBELET_CHAINS = (":KUBE-IPTABLES-HINT ", ":KUBE-KUBELET-CANARY ")
_TABLES = ("mangle", "filter")
"""Those that are read; the kubelet's chains are in mangle, and nat may hold 100,000 of our own."""
_TIMEOUT_SECONDS = 20.0


class Findings(msgspec.Struct, frozen=True):
    """What is known of one flavour on this host."""

    rules: int = 0
    """Rules of others."""
    has_kubelet: bool = False


class Choice(msgspec.Struct, frozen=True):
    """The flavour to use."""

    flavour: Flavour
    reason: str
    """Why, as the end of a sentence."""
    warning: str = ""
    """What an operator should know: rules of others in both."""


class Host(Protocol):
    """What is asked of the host."""

    def flavours(self) -> Sequence[Flavour]:
        """Those there are commands for, the host's default first."""

    def saved(self, flavour: Flavour) -> str:
        """What its save command prints of the tables that are looked at."""


def choose_flavour(host: Host) -> Choice:
    """Decide.

    Raises:
        KernelUnsupported: there is no iptables on this host.
    """
    flavours = host.flavours()
    if not flavours:
        raise KernelUnsupported(
            "iptables is not available on this host",
            "install the package iptables, or use --proxy-mode=nftables",
        )
    found = {flavour: findings(host.saved(flavour)) for flavour in flavours}
    flavour, reason = _best(flavours, found)
    rules = {each: what.rules for each, what in found.items() if what.rules}
    if len(rules) < 2:
        return Choice(flavour, reason)
    counts = ", ".join(f"{each}: {number}" for each, number in rules.items())
    warning = (
        f"iptables rules of others in both flavours ({counts}); the kernel asks both. "
        f"Using {flavour}, because {reason}; let everything on this host use one of them"
    )
    return Choice(flavour, reason, warning)


def _best(flavours: Sequence[Flavour], found: dict[Flavour, Findings]) -> tuple[Flavour, str]:
    if len(flavours) == 1:
        return flavours[0], "no other flavour is installed"
    with_kubelet = [flavour for flavour in flavours if found[flavour].has_kubelet]
    if len(with_kubelet) == 1:
        return with_kubelet[0], "the kubelet has its chains there"
    # max() keeps the first of equals, which is the host's default.
    most = max(with_kubelet or flavours, key=lambda flavour: found[flavour].rules)
    if found[most].rules:
        return most, "most rules of others are there"
    return most, "it is the default of this host"


def findings(saved: str) -> Findings:
    """What a save tells of others."""
    rules = sum(
        line.startswith("-A ") and not line.startswith(f"-A {PREFIX}") and f" {PREFIX}" not in line
        for line in saved.splitlines()
    )
    return Findings(rules, any(name in saved for name in _KUBELET_CHAINS))


class LocalHost:
    """This machine, in the network namespace of this process."""

    def __init__(self, inside: Sequence[str] = (), proc: Path = Path("/proc")) -> None:
        """Nothing is asked yet.

        Args:
            inside: command that runs another one, to look into another network namespace.
            proc: the proc filesystem of that namespace.
        """
        self._inside = tuple(inside)
        self._proc = proc

    def flavours(self) -> Sequence[Flavour]:
        """See `Host.flavours`."""
        found = [each for each in Flavour if shutil.which(f"iptables-{each}-restore")]
        default = self._default()
        if default in found or (not found and default is not None):
            return [default, *(each for each in found if each is not default)]
        return found

    def saved(self, flavour: Flavour) -> str:
        """See `Host.saved`; legacy tables that nobody uses are not loaded by looking at them."""
        if flavour is Flavour.LEGACY and not self._legacy_tables():
            return ""
        command = f"iptables-{flavour}-save"
        name = command if shutil.which(command) else "iptables-save"
        return "".join(self._run(name, "-t", table) for table in _TABLES)

    def _default(self) -> Flavour | None:
        """The flavour of the command `iptables`; versions before 1.8 are legacy and do not say."""
        version = self._run("iptables", "--version")
        if not version:
            return None
        return Flavour.NFT if "nf_tables" in version else Flavour.LEGACY

    def _legacy_tables(self) -> str:
        try:
            return (self._proc / "net" / "ip_tables_names").read_text()
        except OSError:
            return ""

    def _run(self, *command: str) -> str:
        try:
            done = subprocess.run(
                [*self._inside, *command],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout if done.returncode == 0 else ""
