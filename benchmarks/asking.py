"""Asks an agent for its health again and again: `python -m benchmarks.asking`, on the node.

A process of its own, so that nothing but the agent holds up the answers. It asks every 5 ms, each
time by a new connection, until SIGTERM, and prints how long each answer took, in seconds.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import msgspec

from lab.namespace import Namespace

_ADDRESS = ("127.0.0.1", 10256)
_PAUSE_SECONDS = 0.005
_TIMEOUT_SECONDS = 10.0
_REQUEST = b"GET /livez HTTP/1.0\r\n\r\n"
_ROOT = Path(__file__).parents[1]


class Asking:
    """A process that asks."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    def finish(self) -> list[float]:
        """End it; seconds of each answer, in order of time. Refused connections do not count."""
        self._process.terminate()
        self._process.wait(_TIMEOUT_SECONDS)
        return msgspec.json.decode(self._output.read_bytes(), type=list[float])


@contextlib.contextmanager
def asking(node: Namespace, directory: Path) -> Iterator[Asking]:
    """Ask while the block runs."""
    output = directory / "answers.json"
    command = ["env", "-C", str(_ROOT), sys.executable, "-m", "benchmarks.asking"]
    with output.open("wb") as file:
        process = node.spawn(*command, output=file)
    try:
        yield Asking(process, output)
    finally:
        process.kill()
        process.wait()


class _End(Exception):
    """SIGTERM."""


def main() -> None:
    """See the module's text."""
    seconds: list[float] = []
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(_End):
        while True:
            started = time.perf_counter()
            with contextlib.suppress(ConnectionError):
                _ask()
                seconds.append(time.perf_counter() - started)
            time.sleep(_PAUSE_SECONDS)
    sys.stdout.buffer.write(msgspec.json.encode(seconds))


def _ask() -> None:
    with socket.create_connection(_ADDRESS, timeout=_TIMEOUT_SECONDS) as connection:
        connection.sendall(_REQUEST)
        while connection.recv(4096):
            pass


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _End


if __name__ == "__main__":
    main()
