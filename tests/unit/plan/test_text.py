"""The plan as text: canonical, and readable without the source at hand."""

from __future__ import annotations

from nodeproxy.model.addresses import Family
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.text import (
    HINT_SENTENCES,
    REASON_SENTENCES,
    describe_frontend,
    format_plan,
    format_service_port,
)
from nodeproxy.plan.types import HintReason, PlanKey, Reason
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import ServiceBuilder, SliceBuilder, node, service, slice_


def planned(*builders: ServiceBuilder | SliceBuilder, zone: str = "") -> Planner:
    state = ClusterState("n1")
    planner = Planner(state, PlanOptions())
    events = [builder.upserted() for builder in builders]
    planner.replan(state.apply([*events, node("n1").zone(zone).upserted()]))
    return planner


def text(*builders: ServiceBuilder | SliceBuilder, zone: str = "") -> str:
    return format_plan(planned(*builders, zone=zone).plans)


def web() -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10").port(80, "http")


def pods() -> SliceBuilder:
    return slice_("web-1", service="web").port(8080, "http")


def test_a_service_port_with_everything():
    builder = (
        web()
        .node_port(30080)
        .load_balancer_ip("1.2.3.4")
        .source_range("10.0.0.0/8", "172.16.0.0/12")
        .affinity(60)
        .local()
        .health_check(30000)
    )
    endpoints = pods().endpoint("10.0.0.2", node="n2").endpoint("10.0.0.10", node="n1")

    assert text(builder, endpoints) == (
        "default/web:http TCP IPv4\n"
        "  ClusterIP 10.96.0.10:80/tcp: forward to cluster\n"
        "  LoadBalancerIP 1.2.3.4:80/tcp: forward to local; from pods and this node to cluster\n"
        "  NodePort node:30080/tcp: forward to local; from pods and this node to cluster\n"
        "  policies: internal Cluster, external Local\n"
        "  affinity: 60 s\n"
        "  source ranges: 10.0.0.0/8, 172.16.0.0/12\n"
        "  health check: port 30000, 1 ready here\n"
        "  cluster: ready\n"
        "    10.0.0.2:8080\n"
        "    10.0.0.10:8080 local\n"
        "  local: ready\n"
        "    10.0.0.10:8080\n"
    )


def test_ranges_that_hold_the_node_admit_the_load_balancer_ips_themselves():
    """DP-41; the node's address is unknown, which means 127.0.0.1."""
    builder = web().load_balancer_ip("1.2.3.4").source_range("127.0.0.0/8")

    assert "source ranges: 127.0.0.0/8; and each load balancer IP from itself\n" in text(builder)


def test_a_service_port_with_nothing():
    assert text(web().node_port(30080)) == (
        "default/web:http TCP IPv4\n"
        "  ClusterIP 10.96.0.10:80/tcp: reject\n"
        "  NodePort node:30080/tcp: reject\n"
        "  policies: internal Cluster, external Cluster\n"
        "  cluster: no-endpoints\n"
    )


def test_policy_local_without_local_endpoints():
    builder = web().node_port(30080).local().internal_local()

    assert text(builder, pods().terminating("10.0.0.2", node="n2")) == (
        "default/web:http TCP IPv4\n"
        "  ClusterIP 10.96.0.10:80/tcp: drop\n"
        "  NodePort node:30080/tcp: drop; from pods and this node to cluster\n"
        "  policies: internal Local, external Local\n"
        "  cluster: serving-terminating\n"
        "    10.0.0.2:8080\n"
        "  local: none-local\n"
    )


def test_hints_that_apply_are_named():
    endpoints = pods().endpoint("10.0.0.1", zones=("a",)).endpoint("10.0.0.2", zones=("b",))

    assert "  cluster: ready, PreferSameZone\n    10.0.0.1:8080\n" in text(
        web(), endpoints, zone="a"
    )


def test_hints_that_do_not_apply_are_explained():
    endpoints = pods().endpoint("10.0.0.1", zones=("a",)).endpoint("10.0.0.2")

    assert "  cluster: ready, hints: some-endpoints-without-hint\n" in text(web(), endpoints)


def test_blocks_are_sorted_and_the_order_of_events_leaves_no_trace():
    """Design invariant 5."""
    dual = service("a").cluster_ip("10.96.0.1", "fd00::1").port(53, "dns", "UDP").port(53, "dns")
    builders = (web(), dual, pods().endpoint("10.0.0.1"))

    forth, back = text(*builders), text(*reversed(builders))

    assert forth == back
    assert [line for line in forth.splitlines() if line and line[0] != " "] == [
        "default/a:dns TCP IPv4",
        "default/a:dns TCP IPv6",
        "default/a:dns UDP IPv4",
        "default/a:dns UDP IPv6",
        "default/web:http TCP IPv4",
    ]


def test_no_plans_no_text():
    assert format_plan({}) == ""


def test_one_service_port_reads_as_its_block_in_the_plan():
    planner = planned(web())
    key = PlanKey(Family.IPV4, ServicePortKey("default", "web", "http", Protocol.TCP))

    assert format_service_port(planner.plans[key]) == format_plan(planner.plans)


def test_a_frontend_alone_can_be_described():
    (plan,) = planned(web(), pods().endpoint("10.0.0.1")).plans.values()

    assert describe_frontend(plan, plan.frontends[0]) == "forward to cluster"


def test_every_reason_has_a_sentence():
    assert set(REASON_SENTENCES) == set(Reason)
    assert set(HINT_SENTENCES) == set(HintReason)
