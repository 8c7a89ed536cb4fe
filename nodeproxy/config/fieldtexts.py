"""The value of one field of a file as text, checked for its type."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nodeproxy.config.durations import parse_duration
from nodeproxy.config.fields import Field
from nodeproxy.config.flags import FlagKind
from nodeproxy.config.given import Given
from nodeproxy.config.schema import Origin, OriginKind
from nodeproxy.documents.tree import Node


class Place(msgspec.Struct, frozen=True):
    """Where a field stands."""

    path: str
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}"


def read_value(node: Node, place: Place, field: Field) -> tuple[Given | None, list[str]]:
    """What a field gives, and what is wrong with it.

    Nothing is given by null, by what is wrong, and by zero where that means the default
    (CFG-21).
    """
    if node.is_scalar and node.scalar is None:
        return None, []
    if field.shape in (FlagKind.LIST, FlagKind.GATES):
        return _read_several(node, place, field)
    try:
        text = _scalar_text(node, field)
    except ValueError as exc:
        return None, [f"{place}: {exc}"]
    if not field.keeps_zero and _is_zero(text, field):
        return None, []
    return Given(place.name, text, _origin(place)), []


def _origin(place: Place) -> Origin:
    return Origin(OriginKind.FILE, path=place.path, line=place.line)


def _scalar_text(node: Node, field: Field) -> str:
    """The text a flag would have.

    Raises:
        ValueError: the value has another type.
    """
    value = node.scalar
    if not node.is_scalar:
        raise ValueError(f"a mapping or a list stands here; {_WANTED[field.shape]}")
    if isinstance(value, bool):
        is_right = field.shape is FlagKind.SWITCH
    elif isinstance(value, str):
        is_right = field.shape in (FlagKind.TEXT, FlagKind.DURATION)
    else:
        is_right = _takes_number(value, field)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not is_right:
        shown = f'"{text}"' if isinstance(value, str) else text
        raise ValueError(f"{shown} {_WRONG[field.shape](text)}")
    return text


def _takes_number(value: int | float | None, field: Field) -> bool:
    if field.is_idle and field.shape in (FlagKind.TEXT, FlagKind.DURATION):
        return True  # sizes of buffers, and spans in nanoseconds
    if field.shape is FlagKind.DURATION:
        return value == 0
    if field.shape is FlagKind.INTEGER:
        return isinstance(value, int)
    return field.shape is FlagKind.NUMBER


_WANTED = {
    FlagKind.TEXT: "write text",
    FlagKind.SWITCH: "write true or false",
    FlagKind.INTEGER: "write a whole number",
    FlagKind.NUMBER: "write a number",
    FlagKind.DURATION: "write a duration, as in 30s or 1h30m",
}

_WRONG: dict[FlagKind, Callable[[str], str]] = {
    FlagKind.TEXT: lambda text: f'is not text; write it in quotes, "{text}"',
    FlagKind.SWITCH: lambda _: "is not a boolean; write true or false, without quotes",
    FlagKind.INTEGER: lambda _: "is not a whole number; write it as digits, without quotes",
    FlagKind.NUMBER: lambda _: "is not a number; write it without quotes",
    FlagKind.DURATION: lambda text: f"is not a duration; write it as {text}s",
}


def _is_zero(text: str, field: Field) -> bool:
    match field.shape:
        case FlagKind.SWITCH:
            return text == "false"
        case FlagKind.INTEGER | FlagKind.NUMBER:
            return float(text) == 0
        case FlagKind.DURATION:
            return text == "" or _is_zero_duration(text)
        case _:
            return not text or (field.is_idle and text == "0")


def _is_zero_duration(text: str) -> bool:
    try:
        return parse_duration(text) == 0
    except ValueError:
        return False


def _read_several(node: Node, place: Place, field: Field) -> tuple[Given | None, list[str]]:
    """A list of texts, or a mapping of gates to booleans; blank ones give nothing."""
    is_gates = field.shape is FlagKind.GATES
    parts: list[tuple[str, str, int]] = []
    mistakes = []
    if (node.entries if is_gates else node.items) is None:
        wanted = "a mapping of names to true or false" if is_gates else "a list"
        return None, [f"{place}: not {wanted}; write {'{}' if is_gates else '[]'} for none"]
    for entry in node.entries or ():
        name = f"{place.name}.{entry.key}"
        if isinstance(entry.value.scalar, bool):
            parts.append((f"{entry.key}={str(entry.value.scalar).lower()}", name, entry.line))
        else:
            mistakes.append(f"{place.path}:{entry.line}: {name}: not a boolean; {_GATE_REMEDY}")
    for index, item in enumerate(node.items or ()):
        name = f"{place.name}[{index}]"
        if field.is_idle:
            parts.append(("", name, item.line))
        elif item.scalar == "":
            mistakes.append(f"{place.path}:{item.line}: {name}: blank; take it out")
        elif isinstance(item.scalar, str):
            parts.append((item.scalar, name, item.line))
        else:
            mistakes.append(f"{place.path}:{item.line}: {name}: not text; write it in quotes")
    if mistakes or not parts:
        return None, mistakes
    texts, names, lines = zip(*parts, strict=True)
    return Given(place.name, ",".join(texts), _origin(place), lines, names), []


_GATE_REMEDY = "write true or false, without quotes"
