"""What holds for every selection, whatever the endpoints, policies and hints."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.addresses import Addr, Family, parse_addr
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.services import ServicePort, TrafficPolicy
from nodeproxy.plan.selection import select, uses_cluster_pool, uses_local_pool
from nodeproxy.plan.types import HintReason, Reason, Selection, Target, Topology

NODE, ZONE = "n1", "a"
POLICIES = st.sampled_from(TrafficPolicy)
HINTS = st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True).map(tuple)


@st.composite
def endpoint_lists(draw: st.DrawFn) -> tuple[Endpoint, ...]:
    """In canonical order, each once."""
    octets = sorted(draw(st.sets(st.integers(1, 20), max_size=8)))
    return tuple(
        Endpoint(
            addr=Addr(bytes([10, 0, 0, octet])),
            port=80,
            ready=draw(st.booleans()),
            serving=draw(st.booleans()),
            terminating=draw(st.booleans()),
            is_local=draw(st.booleans()),
            zone_hints=draw(HINTS),
            node_hints=draw(st.sampled_from([(), (NODE,), ("n2",), (NODE, "n2")])),
        )
        for octet in octets
    )


@st.composite
def service_ports(draw: st.DrawFn) -> ServicePort:
    return ServicePort(
        key=ServicePortKey("default", "web", "", Protocol.TCP),
        family=Family.IPV4,
        cluster_ip=parse_addr("10.96.0.1"),
        port=80,
        node_port=draw(st.sampled_from([0, 30080])),
        internal_policy=draw(POLICIES),
        external_policy=draw(POLICIES),
    )


def targets(endpoints: list[Endpoint]) -> list[Target]:
    return [Target(endpoint.addr, endpoint.port) for endpoint in endpoints]


def usable(endpoints: tuple[Endpoint, ...]) -> list[Endpoint]:
    return [e for e in endpoints if e.ready or (e.serving and e.terminating)]


def choose(endpoints: tuple[Endpoint, ...], port: ServicePort, zone: str = ZONE) -> Selection:
    return select(endpoints, port, NODE, zone)


@given(endpoint_lists(), service_ports(), st.sampled_from(["", ZONE, "z"]))
def test_pools_hold_usable_endpoints_in_canonical_order(
    endpoints: tuple[Endpoint, ...], port: ServicePort, zone: str
):
    """EP-47."""
    selection = choose(endpoints, port, zone)

    allowed = set(targets(usable(endpoints)))
    for pool in (selection.cluster, selection.local, selection.local_reachable):
        assert set(pool) <= allowed
        assert list(pool) == sorted(set(pool))


@given(endpoint_lists(), service_ports())
def test_the_local_pool_is_local_and_hints_do_not_matter_to_it(
    endpoints: tuple[Endpoint, ...], port: ServicePort
):
    """EP-45."""
    selection = choose(endpoints, port)

    local = [e for e in endpoints if e.is_local]
    ready = [e for e in local if e.ready]
    expected = ready or [e for e in local if e.serving and e.terminating]
    assert list(selection.local) == (targets(expected) if uses_local_pool(port) else [])


@given(endpoint_lists(), service_ports())
def test_reachable_local_ones_are_the_local_part_of_both_pools(
    endpoints: tuple[Endpoint, ...], port: ServicePort
):
    """EP-49, DP-23."""
    selection = choose(endpoints, port)

    here = set(targets([e for e in endpoints if e.is_local]))
    assert set(selection.local_reachable) == here & {*selection.cluster, *selection.local}


@given(endpoint_lists(), service_ports())
def test_something_is_usable_or_the_answer_is_reject(
    endpoints: tuple[Endpoint, ...], port: ServicePort
):
    """EP-48; a cluster pool in use is empty only if nothing is usable anywhere (EP-44)."""
    selection = choose(endpoints, port)

    assert selection.has_any is bool(usable(endpoints))
    if uses_cluster_pool(port):
        assert bool(selection.cluster) is selection.has_any


@given(endpoint_lists(), service_ports())
def test_ready_endpoints_are_never_mixed_with_others(
    endpoints: tuple[Endpoint, ...], port: ServicePort
):
    """EP-44, EP-46."""
    selection = choose(endpoints, port)

    ready = set(targets([e for e in endpoints if e.ready]))
    for pool in (selection.cluster, selection.local):
        assert set(pool) <= ready or not set(pool) & ready


@given(endpoint_lists(), service_ports())
def test_hints_narrow_only_if_every_ready_endpoint_has_one(
    endpoints: tuple[Endpoint, ...], port: ServicePort
):
    """EP-50, EP-52."""
    selection = choose(endpoints, port)

    ready = [e for e in endpoints if e.ready]
    match selection.topology:
        case Topology.SAME_NODE:
            assert all(e.node_hints for e in ready)
            expected = targets([e for e in ready if NODE in e.node_hints])
            assert list(selection.cluster) == expected
        case Topology.SAME_ZONE:
            assert all(e.zone_hints for e in ready)
            expected = targets([e for e in ready if ZONE in e.zone_hints])
            assert list(selection.cluster) == expected
        case Topology.ANY:
            assert len(selection.cluster) in (0, len(ready) or len(usable(endpoints)))
    assert (selection.topology is Topology.ANY) is (selection.hint_reason is not HintReason.APPLIED)


@given(endpoint_lists(), service_ports())
def test_reasons_fit_the_pools(endpoints: tuple[Endpoint, ...], port: ServicePort):
    selection = choose(endpoints, port)

    serving = (Reason.READY, Reason.TERMINATING)
    assert bool(selection.cluster) is (selection.cluster_reason in serving)
    assert bool(selection.local) is (selection.local_reason in serving)
    assert (selection.cluster_reason is Reason.NOT_USED) is not uses_cluster_pool(port)
    assert (selection.local_reason is Reason.NOT_USED) is not uses_local_pool(port)
