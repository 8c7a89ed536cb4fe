"""Objects as users and controllers write them, in JSON form.

What these return can be put into the stand-in or sent to a real API server: nothing is in there
that only a server may set. `with_managed_fields` adds the bookkeeping that makes up a good part
of a real object's size; it is for the stand-in only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tests.support.apiserver.encoding import ZONE_LABEL, JsonObject

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
ENDPOINTS_CAPACITY = 1000
"""Addresses an Endpoints object holds at most; the controller leaves out the rest (EPS-13)."""


class Port(msgspec.Struct, frozen=True):
    """A port of a Service and of what is behind it."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target: int = 0
    """Number at the endpoints; 0 means the same."""
    node_port: int = 0
    """0 means none."""

    @property
    def endpoint_port(self) -> int:
        """The number in slices and Endpoints."""
        return self.target or self.port


class Backend(msgspec.Struct, frozen=True):
    """One endpoint: a pod, or a bare address if it has neither node nor pod.

    `is_serving` and `is_terminating` are left out of a slice when None, as hand-written slices do.
    """

    ip: str
    pod: str = ""
    node: str = ""
    zone: str = ""
    is_ready: bool = True
    is_serving: bool | None = True
    is_terminating: bool | None = False
    zone_hints: tuple[str, ...] = ()


HTTP = (Port(80, "http", target=8080),)


def service(
    name: str,
    *,
    cluster_ips: Sequence[str],
    namespace: str = "default",
    ports: Sequence[Port] = HTTP,
    labels: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> JsonObject:
    """A Service with the defaults a server fills in; `spec` adds fields or replaces them."""
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": _metadata(name, namespace, labels),
        "spec": {
            "ports": [_service_port(port) for port in ports],
            "clusterIP": cluster_ips[0],
            "clusterIPs": list(cluster_ips),
            "type": "NodePort" if any(port.node_port for port in ports) else "ClusterIP",
            "sessionAffinity": "None",
            "ipFamilies": ["IPv6" if ":" in ip else "IPv4" for ip in cluster_ips],
            "ipFamilyPolicy": "SingleStack" if len(cluster_ips) == 1 else "PreferDualStack",
            "internalTrafficPolicy": "Cluster",
            **(spec or {}),
        },
        "status": {"loadBalancer": {}},
    }


def _service_port(port: Port) -> JsonObject:
    written: JsonObject = {"name": port.name} if port.name else {}
    written |= {"protocol": port.protocol, "port": port.port, "targetPort": port.endpoint_port}
    return {**written, "nodePort": port.node_port} if port.node_port else written


def endpoint_slice(
    name: str,
    service_name: str,
    *,
    backends: Sequence[Backend],
    namespace: str = "default",
    ports: Sequence[Port] = HTTP,
    labels: Mapping[str, str] | None = None,
) -> JsonObject:
    """A discovery.k8s.io/v1 EndpointSlice of one Service; the first address tells its family."""
    is_ipv6 = bool(backends) and ":" in backends[0].ip
    return {
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": _metadata(
            name, namespace, {**(labels or {}), SERVICE_NAME_LABEL: service_name}
        ),
        "addressType": "IPv6" if is_ipv6 else "IPv4",
        "endpoints": [_slice_endpoint(backend, namespace) for backend in backends],
        "ports": [
            {"name": port.name, "protocol": port.protocol, "port": port.endpoint_port}
            for port in ports
        ],
    }


def _slice_endpoint(backend: Backend, namespace: str) -> JsonObject:
    conditions = {"ready": backend.is_ready}
    if backend.is_serving is not None:
        conditions["serving"] = backend.is_serving
    if backend.is_terminating is not None:
        conditions["terminating"] = backend.is_terminating
    written: JsonObject = {"addresses": [backend.ip], "conditions": conditions}
    if backend.pod:
        written["targetRef"] = _pod_reference(backend, namespace)
    if backend.node:
        written["nodeName"] = backend.node
    if backend.zone:
        written["zone"] = backend.zone
    if backend.zone_hints:
        written["hints"] = {"forZones": [{"name": zone} for zone in backend.zone_hints]}
    return written


def endpoints(
    name: str,
    *,
    backends: Sequence[Backend],
    namespace: str = "default",
    ports: Sequence[Port] = HTTP,
    labels: Mapping[str, str] | None = None,
) -> JsonObject:
    """The core/v1 Endpoints of a Service as its controller makes them (EPS-13)."""
    kept = sorted(backends[:ENDPOINTS_CAPACITY], key=lambda backend: backend.ip)
    subset: JsonObject = {}
    for field, is_ready in (("addresses", True), ("notReadyAddresses", False)):
        addresses = [_address(b, namespace) for b in kept if b.is_ready is is_ready]
        if addresses:
            subset[field] = addresses
    subset["ports"] = [
        {
            **({"name": port.name} if port.name else {}),
            "port": port.endpoint_port,
            "protocol": port.protocol,
        }
        for port in ports
    ]
    metadata = _metadata(name, namespace, labels)
    if len(backends) > ENDPOINTS_CAPACITY:
        metadata["annotations"] = {OVER_CAPACITY: "truncated"}
    return {
        "kind": "Endpoints",
        "apiVersion": "v1",
        "metadata": metadata,
        **({"subsets": [subset]} if kept else {}),
    }


def _address(backend: Backend, namespace: str) -> JsonObject:
    written: JsonObject = {"ip": backend.ip}
    if backend.node:
        written["nodeName"] = backend.node
    if backend.pod:
        written["targetRef"] = _pod_reference(backend, namespace)
    return written


def _pod_reference(backend: Backend, namespace: str) -> JsonObject:
    return {"kind": "Pod", "namespace": namespace, "name": backend.pod}


def node(name: str, *, zone: str = "", internal_ips: Sequence[str] = ()) -> JsonObject:
    """A Node with its zone label and addresses."""
    labels = {ZONE_LABEL: zone} if zone else None
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": _metadata(name, "", labels),
        "spec": {},
        "status": {"addresses": [{"type": "InternalIP", "address": ip} for ip in internal_ips]},
    }


def service_cidr(name: str, cidrs: Sequence[str]) -> JsonObject:
    """A ServiceCIDR: where ClusterIPs come from."""
    return {
        "kind": "ServiceCIDR",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": _metadata(name, "", None),
        "spec": {"cidrs": list(cidrs)},
        "status": {},
    }


def _metadata(name: str, namespace: str, labels: Mapping[str, str] | None) -> JsonObject:
    return {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": dict(labels)} if labels else {}),
    }


def with_labels(obj: JsonObject, labels: Mapping[str, str]) -> JsonObject:
    """The object with exactly these labels."""
    return {**obj, "metadata": {**obj["metadata"], "labels": dict(labels)}}


def padded(obj: JsonObject, size_bytes: int) -> JsonObject:
    """The object with an annotation of this size, to make it larger than some buffer.

    A real API server takes annotations of 256 KiB at most, all together.
    """
    annotations = {**obj["metadata"].get("annotations", {}), "padding": "x" * size_bytes}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def owned_slice(obj: JsonObject, service_uid: str) -> JsonObject:
    """A slice as the EndpointSlice controller makes it: labelled, and owned by its Service."""
    metadata = obj["metadata"]
    owner = metadata["labels"][SERVICE_NAME_LABEL]
    return {
        **obj,
        "metadata": {
            **metadata,
            "generateName": f"{owner}-",
            "labels": {
                _MANAGED_BY_LABEL: "endpointslice-controller.k8s.io",
                **metadata["labels"],
            },
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": owner,
                    "uid": service_uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
    }


def with_managed_fields(obj: JsonObject, manager: str, time: str) -> JsonObject:
    """The object with the server's record of who wrote which field, as one writer of it all."""
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": obj["apiVersion"],
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _written_fields(obj),
    }
    return {**obj, "metadata": {**obj["metadata"], "managedFields": [entry]}}


def _written_fields(obj: JsonObject) -> JsonObject:
    fields: JsonObject = {}
    for name in sorted(obj.keys() - {"kind", "apiVersion", "status"}):
        value = obj[name]
        if name == "metadata":
            fields |= _written_metadata(value)
        elif name == "spec":
            fields["f:spec"] = _written_spec(value)
        else:
            fields[f"f:{name}"] = {}
    return fields


def _written_metadata(metadata: JsonObject) -> JsonObject:
    fields: JsonObject = {}
    for name in sorted(metadata.keys() & {"annotations", "labels"}):
        keys = sorted(metadata[name])
        fields[f"f:{name}"] = {".": {}, **{f"f:{key}": {} for key in keys}}
    if "generateName" in metadata:
        fields["f:generateName"] = {}
    for owner in metadata.get("ownerReferences", ()):
        uid = msgspec.json.encode({"uid": owner["uid"]}).decode()
        fields["f:ownerReferences"] = {".": {}, f"k:{uid}": {}}
    return {"f:metadata": fields} if fields else {}


def _written_spec(spec: JsonObject) -> JsonObject:
    fields: JsonObject = {f"f:{name}": {} for name in sorted(spec)}
    if "ports" in spec:
        fields["f:ports"] = {".": {}}
        for port in spec["ports"]:
            key = msgspec.json.encode({"port": port["port"], "protocol": port["protocol"]})
            fields["f:ports"][f"k:{key.decode()}"] = {".": {}, **{f"f:{name}": {} for name in port}}
    return fields
