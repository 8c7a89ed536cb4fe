"""Services that are changed while they are watched: what can happen to one, step by step.

Every subject starts with a shape and endpoints, and each round of steps brings it back to the
same shape and number of endpoints, so that rounds can be compared. Addresses of new endpoints
are always fresh.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from benchmarks.objects import (
    NODE_NAME,
    Answerer,
    Shape,
    in_slices,
    service_gone,
    service_put,
    slice_gone,
    slice_put,
)
from nodeproxy.model.events import SourceEvent

_ADDRESSES = ipaddress.IPv4Network("10.250.0.0/15")


class Step(msgspec.Struct, frozen=True):
    """One change, as the source tells it."""

    change: str
    """What happens: "endpoint added"."""
    subject: str
    """To whom: "NodePort"."""
    events: tuple[SourceEvent, ...]


class Subject(Protocol):
    """Something that changes."""

    def arrive(self) -> Iterator[SourceEvent]:
        """The events that bring it into the cluster."""

    def steps(self, turn: int) -> Iterator[Step]:
        """One round of changes, to be applied one by one, in order."""


class Supply:
    """Addresses for endpoints, each given out once."""

    # Mutable state: how many were given out.
    def __init__(self) -> None:
        self._given = 0

    def answerer(self, node: str = "far-node") -> Answerer:
        """A new endpoint."""
        self._given += 1
        return Answerer(str(_ADDRESSES[self._given % _ADDRESSES.num_addresses]), node)

    def crowd(self, count: int, local: int = 0) -> list[Answerer]:
        """New endpoints, the first `local` of them on the own node."""
        return [self.answerer(NODE_NAME if i < local else "far-node") for i in range(count)]


class EndpointSubject:
    """A Service whose endpoints come, go, are replaced, and turn unready and ready again."""

    # Mutable state: the endpoints it has now, by slice.
    def __init__(
        self, title: str, shape: Shape, supply: Supply, count: int, local: int = 0
    ) -> None:
        """Prepare.

        Args:
            title: what kind of Service it is.
            shape: the Service.
            supply: where its endpoints come from.
            count: how many it has.
            local: how many of them are on the own node; then only those change, since they are
                in both pools and cost the most.
        """
        self._title = title
        self._shape = shape
        self._supply = supply
        self._slices = in_slices(supply.crowd(count, local))
        self._changing = local or count

    def arrive(self) -> Iterator[SourceEvent]:
        """See Subject.arrive."""
        yield service_put(self._shape)
        for number, answerers in enumerate(self._slices):
            yield slice_put(self._shape, number, answerers)

    def steps(self, turn: int) -> Iterator[Step]:
        """Replace one, let it be unready for a moment, add one and remove another."""
        number = turn % len(self._slices)
        members = self._slices[number]
        slot = turn % min(self._changing, len(members))
        node = members[slot].node
        members[slot] = self._supply.answerer(node)
        yield self._step("endpoint replaced", number)
        members[slot] = replace(members[slot], is_ready=False)
        yield self._step("endpoint's readiness flipped", number)
        members[slot] = replace(members[slot], is_ready=True)
        yield self._step("endpoint's readiness flipped", number)
        members.insert(slot, self._supply.answerer(node))
        yield self._step("endpoint added", number)
        del members[slot + 1]
        yield self._step("endpoint removed", number)

    def _step(self, change: str, number: int) -> Step:
        put = slice_put(self._shape, number, self._slices[number])
        return Step(change, self._title, (put,))


class BorderSubject:
    """A Service that gets one endpoint more, over a border that matters, and loses it again."""

    def __init__(self, title: str, shape: Shape, supply: Supply, count: int) -> None:
        self._title = title
        self._shape = shape
        self._few = supply.crowd(count)
        self._more = [*self._few, supply.answerer()]

    def arrive(self) -> Iterator[SourceEvent]:
        """See Subject.arrive."""
        yield service_put(self._shape)
        yield slice_put(self._shape, 0, self._few)

    def steps(self, turn: int) -> Iterator[Step]:
        """Up and down."""
        few, more = len(self._few), len(self._more)
        up = slice_put(self._shape, 0, self._more)
        yield Step("endpoint added", f"{self._title}, {few} to {more}", (up,))
        down = slice_put(self._shape, 0, self._few)
        yield Step("endpoint removed", f"{self._title}, {more} to {few}", (down,))


class ServiceSubject:
    """A Service that is deleted and made anew, with its endpoints."""

    def __init__(self, title: str, shape: Shape, answerers: Sequence[Answerer]) -> None:
        self._title = title
        self._shape = shape
        self._answerers = answerers

    def arrive(self) -> Iterator[SourceEvent]:
        """See Subject.arrive."""
        yield service_put(self._shape)
        yield slice_put(self._shape, 0, self._answerers)

    def steps(self, turn: int) -> Iterator[Step]:
        """Away and back; Service and slice in one turn of the agent, which is the most work."""
        gone = (service_gone(self._shape), slice_gone(self._shape, 0))
        yield Step("Service removed", self._title, gone)
        yield Step("Service added", self._title, tuple(self.arrive()))


class SpecSubject:
    """A Service whose spec is switched to another one and back."""

    def __init__(
        self,
        changes: tuple[str, str],
        title: str,
        shapes: tuple[Shape, Shape],
        answerers: Sequence[Answerer],
    ) -> None:
        """Prepare.

        Args:
            changes: what the way there and the way back are called.
            title: what kind of Service it is.
            shapes: what it is, and what it becomes; under one name.
            answerers: its endpoints.
        """
        self._changes = changes
        self._title = title
        self._shapes = shapes
        self._answerers = answerers

    def arrive(self) -> Iterator[SourceEvent]:
        """See Subject.arrive."""
        yield service_put(self._shapes[0])
        yield slice_put(self._shapes[0], 0, self._answerers)

    def steps(self, turn: int) -> Iterator[Step]:
        """There and back."""
        there, back = self._changes
        yield Step(there, self._title, (service_put(self._shapes[1]),))
        yield Step(back, self._title, (service_put(self._shapes[0]),))
