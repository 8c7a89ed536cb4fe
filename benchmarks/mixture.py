"""A cluster with Services of every type, so that every set and map of the rules is filled.

Of twenty Services twelve are ClusterIPs, one of them with hints; the rest are two of NodePort,
two load balancers, one with externalTrafficPolicy Local, one with session affinity, one with
source ranges, and one UDP.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from benchmarks.figures import Size
from benchmarks.objects import NODE_NAME, Answerer, Shape, node_put, service_put, slice_puts
from nodeproxy.model.events import Kind, SourceEvent, Synced

HOME_ZONE = "zone-a"
AFFINITY_SECONDS = (10_800, 3_600)
"""Timeouts in use, half of the Services with affinity each."""
CLUSTER_IPS = ipaddress.IPv4Network("10.96.0.0/12")
POD_NETWORK = ipaddress.IPv4Network("10.128.0.0/10")
_VIPS = ipaddress.IPv4Network("198.18.0.0/15")
_FIRST_CLUSTER_IP = 256  # the addresses below are the cluster's own
_NODE_PORTS = range(30_000, 32_600)
_CYCLE = 20
_NODES = 50
_LOCAL_SLOTS = 2
"""Endpoints on the own node that a Service with policy Local has."""


def cluster_events(size: Size) -> Iterator[SourceEvent]:
    """Everything a source tells when it starts, `Synced` at the end."""
    yield node_put(HOME_ZONE)
    for index in range(size.services):
        shape = background_shape(index)
        yield service_put(shape)
        yield from slice_puts(shape, background_answerers(index, size))
    for kind in Kind:
        yield Synced(kind)


def background_shape(index: int) -> Shape:
    """Service number `index`; its place in the cycle of twenty decides what it is."""
    name, cluster_ip = f"svc-{index:05}", str(CLUSTER_IPS[_FIRST_CLUSTER_IP + index])
    vip, node_port = str(_VIPS[1 + index]), _node_port(index)
    match index % _CYCLE:
        case 12 | 13:
            return Shape(name=name, cluster_ip=cluster_ip, node_port=node_port)
        case 14 | 15:
            return Shape(name=name, cluster_ip=cluster_ip, node_port=node_port, vip=vip)
        case 16:
            return Shape(
                name=name,
                cluster_ip=cluster_ip,
                node_port=node_port,
                vip=vip,
                is_local_outside=True,
            )
        case 17:
            return Shape(name=name, cluster_ip=cluster_ip, affinity_seconds=_timeout(index))
        case 18:
            ranges = ("172.16.0.0/12", f"203.0.{index // _CYCLE % 256}.0/24")
            return Shape(name=name, cluster_ip=cluster_ip, vip=vip, source_ranges=ranges)
        case 19:
            return Shape(name=name, cluster_ip=cluster_ip, protocol="UDP")
        case _:
            return Shape(name=name, cluster_ip=cluster_ip)


def background_answerers(index: int, size: Size) -> list[Answerer]:
    """The endpoints of Service number `index`."""
    first = 1 + index * size.endpoints
    place = index % _CYCLE
    return [
        Answerer(
            str(POD_NETWORK[first + slot]),
            NODE_NAME if place == 16 and slot < _LOCAL_SLOTS else f"node-{slot % _NODES}",
            zones=(f"zone-{'abc'[slot % 3]}",) if place == 0 else (),
        )
        for slot in range(size.endpoints)
    ]


def _timeout(index: int) -> int:
    return AFFINITY_SECONDS[index // _CYCLE % len(AFFINITY_SECONDS)]


def _node_port(index: int) -> int:
    """Each its own as long as there are any, then none: a cluster has 2,768 of them."""
    turn, place = divmod(index, _CYCLE)
    number = turn * 5 + place - 12
    return _NODE_PORTS[number] if number < len(_NODE_PORTS) else 0
