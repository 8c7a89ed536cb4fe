"""From a Kubernetes object as a dict to the JSON the API server would send for it.

The encoded form is made once, when the object is stored; lists and watches only join bytes. It is
an object without `kind` and `apiVersion`, as list items are; a watch event puts those in front.
`metadata.resourceVersion` comes before everything a user can write freely, so its first occurrence
in the text is the real one and can be replaced without decoding.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from tests.support.apiserver.resources import ENDPOINT_SLICE, Resource

JsonObject = dict[str, Any]
"""A JSON object of any shape: what tests write, well formed or not."""

# The order in which Go encodes ObjectMeta; fields not named here follow in their own order.
_METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
    "ownerReferences",
    "managedFields",
)
HOSTNAME_LABEL = "kubernetes.io/hostname"
ZONE_LABEL = "topology.kubernetes.io/zone"


def timestamp() -> str:
    """The wall clock as metadata writes it, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encode_body(obj: Mapping[str, Any], assigned: Mapping[str, Any]) -> bytes:
    """Encode an object for storage, `assigned` metadata taking precedence over its own."""
    metadata = {**obj["metadata"], **assigned}
    ordered = {name: metadata.pop(name) for name in _METADATA_ORDER if name in metadata}
    rest = {name: value for name, value in obj.items() if name not in _TYPE_AND_METADATA}
    return msgspec.json.encode({"metadata": {**ordered, **metadata}, **rest})


_TYPE_AND_METADATA = frozenset({"kind", "apiVersion", "metadata"})


def with_version(body: bytes, old: int, new: int) -> bytes:
    """The same object at another resourceVersion."""
    return body.replace(b'"resourceVersion":"%d"' % old, b'"resourceVersion":"%d"' % new, 1)


def string_map(value: object) -> dict[str, str]:
    """The string entries of a JSON object; empty for anything else, for malformed objects."""
    if not isinstance(value, dict):
        return {}
    return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}


def field_values(resource: Resource, obj: Mapping[str, Any]) -> dict[str, str]:
    """What a fieldSelector sees of an object: every selectable field, absent ones as ""."""
    return {path: _text_at(obj, path) for path in resource.selectable_fields}


def _text_at(obj: Mapping[str, Any], path: str) -> str:
    value: object = obj
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def convert(resource: Resource, body: bytes, old: str, new: str) -> bytes:
    """An object's body in another version of its API group.

    Only EndpointSlice has two: v1beta1 keeps node name and zone of an endpoint in `topology`, as
    API servers 1.17 to 1.19 did (EP-9). To serve v1beta1 objects of later servers, which carry
    `nodeName` beside it, store them with apiVersion v1beta1: they are then served unchanged.
    """
    if old == new or resource is not ENDPOINT_SLICE:
        return body
    obj: JsonObject = msgspec.json.decode(body)
    translate = _endpoint_to_v1beta1 if new == "v1beta1" else _endpoint_to_v1
    endpoints = obj.get("endpoints")
    if isinstance(endpoints, list):
        obj["endpoints"] = [translate(e) if isinstance(e, dict) else e for e in endpoints]
    return msgspec.json.encode(obj)


def _endpoint_to_v1beta1(endpoint: JsonObject) -> JsonObject:
    topology = dict(endpoint.pop("deprecatedTopology", None) or {})
    for label, name in ((HOSTNAME_LABEL, "nodeName"), (ZONE_LABEL, "zone")):
        if name in endpoint:
            topology[label] = endpoint.pop(name)
    return {**endpoint, "topology": topology} if topology else endpoint


def _endpoint_to_v1(endpoint: JsonObject) -> JsonObject:
    topology = dict(endpoint.pop("topology", None) or {})
    for label, name in ((HOSTNAME_LABEL, "nodeName"), (ZONE_LABEL, "zone")):
        value = topology.pop(label, None)
        if value is not None:
            endpoint.setdefault(name, value)
    return {**endpoint, "deprecatedTopology": topology} if topology else endpoint
