"""What a YAML scalar means: text, number, truth value or nothing, as kubectl reads it."""

from __future__ import annotations

import functools
import re

import yaml

from nodeproxy.documents.events import line_of
from nodeproxy.documents.text import BrokenText

Scalar = str | int | float | bool | None

TAG_PREFIX = "tag:yaml.org,2002:"


def scalar_value(event: yaml.ScalarEvent) -> Scalar:
    """The value of a scalar, by its tag, its quotes or its looks.

    Raises:
        BrokenText: an unknown tag, or one that does not fit the text.
    """
    text: str = event.value
    if event.tag is None:
        return _plain(text) if event.implicit[0] else text
    if event.tag in ("!", TAG_PREFIX + "str", TAG_PREFIX + "timestamp"):
        return text
    value = _plain(text)
    if event.tag in _TAGS_BY_TYPE.get(type(value), ()):
        return value
    raise BrokenText(line_of(event), f'tag {event.tag} does not fit "{text}"')


_TAGS_BY_TYPE: dict[type, tuple[str, ...]] = {
    int: (TAG_PREFIX + "int", TAG_PREFIX + "float"),
    float: (TAG_PREFIX + "float",),
    bool: (TAG_PREFIX + "bool",),
    type(None): (TAG_PREFIX + "null",),
}

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{cased: True for w in ("true", "yes", "on") for cased in (w, w.capitalize(), w.upper())},
    **{cased: False for w in ("false", "no", "off") for cased in (w, w.capitalize(), w.upper())},
}
_INTEGER = re.compile(r"([-+]?)(?:(0|[1-9][0-9]{0,20})|0o?([0-7]{1,20})|0x([0-9a-fA-F]{1,16}))\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")


@functools.lru_cache(maxsize=1024)
def _plain(text: str) -> Scalar:
    """The value of a scalar without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if match := _INTEGER.match(text):
        sign, decimal, octal, hexadecimal = match.groups()
        number = int(decimal or octal or hexadecimal, 10 if decimal else 8 if octal else 16)
        return -number if sign == "-" else number
    return float(text) if _FLOAT.match(text) else text
