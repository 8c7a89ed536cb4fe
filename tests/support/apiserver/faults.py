"""What the stand-in can do wrong, and when.

A fault is a value; `Faults.inject` says which requests it strikes::

    server.faults.inject(Fail(503), path="/api/v1/services", times=3)
    server.faults.inject(Truncate(after_bytes=500), verb="list", times=1)

Faults that strike what is already open (reset, silence, end, garbage) are methods of the server.
"""

from __future__ import annotations

import asyncio
from typing import Literal, TypeVar

import msgspec

Verb = Literal["get", "list", "watch"]
FaultT = TypeVar("FaultT")


class Fail(msgspec.Struct, frozen=True):
    """Answer with an error and a Status object."""

    status: int
    retry_after: int | None = None
    """Seconds for the Retry-After header."""
    message: str = "the stand-in was told to fail"


class Truncate(msgspec.Struct, frozen=True):
    """Stop in the middle of the body."""

    after_bytes: int
    """Body bytes that still arrive."""
    is_orderly: bool = False
    """True: the HTTP body ends correctly, only its JSON does not. False: the connection breaks."""


class Drip(msgspec.Struct, frozen=True):
    """Send everything in tiny pieces."""

    chunk_bytes: int = 1
    delay_seconds: float = 0.0
    gate: asyncio.Event | None = None
    """When given, a piece is sent only while it is set."""

    async def pause(self) -> None:
        """Wait before the next piece."""
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(self.delay_seconds)


class Hang(msgspec.Struct, frozen=True):
    """Take the request and never answer; the connection stays open."""


class Silent(msgspec.Struct, frozen=True):
    """A watch that answers with headers and then never sends anything, not even a bookmark."""


class Reset(msgspec.Struct, frozen=True):
    """Reset the TCP connection instead of answering."""


class EndAtOnce(msgspec.Struct, frozen=True):
    """A watch that ends in the orderly way before its first event."""


class Duplicate(msgspec.Struct, frozen=True):
    """A watch that sends each event twice."""


class BookmarksOnly(msgspec.Struct, frozen=True):
    """A watch that sends bookmarks and withholds every other event."""


class SendLine(msgspec.Struct, frozen=True):
    """A watch that begins with this line: garbage, or an event with a malformed object."""

    line: bytes


class ExtraItem(msgspec.Struct, frozen=True):
    """A list with one more item at its end, of any JSON."""

    item: bytes


Fault = (
    Fail
    | Truncate
    | Drip
    | Hang
    | Silent
    | Reset
    | EndAtOnce
    | Duplicate
    | BookmarksOnly
    | SendLine
    | ExtraItem
)


class Rule:
    """One fault and the requests it still has to strike."""

    def __init__(self, fault: Fault, path: str, verb: Verb | None, times: int | None) -> None:
        self.fault = fault
        self.path = path
        self.verb = verb
        self.remaining = times

    def strikes(self, path: str, verb: Verb) -> bool:
        """True if this request is struck, which uses up one of the rule's times."""
        if self.remaining == 0 or not path.startswith(self.path):
            return False
        if self.verb is not None and self.verb != verb:
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True


class Faults:
    """The faults in force; requests that match several rules meet all of them."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def inject(
        self,
        fault: Fault,
        *,
        path: str = "/",
        verb: Verb | None = None,
        times: int | None = None,
    ) -> None:
        """Let a fault strike requests from now on.

        Args:
            fault: what goes wrong.
            path: only requests whose path starts with this.
            verb: only lists, only watches, or only other reads; None means all.
            times: how many requests; None means until `clear`.
        """
        self._rules.append(Rule(fault, path, verb, times))

    def clear(self) -> None:
        """Work properly again; what is open stays as it is."""
        self._rules.clear()

    def strike(self, path: str, verb: Verb) -> Struck:
        """The faults this request meets."""
        return Struck(tuple(rule.fault for rule in self._rules if rule.strikes(path, verb)))


class Struck(msgspec.Struct, frozen=True):
    """The faults one request meets, in the order they were injected."""

    faults: tuple[Fault, ...] = ()

    def first(self, kind: type[FaultT]) -> FaultT | None:
        """The first fault of a kind, None if it is not among them."""
        return next((fault for fault in self.faults if isinstance(fault, kind)), None)
