"""Services of every type and their EndpointSlices, as a source hands them to the agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from nodeproxy.model.events import Kind, Removed, Upserted
from nodeproxy.model.wire import (
    ClientIPConfig,
    EndpointConditions,
    EndpointHints,
    EndpointSlice,
    HintName,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeStatus,
    ObjectMeta,
    Service,
    ServicePortWire,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
    SliceEndpoint,
    SlicePort,
)

NODE_NAME = "bench-node"
NODE_ADDRESS = "192.168.0.2"
NAMESPACE = "bench"
SERVICE_PORT = 80
POD_PORT = 8080
SLICE_CAPACITY = 100
"""Endpoints the EndpointSlice controller puts into one slice."""
_FIRST_HEALTH_CHECK_PORT = 20_000
_SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_ZONE_LABEL = "topology.kubernetes.io/zone"


class Answerer(msgspec.Struct, frozen=True):
    """One endpoint."""

    address: str
    node: str = "far-node"
    is_ready: bool = True
    zones: tuple[str, ...] = ()
    """Hints: for which zones it is meant."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A Service of one port: how it can be reached, and how it treats its clients."""

    name: str
    cluster_ip: str
    protocol: str = "TCP"
    node_port: int = 0
    vip: str = ""
    """Address of a load balancer; empty for none."""
    external_ip: str = ""
    source_ranges: tuple[str, ...] = ()
    affinity_seconds: int = 0
    """0: no session affinity."""
    is_local_outside: bool = False
    """externalTrafficPolicy Local."""
    is_local_inside: bool = False
    """internalTrafficPolicy Local."""

    @property
    def type(self) -> str:
        """The type of Service these ways in make."""
        if self.vip:
            return "LoadBalancer"
        return "NodePort" if self.node_port else "ClusterIP"


def service_put(shape: Shape) -> Upserted:
    """The event that the Service is there, with this shape."""
    ingress = [LoadBalancerIngress(ip=shape.vip, ip_mode="VIP")] if shape.vip else None
    made = Service(
        metadata=ObjectMeta(name=shape.name, namespace=NAMESPACE),
        spec=_spec(shape),
        status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)),
    )
    return Upserted(Kind.SERVICE, NAMESPACE, shape.name, made)


def service_gone(shape: Shape) -> Removed:
    """The event that the Service is gone."""
    return Removed(Kind.SERVICE, NAMESPACE, shape.name)


def _spec(shape: Shape) -> ServiceSpec:
    port = ServicePortWire(
        name="http",
        protocol=shape.protocol,
        port=SERVICE_PORT,
        node_port=shape.node_port or None,
    )
    client_ip = ClientIPConfig(timeout_seconds=shape.affinity_seconds)
    affinity = SessionAffinityConfig(client_ip=client_ip)
    return ServiceSpec(
        type=shape.type,
        cluster_ip=shape.cluster_ip,
        cluster_ips=[shape.cluster_ip],
        ip_families=["IPv4"],
        ports=[port],
        external_ips=[shape.external_ip] if shape.external_ip else None,
        load_balancer_source_ranges=list(shape.source_ranges) or None,
        external_traffic_policy="Local" if shape.is_local_outside else "Cluster",
        internal_traffic_policy="Local" if shape.is_local_inside else "Cluster",
        health_check_node_port=_health_check_port(shape),
        session_affinity="ClientIP" if shape.affinity_seconds else "None",
        session_affinity_config=affinity if shape.affinity_seconds else None,
    )


def _health_check_port(shape: Shape) -> int | None:
    """Load balancers with policy Local have one, as the API server gives it to them."""
    has_one = shape.is_local_outside and shape.vip
    return _FIRST_HEALTH_CHECK_PORT + shape.node_port % 10_000 if has_one else None


def slice_puts(shape: Shape, answerers: Sequence[Answerer]) -> Iterator[Upserted]:
    """The events that these are the Service's endpoints: slices of up to a hundred each."""
    for number, chosen in enumerate(in_slices(answerers)):
        yield slice_put(shape, number, chosen)


def in_slices(answerers: Sequence[Answerer]) -> list[list[Answerer]]:
    """Distribute endpoints over slices; no endpoints are one empty slice."""
    firsts = range(0, max(1, len(answerers)), SLICE_CAPACITY)
    return [list(answerers[first : first + SLICE_CAPACITY]) for first in firsts]


def slice_put(shape: Shape, number: int, answerers: Sequence[Answerer]) -> Upserted:
    """The event that slice `number` of a Service holds these endpoints."""
    name = _slice_name(shape, number)
    made = EndpointSlice(
        metadata=ObjectMeta(
            name=name, namespace=NAMESPACE, labels={_SERVICE_NAME_LABEL: shape.name}
        ),
        address_type="IPv4",
        endpoints=[_slice_endpoint(answerer) for answerer in answerers],
        ports=[SlicePort(name="http", protocol=shape.protocol, port=POD_PORT)],
    )
    return Upserted(Kind.ENDPOINT_SLICE, NAMESPACE, name, made)


def slice_gone(shape: Shape, number: int) -> Removed:
    """The event that slice `number` of a Service is gone."""
    return Removed(Kind.ENDPOINT_SLICE, NAMESPACE, _slice_name(shape, number))


def _slice_name(shape: Shape, number: int) -> str:
    return f"{shape.name}-{number}"


def node_put(zone: str, labels: dict[str, str | None] | None = None) -> Upserted:
    """The event about the own Node."""
    made = Node(
        metadata=ObjectMeta(name=NODE_NAME, labels={_ZONE_LABEL: zone, **(labels or {})}),
        status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=NODE_ADDRESS)]),
    )
    return Upserted(Kind.NODE, "", NODE_NAME, made)


def _slice_endpoint(answerer: Answerer) -> SliceEndpoint:
    hints = [HintName(name=zone) for zone in answerer.zones]
    conditions = EndpointConditions(
        ready=answerer.is_ready, serving=answerer.is_ready, terminating=False
    )
    return SliceEndpoint(
        addresses=[answerer.address],
        conditions=conditions,
        node_name=answerer.node,
        hints=EndpointHints(for_zones=hints) if hints else None,
    )
