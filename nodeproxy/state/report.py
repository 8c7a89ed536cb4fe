"""Collecting what was wrong with one object while it is being read."""

from __future__ import annotations

from nodeproxy.model.keys import PROTOCOLS_BY_NAME, Protocol, ServiceKey
from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ObjectMeta, Text

DEFAULT_NAMESPACE = "default"
"""Where an object without a namespace lives, as kubectl has it; only manifests leave it out."""

MAX_PORT = 65535


class Report:
    """The problems of one object, in the order in which they were met."""

    __slots__ = ("_problems", "_subject")

    def __init__(self, kind: str, meta: ObjectMeta) -> None:
        self._subject = f"{kind} {meta.namespace or DEFAULT_NAMESPACE}/{meta.name or ''}"
        self._problems: list[Problem] = []

    def add(self, field: str, message: str) -> None:
        """Note one problem; the message says what is wrong and what follows."""
        self._problems.append(Problem(self._subject, field, message))

    def problems(self) -> tuple[Problem, ...]:
        """Everything noted so far."""
        return tuple(self._problems)


def key_from(meta: ObjectMeta) -> ServiceKey:
    """Namespace and name of an object, as the key of the Service of that name."""
    return ServiceKey(meta.namespace or DEFAULT_NAMESPACE, meta.name or "")


def protocol_from(text: Text, report: Report, field: str) -> Protocol | None:
    """The protocol of a port; absent means TCP, as the API server would have filled in (EP-18).

    Returns:
        None if the name is unknown; that has been reported.
    """
    protocol = PROTOCOLS_BY_NAME.get(text or "TCP")
    if protocol is None:
        report.add(field, f'"{text}" is not one of TCP, UDP, SCTP; port ignored')
    return protocol


def port_number_from(number: int | None, report: Report, field: str) -> int | None:
    """A port number that can be used, 1..65535.

    Returns:
        None if absent or out of range; that has been reported.
    """
    if number is not None and 0 < number <= MAX_PORT:
        return number
    what = "not set" if number is None else f"{number} is not in 1..{MAX_PORT}"
    report.add(field, f"{what}; port ignored")
    return None
