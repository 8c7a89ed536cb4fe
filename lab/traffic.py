"""Who asks: single questions, many at once, a conversation, and a stream that goes on meanwhile.

An outcome is an `Answer` (who answered, as whom the caller was seen) or a `Failure` (how it
failed and how soon). Everything is bounded by a timeout.
"""

from __future__ import annotations

import errno
import itertools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from lab import lines
from lab.lines import Line, Spoken
from lab.namespace import Namespace

ANSWER_TIMEOUT_SECONDS = 2.0

FailureKind = Literal["refused", "timeout", "unreachable", "reset"]

_KIND_BY_ERRNO: dict[int, FailureKind] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EACCES: "unreachable",
    errno.ENOPROTOOPT: "unreachable",
    errno.EINVAL: "unreachable",  # from a loopback address to somewhere else
    errno.ETIMEDOUT: "timeout",
}
# Ports are taken in turn, so that each comes back after seconds only, when the node's conntrack
# has forgotten its former flow. A UDP flow from a port used just before would follow the former
# flow; a TCP connection may clash with it in translation, and one in thousands is then refused.
_ports = itertools.cycle(range(10_000, 65_000))
_PORT_TRIES = 20


class Target(NamedTuple):
    """Where a question goes."""

    protocol: Spoken
    address: str
    port: int
    """0 for a ping."""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}/{self.protocol}"


class Answer(msgspec.Struct, frozen=True):
    """A question that was answered."""

    server: str
    """The address that was reached in the end."""
    server_port: int
    seen_as: str
    """The caller's address as the server saw it."""
    caller: str
    """The caller's address as the caller knows it."""
    seconds: float

    @property
    def is_masqueraded(self) -> bool:
        """The server saw another address than the caller's."""
        return self.seen_as != self.caller


class Failure(msgspec.Struct, frozen=True):
    """A question that was not answered."""

    kind: FailureKind
    seconds: float


Outcome = Answer | Failure


def ask(
    namespace: Namespace,
    target: Target,
    *,
    source: str | None = None,
    timeout: float = ANSWER_TIMEOUT_SECONDS,
) -> Outcome:
    """Open a new connection (or UDP flow) and ask once.

    Args:
        namespace: where the caller lives.
        target: whom to ask.
        source: the caller's address; the kernel chooses when None.
        timeout: seconds for all of it.
    """
    with Conversation(namespace, target, source=source, timeout=timeout) as conversation:
        return conversation.opening


def ask_many(
    namespace: Namespace, target: Target, count: int, *, timeout: float = ANSWER_TIMEOUT_SECONDS
) -> list[Outcome]:
    """Ask `count` times, one new connection after the other; ends early at the first timeout."""
    outcomes: list[Outcome] = []
    for _ in range(count):
        outcomes.append(ask(namespace, target, timeout=timeout))
        last = outcomes[-1]
        if isinstance(last, Failure) and last.kind == "timeout":
            break
    return outcomes


def tally(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Count who answered, by address; failures count under their kind."""
    return Counter(o.server if isinstance(o, Answer) else o.kind for o in outcomes)


class Conversation:
    """One connection (or UDP flow) kept open; `opening` is the outcome of its first question."""

    def __init__(
        self,
        namespace: Namespace,
        target: Target,
        *,
        source: str | None = None,
        timeout: float = ANSWER_TIMEOUT_SECONDS,
    ) -> None:
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        self._line = lines.line(namespace, target.protocol, family)
        self._timeout = timeout
        self.port = _bind(self._line, source)
        """The caller's port, or the identifier of a ping; no other caller used it just before."""
        self.opening = self._timed(lambda: self._line.open(target.address, target.port))

    def say(self) -> Outcome:
        """Ask again on the same connection."""
        return self._timed(self._line.send)

    def close(self) -> None:
        """End the connection at once."""
        self._line.close()

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _timed(self, action: Callable[[], object]) -> Outcome:
        started = time.monotonic()
        self._line.sock.settimeout(self._timeout)
        try:
            action()
            heard = self._line.receive()
        except TimeoutError:
            return Failure("timeout", time.monotonic() - started)
        except OSError as exc:
            return Failure(_KIND_BY_ERRNO[exc.errno or 0], time.monotonic() - started)
        seconds = time.monotonic() - started
        if not heard:
            return Failure("reset", seconds)
        server, port, seen_as, _ = heard.decode().split()
        return Answer(server, int(port), seen_as, self._line.local()[0], seconds)


def _bind(line: Line, source: str | None) -> int:
    """Take the next port that nobody in the namespace holds."""
    for tries_left in reversed(range(_PORT_TRIES)):
        port = next(_ports)
        try:
            line.bind(source or "", port)
        except OSError:
            if not tries_left:
                raise
        else:
            return port
    raise AssertionError(_PORT_TRIES)


class Sample(NamedTuple):
    """One outcome of a stream."""

    asked_at: float
    """Monotonic seconds, before the question."""
    outcome: Outcome


class Stream:
    """A thread that asks again and again; read `samples` at any time.

    With a conversation it goes on speaking on that connection, otherwise every question is a new
    connection.
    """

    def __init__(
        self, question: Callable[[], Outcome], *, name: str, pause_seconds: float = 0.001
    ) -> None:
        self._samples: list[Sample] = []
        self._question = question
        self._pause = pause_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lab-stream-{name}", daemon=True)
        self._thread.start()

    @property
    def samples(self) -> Sequence[Sample]:
        """Everything so far, in order."""
        return tuple(self._samples)

    def since(self, moment: float) -> Sequence[Sample]:
        """What was asked at or after a monotonic moment."""
        return tuple(s for s in self._samples[:] if s.asked_at >= moment)

    def failures(self) -> Sequence[Sample]:
        """Everything that was not answered."""
        return tuple(s for s in self._samples[:] if isinstance(s.outcome, Failure))

    def stop(self) -> Sequence[Sample]:
        """Stop asking and return everything."""
        self._stopped.set()
        self._thread.join()
        return self.samples

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(self._pause):
            asked_at = time.monotonic()
            self._samples.append(Sample(asked_at, self._question()))
