"""What the log says when endpoints come from another kind of objects."""

from __future__ import annotations

from nodeproxy.agent.differences import MAX_LINES, differences
from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import (
    EndpointsBuilder,
    SliceBuilder,
    endpoints,
    node,
    service,
    slice_,
    upserted,
)

WEB = service("web").cluster_ip("10.96.0.10").port(80)


def pods() -> SliceBuilder:
    return slice_("web-1", service="web").port(8080)


def listed() -> EndpointsBuilder:
    return endpoints("web").subset().port(8080)


def told(before: list[SourceEvent], after: list[SourceEvent]) -> list[str]:
    """The lines for a switch from EndpointSlices to Endpoints."""
    state = ClusterState("n1")
    planner = Planner(state, PlanOptions())
    planner.replan(state.apply([EndpointsChosen(Kind.ENDPOINT_SLICE), *before]))
    plans = dict(planner.plans)
    delta = planner.replan(state.apply([*after, EndpointsChosen(Kind.ENDPOINTS)]))
    return differences(plans, delta, Kind.ENDPOINTS)


def test_equal_endpoints_are_no_difference():
    lines = told(upserted(WEB, pods().endpoint("10.0.0.1")), upserted(listed().address("10.0.0.1")))

    assert lines == [
        "other endpoints than before: 0 of 1 Services; Endpoints tell nothing of topology hints "
        "and of endpoints that serve while they terminate, and hold 1000 addresses of a Service "
        "at most"
    ]


def test_a_service_with_others_is_named_with_both_sides():
    lines = told(
        upserted(WEB, pods().endpoint("10.0.0.1").endpoint("10.0.0.2")),
        upserted(listed().address("10.0.0.2").address("10.0.0.3")),
    )

    assert lines[0] == (
        "Service default/web: port/TCP IPv4 gains 10.0.0.3:8080, loses 10.0.0.1:8080"
    )
    assert lines[1].startswith("other endpoints than before: 1 of 1 Services")


def test_hints_that_are_lost_are_named():
    hinted = pods().endpoint("10.0.0.1", zones=("a",)).endpoint("10.0.0.2", zones=("b",))
    lines = told(
        [*upserted(WEB, hinted), node("n1").zone("a").upserted()],
        upserted(listed().address("10.0.0.1").address("10.0.0.2")),
    )

    assert lines[0] == (
        "Service default/web: port/TCP IPv4 gains 10.0.0.2:8080 "
        "(topology hints do not count any more)"
    )


def test_terminating_endpoints_that_are_lost_are_named():
    lines = told(upserted(WEB, pods().terminating("10.0.0.1")), upserted(listed()))

    assert lines[0] == (
        "Service default/web: port/TCP IPv4 loses 10.0.0.1:8080 "
        "(terminating endpoints are not known any more)"
    )


def test_addresses_beyond_the_limit_of_endpoints_are_named():
    many, few = pods(), listed()
    for number in range(1001):
        address = f"10.1.{number // 250}.{number % 250}"
        many = many.endpoint(address)
        few = few.address(address) if number < 1000 else few

    lines = told(upserted(WEB, many), upserted(few))

    assert lines[0] == (
        "Service default/web: port/TCP IPv4 loses 10.1.4.0:8080 (more than 1000 addresses)"
    )


def test_long_lists_of_endpoints_and_services_are_cut():
    before: list[SourceEvent] = []
    for number in range(MAX_LINES + 5):
        name = f"web-{number}"
        slices = slice_(f"{name}-1", service=name).port(8080)
        for pod in range(8):
            slices = slices.endpoint(f"10.0.{number}.{pod}")
        before += upserted(service(name).cluster_ip(f"10.96.0.{number}").port(80), slices)

    lines = told(before, [])

    assert len(lines) == MAX_LINES + 1
    assert lines[0].endswith("10.0.0.4:8080 and 3 more")
    assert "25 of 25 Services, of which 5 are not listed" in lines[-1]


def test_who_is_refused_instead_of_dropped_is_named():
    web = service("web").cluster_ip("10.96.0.10").port(80).internal_local()
    lines = told(upserted(web, pods().endpoint("10.0.0.1", node="n2")), [])

    assert lines[0] == "Service default/web: port/TCP IPv4 is refused"
