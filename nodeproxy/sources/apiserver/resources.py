"""What is asked of the API server: path, selectors and wire type of each kind (EP-1..EP-3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from nodeproxy.model.events import Kind
from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Node, Service, ServiceCIDR

DISCOVERY_GROUP = "discovery.k8s.io"
DISCOVERY_PATH = f"/apis/{DISCOVERY_GROUP}"
NOT_OTHER_PROXY = "!service.kubernetes.io/service-proxy-name"
NOT_HEADLESS = "!service.kubernetes.io/headless"

SliceVersion = Literal["v1", "v1beta1"]
SLICE_VERSIONS: tuple[SliceVersion, ...] = ("v1", "v1beta1")
"""In order of preference (EP-9)."""


class Resource(msgspec.Struct, frozen=True):
    """One collection of the API, narrowed by selectors."""

    kind: Kind
    wire_type: type[ApiObject]
    path: str
    permission: str
    """The resource as RBAC names it, `endpointslices.discovery.k8s.io`."""
    selector: tuple[tuple[str, str], ...]
    """Query parameters that narrow the collection."""


def services() -> Resource:
    """Services with a ClusterIP that no other proxy claims (EP-1)."""
    selector = (("labelSelector", NOT_OTHER_PROXY), ("fieldSelector", "spec.clusterIP!=None"))
    return Resource(Kind.SERVICE, Service, "/api/v1/services", "services", selector)


def endpoint_slices(version: SliceVersion) -> Resource:
    """EndpointSlices of Services that are not headless (EP-2, EP-9)."""
    return Resource(
        Kind.ENDPOINT_SLICE,
        EndpointSlice,
        f"{DISCOVERY_PATH}/{version}/endpointslices",
        f"endpointslices.{DISCOVERY_GROUP}",
        (("labelSelector", NOT_HEADLESS),),
    )


def endpoints() -> Resource:
    """Endpoints, of Services neither headless nor claimed by another proxy (EPS-1)."""
    selector = (("labelSelector", f"{NOT_OTHER_PROXY},{NOT_HEADLESS}"),)
    return Resource(Kind.ENDPOINTS, Endpoints, "/api/v1/endpoints", "endpoints", selector)


def node(name: str) -> Resource:
    """The own Node (EP-3)."""
    selector = (("fieldSelector", f"metadata.name={name}"),)
    return Resource(Kind.NODE, Node, "/api/v1/nodes", "nodes", selector)


def service_cidrs() -> Resource:
    """All ServiceCIDRs (EP-3); API servers before Kubernetes 1.33 have none at v1."""
    group = "networking.k8s.io"
    return Resource(
        Kind.SERVICE_CIDR,
        ServiceCIDR,
        f"/apis/{group}/v1/servicecidrs",
        f"servicecidrs.{group}",
        (),
    )
