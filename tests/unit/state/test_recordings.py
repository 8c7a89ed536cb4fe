"""Objects as a real control plane wrote them: nothing wrong, nothing lost."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.events import KIND_BY_TYPE, SourceEvent, Upserted
from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Node, Service
from nodeproxy.state.cluster import ClusterState

RECORDINGS = Path(__file__).parents[2] / "recordings"


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


def recorded(name: str, type_: type[ApiObject]) -> list[SourceEvent]:
    """The objects of a recorded list: request, head and body are separated by empty lines."""
    content = (RECORDINGS / name).read_bytes().replace(b"\r\n", b"\n")
    body = content.split(b"\n\n", 2)[2]
    objects = [
        msgspec.json.decode(item, type=type_)
        for item in msgspec.json.decode(body, type=_List).items
    ]
    return [
        Upserted(KIND_BY_TYPE[type_], o.metadata.namespace or "", o.metadata.name or "", o)
        for o in objects
    ]


def served(state: ClusterState) -> dict[str, set[tuple[Addr, int]]]:
    """Ready endpoints of every service port that has any."""
    found = {
        f"{port.key}/{port.family}": {
            (endpoint.addr, endpoint.port)
            for endpoint in state.endpoints(port.family, port.key)
            if endpoint.ready
        }
        for ports in state.services.values()
        for port in ports
    }
    return {name: endpoints for name, endpoints in found.items() if endpoints}


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("list-services.http", Service),
        ("list-services-all.http", Service),
        ("list-endpointslices.http", EndpointSlice),
        ("list-endpointslices-big.http", EndpointSlice),
        ("list-endpoints.http", Endpoints),
        ("get-node.http", Node),
    ],
)
def test_nothing_is_wrong_with_them(name: str, type_: type[ApiObject]):
    events = recorded(name, type_)

    changes = ClusterState("node-1").apply(events)

    assert events
    assert changes.problems == ()


def test_a_truncated_endpoints_object_says_so_and_serves_the_rest():
    """EPS-13, TS-1409."""
    state = ClusterState("node-1")

    changes = state.apply(recorded("list-endpoints-big.http", Endpoints))

    assert [problem.field for problem in changes.problems] == ["metadata.annotations"]


def test_slices_and_endpoints_tell_the_same_of_the_first_family():
    """TS-1411: Endpoints know only the primary family of a Service, and only what is ready."""
    by_slices, by_endpoints = ClusterState("node-1"), ClusterState("node-1")
    services = recorded("list-services.http", Service)

    by_slices.apply([*services, *recorded("list-endpointslices.http", EndpointSlice)])
    by_endpoints.apply([*services, *recorded("list-endpoints.http", Endpoints)])

    from_endpoints = served(by_endpoints)
    from_slices = {k: v for k, v in served(by_slices).items() if k in from_endpoints}
    assert from_slices == from_endpoints
    assert len(from_endpoints) > 3


def test_every_kind_of_service_without_filter_gives_only_those_that_are_served():
    """SVC-1, SVC-2: headless, ExternalName and another proxy's are left out."""
    state = ClusterState("node-1")

    state.apply(recorded("list-services-all.http", Service))

    names = {key.name for key in state.services}
    assert "elsewhere" not in names
    assert {port.family for ports in state.services.values() for port in ports} == {
        Family.IPV4,
        Family.IPV6,
    }
