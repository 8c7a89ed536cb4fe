"""The objects of the stand-in and their history; no sockets, no clock but for timestamps.

::

    put / delete --> Collection (one per kind) --> Event --> history, and every open watch
                          |                                     |
                        lists                          resumed watches; compact() forgets

One counter numbers all changes of all kinds, as etcd's revision does. Stored objects and events
never change, so lists and watches share them freely.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.apiserver.encoding import timestamp
from tests.support.apiserver.resources import RESOURCE_BY_KIND, RESOURCES, Resource
from tests.support.apiserver.stored import Event, Stored, object_key

DEFAULT_HISTORY_LIMIT = 1024
"""Events a kind remembers; a watch from before them is told 410, as by the real watch cache."""
_SNAPSHOT_LIMIT = 16
"""Paged lists that can be continued at the same time."""


class Collection:
    """All objects of one kind, with the changes that led here and who wants to hear of them."""

    def __init__(self, resource: Resource, version: int, history_limit: int) -> None:
        self.resource = resource
        self.version = version
        """Of the last change to this kind; what lists from the watch cache and bookmarks say."""
        self.floor = version
        """Watches may resume from here on; earlier is 410."""
        self.listeners: list[Callable[[Event], None]] = []
        self._objects: dict[str, Stored] = {}
        self._keys: list[str] = []  # sorted, the order of lists
        self._history: deque[Event] = deque()
        self._history_limit = history_limit
        self._snapshots: dict[int, Sequence[Stored]] = {}  # what paged lists continue from

    def get(self, key: str) -> Stored | None:
        """The current object of a key."""
        return self._objects.get(key)

    def in_order(self) -> list[Stored]:
        """Every object, in the order of lists."""
        return [self._objects[key] for key in self._keys]

    def apply(self, event: Event, key: str) -> None:
        """Take a change and tell every open watch."""
        if event.after is None:
            del self._objects[key]
            self._keys.pop(bisect.bisect_left(self._keys, key))
        else:
            if event.before is None:
                bisect.insort(self._keys, key)
            self._objects[key] = event.after
        self.version = event.version
        self._history.append(event)
        if len(self._history) > self._history_limit:
            self.floor = self._history.popleft().version
        for listener in tuple(self.listeners):
            listener(event)

    def events_since(self, version: int) -> list[Event]:
        """The remembered changes after `version`, oldest first."""
        return [event for event in self._history if event.version > version]

    def forget(self, version: int) -> None:
        """Drop history and page snapshots, as a freshly started watch cache at `version`."""
        self.version = self.floor = version
        self._history.clear()
        self._snapshots.clear()

    def renumber(self, numbers: Mapping[int, int]) -> None:
        """Give every object whose version is a key of `numbers` the version it maps to."""
        for key, stored in self._objects.items():
            if stored.version in numbers:
                self._objects[key] = stored.renumbered(numbers[stored.version])

    def snapshot(self, version: int) -> Sequence[Stored]:
        """Remember the objects as they are now, for the later pages of a list."""
        if version not in self._snapshots:
            if len(self._snapshots) >= _SNAPSHOT_LIMIT:
                del self._snapshots[next(iter(self._snapshots))]
            self._snapshots[version] = self.in_order()
        return self._snapshots[version]

    def snapshot_at(self, version: int) -> Sequence[Stored] | None:
        """The objects a paged list began with; None if that is forgotten."""
        return self._snapshots.get(version)


class Store:
    """Every object of every kind, and the counter that numbers their changes."""

    def __init__(self, version: int, history_limit: int = DEFAULT_HISTORY_LIMIT) -> None:
        self.version = version
        self._uids = itertools.count(1)
        self._collections = {
            resource.kind: Collection(resource, version, history_limit) for resource in RESOURCES
        }

    def collection(self, resource: Resource) -> Collection:
        """The objects of one kind."""
        return self._collections[resource.kind]

    def put(self, obj: Mapping[str, Any]) -> int:
        """Create or replace an object and return its resourceVersion.

        Only kind, name and namespace must be sound; the rest may be as malformed as JSON allows.
        """
        resource = RESOURCE_BY_KIND[obj["kind"]]
        obj = _with_namespace(obj, resource)
        metadata = obj["metadata"]
        collection = self._collections[resource.kind]
        key = object_key(metadata.get("namespace", ""), metadata["name"])
        before = collection.get(key)
        self.version += 1
        after = Stored(
            resource,
            obj,
            self.version,
            before.uid if before else metadata.get("uid") or self._next_uid(),
            before.created if before else metadata.get("creationTimestamp") or timestamp(),
            _next_generation(resource, metadata, before),
        )
        collection.apply(Event(self.version, before, after), key)
        return self.version

    def delete(self, kind: str, namespace: str, name: str) -> int:
        """Remove an object and return the resourceVersion of the removal.

        Raises:
            KeyError: there is no such object.
        """
        collection = self._collections[kind]
        key = object_key(namespace, name)
        before = collection.get(key)
        if before is None:
            raise KeyError(f"{kind} {key} is not in the store")
        self.version += 1
        collection.apply(Event(self.version, before, None), key)
        return self.version

    def compact(self) -> None:
        """Forget all history: watches and pages from before now are told 410."""
        for collection in self._collections.values():
            collection.forget(self.version)

    def rewind(self, version: int) -> None:
        """Continue at another resourceVersion, as after etcd was restored from a backup.

        Objects numbered above a lower counter get the last numbers below it, in their order.
        """
        stored = itertools.chain.from_iterable(c.in_order() for c in self._collections.values())
        late = sorted(item.version for item in stored if item.version > version)
        first = max(1, version - len(late) + 1)
        numbers = {old: min(first + at, version) for at, old in enumerate(late)}
        self.version = version
        for collection in self._collections.values():
            collection.renumber(numbers)
            collection.forget(version)

    def _next_uid(self) -> str:
        number = next(self._uids)
        return f"{number:08x}-5eed-4000-8000-{number:012x}"


def _with_namespace(obj: Mapping[str, Any], resource: Resource) -> Mapping[str, Any]:
    if not resource.is_namespaced or obj["metadata"].get("namespace"):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}


def _next_generation(resource: Resource, metadata: Mapping[str, Any], before: Stored | None) -> int:
    """Only EndpointSlices count generations; the others have none (0)."""
    if resource.kind != "EndpointSlice":
        return 0
    return before.generation + 1 if before else metadata.get("generation") or 1
