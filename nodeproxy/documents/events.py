"""The YAML parser's events: the fast parser, their lines, and the way to a field.

The line of a field is searched for only when there is something to say about it: the document
is read once more, up to the field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from nodeproxy.documents.text import BrokenText, Path

# The C parser reads 12 MB of manifests in 2 s, the Python one in a minute. Wheels have both.
Loader: Callable[[str], Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAB_INDENT = re.compile(r" *\t")


@contextmanager
def breakage_explained(text: str) -> Iterator[None]:
    """Turn what the parser raises for a text into `BrokenText`.

    Raises:
        BrokenText: the text is not YAML.
    """
    try:
        yield
    except yaml.MarkedYAMLError as exc:
        raise _broken(exc, text) from exc
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise BrokenText(line, f"character {exc.character!r} is not allowed in YAML") from exc


def _broken(exc: yaml.MarkedYAMLError, text: str) -> BrokenText:
    mark = exc.problem_mark
    line = mark.line + 1 if mark else 0
    if mark and _TAB_INDENT.match(text, text.rfind("\n", 0, mark.index) + 1):
        return BrokenText(line, "a tab in the indentation; YAML wants spaces")
    parts = [exc.problem or "not YAML", exc.context or ""]
    if exc.context and exc.context_mark and exc.context_mark.line + 1 != line:
        parts[1] += f" that began on line {exc.context_mark.line + 1}"
    return BrokenText(line, ", ".join(filter(None, parts)))


def line_of(event: yaml.Event) -> int:
    """1-based line on which an event begins."""
    mark: Any = event.start_mark  # the C parser's marks have a class of their own
    line: int = mark.line
    return line + 1


def index_of(event: yaml.Event) -> int:
    """Characters before the beginning of an event."""
    mark: Any = event.start_mark
    index: int = mark.index
    return index


def line_in(text: str, path: Path) -> int:
    """0-based line of the value at `path` in the first document of a text.

    The deepest part of the path that exists counts. Values reached through an alias or a merge
    key have no place of their own; the line is then that of the alias. Text that cannot be read
    alone, like one of several objects on a line, gives its first line.
    """
    line = 1
    try:
        for event_line in _lines_along(Loader(text).get_event, path):
            line = event_line
    except yaml.YAMLError:
        pass
    return line - 1


def _lines_along(next_event: Callable[[], Any], path: Path) -> Iterator[int]:
    while type(event := next_event()) is not yaml.DocumentStartEvent:
        if type(event) is yaml.StreamEndEvent:
            return
    event = next_event()
    for step in path:
        found = _enter(next_event, event, step)
        if found is None:
            return
        event, line = found
        yield line


def _enter(
    next_event: Callable[[], Any], container: yaml.Event, step: str | int
) -> tuple[yaml.Event, int] | None:
    """The first event of the value under `step`, and the line of its key or item."""
    if type(container) is yaml.MappingStartEvent:
        while type(key := next_event()) is yaml.ScalarEvent:
            value = next_event()
            if key.value == step:
                return value, line_of(key)
            _skip(next_event, value)
    elif type(container) is yaml.SequenceStartEvent and isinstance(step, int):
        for i in range(step + 1):
            value = next_event()
            if type(value) is yaml.SequenceEndEvent:
                return None
            if i == step:
                return value, line_of(value)
            _skip(next_event, value)
    return None


def _skip(next_event: Callable[[], Any], event: yaml.Event) -> None:
    """Read past the value that `event` begins."""
    depth = int(isinstance(event, yaml.CollectionStartEvent))
    while depth:
        inner = next_event()
        depth += isinstance(inner, yaml.CollectionStartEvent)
        depth -= isinstance(inner, yaml.CollectionEndEvent)
