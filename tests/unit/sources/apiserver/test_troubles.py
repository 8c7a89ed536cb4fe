from __future__ import annotations

import logging

import pytest

from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.failures import (
    ApiError,
    ApiRefused,
    ApiUnreachable,
    CredentialsError,
)
from nodeproxy.sources.apiserver.resources import endpoint_slices, node, services
from nodeproxy.sources.apiserver.troubles import Troubles, explain

OUTAGE = ApiUnreachable("https://api:6443", "connection refused")
BUSY = ApiRefused("list services", 503, "starting")
FORBIDDEN = ApiRefused("list services", 403, 'User "x" cannot list resource "services"')


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


def begin(troubles: Troubles, kind: Kind, error: ApiError, now: float = 0.0) -> None:
    troubles.begin(kind, error, str(error), now)


def test_an_outage_of_all_kinds_is_one_line_and_its_end_another(caplog: pytest.LogCaptureFixture):
    troubles = Troubles()

    for kind in (Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE):
        begin(troubles, kind, OUTAGE, 10.0)
    for kind in (Kind.NODE, Kind.SERVICE, Kind.ENDPOINT_SLICE):
        troubles.end(kind, 14.0)

    assert caplog.messages == [
        "API server https://api:6443: connection refused; retrying, what is known stays in force",
        "API server answers again seconds=4.0",
    ]


def test_a_trouble_that_goes_on_is_not_repeated(caplog: pytest.LogCaptureFixture):
    troubles = Troubles()

    for now in range(5):
        begin(troubles, Kind.SERVICE, OUTAGE, float(now))

    assert len(caplog.messages) == 1


def test_an_outage_that_varies_is_one_outage(caplog: pytest.LogCaptureFixture):
    troubles = Troubles()

    for now in range(6):
        begin(troubles, Kind.SERVICE, BUSY if now % 2 else OUTAGE, float(now))

    assert len(caplog.messages) == 1


def test_an_outage_that_turns_into_a_refusal_is_told_and_not_called_over(
    caplog: pytest.LogCaptureFixture,
):
    troubles = Troubles()

    begin(troubles, Kind.SERVICE, OUTAGE)
    begin(troubles, Kind.SERVICE, FORBIDDEN)

    assert [message.partition(":")[0] for message in caplog.messages] == [
        "API server https",
        "list services",
    ]


def test_trouble_of_one_kind_names_it_when_it_is_over(caplog: pytest.LogCaptureFixture):
    troubles = Troubles()
    begin(troubles, Kind.SERVICE, FORBIDDEN, 1.0)

    troubles.end(Kind.SERVICE, 3.0)

    assert caplog.messages[-1] == "API server answers again kind=Service seconds=2.0"


def test_credentials_that_fail_for_all_kinds_are_one_trouble(caplog: pytest.LogCaptureFixture):
    troubles = Troubles()
    error = CredentialsError("kubeconfig x", "exec: process returned 1", "see the plugin")

    for kind in (Kind.SERVICE, Kind.NODE):
        begin(troubles, kind, error)

    assert len(caplog.messages) == 1


def test_an_end_without_a_beginning_is_not_told(caplog: pytest.LogCaptureFixture):
    Troubles().end(Kind.SERVICE, 1.0)

    assert caplog.messages == []


def test_a_missing_permission_is_named_with_the_role_that_grants_it():
    text = explain(ApiRefused("list x", 403, "forbidden"), endpoint_slices("v1"))

    assert "Grant this identity list and watch on endpointslices.discovery.k8s.io" in text
    assert "system:node-proxier" in text


def test_a_node_that_may_not_be_read_says_what_is_lost():
    text = explain(ApiRefused("list nodes", 403, "forbidden"), node("n1"))

    assert "Topology hints and the addresses of the Node are not used" in text


def test_an_identity_that_is_not_accepted_says_what_to_renew():
    text = explain(ApiRefused("list services", 401, "Unauthorized"), services())

    assert "renew it in the kubeconfig" in text
