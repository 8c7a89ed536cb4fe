"""Kubernetes objects for the private node, as the JSON an API server or a file would hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from lab.topology import NODE_NAME

MAX_ENDPOINTS_PER_SLICE = 100
"""What the EndpointSlice controller puts into one slice by default."""
NAMESPACE = "default"

Json = dict[str, Any]
Policy = Literal["Cluster", "Local"]


class Port(msgspec.Struct, frozen=True):
    """One port of a Service."""

    name: str
    protocol: Literal["tcp", "udp"]
    port: int
    target: int
    node_port: int = 0
    """0: none."""


class Backend(msgspec.Struct, frozen=True):
    """One endpoint: a pod, by its address in each family."""

    ipv4: str
    ipv6: str
    node: str = NODE_NAME

    def address(self, family: str) -> str:
        """Return the address of `IPv4` or `IPv6`."""
        return self.ipv4 if family == "IPv4" else self.ipv6


def service(
    name: str,
    cluster_ips: Sequence[str],
    ports: Sequence[Port],
    *,
    external_policy: Policy = "Cluster",
    internal_policy: Policy = "Cluster",
) -> Json:
    """Return a Service; of type NodePort when a port has one."""
    has_node_port = any(p.node_port for p in ports)
    spec: Json = {
        "type": "NodePort" if has_node_port else "ClusterIP",
        "clusterIP": cluster_ips[0],
        "clusterIPs": list(cluster_ips),
        "ipFamilies": ["IPv6" if ":" in ip else "IPv4" for ip in cluster_ips],
        "internalTrafficPolicy": internal_policy,
        "ports": [_service_port(port) for port in ports],
    }
    if has_node_port:
        spec["externalTrafficPolicy"] = external_policy
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(name), "spec": spec}


def endpoint_slices(name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> list[Json]:
    """Return the EndpointSlices of a Service: per family, up to a hundred endpoints in each.

    Without endpoints there is one empty slice per family, as the controller leaves it.
    """
    slices = []
    for family in ("IPv4", "IPv6"):
        for start in range(0, max(1, len(backends)), MAX_ENDPOINTS_PER_SLICE):
            chosen = backends[start : start + MAX_ENDPOINTS_PER_SLICE]
            slice_name = f"{name}-{family.lower()}-{start // MAX_ENDPOINTS_PER_SLICE}"
            labels = {"kubernetes.io/service-name": name}
            slices.append(
                {
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": _metadata(slice_name) | {"labels": labels},
                    "addressType": family,
                    "ports": [_endpoint_port(port) for port in ports],
                    "endpoints": [_slice_endpoint(b, family) for b in chosen],
                }
            )
    return slices


def endpoints_object(name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> Json:
    """Return the core/v1 Endpoints of a Service, both families in one subset."""
    addresses = [
        {"ip": b.address(family), "nodeName": b.node}
        for family in ("IPv4", "IPv6")
        for b in backends
    ]
    subsets = [{"addresses": addresses, "ports": [_endpoint_port(p) for p in ports]}]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": _metadata(name),
        "subsets": subsets if addresses else [],
    }


def node() -> Json:
    """Return the Node object of the private node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE_NAME, "labels": {"kubernetes.io/hostname": NODE_NAME}},
        "spec": {},
        "status": {},
    }


def _metadata(name: str) -> Json:
    return {"name": name, "namespace": NAMESPACE}


def _service_port(port: Port) -> Json:
    written: Json = {
        "name": port.name,
        "protocol": port.protocol.upper(),
        "port": port.port,
        "targetPort": port.target,
    }
    return written | ({"nodePort": port.node_port} if port.node_port else {})


def _endpoint_port(port: Port) -> Json:
    return {"name": port.name, "protocol": port.protocol.upper(), "port": port.target}


def _slice_endpoint(backend: Backend, family: str) -> Json:
    return {
        "addresses": [backend.address(family)],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": backend.node,
    }
