"""Label and field selectors, as far as the agent and its tests use them.

Understood are `key`, `!key`, `key=value`, `key==value` and `key!=value`, joined by commas. An
API server also knows `in` and `notin`; those are refused like any other syntax error.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence

import msgspec

_REQUIREMENT = re.compile(r"\s*(?P<absent>!)?(?P<key>[\w./-]+)\s*(?:(?P<op>!=|==?)(?P<value>.*))?")


class SelectorError(ValueError):
    """A selector that the API server would answer with 400."""


class Operator(enum.Enum):
    """What a requirement asks of its key."""

    EXISTS = enum.auto()
    ABSENT = enum.auto()
    EQUALS = enum.auto()
    DIFFERS = enum.auto()
    """True as well when the key is absent."""


class Requirement(msgspec.Struct, frozen=True):
    """One term of a selector."""

    key: str
    operator: Operator
    value: str = ""

    def holds(self, values: Mapping[str, str]) -> bool:
        """True if `values` satisfy this term."""
        match self.operator:
            case Operator.EXISTS:
                return self.key in values
            case Operator.ABSENT:
                return self.key not in values
            case Operator.EQUALS:
                return values.get(self.key) == self.value
            case Operator.DIFFERS:
                return values.get(self.key) != self.value


class Selection(msgspec.Struct, frozen=True):
    """Everything a list or watch asks of the objects it wants."""

    namespace: str = ""
    """Empty means all namespaces."""
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    @property
    def has_selectors(self) -> bool:
        """True if labels or fields are asked for; a namespace alone is a place, no selector."""
        return bool(self.labels or self.fields)

    def matches(self, namespace: str, labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
        """True if an object with these properties is wanted."""
        if self.namespace and self.namespace != namespace:
            return False
        return all(term.holds(labels) for term in self.labels) and all(
            term.holds(fields) for term in self.fields
        )


def parse_label_selector(text: str) -> tuple[Requirement, ...]:
    """Read a labelSelector.

    Raises:
        SelectorError: a term is not understood.
    """
    return tuple(_parse_requirement(term) for term in text.split(",")) if text else ()


def parse_field_selector(text: str, supported: Sequence[str]) -> tuple[Requirement, ...]:
    """Read a fieldSelector whose keys must be among `supported`; absent fields read as "".

    Raises:
        SelectorError: a term is not understood or names another field.
    """
    terms = parse_label_selector(text)
    for term in terms:
        if term.operator in (Operator.EXISTS, Operator.ABSENT):
            raise SelectorError(f"invalid selector: {text!r}; can't understand {term.key!r}")
        if term.key not in supported:
            raise SelectorError(f"field label not supported: {term.key}")
    return terms


def _parse_requirement(term: str) -> Requirement:
    found = _REQUIREMENT.fullmatch(term)
    if found is None or (found["absent"] and found["op"]):
        raise SelectorError(f"unable to parse requirement: {term!r}")
    if found["op"] is None:
        operator = Operator.ABSENT if found["absent"] else Operator.EXISTS
        return Requirement(found["key"], operator)
    operator = Operator.DIFFERS if found["op"] == "!=" else Operator.EQUALS
    return Requirement(found["key"], operator, found["value"].strip())
