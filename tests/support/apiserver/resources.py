"""The kinds of objects the stand-in serves, and where in the API they live."""

from __future__ import annotations

import msgspec


class Resource(msgspec.Struct, frozen=True):
    """One kind: its names, its place in the API, and what can be selected on."""

    kind: str
    plural: str
    group: str
    """The API group, empty for core."""
    versions: tuple[str, ...]
    """Versions the stand-in can speak, newest first."""
    is_namespaced: bool
    selectable_fields: tuple[str, ...]
    """Field labels that a fieldSelector may name."""
    bookmark_tail: bytes
    """What Go's encoder writes after the metadata of an otherwise empty object."""
    list_kind: str

    def api_version(self, version: str) -> str:
        """The apiVersion of objects of this kind in one version: `v1`, `discovery.k8s.io/v1`."""
        return f"{self.group}/{version}" if self.group else version


METADATA_FIELDS = ("metadata.name", "metadata.namespace")

_EMPTY_NODE = (
    b',"spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":'
    b'{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"",'
    b'"containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"",'
    b'"operatingSystem":"","architecture":""}}'
)

SERVICE = Resource(
    kind="Service",
    plural="services",
    group="",
    versions=("v1",),
    is_namespaced=True,
    selectable_fields=(*METADATA_FIELDS, "spec.clusterIP", "spec.type"),
    bookmark_tail=b',"spec":{},"status":{"loadBalancer":{}}',
    list_kind="ServiceList",
)
ENDPOINTS = Resource(
    kind="Endpoints",
    plural="endpoints",
    group="",
    versions=("v1",),
    is_namespaced=True,
    selectable_fields=METADATA_FIELDS,
    bookmark_tail=b"",
    list_kind="EndpointsList",
)
NODE = Resource(
    kind="Node",
    plural="nodes",
    group="",
    versions=("v1",),
    is_namespaced=False,
    selectable_fields=("metadata.name", "spec.unschedulable"),
    bookmark_tail=_EMPTY_NODE,
    list_kind="NodeList",
)
ENDPOINT_SLICE = Resource(
    kind="EndpointSlice",
    plural="endpointslices",
    group="discovery.k8s.io",
    versions=("v1", "v1beta1"),
    is_namespaced=True,
    selectable_fields=METADATA_FIELDS,
    bookmark_tail=b',"addressType":"","endpoints":null,"ports":null',
    list_kind="EndpointSliceList",
)
SERVICE_CIDR = Resource(
    kind="ServiceCIDR",
    plural="servicecidrs",
    group="networking.k8s.io",
    versions=("v1",),
    is_namespaced=False,
    selectable_fields=("metadata.name",),
    bookmark_tail=b',"spec":{},"status":{}',
    list_kind="ServiceCIDRList",
)

RESOURCES = (SERVICE, ENDPOINTS, NODE, ENDPOINT_SLICE, SERVICE_CIDR)
RESOURCE_BY_KIND = {resource.kind: resource for resource in RESOURCES}
RESOURCE_BY_PLURAL = {(resource.group, resource.plural): resource for resource in RESOURCES}
