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
import enum
import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.apiserver.encoding import (
    convert,
    encode_body,
    field_values,
    string_map,
    timestamp,
    with_version,
)
from tests.support.apiserver.resources import RESOURCE_BY_KIND, RESOURCES, Resource
from tests.support.apiserver.selectors import Selection

DEFAULT_HISTORY_LIMIT = 1024
"""Events a kind remembers; a watch from before them is told 410, as by the real watch cache."""
_SNAPSHOT_LIMIT = 16
"""Paged lists that can be continued at the same time."""


class EventType(enum.StrEnum):
    """The type field of a watch event that carries an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Stored:
    """One object at one resourceVersion; never changes."""

    __slots__ = (
        "_bodies",
        "created",
        "fields",
        "generation",
        "key",
        "labels",
        "namespace",
        "native",
        "resource",
        "uid",
        "version",
    )

    def __init__(self, resource: Resource, obj: Mapping[str, Any], version: int, uid: str,
                 created: str, generation: int) -> None:  # fmt: skip
        metadata: Mapping[str, Any] = obj["metadata"]
        self.resource = resource
        self.namespace: str = metadata.get("namespace", "")
        self.key = object_key(self.namespace, metadata["name"])
        self.version = version
        self.uid = uid
        self.created = created
        self.generation = generation
        self.labels = string_map(metadata.get("labels"))
        self.fields = field_values(resource, obj)
        self.native = str(obj.get("apiVersion", "v1")).rpartition("/")[2]
        self._bodies = {self.native: encode_body(obj, self._assigned())}

    def _assigned(self) -> dict[str, Any]:
        assigned: dict[str, Any] = {
            "uid": self.uid,
            "resourceVersion": str(self.version),
            "creationTimestamp": self.created,
        }
        if self.generation:
            assigned["generation"] = self.generation
        return assigned

    def body(self, version: str) -> bytes:
        """The object as a list item of an API version (`v1`, `v1beta1`), encoded once."""
        if version not in self._bodies:
            native = self._bodies[self.native]
            self._bodies[version] = convert(self.resource, native, self.native, version)
        return self._bodies[version]

    def renumbered(self, version: int) -> Stored:
        """The same content at another resourceVersion."""
        copy = Stored.__new__(Stored)
        for name in Stored.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.version = version
        copy._bodies = {
            api: with_version(body, self.version, version) for api, body in self._bodies.items()
        }
        return copy

    def is_selected(self, selection: Selection) -> bool:
        """True if a list or watch with this selection shows the object."""
        return selection.matches(self.namespace, self.labels, self.fields)


class Event:
    """One change of one object, and the watch lines made of it so far."""

    __slots__ = ("_lines", "after", "before", "version")

    def __init__(self, version: int, before: Stored | None, after: Stored | None) -> None:
        self.version = version
        self.before = before
        self.after = after
        self._lines: dict[tuple[EventType, str], bytes] = {}

    def type_for(self, selection: Selection) -> EventType | None:
        """What a watch with this selection is told; None if it never sees the object."""
        was = self.before is not None and self.before.is_selected(selection)
        is_now = self.after is not None and self.after.is_selected(selection)
        if was and is_now:
            return EventType.MODIFIED
        if is_now:
            return EventType.ADDED
        return EventType.DELETED if was else None

    def line(self, event_type: EventType, version: str) -> bytes:
        """The line of a watch, encoded once for all watches.

        DELETED carries the object as it was before, at the resourceVersion of the change: for an
        object that stopped matching the selector the label that hides it is not in there.
        """
        line = self._lines.get((event_type, version))
        if line is None:
            line = watch_line(event_type, self._shown(event_type), version)
            self._lines[event_type, version] = line
        return line

    def _shown(self, event_type: EventType) -> Stored:
        if event_type is EventType.DELETED:
            assert self.before is not None
            return self.before.renumbered(self.version)
        assert self.after is not None
        return self.after


def watch_line(event_type: EventType, stored: Stored, version: str) -> bytes:
    """One event of a watch stream, newline included."""
    return b'{"type":"%b","object":%b}\n' % (
        event_type.encode(),
        typed_body(stored, version),
    )


def typed_body(stored: Stored, version: str) -> bytes:
    """The object with kind and apiVersion, as watches and single reads show it."""
    resource = stored.resource
    return b'{"kind":"%b","apiVersion":"%b",%b' % (
        resource.kind.encode(),
        resource.api_version(version).encode(),
        stored.body(version)[1:],
    )


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


def object_key(namespace: str, name: str) -> str:
    """The key whose order is the order of lists, as in etcd: `namespace/name` or `name`."""
    return f"{namespace}/{name}" if namespace else name


def _with_namespace(obj: Mapping[str, Any], resource: Resource) -> Mapping[str, Any]:
    if not resource.is_namespaced or obj["metadata"].get("namespace"):
        return obj
    return {**obj, "metadata": {**obj["metadata"], "namespace": "default"}}


def _next_generation(resource: Resource, metadata: Mapping[str, Any], before: Stored | None) -> int:
    """Only EndpointSlices count generations; the others have none (0)."""
    if resource.kind != "EndpointSlice":
        return 0
    return before.generation + 1 if before else metadata.get("generation") or 1
