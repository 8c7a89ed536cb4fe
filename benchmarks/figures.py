"""What a measurement amounts to: numbers with a unit, beside what they should be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

Unit = Literal["s", "ms", "MB", "bytes"]


class Size(msgspec.Struct, frozen=True):
    """How large a cluster is."""

    services: int
    endpoints: int
    """Of every Service."""

    def __str__(self) -> str:
        return f"{self.services}x{self.endpoints}"


def parse_size(text: str) -> Size:
    """Read `SERVICESxENDPOINTS`.

    Raises:
        ValueError: it is not written so.
    """
    services, cross, endpoints = text.partition("x")
    if not (cross and services.isdecimal() and endpoints.isdecimal()):
        raise ValueError(f"{text!r} is not a size; write it as 1000x10")
    size = Size(int(services), int(endpoints))
    if not (size.services and size.endpoints):
        raise ValueError(f"{text!r} is empty; there is nothing to connect to")
    return size


class Reference(msgspec.Struct, frozen=True):
    """What a figure is compared with."""

    target: float | None = None
    """At most this, in the figure's unit; None if none was set."""
    kube_proxy: str = ""
    """What kube-proxy needs, in words; empty if it was not measured."""


class Figure(msgspec.Struct, frozen=True):
    """One line of the result."""

    name: str
    unit: Unit
    value: float | None
    """None if it was not reached in time."""
    reference: Reference = Reference()

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without a target."""
        if self.reference.target is None:
            return None
        return self.value is not None and self.value <= self.reference.target


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` per cent of all values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]
