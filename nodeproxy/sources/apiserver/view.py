"""What this source has told about one kind: which objects, at which version, up to where.

Pure bookkeeping between decoded answers and `SourceEvent`s. Versions are compared for equality
only: a server restored from a backup counts from a lower number, and that must work.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodeproxy.model.events import Kind, Rejected, Removed, SourceEvent, Upserted
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, ObjectMeta
from nodeproxy.sources.apiserver.decode import Malformed, WatchEvent

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
"""Annotation of the bookmark that completes a streaming list."""


class View:
    """The objects of one kind that have been told and not removed.

    Only keys and versions are kept, a few hundred bytes an object: the objects themselves belong
    to whoever reads the events. Goals:

    1. Nothing is told twice: an object at the version already told makes no event.
    2. A list, paged or streamed, becomes a difference: what has another version, what vanished.
    3. A malformed object counts as present, so what was known of it is not removed.
    4. `position` only moves when everything before it has been told.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.position = ""
        """resourceVersion from which a watch continues; empty until a list was completed."""
        self._versions: dict[str, str] = {}  # by "namespace/name"; "" is equal to no version
        self._listed: set[str] | None = None  # keys seen by the list in progress

    @property
    def is_listing(self) -> bool:
        """True between `begin_list` and `end_list`."""
        return self._listed is not None

    @property
    def object_count(self) -> int:
        """How many objects have been told."""
        return len(self._versions)

    def begin_list(self) -> None:
        """A list begins; one that was in progress is forgotten."""
        self.position = ""
        self._listed = set()

    def end_list(self, position: str) -> list[SourceEvent]:
        """The list is complete: a watch may continue from `position`.

        Returns:
            `Removed` for everything known that the list did not contain.
        """
        assert self._listed is not None, "end_list without begin_list"
        vanished = self._versions.keys() - self._listed
        self._listed = None
        self.position = position
        for key in vanished:
            del self._versions[key]
        return [self._removed(key) for key in sorted(vanished)]

    def lose_position(self) -> None:
        """A watch cannot continue: what happens next is a list."""
        self.position = ""
        self._listed = None

    def forget_versions(self) -> None:
        """Tell every object again when it is seen next: the server's versions start anew."""
        self._versions = dict.fromkeys(self._versions, "")

    def listed(self, items: Sequence[ApiObject | Malformed]) -> list[SourceEvent]:
        """Take a page of the list in progress."""
        events: list[SourceEvent] = []
        for item in items:
            self._present(item, events)
        return events

    def watched(self, lines: Sequence[WatchEvent[ApiObject | Malformed]]) -> list[SourceEvent]:
        """Take events of a watch, or of a streaming list, whose last bookmark ends the list."""
        events: list[SourceEvent] = []
        for line in lines:
            metadata = line.object.metadata
            if line.type == "BOOKMARK":
                self._bookmark(metadata, events)
                continue
            if line.type == "DELETED":
                self._gone(metadata, events)
            else:
                self._present(line.object, events)
            self._advance(metadata)
        return events

    def _present(self, item: ApiObject | Malformed, events: list[SourceEvent]) -> None:
        metadata = item.metadata
        name = metadata.name
        if not name:
            events.append(_rejected_nameless(self.kind, item))
            return
        namespace = metadata.namespace or ""
        version = metadata.resource_version or ""
        key = f"{namespace}/{name}"
        if self._listed is not None:
            self._listed.add(key)
        if version and self._versions.get(key) == version:
            return
        self._versions[key] = version
        if isinstance(item, Malformed):
            events.append(Rejected(self.kind, namespace, name, item.problem))
        else:
            events.append(Upserted(self.kind, namespace, name, item))

    def _gone(self, metadata: ObjectMeta, events: list[SourceEvent]) -> None:
        key = f"{metadata.namespace or ''}/{metadata.name or ''}"
        if self._listed is not None:
            self._listed.discard(key)
        if self._versions.pop(key, None) is not None:
            events.append(self._removed(key))

    def _bookmark(self, metadata: ObjectMeta, events: list[SourceEvent]) -> None:
        if self._listed is None:
            self._advance(metadata)
        elif INITIAL_EVENTS_END in (metadata.annotations or {}) and metadata.resource_version:
            events.extend(self.end_list(metadata.resource_version))

    def _advance(self, metadata: ObjectMeta) -> None:
        # The initial events of a streaming list come in no order of versions.
        if self._listed is None and metadata.resource_version:
            self.position = metadata.resource_version

    def _removed(self, key: str) -> Removed:
        namespace, _, name = key.partition("/")
        return Removed(self.kind, namespace, name)


def _rejected_nameless(kind: Kind, item: ApiObject | Malformed) -> Rejected:
    if isinstance(item, Malformed):
        problem = item.problem
    else:
        problem = Problem(f"{kind} (without a name)", "metadata.name", "is empty; object ignored")
    return Rejected(kind, item.metadata.namespace or "", "", problem)
