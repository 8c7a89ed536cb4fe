"""Single calls through the rules, timed: a new connection or flow with one answer, and a bulk."""

from __future__ import annotations

import socket
import struct
import time
from typing import Literal

from benchmarks.echo import BULK, COUNT, QUESTION
from benchmarks.measure import BenchmarkFailed
from lab.namespace import Namespace

Protocol = Literal["TCP", "UDP"]
Destination = tuple[str, int]
_WAIT_SECONDS = 3
_CHUNK = BULK * (1 << 18)
# Closing with a reset leaves no port in TIME_WAIT.
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)
_TIMEVAL = struct.pack("ll", _WAIT_SECONDS, 0)


def answer_seconds(caller: Namespace, protocol: Protocol, to: Destination) -> float:
    """Open a new connection (or UDP flow), ask, and wait for the answer.

    Returns:
        From before the first packet until the answer is there.

    Raises:
        BenchmarkFailed: nobody answered.
    """
    with _open(caller, protocol) as sock:
        started = time.perf_counter()
        try:
            sock.connect(to)
            sock.send(QUESTION)
            heard = sock.recv(16)
        except OSError as exc:
            raise BenchmarkFailed(_no_answer(protocol, to, exc)) from exc
        seconds = time.perf_counter() - started
        if not heard:
            raise BenchmarkFailed(f"{to[0]}:{to[1]} closed the connection without an answer")
        if protocol == "TCP":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)
    return seconds


def bulk_rate(caller: Namespace, to: Destination, seconds: float) -> float:
    """Send as much as possible over one TCP connection for a while.

    Returns:
        Bytes a second that arrived.

    Raises:
        BenchmarkFailed: nobody took them.
    """
    with _open(caller, "TCP") as sock:
        try:
            sock.connect(to)
            started = time.perf_counter()
            while time.perf_counter() - started < seconds:
                sock.sendall(_CHUNK)
            sock.shutdown(socket.SHUT_WR)
            arrived: int = COUNT.unpack(sock.recv(COUNT.size, socket.MSG_WAITALL))[0]
            return arrived / (time.perf_counter() - started)
        except (OSError, struct.error) as exc:
            raise BenchmarkFailed(_no_answer("TCP", to, exc)) from exc


def _open(caller: Namespace, protocol: Protocol) -> socket.socket:
    """A blocking socket with the kernel's own timeouts: Python's cost two calls more each time."""
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    sock = caller.socket(socket.AF_INET, kind)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL)
    return sock


def _no_answer(protocol: Protocol, to: Destination, exc: Exception) -> str:
    return f"no answer from {to[0]}:{to[1]}/{protocol}: {exc}"
