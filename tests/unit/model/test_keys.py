"""Names of Services and their ports, as they appear in messages."""

from __future__ import annotations

import pytest

from nodeproxy.model.events import KIND_BY_TYPE, Kind
from nodeproxy.model.keys import PROTOCOLS_BY_NAME, Protocol, ServiceKey, ServicePortKey
from nodeproxy.model.problems import Problem


@pytest.mark.parametrize(("port", "text"), [("http", "shop/web:http"), ("", "shop/web")])
def test_a_service_port_is_written_as_the_spec_has_it(port: str, text: str):
    """Spec 10 section 1: the protocol is part of the key, not of the text."""
    key = ServicePortKey("shop", "web", port, Protocol.UDP)

    assert str(key) == text
    assert key.service == ServiceKey("shop", "web")
    assert str(key.service) == "shop/web"


def test_protocols_have_their_number_on_the_wire():
    assert {name: int(protocol) for name, protocol in PROTOCOLS_BY_NAME.items()} == {
        "TCP": 6,
        "UDP": 17,
        "SCTP": 132,
    }


def test_every_kind_has_a_type():
    assert set(KIND_BY_TYPE.values()) == set(Kind)


@pytest.mark.parametrize(
    ("field", "text"),
    [("spec", "Service a/b: spec: wrong"), ("", "Service a/b: wrong")],
)
def test_a_problem_says_where(field: str, text: str):
    assert str(Problem("Service a/b", field, "wrong")) == text
