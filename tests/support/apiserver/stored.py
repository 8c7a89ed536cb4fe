"""One stored object, one change of it, and the bytes that show them to clients."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

from tests.support.apiserver.encoding import (
    convert,
    encode_body,
    field_values,
    string_map,
    with_version,
)
from tests.support.apiserver.resources import Resource
from tests.support.apiserver.selectors import Selection


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


def object_key(namespace: str, name: str) -> str:
    """The key whose order is the order of lists, as in etcd: `namespace/name` or `name`."""
    return f"{namespace}/{name}" if namespace else name
