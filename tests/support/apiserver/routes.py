"""From the path of a request to what it names: a fixed document or a resource."""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from tests.support.apiserver.behaviour import Behaviour
from tests.support.apiserver.faults import Verb
from tests.support.apiserver.http import RecordedRequest
from tests.support.apiserver.resources import (
    ENDPOINT_SLICE,
    RESOURCE_BY_PLURAL,
    SERVICE_CIDR,
    Resource,
)
from tests.support.apiserver.selectors import (
    Selection,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from tests.support.apiserver.statuses import (
    NOT_SERVED,
    ApiError,
    discovery_group_body,
    discovery_version_body,
    version_body,
)

_RESOURCE_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?"
)


class Target(msgspec.Struct, frozen=True):
    """The resource a request is about."""

    resource: Resource
    version: str
    namespace: str
    """Empty means all namespaces."""
    name: str
    """Empty means a list or watch."""


def verb_of(request: RecordedRequest) -> Verb:
    """What a request does, as fault rules distinguish it."""
    if request.is_watch:
        return "watch"
    found = _RESOURCE_PATH.fullmatch(request.path)
    return "list" if found is not None and not found["name"] else "get"


def document_for(path: str, behaviour: Behaviour) -> bytes | None:
    """The version or discovery document at a path; None if there is none."""
    if path == "/version":
        return version_body(behaviour.minor_version)
    served = behaviour.served_discovery
    group = f"/apis/{ENDPOINT_SLICE.group}"
    if path == group and served:
        return discovery_group_body(served)
    version = path.removeprefix(f"{group}/")
    return discovery_version_body(version) if version in served else None


def target_for(path: str, behaviour: Behaviour) -> Target | None:
    """The resource a path names; None if not even its API group is served.

    Raises:
        ApiError: 404, the group is served but not this version or resource.
    """
    found = _RESOURCE_PATH.fullmatch(path)
    if found is None or not _serves_group(found["group"] or "", behaviour):
        return None
    resource = RESOURCE_BY_PLURAL.get((found["group"] or "", found["plural"]))
    if resource is None or found["version"] not in _served_versions(resource, behaviour):
        raise ApiError(404, NOT_SERVED, {})
    return Target(resource, found["version"], found["namespace"] or "", found["name"] or "")


def _serves_group(group: str, behaviour: Behaviour) -> bool:
    if group == ENDPOINT_SLICE.group:
        return bool(behaviour.served_discovery)
    return group in ("", SERVICE_CIDR.group)


def _served_versions(resource: Resource, behaviour: Behaviour) -> Collection[str]:
    if resource is ENDPOINT_SLICE:
        return behaviour.served_discovery
    if resource is SERVICE_CIDR and not behaviour.serves_service_cidrs:
        return ()
    return resource.versions


def selection_of(request: RecordedRequest, target: Target) -> Selection:
    """The namespace and selectors of a list or watch.

    Raises:
        ApiError: 400, a selector is malformed or asks for an unknown field.
    """
    fields = request.query.get("fieldSelector", "")
    try:
        return Selection(
            namespace=target.namespace,
            labels=parse_label_selector(request.query.get("labelSelector", "")),
            fields=parse_field_selector(fields, target.resource.selectable_fields),
        )
    except SelectorError as exc:
        raise ApiError(400, str(exc)) from exc
