"""What the API server would have filled in, and what it would have refused.

Objects written by hand lack the defaults an API server stores with every object, and nobody
has checked them. This module supplies both, on decoded objects:

| Object        | Filled in when absent                                                         |
|---------------|-------------------------------------------------------------------------------|
| Service       | `type` ClusterIP; `clusterIP` and `clusterIPs` from one another; `ipFamilies` |
|               | from the addresses; port `protocol` TCP                                       |
| EndpointSlice | port `name` "" (EP-18) and `protocol` TCP; conditions stay absent: ready (EP-20) |
| Endpoints     | port `name` "" and `protocol` TCP (EPS-3)                                     |
| Node          | `podCIDRs` from `podCIDR`                                                     |

What no default can mend is `Unusable`: a Service without an address (nothing allocates one
here), a slice that names no Service or no address type. Everything else that is odd is left
to those who read the fields; they report it like the same mistake from a cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from nodeproxy.errors import SourceError
from nodeproxy.model.addresses import family_of, parse_addr
from nodeproxy.model.wire import (
    ApiObject,
    Endpoints,
    EndpointSlice,
    Node,
    Service,
    ServiceCIDR,
    ServicePortWire,
    ServiceSpec,
    SlicePort,
)

SERVICE_NAME_LABEL = "kubernetes.io/service-name"

Port = TypeVar("Port", ServicePortWire, SlicePort)


class Unusable(SourceError):
    """An object without which nothing can be programmed for it, whatever is assumed."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


def with_defaults(found: ApiObject) -> ApiObject:
    """The object as an API server would have stored it.

    Raises:
        Unusable: something is missing that has no default; the reason tells the remedy.
    """
    match found:
        case Service():
            return _service(found)
        case EndpointSlice():
            return _slice(found)
        case Endpoints():
            return _endpoints(found)
        case Node():
            return _node(found)
        case ServiceCIDR():
            return found


def oddities(found: ApiObject) -> Iterator[tuple[str, str]]:
    """Field and consequence of what a cluster would have allocated, and nobody does here."""
    if not isinstance(found, Service) or found.spec is None:
        return
    if not found.spec.ports:
        yield "spec.ports", "no ports; nothing leads to this Service"
    if found.spec.type == "NodePort":
        for i, port in enumerate(found.spec.ports or ()):
            if not port.node_port:
                yield (
                    f"spec.ports[{i}].nodePort",
                    "not set, and without a cluster nothing allocates one; the port gets no "
                    "node port. Set a free one, usually from 30000-32767",
                )


def _service(service: Service) -> Service:
    spec = service.spec
    if spec is None:
        raise Unusable("spec", "missing")
    if spec.type == "ExternalName":
        return service  # a name only; it has no address and needs none (SVC-2)
    cluster_ips = _cluster_ips(spec)
    return replace(
        service,
        spec=replace(
            spec,
            type=spec.type or "ClusterIP",
            cluster_ip=cluster_ips[0],
            cluster_ips=cluster_ips,
            ip_families=spec.ip_families or _families(cluster_ips),
            ports=[_with_protocol(port) for port in spec.ports or ()],
        ),
    )


def _cluster_ips(spec: ServiceSpec) -> list[str]:
    """All addresses, the primary one first."""
    cluster_ips = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    if not cluster_ips or not cluster_ips[0]:
        raise Unusable(
            "spec.clusterIP",
            "not set, and without a cluster nothing allocates one; set spec.clusterIP to a "
            "free address of the range you keep for Services, or to None for no address",
        )
    if spec.cluster_ip and spec.cluster_ip != cluster_ips[0]:
        raise Unusable(
            "spec.clusterIPs",
            f'begins with "{cluster_ips[0]}" but spec.clusterIP is "{spec.cluster_ip}"; '
            "make them equal or leave one out",
        )
    return cluster_ips


def _families(cluster_ips: Sequence[str]) -> list[str] | None:
    try:
        return [family_of(parse_addr(text)).value for text in cluster_ips]
    except ValueError:
        return None  # reported by whoever reads the addresses


def _with_protocol(port: Port) -> Port:
    return port if port.protocol else replace(port, protocol="TCP")


def _slice_ports(ports: Sequence[SlicePort]) -> list[SlicePort]:
    return [_with_protocol(p if p.name is not None else replace(p, name="")) for p in ports]


def _slice(found: EndpointSlice) -> EndpointSlice:
    if not (found.metadata.labels or {}).get(SERVICE_NAME_LABEL):
        raise Unusable(
            "metadata.labels",
            f"the label {SERVICE_NAME_LABEL} is missing, so the slice belongs to no Service; "
            "set it to the Service's name",
        )
    if not found.address_type:
        raise Unusable("addressType", "missing; write IPv4 or IPv6")
    return replace(found, ports=_slice_ports(found.ports or ()))


def _endpoints(found: Endpoints) -> Endpoints:
    subsets = [replace(s, ports=_slice_ports(s.ports or ())) for s in found.subsets or ()]
    return replace(found, subsets=subsets)


def _node(node: Node) -> Node:
    if node.spec is None or node.spec.pod_cidrs or not node.spec.pod_cidr:
        return node
    return replace(node, spec=replace(node.spec, pod_cidrs=[node.spec.pod_cidr]))
