"""Lets the private node reach an API server outside of it, and counts what the server sends.

Bytes are passed on as they are, so that TLS is between the agent and the server alone.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial

from lab.namespace import Namespace

_READ_BYTES = 1 << 18


class Relay:
    """Listens on the node's loopback and connects, outside, for each connection that comes."""

    # Mutable state: the connections to be closed at the end, and the count, changed by threads.
    def __init__(self, node: Namespace, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = node.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._received = 0
        self._open: list[socket.socket] = [self._listener]
        _start(self._accept)

    @property
    def bytes_received(self) -> int:
        """Sent by the server so far, TLS included."""
        return self._received

    def close(self) -> None:
        """End every connection."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listener.accept()
                self._open.append(inner)
                try:
                    outer = socket.create_connection(self._server)
                except OSError:
                    inner.close()
                    continue
                self._open.append(outer)
                for sock in (inner, outer):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _start(partial(_pass_on, inner, outer, _ignore))
                _start(partial(_pass_on, outer, inner, self._count))

    def _count(self, size: int) -> None:
        with self._lock:
            self._received += size


def _pass_on(source: socket.socket, sink: socket.socket, count: Callable[[int], None]) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_READ_BYTES):
            count(len(data))
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _ignore(_: int) -> None:
    """What agents send is not counted."""


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="bench-relay", daemon=True).start()
