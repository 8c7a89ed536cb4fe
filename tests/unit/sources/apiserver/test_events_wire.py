"""Events as JSON: what API servers insist on, and what kubectl looks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.model.reports import (
    NodeEvent,
    Report,
    health_server_failed,
    in_conflict,
    metrics_server_failed,
    quarantined,
    rules_repaired,
    service_health_server_failed,
    source_switched,
    starting,
)
from nodeproxy.sources.apiserver.events_outbox import Letter
from nodeproxy.sources.apiserver.events_wire import change_of, cut, path_of
from tests.support.apiserver.events import EventBook
from tests.support.apiserver.http import RecordedRequest

NODE = "lab-node"
AT = datetime(2026, 11, 24, 12, 0, 0, 42, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 12, 5, tzinfo=UTC)
WEB = ServiceKey("shop", "web")

REPORTS: tuple[Report, ...] = (
    starting(),
    health_server_failed("0.0.0.0:10256: Address already in use"),
    metrics_server_failed("127.0.0.1:10249: Address already in use"),
    service_health_server_failed(NODE, WEB, 30999, "Address already in use"),
    quarantined(NODE, ServicePortKey("shop", "web", "", Protocol.TCP), "Invalid argument"),
    in_conflict(WEB, "10.96.0.1:80 belongs to Service shop/api"),
    rules_repaired("table deleted by nft (pid 17)"),
    source_switched("EndpointSlice", "Endpoints"),
)


def letter(report: Report, count: int = 1, *, is_update: bool = False) -> Letter:
    return Letter(report, "5f3a", count, AT, LATER, is_update)


def body(letter: Letter, uid: str = "") -> dict[str, Any]:
    return msgspec.json.decode(change_of(letter, NODE, uid).body, type=dict[str, Any])


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.reason)
def test_api_servers_take_every_report_and_its_repeats(report: Report):
    book = EventBook()
    answers = []

    for sent in (letter(report), letter(report, 3, is_update=True)):
        change = change_of(sent, NODE)
        headers = {"content-type": change.content_type}
        path = path_of(sent, NODE)
        answers.append(book.answer(RecordedRequest(change.method, path, {}, headers, change.body)))

    assert [answer and answer[0] for answer in answers] == [201, 200]
    assert [event["series"]["count"] for event in book.events] == [3]


def test_event_about_the_node_names_it_as_kubectl_looks_for_it():
    """Spec 60 section 9; `kubectl describe node` takes the name for the uid."""
    event = body(letter(starting()))

    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "lab-node.5f3a", "namespace": "default"},
        "eventTime": "2026-11-24T12:00:00.000042Z",
        "reportingController": "nodeproxy",
        "reportingInstance": "lab-node",
        "action": "StartKubeProxy",
        "reason": "Starting",
        "regarding": {"kind": "Node", "name": "lab-node", "uid": "lab-node"},
        "note": "",
        "type": "Normal",
    }


def test_event_about_a_service_is_in_its_namespace():
    """HZ-22."""
    report = service_health_server_failed(NODE, WEB, 30999, "Address already in use")

    event = body(letter(report), uid="00000017")

    assert path_of(letter(report), NODE) == "/apis/events.k8s.io/v1/namespaces/shop/events"
    assert event["metadata"] == {"name": "web.5f3a", "namespace": "shop"}
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "namespace": "shop",
        "name": "web",
        "uid": "00000017",
    }
    assert (event["type"], event["reason"]) == ("Warning", "FailedToStartServiceHealthcheck")
    assert event["note"] == (
        'node lab-node failed to start healthcheck "shop/web" on port 30999: Address already in use'
    )


def test_event_reported_more_than_once_before_it_was_posted_is_a_series():
    event = body(letter(starting(), count=2))

    assert event["series"] == {"count": 2, "lastObservedTime": "2026-11-24T12:05:00.000000Z"}


def test_update_changes_the_series_only():
    update = letter(starting(), 7, is_update=True)

    change = change_of(update, NODE)

    assert path_of(update, NODE).endswith("/namespaces/default/events/lab-node.5f3a")
    assert change.method == "PATCH"
    assert body(update).keys() == {"series"}


def test_long_names_are_cut_to_what_an_event_may_be_called():
    change = change_of(letter(starting()), f"{'n' * 199}.{'x' * 53}")

    event = msgspec.json.decode(change.body, type=dict[str, Any])
    assert event["metadata"]["name"] == f"{'n' * 199}.5f3a"
    assert len(event["reportingInstance"]) == 128


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 700, "x" * 1025, "xx" + "€" * 341])
def test_long_notes_are_cut_to_1024_bytes(text: str):
    kept = cut(text)

    assert 1024 - 5 <= len(kept.encode()) <= 1024
    assert kept.endswith("...")
    assert text.startswith(kept[:-3])


def test_notes_that_fit_stay_whole():
    text = "x" * 1021 + "€"

    assert cut(text) == text


def test_equal_reports_are_one_event():
    one = NodeEvent("Reason", "Action", "note")
    other = NodeEvent("Reason", "Action", "note")

    assert len({one, other}) == 1
