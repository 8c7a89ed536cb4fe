"""Where sources leave their events: the latest value per object, so nothing ever queues up.

However fast objects change and however long a commit takes, the inbox holds at most one entry
per object. Order between objects carries no meaning (ClusterState is indifferent to it), except
that `Synced` comes after everything that was put before it. `EndpointsChosen` comes first: what
it makes obsolete is thrown away when it is put.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nodeproxy.model.events import (
    EndpointsChosen,
    Kind,
    Rejected,
    Removed,
    SourceEvent,
    Synced,
    Upserted,
    other_endpoints_kind,
)

_ObjectKey = tuple[Kind, str, str]


class Inbox:
    """An `EventSink`: everybody in the event loop may put, only the sync loop takes."""

    # Mutable state: the events nobody has taken yet.
    def __init__(self) -> None:
        self._objects: dict[_ObjectKey, Upserted | Removed] = {}
        self._rejected: dict[_ObjectKey, Rejected] = {}
        self._synced: dict[Kind, Synced] = {}
        self._chosen: dict[Kind | None, EndpointsChosen] = {}
        """Each choice once, the last one last: what all of them make obsolete is forgotten."""
        self._wake = asyncio.Event()

    def put(self, events: Sequence[SourceEvent]) -> None:
        """Take events in order; of one object the last counts.

        A rejected version does not push out the good one before it: that one stays in force.
        """
        for event in events:
            match event:
                case Upserted(kind, namespace, name) | Removed(kind, namespace, name):
                    key = (kind, namespace, name)
                    self._objects[key] = event
                    self._rejected.pop(key, None)
                case Rejected(kind, namespace, name):
                    self._rejected[kind, namespace, name] = event
                case Synced(kind):
                    self._synced[kind] = event
                case EndpointsChosen():
                    self._choose(event)
        if events:
            self._wake.set()

    def poke(self) -> None:
        """Wake the sync loop although there is no event: the kernel needs looking after."""
        self._wake.set()

    def take_all(self) -> list[SourceEvent]:
        """Everything that has come since the last call."""
        events: list[SourceEvent] = [*self._chosen.values()]
        events += [*self._objects.values(), *self._rejected.values(), *self._synced.values()]
        self._chosen.clear()
        self._objects.clear()
        self._rejected.clear()
        self._synced.clear()
        self._wake.clear()
        return events

    def _choose(self, event: EndpointsChosen) -> None:
        self._chosen.pop(event.kind, None)
        self._chosen[event.kind] = event
        if event.kind is None:
            return
        obsolete = other_endpoints_kind(event.kind)
        for pending in (self._objects, self._rejected):
            for key in [key for key in pending if key[0] is obsolete]:
                del pending[key]

    async def wait(self, timeout_seconds: float | None = None) -> None:
        """Wait until something was put or poked, or the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._wake.wait()
        except TimeoutError:
            return
