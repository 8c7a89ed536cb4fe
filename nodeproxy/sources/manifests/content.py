"""What one manifest file holds, as frozen values that know the places they came from."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nodeproxy.model.events import Kind
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject


class ObjectKey(NamedTuple):
    """Identity of an object over all files."""

    kind: Kind
    namespace: str
    """Empty for a Node."""
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {where}{self.name}"


class Place(NamedTuple):
    """A line of a file, spelled so that editors and terminals can jump to it."""

    file: str
    """Path as the operator wrote the directory, plus the file's name: `examples/web.yaml`."""
    line: int
    """1-based; 0 for the file as a whole."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Manifest(msgspec.Struct, frozen=True, gc=False):
    """A usable object, defaults filled in."""

    key: ObjectKey
    place: Place
    """Where the object starts."""
    object: ApiObject


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """An object that has a name but cannot be used."""

    key: ObjectKey
    place: Place
    """Where the object starts."""
    line: int
    """Where the field stands, or the object if the field is missing."""
    field: str
    reason: str

    def problem(self, consequence: str) -> Problem:
        """What to tell the operator."""
        start = f" (it starts on line {self.place.line})" if self.line != self.place.line else ""
        place = Place(self.place.file, self.line)
        return Problem(
            f"{place}: {self.key}", self.field, f"{self.reason}; the object{start} {consequence}"
        )


class Remark(msgspec.Struct, frozen=True, gc=False):
    """Something the operator should know that is tied to no event."""

    ident: tuple[str, ...]
    """What makes it the same remark after the file was edited: no line numbers in here."""
    problem: Problem
    is_harmless: bool = False
    """True if it is no mistake, as for a Deployment among the Services."""


class Content(msgspec.Struct, frozen=True, gc=False):
    """Everything that was found in one file, in its order."""

    manifests: tuple[Manifest, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[Remark, ...] = ()
    has_strangers: bool = False
    """Some object has no name or kind: any object known from before may be the one it was."""
