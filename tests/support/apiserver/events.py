"""Events that clients post: checked as an API server checks them, and kept for the test to read.

Nobody lists or watches them here, so they are no resource of the store.
"""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from tests.support.apiserver.encoding import JsonObject
from tests.support.apiserver.http import RecordedRequest
from tests.support.apiserver.statuses import ApiError

_PATH = re.compile(r"/apis/events\.k8s\.io/v1/namespaces/([^/]+)/events(?:/([^/]+))?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LIMITS = {"reportingController": 128, "reportingInstance": 128, "action": 128, "reason": 128}
_NOTE_BYTES = 1024


class EventBook:
    """The Events of a server, in the order in which they were created."""

    def __init__(self) -> None:
        self._events: dict[tuple[str, str], JsonObject] = {}

    @property
    def events(self) -> list[JsonObject]:
        """All of them as they are now."""
        return list(self._events.values())

    def forget(self) -> None:
        """Let all of them expire."""
        self._events.clear()

    def answer(self, request: RecordedRequest) -> tuple[int, bytes] | None:
        """Status and body; None if the request is not about Events.

        Raises:
            ApiError: the Event is refused.
        """
        found = _PATH.fullmatch(request.path)
        if found is None:
            return None
        namespace, name = found.groups()
        sent: JsonObject = msgspec.json.decode(request.body) if request.body else {}
        if request.method == "POST" and name is None:
            return 201, msgspec.json.encode(self._create(namespace, sent))
        if request.method == "PATCH" and name is not None:
            _require_merge_patch(request)
            return 200, msgspec.json.encode(self._patch((namespace, name), sent))
        raise ApiError(405, "the server does not allow this method on the requested resource")

    def _create(self, namespace: str, event: JsonObject) -> JsonObject:
        _check(event, namespace)
        name = event["metadata"]["name"]
        if (namespace, name) in self._events:
            raise ApiError(409, f'events.events.k8s.io "{name}" already exists')
        self._events[namespace, name] = event
        return event

    def _patch(self, key: tuple[str, str], patch: JsonObject) -> JsonObject:
        before = self._events.get(key)
        if before is None:
            raise ApiError(404, f'events.events.k8s.io "{key[1]}" not found')
        if patch.keys() - {"series"}:
            raise _invalid(key[1], "only series may change")
        after = {**before, **patch}
        _check(after, key[0])
        self._events[key] = after
        return after


def _require_merge_patch(request: RecordedRequest) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type != "application/merge-patch+json":
        raise ApiError(415, f"the body of the request was in an unknown format: {content_type}")


def _check(event: JsonObject, namespace: str) -> None:
    name = event["metadata"].get("name", "")
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise _invalid(name, "metadata.name: a lowercase RFC 1123 subdomain")
    if event["metadata"].get("namespace") != namespace:
        raise ApiError(400, "the namespace of the object does not match that of the request")
    allowed = {event["regarding"].get("namespace") or "default"}
    if namespace not in allowed:
        raise _invalid(name, "regarding.namespace: does not match event.namespace")
    for field, limit in _LIMITS.items():
        if not 0 < len(event.get(field, "")) <= limit:
            raise _invalid(name, f"{field}: required, at most {limit} characters")
    if len(event.get("note", "").encode()) > _NOTE_BYTES:
        raise _invalid(name, f"note: at most {_NOTE_BYTES} bytes")
    if event.get("type") not in ("Normal", "Warning"):
        raise _invalid(name, "type: Normal or Warning")
    _check_time(name, "eventTime", event.get("eventTime"))
    if series := event.get("series"):
        _check_time(name, "series.lastObservedTime", series.get("lastObservedTime"))
        if series.get("count", 0) < 2:
            raise _invalid(name, "series.count: at least 2")


def _check_time(name: str, field: str, text: str | None) -> None:
    try:
        datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError as exc:
        raise _invalid(name, f"{field}: {exc}") from exc


def _invalid(name: str, what: str) -> ApiError:
    return ApiError(422, f'Event.events.k8s.io "{name}" is invalid: {what}')
