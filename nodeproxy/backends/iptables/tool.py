"""The commands: iptables-restore and iptables-save of both families and both flavours.

    nft      iptables-nft-restore: rules become nf_tables rules; one netlink transaction a table
    legacy   iptables-legacy-restore: the whole table is read, changed and replaced; one lock

Calls block; the backend makes them in a thread. Input goes through a memory file, so nobody has to
stand by and feed a pipe of 15 MB.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from nodeproxy.backends.iptables.lock import is_own, lock_holder
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.errors import BackendError, KernelUnsupported, PermissionMissing
from nodeproxy.model.addresses import Family

_log = logging.getLogger("nodeproxy.iptables")

LOCK_WAIT_SECONDS = 5
"""How long a command waits for the lock (IPT-2)."""
_PATIENCE_SECONDS = 1.0
"""After this long the log says whom we wait for."""
_TIMEOUT_SECONDS = 120.0
_OWN_PIDS = 64
_RESOURCE_PROBLEM = 4
_INCOMPATIBLE = "is incompatible, use 'nft' tool"
"""In the output of a save that tells nothing of a table, and ends with 0 nevertheless."""
_LINE = re.compile(r"line:? (\d+)")


class Flavour(enum.StrEnum):
    """Which kernel interface a command writes to."""

    NFT = "nft"
    LEGACY = "legacy"


class Refusal(msgspec.Struct, frozen=True):
    """A restore that was not taken, or not taken as a whole."""

    line: int
    """1-based line of the input that the command named; 0 if it named none."""
    text: str


class Tool(Protocol):
    """What the backend needs of the commands; `Commands` and the fake in memory have it."""

    flavour: Flavour

    def restore(self, family: Family, text: str) -> Refusal | None:
        """Apply a restore input with `--noflush`; None if all of it is in force.

        Raises:
            BackendError: the command could not do its work: no permission, lock held, no command.
        """

    def save(self, family: Family, table: Table) -> str:
        """A whole table, as iptables-save prints it; empty if it does not exist.

        Raises:
            BackendError: it could not be read.
        """


class Commands:
    """The commands of one flavour (see `Tool`)."""

    # Mutable state: the processes started last, whose changes are our own, and the families that
    # a restore is changing right now.
    def __init__(self, flavour: Flavour, inside: Sequence[str] = ()) -> None:
        """Name the commands; nothing is run yet.

        Args:
            flavour: which of the two.
            inside: command that runs another one, to work in another network namespace.
        """
        self.flavour = flavour
        self._inside = tuple(inside)
        self.own_pids: deque[int] = deque(maxlen=_OWN_PIDS)
        self.busy: set[Family] = set()
        self.after_restore: Callable[[Family], None] | None = None
        """Called behind each restore, in the thread that made it, while `busy` names the family."""

    def restore(self, family: Family, text: str) -> Refusal | None:
        """See `Tool.restore`."""
        command = command_name(family, self.flavour, "restore")
        self.busy.add(family)
        try:
            with _memory_file(text) as stdin:
                done = self._run([command, "-w", str(LOCK_WAIT_SECONDS), "--noflush"], stdin)
            if self.after_restore is not None:
                self.after_restore(family)
        finally:
            self.busy.discard(family)
        if done.returncode == 0:
            return None
        words = done.stderr.strip()
        _raise_if_unable(done.returncode, words, command)
        found = _LINE.search(words)
        return Refusal(int(found[1]) if found else 0, _in_one_line(words))

    def save(self, family: Family, table: Table) -> str:
        """See `Tool.save`."""
        command = command_name(family, self.flavour, "save")
        done = self._run([command, "-t", table], subprocess.DEVNULL)
        if done.returncode != 0:
            words = done.stderr.strip()
            _raise_if_unable(done.returncode, words, command)
            raise BackendError(f"{command} -t {table}: {_in_one_line(words)}; trying again")
        if _INCOMPATIBLE in done.stdout:
            raise BackendError(
                f"{command}: table {table} of {family} holds rules that iptables cannot read, "
                "written with nft; ours cannot be compared with them. Move those rules to a "
                "table of their own; trying again"
            )
        return done.stdout

    def _run(self, command: Sequence[str], stdin: int) -> subprocess.CompletedProcess[str]:
        try:
            process = subprocess.Popen(
                [*self._inside, *command],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as exc:
            raise KernelUnsupported(
                f"{command[0]} cannot be run ({exc.strerror})",
                "install the package iptables, or use --proxy-mode=nftables",
            ) from exc
        self.own_pids.append(process.pid)
        with process:
            try:
                out, err = self._wait(process, command[0])
            except subprocess.TimeoutExpired:
                process.kill()
                seconds = f"{_TIMEOUT_SECONDS:.0f} s"
                raise BackendError(f"{command[0]} did not end within {seconds}; killed") from None
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _wait(self, process: subprocess.Popen[str], name: str) -> tuple[str, str]:
        try:
            return process.communicate(timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            holder = lock_holder() if self.flavour is Flavour.LEGACY else ""
            if holder and not is_own(holder, process.pid):
                _log.warning("waiting for the xtables lock command=%s holder=%r", name, holder)
        return process.communicate(timeout=_TIMEOUT_SECONDS)


def command_name(family: Family, flavour: Flavour, verb: str) -> str:
    """`iptables-nft-restore`, or `iptables-restore` where there is only one flavour."""
    base = "iptables" if family is Family.IPV4 else "ip6tables"
    full = f"{base}-{flavour}-{verb}"
    return full if shutil.which(full) else f"{base}-{verb}"


def _raise_if_unable(code: int, words: str, command: str) -> None:
    """Failures that no other input would avoid."""
    if "Permission denied" in words or "Operation not permitted" in words:
        raise PermissionMissing(f"running {command}")
    if code == _RESOURCE_PROBLEM and "lock" in words:
        holder = lock_holder() or "nobody that can be seen here"
        raise BackendError(
            f"{command}: the xtables lock was held for {LOCK_WAIT_SECONDS} s, now by {holder}; "
            "nothing was changed, trying again"
        )


def _in_one_line(words: str) -> str:
    return "; ".join(line.strip() for line in words.splitlines() if line.strip())


@contextlib.contextmanager
def _memory_file(text: str) -> Iterator[int]:
    handle = os.memfd_create("iptables-restore")
    try:
        view = memoryview(text.encode())
        while view:
            view = view[os.write(handle, view) :]
        os.lseek(handle, 0, os.SEEK_SET)
        yield handle
    finally:
        os.close(handle)
