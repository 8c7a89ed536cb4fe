"""What a source tells: an object is there, an object is gone, a kind is complete.

A source keeps track of what it has reported, so a relist becomes `Upserted` for what is new or
has another resourceVersion and `Removed` for what vanished; unchanged objects are not told
again. Events of one key supersede one another, which is what lets the inbox keep the latest only.
"""

from __future__ import annotations

import enum

import msgspec

from nodeproxy.model.problems import Problem
from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Node, Service, ServiceCIDR


class Kind(enum.StrEnum):
    """The kinds of objects a source delivers; the value is the Kubernetes kind."""

    SERVICE = "Service"
    ENDPOINT_SLICE = "EndpointSlice"
    ENDPOINTS = "Endpoints"
    NODE = "Node"
    SERVICE_CIDR = "ServiceCIDR"


KIND_BY_TYPE: dict[type[ApiObject], Kind] = {
    Service: Kind.SERVICE,
    EndpointSlice: Kind.ENDPOINT_SLICE,
    Endpoints: Kind.ENDPOINTS,
    Node: Kind.NODE,
    ServiceCIDR: Kind.SERVICE_CIDR,
}


class Upserted(msgspec.Struct, frozen=True):
    """An object is new or has changed."""

    kind: Kind
    namespace: str
    name: str
    object: ApiObject


class Removed(msgspec.Struct, frozen=True):
    """An object is gone, or does not match the selector any more (EP-4)."""

    kind: Kind
    namespace: str
    name: str


class Rejected(msgspec.Struct, frozen=True):
    """An object could not be decoded; what was known of it before stays in force."""

    kind: Kind
    namespace: str
    name: str
    problem: Problem


class Synced(msgspec.Struct, frozen=True):
    """Everything of this kind that existed when the source started has been told (EP-60).

    Also of a kind that others need not wait for, when it turns out that it cannot be read.
    """

    kind: Kind


class EndpointsChosen(msgspec.Struct, frozen=True):
    """From here on objects of one kind alone tell the endpoints of every Service.

    What objects of the other kind told is forgotten. What they tell from now on is taken but does
    not count, until they are chosen: so a source can read them completely beside those that
    count, and then exchange the two at one stroke.
    """

    kind: Kind | None
    """EndpointSlice or Endpoints; None if both count, and the source tells of each Service one."""


SourceEvent = Upserted | Removed | Rejected | Synced | EndpointsChosen


def other_endpoints_kind(kind: Kind) -> Kind:
    """Endpoints for EndpointSlice, and the other way round."""
    return Kind.ENDPOINTS if kind is Kind.ENDPOINT_SLICE else Kind.ENDPOINT_SLICE
