"""Who is changed in the benchmark of changes: one subject for each kind of Service and change."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from msgspec.structs import replace

from benchmarks.mixture import AFFINITY_SECONDS, HOME_ZONE
from benchmarks.objects import Shape, node_put
from benchmarks.subjects import (
    BorderSubject,
    EndpointSubject,
    ServiceSubject,
    SpecSubject,
    Step,
    Subject,
    Supply,
)
from nodeproxy.model.events import SourceEvent

_CLUSTER_IPS = ipaddress.IPv4Network("10.111.0.0/16")
_VIPS = ipaddress.IPv4Network("198.20.0.0/24")
_EXTERNAL_IPS = ipaddress.IPv4Network("192.0.2.0/24")
_FIRST_NODE_PORT = 32_600
_RANGES = ("172.16.0.0/12", "203.0.113.0/24")
_OTHER_RANGES = ("172.16.0.0/12", "203.0.113.0/25", "100.64.0.0/10")
_ENDPOINTS = 10
_LOCAL_ENDPOINTS = 2
_MANY_ENDPOINTS = 250
_OTHER_ZONE = "zone-b"
_OWN_TIMEOUTS = (600, 900)
"""Nobody else has them: the rules get and lose one for each."""


def subjects() -> list[Subject]:
    """Everybody, in the order of the table."""
    desk = _Desk()
    return [
        *_with_endpoints(desk),
        *_coming_and_going(desk),
        *_with_other_policies(desk),
        *_with_other_affinity(desk),
        *_with_other_ranges(desk),
        RelabelledNode(),
    ]


class RelabelledNode:
    """The own Node gets another label that means nothing to Services."""

    def arrive(self) -> Iterator[SourceEvent]:
        """It is there already."""
        yield from ()

    def steps(self, turn: int) -> Iterator[Step]:
        """One more label, another value each time."""
        put = node_put(HOME_ZONE, {"bench": str(turn)})
        yield Step("Node's other labels changed", "", (put,))


class MovedNode:
    """The own Node's zone changes, and with it the choice of every Service that has hints."""

    def arrive(self) -> Iterator[SourceEvent]:
        """It is there already."""
        yield from ()

    def steps(self, turn: int) -> Iterator[Step]:
        """To another zone and back."""
        for zone in (_OTHER_ZONE, HOME_ZONE):
            yield Step("Node's zone changed", "a twentieth has hints", (node_put(zone),))


class _Desk:
    """Gives out names, addresses and ports."""

    # Mutable state: how many shapes were made, and which endpoints.
    def __init__(self) -> None:
        self._made = 0
        self.supply = Supply()

    def cluster_ip(self) -> Shape:
        """A plain Service."""
        self._made += 1
        name = f"subject-{self._made:02}"
        return Shape(name=name, cluster_ip=str(_CLUSTER_IPS[self._made]))

    def node_port(self) -> Shape:
        """One with a NodePort."""
        shape = self.cluster_ip()
        return replace(shape, node_port=_FIRST_NODE_PORT + self._made)

    def load_balancer(self) -> Shape:
        """One with a VIP, and a NodePort as load balancers have it."""
        shape = self.node_port()
        return replace(shape, vip=str(_VIPS[self._made]))

    def external_ip(self) -> Shape:
        """One with an external IP."""
        shape = self.cluster_ip()
        return replace(shape, external_ip=str(_EXTERNAL_IPS[self._made]))

    def with_endpoints(self, title: str, shape: Shape, count: int = _ENDPOINTS) -> EndpointSubject:
        """A subject whose endpoints change; with a Local policy some of them are local."""
        local = _LOCAL_ENDPOINTS if shape.is_local_outside or shape.is_local_inside else 0
        return EndpointSubject(title, shape, self.supply, count, local)

    def coming_and_going(self, title: str, shape: Shape) -> ServiceSubject:
        """A subject that is removed and added."""
        return ServiceSubject(title, shape, self.supply.crowd(_ENDPOINTS))

    def switched(
        self, there: str, back: str, title: str, shape: Shape, other: Shape
    ) -> SpecSubject:
        """A subject whose spec is switched; some endpoints are local, for Local policies."""
        crowd = self.supply.crowd(_ENDPOINTS, _LOCAL_ENDPOINTS)
        return SpecSubject((there, back), title, (shape, other), crowd)


def _with_endpoints(desk: _Desk) -> Iterator[Subject]:
    seconds = AFFINITY_SECONDS[0]
    sticky = replace(desk.cluster_ip(), affinity_seconds=seconds)
    sticky_balancer = replace(desk.load_balancer(), affinity_seconds=seconds)
    yield desk.with_endpoints("ClusterIP", desk.cluster_ip())
    yield desk.with_endpoints("UDP", replace(desk.cluster_ip(), protocol="UDP"))
    yield desk.with_endpoints("NodePort", desk.node_port())
    yield desk.with_endpoints("LoadBalancer", desk.load_balancer())
    yield desk.with_endpoints("external IP", desk.external_ip())
    local = replace(desk.load_balancer(), is_local_outside=True)
    yield desk.with_endpoints("LoadBalancer, eTP Local", local)
    yield desk.with_endpoints("iTP Local", replace(desk.cluster_ip(), is_local_inside=True))
    yield desk.with_endpoints("ClusterIP, affinity", sticky)
    yield desk.with_endpoints("LoadBalancer, affinity", sticky_balancer)
    sticky_local = replace(desk.load_balancer(), affinity_seconds=seconds, is_local_outside=True)
    yield desk.with_endpoints("LoadBalancer, eTP Local, affinity", sticky_local)
    ranges = replace(desk.load_balancer(), source_ranges=_RANGES)
    yield desk.with_endpoints("LoadBalancer, source ranges", ranges)
    yield desk.with_endpoints("ClusterIP of 250", desk.cluster_ip(), _MANY_ENDPOINTS)
    many = replace(desk.load_balancer(), affinity_seconds=seconds)
    yield desk.with_endpoints("LoadBalancer of 250, affinity", many, _MANY_ENDPOINTS)
    yield BorderSubject("ClusterIP", desk.cluster_ip(), desk.supply, 0)
    yield BorderSubject("LoadBalancer", desk.load_balancer(), desk.supply, 8)


def _coming_and_going(desk: _Desk) -> Iterator[Subject]:
    seconds = AFFINITY_SECONDS[0]
    yield desk.coming_and_going("ClusterIP", desk.cluster_ip())
    yield desk.coming_and_going("NodePort", desk.node_port())
    yield desk.coming_and_going("LoadBalancer", desk.load_balancer())
    ranges = replace(desk.load_balancer(), source_ranges=_RANGES)
    yield desk.coming_and_going("LoadBalancer, source ranges", ranges)
    sticky = replace(desk.cluster_ip(), affinity_seconds=seconds)
    yield desk.coming_and_going("ClusterIP, affinity", sticky)
    both = replace(desk.load_balancer(), affinity_seconds=seconds, source_ranges=_RANGES)
    yield desk.coming_and_going("LoadBalancer, ranges, affinity", both)


def _with_other_policies(desk: _Desk) -> Iterator[Subject]:
    shape = desk.load_balancer()
    local = replace(shape, is_local_outside=True)
    yield desk.switched("eTP to Local", "eTP to Cluster", "LoadBalancer", shape, local)
    shape = desk.cluster_ip()
    local = replace(shape, is_local_inside=True)
    yield desk.switched("iTP to Local", "iTP to Cluster", "ClusterIP", shape, local)
    shape = desk.node_port()
    with_vip = replace(shape, vip=str(_VIPS[254]))
    yield desk.switched("load balancer IP given", "load balancer IP taken", "", shape, with_vip)


def _with_other_affinity(desk: _Desk) -> Iterator[Subject]:
    shape = desk.cluster_ip()
    sticky = replace(shape, affinity_seconds=AFFINITY_SECONDS[0])
    yield desk.switched("affinity on", "affinity off", "ClusterIP", shape, sticky)
    shape = replace(desk.load_balancer(), affinity_seconds=AFFINITY_SECONDS[0])
    longer = replace(shape, affinity_seconds=AFFINITY_SECONDS[1])
    change = "affinity timeout changed"
    yield desk.switched(change, change, "LoadBalancer, others have it", shape, longer)
    shape = replace(desk.cluster_ip(), affinity_seconds=_OWN_TIMEOUTS[0])
    longer = replace(shape, affinity_seconds=_OWN_TIMEOUTS[1])
    yield desk.switched(change, change, "ClusterIP, nobody else has it", shape, longer)


def _with_other_ranges(desk: _Desk) -> Iterator[Subject]:
    shape = desk.load_balancer()
    ranged = replace(shape, source_ranges=_RANGES)
    yield desk.switched("source ranges set", "source ranges dropped", "LoadBalancer", shape, ranged)
    shape = replace(desk.load_balancer(), source_ranges=_RANGES)
    other = replace(shape, source_ranges=_OTHER_RANGES)
    change = "source ranges changed"
    yield desk.switched(change, change, "LoadBalancer", shape, other)
