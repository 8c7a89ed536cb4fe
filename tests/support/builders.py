"""Objects of the API for tests, said in one line each.

    service("web").cluster_ip("10.96.0.10").port(80, "http").node_port(30080).local().build()
    slice_("web-1", service="web").port(8080, "http").endpoint("10.0.0.1", node="n1").build()
    endpoints("web").port(8080, "http").address("10.0.0.1", node="n1").build()
    node("n1").zone("zone-a").internal_ip("192.168.0.2").build()
    service_cidr("kubernetes").cidr("10.96.0.0/16", "fd00:96::/112").build()

Every method returns the builder; `build()` gives the wire object, `upserted()` and `removed()`
the event about it. Objects live in namespace "default" unless `namespace=` says otherwise. The
defaults are those an API server fills in.
"""

from __future__ import annotations

from typing import Self

from msgspec.structs import replace

from nodeproxy.model.events import KIND_BY_TYPE, Removed, SourceEvent, Upserted
from nodeproxy.model.wire import (
    ApiObject,
    ClientIPConfig,
    EndpointConditions,
    EndpointHints,
    Endpoints,
    EndpointSlice,
    EndpointSubset,
    HintName,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Node,
    NodeAddress,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Service,
    ServiceCIDR,
    ServiceCIDRSpec,
    ServicePortWire,
    ServiceSpec,
    ServiceStatus,
    SessionAffinityConfig,
    SliceEndpoint,
    SlicePort,
    SubsetAddress,
    Taint,
)


class _Builder:
    """What all builders share: metadata and events."""

    _object: type[ApiObject]

    def __init__(self, name: str, namespace: str | None) -> None:
        self._meta = ObjectMeta(name=name, namespace=namespace)

    def build(self) -> ApiObject:
        raise NotImplementedError

    def label(self, key: str, value: str = "") -> Self:
        self._meta = replace(self._meta, labels={**(self._meta.labels or {}), key: value})
        return self

    def annotation(self, key: str, value: str) -> Self:
        annotations = {**(self._meta.annotations or {}), key: value}
        self._meta = replace(self._meta, annotations=annotations)
        return self

    def version(self, resource_version: str) -> Self:
        self._meta = replace(self._meta, resource_version=resource_version)
        return self

    def upserted(self) -> Upserted:
        """The event that the object is there as built."""
        kind = KIND_BY_TYPE[self._object]
        return Upserted(kind, self._meta.namespace or "", self._meta.name or "", self.build())

    def removed(self) -> Removed:
        """The event that the object is gone."""
        kind = KIND_BY_TYPE[self._object]
        return Removed(kind, self._meta.namespace or "", self._meta.name or "")


class ServiceBuilder(_Builder):
    """Builds a Service; without a port it gets none."""

    _object = Service

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._spec = ServiceSpec(type="ClusterIP", session_affinity="None")
        self._ports: list[ServicePortWire] = []
        self._ingress: list[LoadBalancerIngress] = []

    def cluster_ip(self, *texts: str) -> Self:
        """One address, or one of each family in order of preference."""
        families = ["IPv6" if ":" in text else "IPv4" for text in texts]
        return self.spec(cluster_ip=texts[0], cluster_ips=list(texts), ip_families=families)

    def spec(self, **fields: object) -> Self:
        """Any fields of the spec, by their Python names."""
        self._spec = replace(self._spec, **fields)
        return self

    def port(self, number: int | None, name: str | None = "", protocol: str | None = "TCP") -> Self:
        self._ports.append(ServicePortWire(name=name, protocol=protocol, port=number))
        return self

    def node_port(self, number: int) -> Self:
        """Give the port added last a NodePort; a ClusterIP Service becomes a NodePort one."""
        self._ports[-1] = replace(self._ports[-1], node_port=number)
        return self.type("NodePort") if self._spec.type == "ClusterIP" else self

    def type(self, name: str | None) -> Self:
        return self.spec(type=name)

    def external_ip(self, *texts: str) -> Self:
        return self.spec(external_ips=[*(self._spec.external_ips or []), *texts])

    def load_balancer_ip(self, *texts: str, ip_mode: str | None = None) -> Self:
        """Addresses in the status; makes it a LoadBalancer."""
        self._ingress += [LoadBalancerIngress(ip=text, ip_mode=ip_mode) for text in texts]
        return self.type("LoadBalancer")

    def source_range(self, *texts: str) -> Self:
        ranges = [*(self._spec.load_balancer_source_ranges or []), *texts]
        return self.spec(load_balancer_source_ranges=ranges)

    def local(self) -> Self:
        """Set externalTrafficPolicy to Local."""
        return self.spec(external_traffic_policy="Local")

    def internal_local(self) -> Self:
        """Set internalTrafficPolicy to Local."""
        return self.spec(internal_traffic_policy="Local")

    def affinity(self, seconds: int | None = None) -> Self:
        config = SessionAffinityConfig(client_ip=ClientIPConfig(timeout_seconds=seconds))
        return self.spec(session_affinity="ClientIP", session_affinity_config=config)

    def health_check(self, port: int) -> Self:
        return self.spec(health_check_node_port=port)

    def build(self) -> Service:
        status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=self._ingress or None))
        spec = replace(self._spec, ports=list(self._ports))
        return Service(metadata=self._meta, spec=spec, status=status)


class SliceBuilder(_Builder):
    """Builds an EndpointSlice."""

    _object = EndpointSlice

    def __init__(self, name: str, service: str | None, namespace: str, address_type: str) -> None:
        super().__init__(name, namespace)
        if service is not None:
            self.label("kubernetes.io/service-name", service)
        self._address_type = address_type
        self._ports: list[SlicePort] = []
        self._endpoints: list[SliceEndpoint] = []

    def port(self, number: int | None, name: str | None = "", protocol: str | None = "TCP") -> Self:
        self._ports.append(SlicePort(name=name, protocol=protocol, port=number))
        return self

    def endpoint(
        self,
        *addresses: str,
        node: str | None = None,
        ready: bool | None = True,
        serving: bool | None = None,
        terminating: bool | None = None,
        zones: tuple[str, ...] = (),
        nodes: tuple[str, ...] = (),
        topology: dict[str, str | None] | None = None,
    ) -> Self:
        """An endpoint; `zones` and `nodes` are its hints."""
        hints = EndpointHints(
            for_zones=[HintName(name) for name in zones] or None,
            for_nodes=[HintName(name) for name in nodes] or None,
        )
        endpoint = SliceEndpoint(
            addresses=list(addresses),
            conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
            node_name=node,
            hints=hints if zones or nodes else None,
            topology=topology,
        )
        self._endpoints.append(endpoint)
        return self

    def not_ready(self, *addresses: str, node: str | None = None) -> Self:
        """Neither ready nor serving nor terminating."""
        return self.endpoint(*addresses, node=node, ready=False, serving=False)

    def terminating(self, *addresses: str, node: str | None = None, serving: bool = True) -> Self:
        """Not ready any more, on its way out; still serving unless said otherwise."""
        return self.endpoint(*addresses, node=node, ready=False, serving=serving, terminating=True)

    def build(self) -> EndpointSlice:
        return EndpointSlice(
            metadata=self._meta,
            address_type=self._address_type,
            endpoints=list(self._endpoints),
            ports=list(self._ports),
        )


class EndpointsBuilder(_Builder):
    """Builds an Endpoints object; `subset()` starts another subset."""

    _object = Endpoints

    def __init__(self, name: str, namespace: str) -> None:
        super().__init__(name, namespace)
        self._subsets: list[EndpointSubset] = []

    def subset(self) -> Self:
        self._subsets.append(EndpointSubset(addresses=[], ports=[]))
        return self

    def port(self, number: int | None, name: str | None = "", protocol: str | None = "TCP") -> Self:
        subset = self._last()
        ports = [*(subset.ports or []), SlicePort(name=name, protocol=protocol, port=number)]
        self._subsets[-1] = replace(subset, ports=ports)
        return self

    def address(self, ip: str | None, *, node: str | None = None) -> Self:
        subset = self._last()
        addresses = [*(subset.addresses or []), SubsetAddress(ip=ip, node_name=node)]
        self._subsets[-1] = replace(subset, addresses=addresses)
        return self

    def build(self) -> Endpoints:
        return Endpoints(metadata=self._meta, subsets=list(self._subsets))

    def _last(self) -> EndpointSubset:
        if not self._subsets:
            self.subset()
        return self._subsets[-1]


class NodeBuilder(_Builder):
    """Builds a Node."""

    _object = Node

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self._spec = NodeSpec()
        self._addresses: list[NodeAddress] = []

    def zone(self, name: str) -> Self:
        return self.label("topology.kubernetes.io/zone", name)

    def internal_ip(self, text: str) -> Self:
        self._addresses.append(NodeAddress(type="InternalIP", address=text))
        return self

    def external_ip(self, text: str) -> Self:
        self._addresses.append(NodeAddress(type="ExternalIP", address=text))
        return self

    def pod_cidr(self, *texts: str) -> Self:
        self._spec = replace(self._spec, pod_cidr=texts[0], pod_cidrs=list(texts))
        return self

    def taint(self, key: str) -> Self:
        self._spec = replace(self._spec, taints=[*(self._spec.taints or []), Taint(key=key)])
        return self

    def deleted_at(self, timestamp: str) -> Self:
        self._meta = replace(self._meta, deletion_timestamp=timestamp)
        return self

    def build(self) -> Node:
        status = NodeStatus(addresses=list(self._addresses))
        return Node(metadata=self._meta, spec=self._spec, status=status)


class ServiceCIDRBuilder(_Builder):
    """Builds a ServiceCIDR."""

    _object = ServiceCIDR

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self._cidrs: list[str] = []

    def cidr(self, *texts: str) -> Self:
        self._cidrs += texts
        return self

    def build(self) -> ServiceCIDR:
        return ServiceCIDR(metadata=self._meta, spec=ServiceCIDRSpec(cidrs=list(self._cidrs)))


def service(name: str, *, namespace: str = "default") -> ServiceBuilder:
    return ServiceBuilder(name, namespace)


def slice_(
    name: str,
    *,
    service: str | None,
    namespace: str = "default",
    address_type: str = "IPv4",
) -> SliceBuilder:
    return SliceBuilder(name, service, namespace, address_type)


def endpoints(name: str, *, namespace: str = "default") -> EndpointsBuilder:
    return EndpointsBuilder(name, namespace)


def node(name: str) -> NodeBuilder:
    return NodeBuilder(name)


def service_cidr(name: str) -> ServiceCIDRBuilder:
    return ServiceCIDRBuilder(name)


def upserted(*builders: _Builder) -> list[SourceEvent]:
    """The events that all these objects are there."""
    return [builder.upserted() for builder in builders]
