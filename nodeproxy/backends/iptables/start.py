"""Everything an agent in iptables mode begins with: commands, families, backend, eye.

mode = open_iptables(localhost_nodeports=True)
mode.backend          commits
mode.watch(...)       for ever, beside it, after the first sync
mode.leave_others()   after the first sync: chains of ours in the other flavour go
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from nodeproxy.backends.iptables.backend import IptablesBackend
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.detect import Choice, Host, LocalHost, choose_flavour
from nodeproxy.backends.iptables.foreign import open_eye, watch
from nodeproxy.backends.iptables.probe import probe
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Commands, Tool
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import FAMILIES, Family

_log = logging.getLogger("nodeproxy.iptables")

_BE_LIBERAL = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal")


class IptablesMode:
    """The parts of the mode, made for one agent; see `open_iptables`."""

    def __init__(
        self,
        choice: Choice,
        others: Sequence[Commands],
        commands: Commands,
        backend: IptablesBackend,
    ) -> None:
        self.choice = choice
        self.backend = backend
        self._commands = commands
        self._others = others

    @property
    def families(self) -> tuple[Family, ...]:
        """Those that are programmed."""
        return self.backend.families

    async def watch(self, on_change: Callable[[str], None]) -> None:
        """Notice foreign changes for ever; to be begun after the first sync."""
        await watch(open_eye(self._commands, self.families), on_change)

    async def leave_others(self) -> list[str]:
        """Remove what an earlier agent left in the other flavour; tells what that was.

        Raises:
            BackendError: some of it stays.
        """
        told: list[str] = []
        for commands in self._others:
            told += await asyncio.to_thread(cleanup, commands, FAMILIES)
        return told


def open_iptables(
    *, localhost_nodeports: bool, inside: Sequence[str] = (), host: Host | None = None
) -> IptablesMode:
    """Find the commands and see that the kernel does what we need.

    Args:
        localhost_nodeports: NodePorts on loopback addresses (DP-57).
        inside: command that runs another one, to work in another network namespace.
        host: who is asked; this machine unless said otherwise.

    Raises:
        KernelUnsupported: no iptables, or the kernel lacks something; the text says what.
        BackendError: the commands cannot do their work.
    """
    host = host or LocalHost(inside)
    choice = choose_flavour(host)
    _log.info("iptables flavour=%s because %s", choice.flavour, choice.reason)
    if choice.warning:
        _log.warning("%s", choice.warning)
    commands = Commands(choice.flavour, inside)
    others = [Commands(each, inside) for each in host.flavours() if each is not choice.flavour]
    options = IptablesOptions(
        localhost_nodeports=localhost_nodeports, drops_invalid=not is_liberal()
    )
    backend = IptablesBackend(commands, usable_families(commands), options)
    return IptablesMode(choice, others, commands, backend)


def usable_families(tool: Tool) -> tuple[Family, ...]:
    """Those the kernel carries our rules for; one without the other is told (IPT-1).

    Raises:
        BackendError: neither; the first failure.
    """
    failures: list[BackendError] = []
    usable: list[Family] = []
    for family in FAMILIES:
        try:
            probe(tool, family)
        except BackendError as exc:
            failures.append(exc)
        else:
            usable.append(family)
    if not usable:
        raise failures[0]
    for failure in failures:
        _log.info("one family only families=%s: %s", ",".join(usable), failure)
    return tuple(usable)


def is_liberal(setting: Path = _BE_LIBERAL) -> bool:
    """Connection tracking takes packets outside of the window, so INVALID says little (DP-70)."""
    try:
        return setting.read_text().strip() not in ("", "0")
    except OSError:
        return False
