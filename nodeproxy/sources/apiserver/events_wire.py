"""Events as the API server takes them: events.k8s.io/v1, in JSON; pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec

from nodeproxy.model.reports import NodeEvent, Report, ServiceEvent
from nodeproxy.sources.apiserver.client import Change
from nodeproxy.sources.apiserver.events_outbox import Letter

CONTROLLER = "nodeproxy"
"""Who reports (docs/decisions/0013-events-say-nodeproxy.md)."""

_NOTE_BYTES = 1024
_INSTANCE_CHARACTERS = 128
_NAME_CHARACTERS = 200  # of 253; the rest tells the Events of one object apart
_NAMESPACE_OF_NODES = "default"
"""Where Events about objects without a namespace are; API servers insist on it."""


def namespace_of(report: Report) -> str:
    """The namespace the Event belongs to."""
    return report.service.namespace if isinstance(report, ServiceEvent) else _NAMESPACE_OF_NODES


def path_of(letter: Letter, node_name: str) -> str:
    """Where to send a letter: the collection for a new Event, the Event itself for an update."""
    collection = f"/apis/events.k8s.io/v1/namespaces/{namespace_of(letter.report)}/events"
    return f"{collection}/{event_name(letter, node_name)}" if letter.is_update else collection


def event_name(letter: Letter, node_name: str) -> str:
    """The Event's name, `web.5f3a...`, which begins with what it is about."""
    report = letter.report
    about = report.service.name if isinstance(report, ServiceEvent) else node_name
    return f"{about[:_NAME_CHARACTERS].rstrip('.-')}.{letter.name}"


def change_of(letter: Letter, node_name: str, uid: str = "") -> Change:
    """What to send.

    Args:
        letter: the Event and how often it was reported.
        node_name: of the own node.
        uid: of the Service it is about, so that `kubectl describe` finds it; may be unknown.
    """
    if letter.is_update:
        body = msgspec.json.encode({"series": _series(letter)})
        return Change("PATCH", body, "application/merge-patch+json")
    report = letter.report
    event: dict[str, Any] = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": event_name(letter, node_name),
            "namespace": namespace_of(report),
        },
        "eventTime": micro_time(letter.first_at),
        "reportingController": CONTROLLER,
        "reportingInstance": node_name[:_INSTANCE_CHARACTERS],
        "action": report.action,
        "reason": report.reason,
        "regarding": _regarding(report, node_name, uid),
        "note": cut(report.note),
        "type": "Warning" if report.is_warning else "Normal",
    }
    if letter.count > 1:
        event["series"] = _series(letter)
    return Change("POST", msgspec.json.encode(event))


def micro_time(at: datetime) -> str:
    """`2026-11-24T04:06:49.123456Z`, a MicroTime of the API."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def cut(note: str) -> str:
    """The note in 1024 bytes of UTF-8, which is what API servers take."""
    if len(note.encode()) <= _NOTE_BYTES:
        return note
    return note.encode()[: _NOTE_BYTES - 3].decode(errors="ignore") + "..."


def _series(letter: Letter) -> dict[str, Any]:
    return {"count": letter.count, "lastObservedTime": micro_time(letter.last_at)}


def _regarding(report: Report, node_name: str, uid: str) -> dict[str, str]:
    match report:
        case NodeEvent():
            # Components of a node know its name only, and kubectl looks for it as the uid.
            return {"kind": "Node", "name": node_name, "uid": node_name}
        case ServiceEvent():
            about = {"apiVersion": "v1", "kind": "Service", **report.service._asdict()}
            return {**about, "uid": uid} if uid else about
        case _:
            assert_never(report)
