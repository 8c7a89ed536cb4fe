"""Endpoints as their source reported them, from EndpointSlices or from Endpoints alike."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.keys import Protocol


class EndpointPort(NamedTuple):
    """A port of a slice or of an Endpoints subset; `port` is 1..65535, already a number."""

    name: str
    protocol: Protocol
    port: int


class EndpointAddress(msgspec.Struct, frozen=True, gc=False):
    """One address that may answer, with its conditions (EP-19..22).

    A hundred thousand of these are alive on a big cluster: keep it small.
    """

    addr: Addr
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node_name: str = ""
    """Empty when the source does not tell; then the endpoint is nobody's local one (EP-21)."""
    zone_hints: tuple[str, ...] = ()
    node_hints: tuple[str, ...] = ()


class EndpointGroup(msgspec.Struct, frozen=True, gc=False):
    """Addresses that share ports: one EndpointSlice, or one family of one Endpoints subset.

    Every address answers on every port (EP-17, EPS-3).
    """

    family: Family
    ports: tuple[EndpointPort, ...]
    addresses: tuple[EndpointAddress, ...]


class Endpoint(msgspec.Struct, frozen=True, order=True, gc=False):
    """One address and port that may answer for a service port, after merging (EP-23).

    Ordered by packed address, then port: the canonical order of every pool.
    """

    addr: Addr
    port: int
    """1..65535."""
    ready: bool
    serving: bool
    terminating: bool
    is_local: bool
    zone_hints: tuple[str, ...] = ()
    node_hints: tuple[str, ...] = ()
