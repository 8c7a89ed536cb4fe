"""The ways a packet can take to the endpoints of the data path benchmark, and their Services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from benchmarks.calls import Destination, Protocol
from benchmarks.objects import (
    NODE_ADDRESS,
    NODE_NAME,
    POD_PORT,
    SERVICE_PORT,
    Answerer,
    Shape,
    service_put,
    slice_put,
)
from nodeproxy.model.events import SourceEvent

Caller = Literal["pod", "client"]
"""A pod of the node, or a host outside of the cluster."""
DIRECT = "direct"
VIP_NETWORK = "198.51.100.0/24"
ENDPOINT_ADDRESSES = tuple(f"10.244.1.{number}" for number in range(1, 11))
_NODE_PORT = 32_700
_AFFINITY_SECONDS = 10_800
_CLIENT_RANGES = ("172.16.0.0/12", "192.168.0.0/24")


class Way(msgspec.Struct, frozen=True):
    """Who calls whom, and how."""

    name: str
    caller: Caller
    protocol: Protocol
    destination: Destination
    shape: Shape | None = None
    """The Service that is called; None for an endpoint's own address."""

    def __str__(self) -> str:
        return f"{self.caller} to {self.name} ({self.protocol})"


def ways() -> list[Way]:
    """All of them; a direct one for each caller and protocol first."""
    direct = (ENDPOINT_ADDRESSES[0], POD_PORT)
    return [
        Way(DIRECT, "pod", "TCP", direct),
        _cluster_ip("ClusterIP", 1),
        _cluster_ip("ClusterIP, affinity", 2, affinity_seconds=_AFFINITY_SECONDS),
        Way(DIRECT, "pod", "UDP", direct),
        _cluster_ip("ClusterIP", 3, "UDP"),
        Way(DIRECT, "client", "TCP", direct),
        _node_port("NodePort", 4),
        _vip("VIP", 5),
        _vip("VIP, eTP Local", 6, is_local=True),
        _vip("VIP, source ranges", 7, source_ranges=_CLIENT_RANGES),
        Way(DIRECT, "client", "UDP", direct),
        _node_port("NodePort", 8, "UDP"),
    ]


def way_events(chosen: list[Way]) -> Iterator[SourceEvent]:
    """The events that bring the Services of these ways into the cluster."""
    answerers = [Answerer(address, NODE_NAME) for address in ENDPOINT_ADDRESSES]
    for way in chosen:
        if way.shape is not None:
            yield service_put(way.shape)
            yield slice_put(way.shape, 0, answerers)


def _cluster_ip(
    name: str, number: int, protocol: Protocol = "TCP", affinity_seconds: int = 0
) -> Way:
    address = f"10.111.254.{number}"
    shape = Shape(
        name=f"way-{number}",
        cluster_ip=address,
        protocol=protocol,
        affinity_seconds=affinity_seconds,
    )
    return Way(name, "pod", protocol, (address, SERVICE_PORT), shape)


def _node_port(name: str, number: int, protocol: Protocol = "TCP") -> Way:
    shape = Shape(
        name=f"way-{number}",
        cluster_ip=f"10.111.254.{number}",
        protocol=protocol,
        node_port=_NODE_PORT + number,
    )
    return Way(name, "client", protocol, (NODE_ADDRESS, shape.node_port), shape)


def _vip(
    name: str, number: int, *, is_local: bool = False, source_ranges: tuple[str, ...] = ()
) -> Way:
    shape = Shape(
        name=f"way-{number}",
        cluster_ip=f"10.111.254.{number}",
        node_port=_NODE_PORT + number,
        vip=f"198.51.100.{number}",
        is_local_outside=is_local,
        source_ranges=source_ranges,
    )
    return Way(name, "client", "TCP", (shape.vip, SERVICE_PORT), shape)
