"""The fixed documents of an API server: errors, versions, discovery."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from tests.support.apiserver.resources import ENDPOINT_SLICE

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
WATCH_LIST_REFUSED = (
    "a watch stream was requested by the client but the required storage feature "
    "RequestWatchProgress is disabled"
)
NOT_SERVED = "the server could not find the requested resource"
CONTINUE_EXPIRED = "the continue token is too old for a consistent list; list anew without it"


class ApiError(Exception):
    """A request the API server refuses.

    Attributes:
        code: the HTTP status.
        message: what the Status object says.
        details: its details field, None to leave it out.
    """

    def __init__(self, code: int, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.details = details

    def body(self) -> bytes:
        """The Status object, without the newline that ends a response body."""
        return status_body(self.code, self.message, self.details)


def status_body(code: int, message: str, details: dict[str, Any] | None = None) -> bytes:
    """A failed Status object."""
    return msgspec.json.encode(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS.get(code, "Unknown"),
            **({} if details is None else {"details": details}),
            "code": code,
        }
    )


def error_line(code: int, message: str) -> bytes:
    """The watch event that ends a stream with an error; the HTTP status was 200."""
    return b'{"type":"ERROR","object":%b}\n' % status_body(code, message)


def version_body(minor: int) -> bytes:
    """The answer to /version, the one document that is indented."""
    fields = {
        "major": "1",
        "minor": str(minor),
        "emulationMajor": "1",
        "emulationMinor": str(minor),
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": str(minor - 1),
        "gitVersion": f"v1.{minor}.0",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.27.3",
        "compiler": "gc",
        "platform": "linux/amd64",
    }
    return msgspec.json.format(msgspec.json.encode(fields), indent=2)


def discovery_group_body(served: Collection[str]) -> bytes:
    """The answer to /apis/discovery.k8s.io: the versions served, newest first."""
    versions = [
        {"groupVersion": ENDPOINT_SLICE.api_version(version), "version": version}
        for version in ENDPOINT_SLICE.versions
        if version in served
    ]
    group = {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": ENDPOINT_SLICE.group,
        "versions": versions,
        "preferredVersion": versions[0],
    }
    return msgspec.json.encode(group) + b"\n"


def discovery_version_body(version: str) -> bytes:
    """The answer to /apis/discovery.k8s.io/v1: its resources."""
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    resource = {
        "name": ENDPOINT_SLICE.plural,
        "singularName": ENDPOINT_SLICE.kind.lower(),
        "namespaced": True,
        "kind": ENDPOINT_SLICE.kind,
        "verbs": verbs,
        "storageVersionHash": "qgS0xkrxYAI=",
    }
    document = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": ENDPOINT_SLICE.api_version(version),
        "resources": [resource],
    }
    return msgspec.json.encode(document) + b"\n"
