"""One network namespace: a file descriptor, and how to act inside it.

A namespace lives as long as something refers to it: here, our descriptor, the sockets opened in
it and the processes started in it. Processes started here are killed by the kernel when this
process ends, so even SIGKILL leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

CLONE_NEWNET = 0x40000000
COMMAND_TIMEOUT_SECONDS = 20.0

# os.setns and os.unshare came with Python 3.12.
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A command inside a namespace ended with an error."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        super().__init__(command, code, output)
        self.command = command
        self.code = code
        self.output = output

    def __str__(self) -> str:
        return f"{' '.join(self.command)}: exit code {self.code}: {self.output.strip()}"


class Namespace:
    """A network namespace of our own; use as a context manager or call `close`."""

    def __init__(self, name: str) -> None:
        self.name = name
        with _back_afterwards():
            _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
            self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    @property
    def path(self) -> str:
        """A path other processes can open while this one lives; `ip` and `nsenter` take it."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Act inside: sockets made here belong to the namespace for good. This thread only."""
        with _back_afterwards():
            _check(_libc.setns(self._fd, CLONE_NEWNET), f"setns({self.name})")
            yield

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Make a socket inside."""
        with self.entered():
            return socket.socket(family, kind, protocol)

    def set_sysctls(self, values: dict[str, str]) -> None:
        """Write settings by their dotted names, as `sysctl -w` does."""
        with self.entered():
            for name, value in values.items():
                Path("/proc/sys", *name.split(".")).write_text(value)

    def run(
        self, *command: str, stdin: str = "", check: bool = True, with_warnings: bool = True
    ) -> str:
        """Run a command inside to its end.

        Returns:
            What it printed, and what it said on its error output unless that is not wanted.

        Raises:
            CommandFailed: it ended with an error and `check` is set.
            subprocess.TimeoutExpired: it did not end in time.
        """
        done = subprocess.run(
            self._inside(command),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if with_warnings else subprocess.PIPE,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandFailed(command, done.returncode, done.stdout + (done.stderr or ""))
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run lines of the `ip` command, without the word `ip`, in one go."""
        self.run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")

    def spawn(self, *command: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a process inside that dies with the calling thread's process.

        The process id is that of the command itself: nsenter and setpriv replace themselves.
        """
        return subprocess.Popen(
            self._inside(("setpriv", "--pdeathsig", "KILL", *command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def close(self) -> None:
        """Let go; the kernel removes the namespace once its last socket and process are gone."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Namespace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _inside(self, command: Sequence[str]) -> list[str]:
        return ["nsenter", f"--net={self.path}", *command]


@contextlib.contextmanager
def _back_afterwards() -> Iterator[None]:
    """Bring this thread back to the namespace it is in now."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(before, CLONE_NEWNET), "setns back")
        finally:
            os.close(before)


def _check(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
