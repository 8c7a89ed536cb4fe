"""Thousands of first packets, many at a time, each with what came of it.

Like `lab.traffic`, but nobody waits for the one before: sockets of all callers are opened, one
selector hears the answers, and what stays silent costs its patience only once for all.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lab.namespace import Namespace

Protocol = Literal["tcp", "udp", "ping"]
Failure = Literal["refused", "unreachable", "silent"]

AT_ONCE = 300
"""Sockets open at the same time."""

_FAILURES: dict[int, Failure] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",
}
# Each question has a port nobody used before, so that no flow of conntrack is met again.
_ports = itertools.cycle(range(10_000, 65_000))
_PORT_TRIES = 50
# Numbers of linux/in.h and linux/in6.h that the socket module does not name.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)
_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
_ICMP = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}


class Question(NamedTuple):
    """The first packet of a connection, to be sent."""

    caller: Namespace
    source: str
    """The caller's address."""
    protocol: Protocol
    destination: str
    port: int
    """0 for a ping."""
    patience: float
    """Seconds without any sign after which the answer is `silent`."""


class Heard(NamedTuple):
    """An answer of a lab server, or an echo, which has the destination as its server."""

    server: str
    server_port: int
    seen_as: tuple[str, int]
    """The caller's address and port as the server saw them."""
    caller: tuple[str, int]
    """The same as the caller knows them."""

    @property
    def is_masqueraded(self) -> bool:
        """Another source was seen; a node that talks to itself keeps its address, not its port."""
        return self.seen_as != self.caller


Reply = Heard | Failure


def ask_all(questions: Sequence[Question]) -> list[Reply]:
    """Send all of them, a few hundred at a time, in order; replies in the order of questions."""
    replies: list[Reply] = []
    for start in range(0, len(questions), AT_ONCE):
        replies += _Crowd(questions[start : start + AT_ONCE]).replies()
    return replies


class _Crowd:
    """Questions that are under way together."""

    # Mutable state: what has been heard so far, by position of the question.
    def __init__(self, questions: Sequence[Question]) -> None:
        self._questions = questions
        self._replies: dict[int, Reply] = {}
        self._deadlines: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []

    def replies(self) -> list[Reply]:
        try:
            self._send()
            while self._deadlines:
                self._hear()
        finally:
            self._selector.close()
            for sock in self._sockets:
                sock.close()
        return [self._replies[number] for number in range(len(self._questions))]

    def _send(self) -> None:
        for number, question in enumerate(self._questions):
            sock = _open(question)
            self._sockets.append(sock)
            self._selector.register(sock, selectors.EVENT_READ, number)
            self._deadlines[number] = time.monotonic() + question.patience
            if failure := _begin(sock, question):
                self._settle(number, sock, failure)

    def _hear(self) -> None:
        patience = max(0.0, min(self._deadlines.values()) - time.monotonic())
        for key, _ in self._selector.select(patience):
            number, sock = key.data, key.fileobj
            if isinstance(sock, socket.socket) and (reply := _reply(sock, self._questions[number])):
                self._settle(number, sock, reply)
        now = time.monotonic()
        for number in [n for n, deadline in self._deadlines.items() if deadline <= now]:
            self._settle(number, self._sockets[number], "silent")

    def _settle(self, number: int, sock: socket.socket, reply: Reply) -> None:
        self._selector.unregister(sock)
        if self._questions[number].protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)
        sock.close()
        del self._deadlines[number]
        self._replies[number] = reply


def _open(question: Question) -> socket.socket:
    family = socket.AF_INET6 if ":" in question.source else socket.AF_INET
    if question.protocol == "ping":
        sock = question.caller.socket(family, socket.SOCK_DGRAM, _ICMP[family])
    else:
        kind = socket.SOCK_STREAM if question.protocol == "tcp" else socket.SOCK_DGRAM
        sock = question.caller.socket(family, kind)
    sock.setblocking(False)
    if question.protocol != "tcp":
        level = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
        sock.setsockopt(level, _IP_RECVERR if family == socket.AF_INET else _IPV6_RECVERR, 1)
    _bind(sock, question.source)
    return sock


def _bind(sock: socket.socket, source: str) -> None:
    for _ in range(_PORT_TRIES - 1):
        with contextlib.suppress(OSError):
            return sock.bind((source, next(_ports)))
    return sock.bind((source, next(_ports)))


def _begin(sock: socket.socket, question: Question) -> Failure | None:
    """Send the first packet; tell if it failed at once."""
    try:
        sock.connect((question.destination, question.port))
        if question.protocol == "udp":
            sock.send(b"?")
        elif question.protocol == "ping":
            sock.send(struct.pack("!BBHHH", _ECHO_REQUEST[sock.family], 0, 0, 0, 1) + b"?")
    except PermissionError:
        # Dropped or rejected on the caller's own host; after a reject the receive that follows
        # hears of it as well.
        return None
    except BlockingIOError:
        # TCP goes on in the background. An ICMP error that came while connect() was at work is
        # put aside, and TCP would try again after a second.
        return _FAILURES.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except OSError as exc:
        return _FAILURES[exc.errno or 0]
    return None


def _reply(sock: socket.socket, question: Question) -> Reply | None:
    """What is to be heard; None if it was nothing yet."""
    try:
        heard = sock.recv(512)
        caller: tuple[str, int] = sock.getsockname()[:2]
    except BlockingIOError:
        # As in `_begin`, only later.
        return _FAILURES.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except OSError as exc:
        return _FAILURES[exc.errno or 0]
    if question.protocol == "ping":
        return Heard(question.destination, 0, caller, caller)
    server, port, seen_as, seen_port = heard.decode().split()
    return Heard(server, int(port), (seen_as, int(seen_port)), caller)
