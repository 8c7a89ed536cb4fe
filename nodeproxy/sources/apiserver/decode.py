"""From the API server's JSON to typed objects, and what to do with those that do not fit.

The fast path decodes a whole list, or all lines of a chunk, in one call. If a single object does
not fit its type, the same bytes are read again object by object: the malformed one becomes a
`Malformed`, the others go on.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from nodeproxy.model.events import Kind
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, ObjectMeta, Text
from nodeproxy.sources.apiserver.failures import ApiError, ApiGarbled, ApiRefused

T = TypeVar("T")

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no JSON; includes its ValidationError."""


class Malformed(msgspec.Struct, frozen=True):
    """An object that is JSON but does not fit its type; its metadata as far as it is readable."""

    metadata: ObjectMeta
    problem: Problem


class WatchEvent(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED or BOOKMARK; ERROR never leaves this module."""
    object: T


class Status(msgspec.Struct, frozen=True):
    """How the API server describes a failure."""

    message: Text = None
    reason: Text = None
    code: int | None = None


class ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    """metadata of a list."""

    resource_version: Text = None
    continue_: Text = msgspec.field(default=None, name="continue")


class _List(msgspec.Struct, Generic[T], frozen=True):
    metadata: ListMeta
    items: list[T] | None = None


class _MetadataOnly(msgspec.Struct, frozen=True):
    metadata: ObjectMeta = ObjectMeta()


class Page(msgspec.Struct, frozen=True):
    """One page of a list."""

    items: list[ApiObject | Malformed]
    resource_version: str
    continue_: str
    """Token for the next page; empty on the last one."""


class Block(msgspec.Struct, frozen=True):
    """The events of some lines of a watch."""

    events: list[WatchEvent[ApiObject | Malformed]]
    end: ApiError | None
    """What ends the watch after these events: an ERROR event or a line that is no JSON."""


class Codec:
    """Decodes lists and watches of one kind."""

    def __init__(self, kind: Kind, wire_type: type[ApiObject]) -> None:
        self._kind = kind
        # The type is chosen at run time, which a static annotation cannot follow.
        self._object = msgspec.json.Decoder[ApiObject](wire_type)
        self._event = msgspec.json.Decoder[WatchEvent[ApiObject | Malformed]](
            WatchEvent[wire_type]  # type: ignore[valid-type]
        )
        self._items = msgspec.json.Decoder[list[ApiObject | Malformed]](list[wire_type])  # type: ignore[valid-type]
        self._list = msgspec.json.Decoder[_List[ApiObject | Malformed]](
            _List[wire_type]  # type: ignore[valid-type]
        )

    def page(self, body: bytes | bytearray) -> Page:
        """Decode one page of a list.

        Raises:
            ApiGarbled: not a list, or cut off.
        """
        try:
            found = self._list.decode(body)
        except NOT_JSON:
            found = self._list_one_by_one(body)
        if not found.metadata.resource_version:
            raise ApiGarbled(f"list {self._kind}", "the list has no resourceVersion", body)
        return Page(
            found.items or [], found.metadata.resource_version, found.metadata.continue_ or ""
        )

    def list_head(self, text: bytes | bytearray) -> ListMeta | None:
        """Metadata of a list whose items were taken out; None if they do not come before them."""
        try:
            metadata = msgspec.json.decode(text, type=_List[msgspec.Raw]).metadata
        except NOT_JSON:
            return None
        return metadata if metadata.resource_version else None

    def items(self, array: bytes) -> list[ApiObject | Malformed]:
        """Decode a JSON array of objects.

        Raises:
            ApiGarbled: it is none.
        """
        try:
            return self._items.decode(array)
        except NOT_JSON:
            pass
        try:
            return [self._read(raw) for raw in msgspec.json.decode(array, type=list[msgspec.Raw])]
        except NOT_JSON as exc:
            raise ApiGarbled(f"list {self._kind}", str(exc), array) from exc

    def events(self, block: bytes) -> Block:
        """Decode complete lines of a watch; never raises, see `Block.end`."""
        try:
            events = self._event.decode_lines(block)
        except NOT_JSON:
            return self._lines_one_by_one(block)
        for event in events:
            # The Status of an ERROR fits the types of most kinds; it still must be read as one.
            if event.type == "ERROR":
                return self._lines_one_by_one(block)
        return Block(events, None)

    def _list_one_by_one(self, body: bytes | bytearray) -> _List[ApiObject | Malformed]:
        try:
            raw = msgspec.json.decode(body, type=_List[msgspec.Raw])
        except NOT_JSON as exc:
            raise ApiGarbled(f"list {self._kind}", str(exc), body) from exc
        return _List(raw.metadata, [self._read(item) for item in raw.items or ()])

    def _lines_one_by_one(self, block: bytes) -> Block:
        events: list[WatchEvent[ApiObject | Malformed]] = []
        for line in filter(None, block.split(b"\n")):
            try:
                raw = msgspec.json.decode(line, type=WatchEvent[msgspec.Raw])
                if raw.type == "ERROR":
                    return Block(events, self._refusal(raw.object))
                events.append(WatchEvent(raw.type, self._read(raw.object)))
            except NOT_JSON as exc:
                return Block(events, ApiGarbled(f"watch {self._kind}", str(exc), line))
        return Block(events, None)

    def _read(self, raw: msgspec.Raw) -> ApiObject | Malformed:
        try:
            return self._object.decode(raw)
        except msgspec.ValidationError as exc:
            return self._malformed(raw, str(exc))

    def _malformed(self, raw: msgspec.Raw, error: str) -> Malformed:
        try:
            metadata = msgspec.json.decode(raw, type=_MetadataOnly).metadata
        except msgspec.ValidationError:
            metadata = ObjectMeta()
        what, _, where = error.partition(" - at `$")
        name = f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name
        return Malformed(
            metadata,
            Problem(
                f"{self._kind} {name or '(without a readable name)'}",
                where.lstrip(".").rstrip("`"),
                f"{what}; object ignored, what was known of it stays in force",
            ),
        )

    def _refusal(self, raw: msgspec.Raw) -> ApiRefused:
        try:
            status = msgspec.json.decode(raw, type=Status)
        except msgspec.ValidationError:
            status = Status()
        message = status.message or status.reason or "an ERROR event without a message"
        return ApiRefused(f"watch {self._kind}", status.code or 500, message, is_event=True)
