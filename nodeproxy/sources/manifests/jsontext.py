"""JSON text to objects with line numbers, at msgspec's speed.

The items of a List are cut out of the buffer as `msgspec.Raw`, so every object is decoded once,
straight into the struct it becomes. Of equal keys in one object the last counts, as in every
JSON reader: such files come from programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import msgspec

from nodeproxy.documents.text import BrokenText, Path, utf8_text
from nodeproxy.sources.manifests.text import T

_BOM = b"\xef\xbb\xbf"
_BYTE = re.compile(r"\(byte (\d+)\)")
_SPACE = re.compile(r"[ \t\r\n]*")


def parse_json(data: bytes) -> list[JsonObject]:
    """The one object of a file; none if the file is blank.

    Raises:
        BrokenText: not JSON, or not UTF-8.
    """
    utf8_text(data)  # msgspec looks inside strings only when it builds them
    data = data.removeprefix(_BOM)
    if not data.strip():
        return []
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except msgspec.DecodeError as exc:
        raise _broken(data, exc) from exc
    except RecursionError as exc:
        raise BrokenText(1, "nested too deeply") from exc
    offset = len(data) - len(data.lstrip())
    return [JsonObject(data, offset, data, data.count(b"\n", 0, offset) + 1)]


def _broken(data: bytes, exc: msgspec.DecodeError) -> BrokenText:
    match = _BYTE.search(str(exc))
    offset = int(match[1]) if match else len(data.rstrip())
    reason = _BYTE.sub("", str(exc)).strip().removeprefix("JSON is malformed: ")
    if not match:
        reason = "the text ends in the middle of an object"
    return BrokenText(data.count(b"\n", 0, offset) + 1, f"not JSON: {reason}")


class JsonObject:
    """The object of a file, or an item of its list; see `RawObject`."""

    def __init__(self, file: bytes, offset: int, raw: bytes | msgspec.Raw, line: int) -> None:
        self.line = line
        self._file = file
        self._offset = offset
        """Of the first byte of this object in the file."""
        self._raw = raw

    def decode(self, as_type: type[T]) -> T:
        """Decode the bytes; nothing is coerced."""
        return msgspec.json.decode(self._raw, type=as_type)

    def line_of(self, path: Path) -> int:
        """Found by walking the text; unneeded parts are skipped at C speed."""
        text = bytes(self._raw).decode()
        position = 0
        for step in path:
            found = _enter(text, position, step)
            if found is None:
                break
            position = found
        return self.line + text.count("\n", 0, position)

    def items(self) -> Sequence[JsonObject]:
        """The objects of a List, each with its own line."""
        try:
            parts = msgspec.json.decode(self._raw, type=dict[str, msgspec.Raw])
            raws = msgspec.json.decode(parts.get("items", b"[]"), type=list[msgspec.Raw])
        except msgspec.ValidationError:
            return []
        found, line, counted, position = [], self.line, self._offset, self._offset
        for raw in raws:
            # Items come in the order of the text with little between them: the search is short.
            own = bytes(raw)
            start = self._file.index(own, position)
            line += self._file.count(b"\n", counted, start)
            found.append(JsonObject(self._file, start, raw, line))
            counted, position = start, start + len(own)
        return found


def _enter(text: str, position: int, step: str | int) -> int | None:
    """Where the value under `step` begins, in the container that begins at `position`."""
    decoder = json.JSONDecoder()
    opening = text[position]
    if opening not in "{[" or (opening == "{") != isinstance(step, str):
        return None
    position = _skip_space(text, position + 1)
    index = 0
    while text[position] not in "}]":
        key: str | int = index
        if opening == "{":
            key, position = decoder.raw_decode(text, position)
            position = _skip_space(text, _skip_space(text, position) + 1)
        if key == step:
            return position
        position = _skip_space(text, decoder.raw_decode(text, position)[1])
        if text[position] == ",":
            position = _skip_space(text, position + 1)
        index += 1
    return None


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position
