"""What a plan says about new connections (DP-2..6; scenarios TS-801..806, TS-851..869)."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Addr, Family, parse_addr, parse_cidr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import (
    Conflict,
    Frontend,
    FrontendKind,
    NodePortAddresses,
    PlanDelta,
    PlanKey,
    PoolKind,
    ServicePortPlan,
    Target,
    Treatment,
    claim_of,
    format_pool,
)
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_, upserted

HERE = "test-node"
FORWARD, REJECT, DROP = Treatment.FORWARD, Treatment.REJECT, Treatment.DROP


def plan_of(builder: ServiceBuilder, endpoints: SliceBuilder | None) -> ServicePortPlan:
    """The plan of a Service with one port."""
    state = ClusterState(HERE)
    planner = Planner(state, PlanOptions())
    planner.replan(state.apply(upserted(builder, *([endpoints] if endpoints else []))))
    (plan,) = planner.plans.values()
    return plan


def balanced() -> ServiceBuilder:
    """ClusterIP 172.30.1.1:80 and VIP 1.2.3.4, as in TS-861."""
    return service("web").cluster_ip("172.30.1.1").port(80).load_balancer_ip("1.2.3.4")


def pods(text: str) -> SliceBuilder:
    """`1L 3L:ST 4:GONE`: last octet of 10.0.1.x, L for local, and the state, ready by default."""
    builder = slice_("web-1", service="web").port(80)
    for word in text.split():
        where, _, state = word.partition(":")
        address, node = f"10.0.1.{where.rstrip('L')}", HERE if where.endswith("L") else "other"
        if state:
            builder.terminating(address, node=node, serving=state == "ST")
        else:
            builder.endpoint(address, node=node)
    return builder


def outcome(plan: ServicePortPlan, treatment: Treatment, kind: PoolKind) -> str:
    """The last octets that answer, or what happens instead."""
    if treatment is not FORWARD:
        return treatment.name
    return " ".join(str(target.addr[-1]) for target in plan.pool(kind))


def inside(plan: ServicePortPlan) -> str:
    return outcome(plan, plan.internal_treatment, plan.internal_pool)


def outside(plan: ServicePortPlan) -> str:
    kind = PoolKind.LOCAL if plan.external_policy == "Local" else PoolKind.CLUSTER
    return outcome(plan, plan.external_treatment, kind)


@pytest.mark.parametrize(
    ("builder", "endpoints", "expected"),
    [
        pytest.param(balanced().type("ClusterIP"), "1L 2 3", "1 2 3", id="TS-851"),
        pytest.param(balanced().internal_local(), "1L 2 3", "1", id="TS-852"),
        pytest.param(balanced().internal_local(), "1L 2L 3", "1 2", id="TS-853"),
        pytest.param(balanced().internal_local(), "1 2 3", "DROP", id="TS-854"),
        pytest.param(balanced(), "", "REJECT", id="TS-855 Cluster"),
        pytest.param(balanced().internal_local(), "", "REJECT", id="TS-855 Local"),
        pytest.param(balanced().internal_local(), "1:GONE", "REJECT", id="nothing usable"),
    ],
)
def test_internal_policy(builder: ServiceBuilder, endpoints: str, expected: str):
    """DP-2."""
    assert inside(plan_of(builder, pods(endpoints))) == expected


@pytest.mark.parametrize(
    ("external", "endpoints", "from_pod", "from_outside"),
    [
        pytest.param("Local", "1L 2L 3L:ST 4L:GONE 5", "1 2 5", "1 2", id="TS-861"),
        pytest.param("Local", "2L:ST 3L:ST 4L:GONE 5", "5", "2 3", id="TS-862"),
        pytest.param("Local", "5:ST", "5", "DROP", id="TS-863"),
        pytest.param("Local", "4L:GONE 5:GONE", "REJECT", "REJECT", id="TS-864"),
        pytest.param("Cluster", "1L 2L 3:ST 4L:GONE 5", "1 2 5", "1 2 5", id="TS-865"),
        pytest.param("Cluster", "2L:ST 3L:ST 4L:GONE 5:ST", "2 3 5", "2 3 5", id="TS-866"),
        pytest.param("Cluster", "5:ST", "5", "5", id="TS-867"),
        pytest.param("Cluster", "4L:GONE 5:GONE", "REJECT", "REJECT", id="TS-868"),
        pytest.param("Cluster", "", "REJECT", "REJECT", id="TS-869 Cluster"),
        pytest.param("Local", "", "REJECT", "REJECT", id="TS-869 Local"),
    ],
)
def test_external_policy_and_terminating_endpoints(
    external: str, endpoints: str, from_pod: str, from_outside: str
):
    """DP-2..6: the external policy does not touch the ClusterIP."""
    builder = balanced().health_check(30000)

    plan = plan_of(builder.spec(external_traffic_policy=external), pods(endpoints))

    assert (inside(plan), outside(plan)) == (from_pod, from_outside)


@pytest.mark.parametrize(("external", "from_outside"), [("Local", "2"), ("Cluster", "1 2")])
def test_one_remote_and_one_local_endpoint(external: str, from_outside: str):
    """TS-841..847."""
    builder = balanced().health_check(30000)

    plan = plan_of(builder.spec(external_traffic_policy=external), pods("1 2L"))

    assert (inside(plan), outside(plan)) == ("1 2", from_outside)


def test_a_service_without_endpoints_rejects_everywhere():
    """TS-801..806."""
    plan = plan_of(balanced(), None)

    assert (plan.internal_treatment, plan.external_treatment) == (REJECT, REJECT)


def test_the_internal_policy_does_not_touch_the_outside():
    """DP-6: iTP Local with remote endpoints drops on the ClusterIP only."""
    plan = plan_of(balanced().internal_local(), pods("1 2"))

    assert (plan.internal_treatment, plan.external_treatment) == (DROP, FORWARD)


def test_frontends_read_as_destinations():
    v4 = Frontend(FrontendKind.CLUSTER_IP, parse_addr("10.96.0.1"), Protocol.UDP, 53)
    v6 = Frontend(FrontendKind.EXTERNAL_IP, parse_addr("fd00::1"), Protocol.TCP, 80)
    node = Frontend(FrontendKind.NODE_PORT, Addr(b""), Protocol.SCTP, 30080)

    assert [str(f) for f in (v4, v6, node)] == [
        "10.96.0.1:53/udp",
        "[fd00::1]:80/tcp",
        "node:30080/sctp",
    ]


def test_different_kinds_of_one_destination_claim_the_same():
    """SVC-60."""
    addr = parse_addr("1.2.3.4")

    claims = {claim_of(Frontend(kind, addr, Protocol.TCP, 80)) for kind in FrontendKind}

    assert len(claims) == 1


def test_pools_read_as_a_list():
    targets = (Target(parse_addr("10.0.0.1"), 80), Target(parse_addr("fd00::1"), 81))

    assert format_pool(targets) == "10.0.0.1:80, [fd00::1]:81"


def test_no_addresses_and_no_networks_mean_every_address():
    """DP-50."""
    assert NodePortAddresses().match_all
    assert not NodePortAddresses(cidrs=(parse_cidr("10.0.0.0/8"),)).match_all
    assert not NodePortAddresses(primary=(parse_addr("10.0.0.1"),)).match_all


def test_a_conflict_says_what_to_do():
    loser = ServicePortKey("shop", "web", "http", Protocol.TCP)
    winner = ServicePortKey("default", "web", "", Protocol.TCP)
    frontend = Frontend(FrontendKind.NODE_PORT, Addr(b""), Protocol.TCP, 30080)

    text = str(Conflict(frontend, PlanKey(Family.IPV4, loser), winner))

    assert text == (
        "Service shop/web:http (TCP, IPv4): node:30080/tcp belongs to Service default/web "
        "already; not programmed for this one. Change the address or port of one of them"
    )


def test_a_delta_is_empty_only_if_there_is_nothing_to_do():
    key = PlanKey(Family.IPV4, ServicePortKey("default", "web", "", Protocol.TCP))

    assert PlanDelta(puts={}, removes=set(), settings={}).is_empty
    assert not PlanDelta(puts={}, removes={key}, settings={}).is_empty
