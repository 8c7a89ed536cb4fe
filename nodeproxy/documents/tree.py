"""A YAML text as a tree in which every value knows its line, and nothing that stands twice is lost.

For files of settings: small, and every mistake in them wants its line. Manifests, which are
large and seldom wrong, are read by `nodeproxy.sources.manifests.yamltext`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import yaml

from nodeproxy.documents.events import Loader, breakage_explained, line_of
from nodeproxy.documents.scalars import Scalar, scalar_value
from nodeproxy.documents.text import MAX_DEPTH, BrokenText, utf8_text


class Entry(msgspec.Struct, frozen=True):
    """A key of a mapping with its value."""

    key: str
    line: int
    """Of the key, 1-based."""
    value: Node


class Node(msgspec.Struct, frozen=True):
    """A value: a scalar, or the entries of a mapping, or the items of a sequence."""

    line: int
    """1-based."""
    scalar: Scalar = None
    entries: tuple[Entry, ...] | None = None
    """In the order of the text; equal keys are all there."""
    items: tuple[Node, ...] | None = None

    @property
    def is_scalar(self) -> bool:
        """True for everything but mappings and sequences."""
        return self.entries is None and self.items is None

    def get(self, key: str) -> Node | None:
        """The value under a key; of equal keys the last counts."""
        found = [entry.value for entry in self.entries or () if entry.key == key]
        return found[-1] if found else None


def parse_tree(data: bytes) -> list[Node]:
    """The documents of a file, without empty ones.

    Raises:
        BrokenText: not YAML, or not UTF-8.
    """
    text = utf8_text(data)
    documents = []
    with breakage_explained(text):
        next_event = Loader(text).get_event
        while not isinstance(event := next_event(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentStartEvent):
                documents.append(_Builder(next_event).node(next_event(), 0))
    return [node for node in documents if not (node.is_scalar and node.scalar is None)]


class _Builder:
    """Builds the tree of one document."""

    def __init__(self, next_event: Callable[[], Any]) -> None:
        self._next_event = next_event
        # Mutable: grows while the document is read.
        self._anchors: dict[str, Node] = {}

    def node(self, event: yaml.Event, depth: int) -> Node:
        """The value that begins with an event."""
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if depth > MAX_DEPTH:
            raise BrokenText(line_of(event), f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.ScalarEvent):
            node = Node(line_of(event), scalar=scalar_value(event))
        elif isinstance(event, yaml.MappingStartEvent):
            node = Node(line_of(event), entries=self._entries(depth))
        else:
            node = Node(line_of(event), items=self._items(depth))
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _entries(self, depth: int) -> tuple[Entry, ...]:
        entries = []
        while not isinstance(event := self._next_event(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise BrokenText(line_of(event), "a key must be plain text")
            value = self.node(self._next_event(), depth + 1)
            entries.append(Entry(event.value, line_of(event), value))
        return tuple(entries)

    def _items(self, depth: int) -> tuple[Node, ...]:
        items = []
        while not isinstance(event := self._next_event(), yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return tuple(items)

    def _alias(self, event: yaml.AliasEvent) -> Node:
        if event.anchor not in self._anchors:
            reason = f'alias "*{event.anchor}" has no complete anchor before it'
            raise BrokenText(line_of(event), reason)
        return self._anchors[event.anchor]
