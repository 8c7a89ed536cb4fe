"""Options that change while the agent runs: the plan is what it would have been from the start."""

from __future__ import annotations

import pytest

from nodeproxy.config.schema import LocalMode
from nodeproxy.model.addresses import parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import node, service, slice_, upserted

EVENTS = [
    node("n1").internal_ip("192.168.0.2").upserted(),
    *upserted(
        service("web").cluster_ip("10.96.0.10").port(80).external_ip("198.51.100.7"),
        # Claims the same external address, and comes later in key order.
        service("zoo").cluster_ip("10.96.0.11").port(80).external_ip("198.51.100.7"),
        service("open").cluster_ip("10.96.0.12").port(81).type("NodePort").node_port(30081),
        service("lb")
        .cluster_ip("10.96.0.13")
        .port(82)
        .type("LoadBalancer")
        .load_balancer_ip("1.2.3.4")
        .source_range("172.16.0.0/12"),
        slice_("web-1", service="web").port(8080).endpoint("10.0.0.1"),
    ),
]
BEFORE = PlanOptions()
AFTER = {
    "cluster CIDR": PlanOptions(cluster_cidrs=(parse_cidr("10.244.0.0/16"),)),
    "masquerade all": PlanOptions(masquerade_all=True),
    "masquerade bit": PlanOptions(masquerade_mark=1 << 3),
    "NodePort addresses": PlanOptions(node_port_addresses=(parse_cidr("192.168.0.0/24"),)),
    "detect local": PlanOptions(
        detect_local_mode=LocalMode.BRIDGE_INTERFACE, bridge_interface="cbr0"
    ),
    "external IPs": PlanOptions(allows_external_ips=False),
    "bind address": PlanOptions(bind_address=parse_addr("172.16.0.9")),
}


class Agent:
    """State and planner as the sync loop drives them."""

    def __init__(self, options: PlanOptions) -> None:
        self.state = ClusterState("n1")
        self.planner = Planner(self.state, options)
        self.take(*EVENTS)

    def take(self, *events: SourceEvent) -> PlanDelta:
        return self.planner.replan(self.state.apply(events))


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER.keys())
def test_new_options_give_the_plan_of_an_agent_that_started_with_them(after: PlanOptions):
    agent, fresh = Agent(BEFORE), Agent(after)

    agent.planner.set_options(after)
    agent.take()

    assert agent.planner.plans == fresh.planner.plans
    assert agent.planner.settings == fresh.planner.settings
    assert agent.planner.conflicts == fresh.planner.conflicts


@pytest.mark.parametrize("between", AFTER.values(), ids=AFTER.keys())
def test_options_that_come_back_leave_no_trace(between: PlanOptions):
    agent, fresh = Agent(BEFORE), Agent(BEFORE)
    agent.planner.set_options(between)
    agent.take()

    agent.planner.set_options(BEFORE)
    agent.take(service("web").removed())
    fresh.take(service("web").removed())

    assert agent.planner.plans == fresh.planner.plans
    assert agent.planner.settings == fresh.planner.settings
    assert agent.planner.conflicts == fresh.planner.conflicts


def test_equal_options_change_nothing():
    agent = Agent(BEFORE)

    agent.planner.set_options(PlanOptions())
    delta = agent.take()

    assert delta.is_empty


def test_only_what_is_different_is_told():
    agent = Agent(BEFORE)

    agent.planner.set_options(AFTER["external IPs"])
    delta = agent.take()

    assert {key.port.name for key in delta.puts} == {"web"}
    assert not delta.settings
