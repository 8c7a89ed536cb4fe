"""YAML text to objects with line numbers, straight from the parser's events.

PyYAML's own constructor takes twice as long, forgets the lines, lets the last of two equal
keys win silently and turns timestamps into dates. Here plain scalars mean what they mean to
kubectl: `yes` is true, `0x1f` and `0644` are numbers, a timestamp is text. Keys are always
text, as in JSON. Anchors, aliases and merge keys (`<<`) work, within bounds: aliases share
their value, but whoever walks it later meets each use again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import yaml

from nodeproxy.documents.events import Loader, breakage_explained, index_of, line_in, line_of
from nodeproxy.documents.scalars import TAG_PREFIX, scalar_value
from nodeproxy.documents.text import MAX_DEPTH, BrokenText, Path, utf8_text
from nodeproxy.sources.manifests.text import T

MAX_ALIASED_VALUES = 100_000
"""Values that aliases may add to one file; nine lines of nested aliases could add billions."""

_PLACES_DEPTH = 2  # the document itself, its `items`, and the objects in there


def parse_yaml(data: bytes) -> Iterator[YamlObject]:
    """The documents of a file that hold anything, one at a time to spare memory.

    Raises:
        BrokenText: not YAML, equal keys in one mapping, or more aliases than is sane. Comes
            when the iteration reaches the place.
    """
    text = utf8_text(data)
    with breakage_explained(text):
        yield from _Builder(text).documents()


class YamlObject:
    """A document or a list item; see `RawObject`."""

    def __init__(self, value: object, line: int, source: _Source) -> None:
        self.line = line
        self._value = value
        self._source = source
        self._items: Sequence[YamlObject] = ()

    def decode(self, as_type: type[T]) -> T:
        """The value converted; nothing is coerced."""
        return msgspec.convert(self._value, as_type)

    def line_of(self, path: Path) -> int:
        """Found by reading the object's own lines once more."""
        return self.line + line_in(self._source.own_text, self._source.prefix + path)

    def items(self) -> Sequence[YamlObject]:
        """The objects of a List, each with its own line."""
        return self._items


class _Source(NamedTuple):
    """The lines an object stands on; cut out of the text only when somebody asks."""

    text: str
    start: int
    end: int
    prefix: Path
    """A list item is read as a list of one: its indentation leaves no other way."""

    @property
    def own_text(self) -> str:
        return self.text[self.start : self.end]


class _Builder:
    """Builds the values of one text from the events of the parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._next_event = Loader(text).get_event
        # Mutable: what the current document has defined, and how much aliases have repeated.
        self._anchors: dict[str, tuple[Any, int]] = {}
        """Value and number of values in it, by anchor; complete values only."""
        self._places: dict[int, tuple[int, int]] = {}
        """Line and start of that line in the text, by id() of the current document's outermost
        values."""
        self._values = 0
        self._aliased = 0

    def documents(self) -> Iterator[YamlObject]:
        """Every document that is not empty."""
        while not isinstance(event := self._next_event(), yaml.StreamEndEvent):
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            self._anchors.clear()
            self._places.clear()
            value = self._value(self._next_event(), depth=0)
            end = index_of(self._next_event())
            if value is not None:
                yield self._object(value, end)

    def _object(self, value: object, end: int) -> YamlObject:
        line, start = self._places[id(value)]
        document = YamlObject(value, line, _Source(self._text, start, end, ()))
        items = value.get("items") if isinstance(value, dict) else None
        if isinstance(items, list):
            places = [self._places.get(id(item), (line, start)) for item in items]
            ends = [*(place[1] for place in places[1:]), end]
            document._items = [
                YamlObject(item, item_line, _Source(self._text, first, last, (0,)))
                for item, (item_line, first), last in zip(items, places, ends, strict=True)
            ]
        return document

    def _value(self, event: yaml.Event, depth: int) -> Any:  # noqa: ANN401 (any JSON value)
        if type(event) is yaml.AliasEvent:
            return self._alias(event)
        before = self._values
        self._values += 1
        value: Any
        if type(event) is yaml.ScalarEvent:
            value = scalar_value(event)
        elif depth > MAX_DEPTH:
            raise BrokenText(line_of(event), f"nested more than {MAX_DEPTH} levels deep")
        elif type(event) is yaml.MappingStartEvent:
            value = self._mapping(event, depth)
        else:
            assert type(event) is yaml.SequenceStartEvent, event
            value = self._sequence(event, depth)
        if depth <= _PLACES_DEPTH:
            line_start = self._text.rfind("\n", 0, index_of(event)) + 1
            self._places[id(value)] = line_of(event), line_start
        if event.anchor is not None:
            self._anchors[event.anchor] = value, self._values - before
        return value

    def _sequence(self, start: yaml.SequenceStartEvent, depth: int) -> list[Any]:
        _check_tag(start, "seq")
        values = []
        while type(event := self._next_event()) is not yaml.SequenceEndEvent:
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, start: yaml.MappingStartEvent, depth: int) -> dict[str, Any]:
        _check_tag(start, "map")
        mapping: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while type(event := self._next_event()) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                raise BrokenText(line_of(event), "a key must be plain text")
            key = event.value
            if key in mapping:
                raise BrokenText(line_of(event), f'key "{key}" stands twice in one mapping')
            value = self._value(self._next_event(), depth + 1)
            if key == "<<" and event.implicit[0]:
                merged = _merge(merged, value, line_of(event))
            else:
                mapping[key] = value
        return {**merged, **mapping} if merged else mapping

    def _alias(self, event: yaml.AliasEvent) -> Any:  # noqa: ANN401 (any JSON value)
        if event.anchor not in self._anchors:
            reason = f'alias "*{event.anchor}" has no complete anchor before it'
            raise BrokenText(line_of(event), reason)
        value, size = self._anchors[event.anchor]
        self._values += size
        self._aliased += size
        if self._aliased > MAX_ALIASED_VALUES:
            reason = f"aliases repeat more than {MAX_ALIASED_VALUES} values; write them out"
            raise BrokenText(line_of(event), reason)
        return value


def _merge(merged: dict[str, Any], value: object, line: int) -> dict[str, Any]:
    """What `<<: value` adds; of several sources the earlier ones win."""
    sources = value if isinstance(value, list) else [value]
    for source in sources:
        if not isinstance(source, dict):
            raise BrokenText(line, "the merge key << needs a mapping or a list of mappings")
        merged = {**source, **merged}
    return merged


def _check_tag(event: yaml.CollectionStartEvent, expected: str) -> None:
    if event.tag not in (None, "!", TAG_PREFIX + expected):
        raise BrokenText(line_of(event), f"tag {event.tag} is not supported")
