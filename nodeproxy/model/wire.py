"""The wire form of the API objects, listing only the fields that are read.

msgspec decodes JSON straight into these structs; unknown fields are skipped without being
built. Absent and null are the same for every list and string (Go servers send `null` for an
empty slice), hence the `| None` everywhere. Wire values are checked in `nodeproxy.state`,
not here: the types only say what JSON may hold.
"""

from __future__ import annotations

import msgspec

Text = str | None


class _Wire(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Camel-case JSON names; no cycles, so the collector need not track these."""


class ObjectMeta(_Wire, frozen=True):
    """metadata of any object."""

    name: Text = None
    namespace: Text = None
    resource_version: Text = None
    labels: dict[str, Text] | None = None
    annotations: dict[str, Text] | None = None
    deletion_timestamp: Text = None


class ServicePortWire(_Wire, frozen=True):
    """spec.ports[] of a Service."""

    name: Text = None
    protocol: Text = None
    port: int | None = None
    node_port: int | None = None


class ClientIPConfig(_Wire, frozen=True):
    """spec.sessionAffinityConfig.clientIP."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(_Wire, frozen=True):
    """spec.sessionAffinityConfig."""

    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(_Wire, frozen=True):
    """spec of a Service."""

    type: Text = None
    cluster_ip: Text = msgspec.field(default=None, name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ip_families: list[str] | None = None
    ports: list[ServicePortWire] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    load_balancer_source_ranges: list[str] | None = None
    external_traffic_policy: Text = None
    internal_traffic_policy: Text = None
    session_affinity: Text = None
    session_affinity_config: SessionAffinityConfig | None = None
    health_check_node_port: int | None = None


class LoadBalancerIngress(_Wire, frozen=True):
    """status.loadBalancer.ingress[]."""

    ip: Text = None
    ip_mode: Text = None


class LoadBalancerStatus(_Wire, frozen=True):
    """status.loadBalancer."""

    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(_Wire, frozen=True):
    """status of a Service."""

    load_balancer: LoadBalancerStatus | None = None


class Service(_Wire, frozen=True):
    """core/v1 Service."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec | None = None
    status: ServiceStatus | None = None


class EndpointConditions(_Wire, frozen=True):
    """endpoints[].conditions; null means unknown (EP-20)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintName(_Wire, frozen=True):
    """forZones[] or forNodes[] of endpoints[].hints."""

    name: Text = None


class EndpointHints(_Wire, frozen=True):
    """endpoints[].hints."""

    for_zones: list[HintName] | None = None
    for_nodes: list[HintName] | None = None


class SliceEndpoint(_Wire, frozen=True):
    """endpoints[] of an EndpointSlice; `topology` is v1beta1's place of the node name (EP-9)."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    node_name: Text = None
    hints: EndpointHints | None = None
    topology: dict[str, Text] | None = None


class SlicePort(_Wire, frozen=True):
    """ports[] of an EndpointSlice and subsets[].ports[] of an Endpoints."""

    name: Text = None
    protocol: Text = None
    port: int | None = None


class EndpointSlice(_Wire, frozen=True):
    """discovery.k8s.io EndpointSlice, v1 or v1beta1."""

    metadata: ObjectMeta = ObjectMeta()
    address_type: Text = None
    endpoints: list[SliceEndpoint] | None = None
    ports: list[SlicePort] | None = None


class SubsetAddress(_Wire, frozen=True):
    """subsets[].addresses[] of an Endpoints."""

    ip: Text = None
    node_name: Text = None


class EndpointSubset(_Wire, frozen=True):
    """subsets[] of an Endpoints; notReadyAddresses is not even decoded (EPS-4)."""

    addresses: list[SubsetAddress] | None = None
    ports: list[SlicePort] | None = None


class Endpoints(_Wire, frozen=True):
    """core/v1 Endpoints."""

    metadata: ObjectMeta = ObjectMeta()
    subsets: list[EndpointSubset] | None = None


class Taint(_Wire, frozen=True):
    """spec.taints[] of a Node."""

    key: Text = None


class NodeSpec(_Wire, frozen=True):
    """spec of a Node."""

    pod_cidr: Text = msgspec.field(default=None, name="podCIDR")
    pod_cidrs: list[str] | None = msgspec.field(default=None, name="podCIDRs")
    taints: list[Taint] | None = None


class NodeAddress(_Wire, frozen=True):
    """status.addresses[] of a Node."""

    type: Text = None
    address: Text = None


class NodeStatus(_Wire, frozen=True):
    """status of a Node."""

    addresses: list[NodeAddress] | None = None


class Node(_Wire, frozen=True):
    """core/v1 Node."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ServiceCIDRSpec(_Wire, frozen=True):
    """spec of a ServiceCIDR."""

    cidrs: list[str] | None = None


class ServiceCIDR(_Wire, frozen=True):
    """networking.k8s.io/v1 ServiceCIDR: networks that ClusterIPs are taken from (EP-3)."""

    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceCIDRSpec | None = None


ApiObject = Service | EndpointSlice | Endpoints | Node | ServiceCIDR
"""Every object a source may deliver."""
