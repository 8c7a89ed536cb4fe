"""Planner: the work is that of the change, the plan that of the state."""

from __future__ import annotations

import pytest

from nodeproxy.config.schema import LocalMode
from nodeproxy.model.addresses import Family, format_addr_port, parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import (
    LocalDetector,
    PlanDelta,
    PlanKey,
    Reason,
    ServicePortPlan,
    Treatment,
)
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import (
    ServiceBuilder,
    SliceBuilder,
    endpoints,
    node,
    service,
    service_cidr,
    slice_,
)

V4, V6 = Family.IPV4, Family.IPV6


class Agent:
    """State and planner as the sync loop drives them."""

    def __init__(self, options: PlanOptions | None = None) -> None:
        self.state = ClusterState("n1")
        self.planner = Planner(self.state, options or PlanOptions())

    def take(self, *events: SourceEvent) -> PlanDelta:
        return self.planner.replan(self.state.apply(events))

    def plan(self, name: str, port: str = "", family: Family = V4) -> ServicePortPlan:
        return self.planner.plans[key(name, port, family)]


@pytest.fixture
def agent() -> Agent:
    return Agent()


def key(name: str, port: str = "", family: Family = V4) -> PlanKey:
    return PlanKey(family, ServicePortKey("default", name, port, Protocol.TCP))


def web(name: str = "web", number: int = 10) -> ServiceBuilder:
    return service(name).cluster_ip(f"10.96.0.{number}").port(80)


def pods(*addresses: str, name: str = "web", node: str = "n2") -> SliceBuilder:
    builder = slice_(f"{name}-1", service=name).port(8080)
    for address in addresses:
        builder.endpoint(address, node=node)
    return builder


def pool(plan: ServicePortPlan) -> list[str]:
    return [format_addr_port(target.addr, target.port) for target in plan.selection.cluster]


class TestChanges:
    def test_the_first_replan_covers_all_that_came_before(self, agent: Agent):
        """EP-61: events before the first sync are in the state already."""
        agent.state.apply([web().upserted(), pods("10.0.0.1").upserted()])

        delta = agent.take()

        assert set(delta.puts) == {key("web")}
        assert pool(delta.puts[key("web")]) == ["10.0.0.1:8080"]
        assert set(delta.settings) == {V4, V6}

    def test_nothing_changed_nothing_to_do(self, agent: Agent):
        """SVC-42, EP-5."""
        agent.take(web().upserted(), pods("10.0.0.1").upserted())

        assert agent.take(web().upserted(), pods("10.0.0.1").upserted()).is_empty

    def test_only_the_changed_service_is_put(self, agent: Agent):
        agent.take(web().upserted(), web("shop", 11).upserted(), pods("10.0.0.1").upserted())

        delta = agent.take(pods("10.0.0.1", "10.0.0.2").upserted())

        assert set(delta.puts) == {key("web")}
        assert pool(agent.plan("web")) == ["10.0.0.1:8080", "10.0.0.2:8080"]

    def test_endpoints_may_come_before_their_service(self, agent: Agent):
        """EP-61."""
        before = agent.take(pods("10.0.0.1").upserted())
        after = agent.take(web().upserted())

        assert before.puts == {}
        assert pool(after.puts[key("web")]) == ["10.0.0.1:8080"]

    def test_endpoints_nobody_may_use_change_no_plan(self, agent: Agent):
        """The state changed, what this node does not."""
        agent.take(web().upserted(), pods("10.0.0.1").upserted())

        delta = agent.take(pods("10.0.0.1").not_ready("10.0.0.9").upserted())

        assert delta.is_empty

    def test_a_service_without_endpoints_rejects(self, agent: Agent):
        agent.take(web().upserted())

        assert agent.plan("web").internal_treatment is Treatment.REJECT

    def test_a_deleted_service_is_removed(self, agent: Agent):
        """SVC-44."""
        agent.take(web().upserted(), pods("10.0.0.1").upserted())

        delta = agent.take(web().removed())

        assert (delta.puts, delta.removes) == ({}, {key("web")})
        assert agent.planner.plans == {}

    def test_endpoints_wait_for_the_service_to_come_back(self, agent: Agent):
        agent.take(web().upserted(), pods("10.0.0.1").upserted())
        agent.take(web().removed())

        agent.take(web().upserted())

        assert pool(agent.plan("web")) == ["10.0.0.1:8080"]

    def test_a_renamed_port_is_another_port(self, agent: Agent):
        """SVC-43, TS-209."""
        agent.take(web().upserted())

        delta = agent.take(service("web").cluster_ip("10.96.0.10").port(80, "http").upserted())

        assert set(delta.puts) == {key("web", "http")}
        assert delta.removes == {key("web")}

    def test_a_lost_family_is_removed_alone(self, agent: Agent):
        """SVC-44."""
        agent.take(service("web").cluster_ip("10.96.0.10", "fd00::10").port(80).upserted())

        delta = agent.take(web().upserted())

        assert (delta.puts, delta.removes) == ({}, {key("web", family=V6)})

    def test_families_are_planned_from_their_own_endpoints(self, agent: Agent):
        """DP-80, DP-81."""
        v6 = slice_("web-6", service="web", address_type="IPv6").port(8080).endpoint("fd00:1::1")
        builder = service("web").cluster_ip("10.96.0.10", "fd00::10").port(80)

        agent.take(builder.upserted(), pods("10.0.0.1").upserted(), v6.upserted())

        assert pool(agent.plan("web")) == ["10.0.0.1:8080"]
        assert pool(agent.plan("web", family=V6)) == ["[fd00:1::1]:8080"]

    def test_added_and_removed_in_one_round_is_nothing(self, agent: Agent):
        """SVC-40, TS-309."""
        agent.take()

        delta = agent.take(web().upserted(), web().removed())

        assert delta.is_empty

    def test_there_and_back_again_in_one_round_is_nothing(self, agent: Agent):
        """TS-1408."""
        one = endpoints("web").address("10.0.0.1").port(8080)
        other = endpoints("web").address("10.0.0.2").port(8080)
        agent.take(web().upserted(), one.upserted())

        assert agent.take(other.upserted(), one.upserted()).is_empty

    def test_everything_removed_leaves_nothing_behind(self, agent: Agent):
        """Not even claims: a later Service is first in the queue again."""
        services = [web().external_ip("1.2.3.4"), web("shop", 11).external_ip("1.2.3.4")]
        agent.take(*(builder.upserted() for builder in services), pods("10.0.0.1").upserted())

        agent.take(*(builder.removed() for builder in services), pods().removed())

        assert (agent.planner.plans, agent.planner.conflicts) == ({}, {})
        assert agent.take(web("zoo", 12).external_ip("1.2.3.4").upserted()).conflicts == ()


def reached() -> ServiceBuilder:
    """A Service with every way in."""
    return web().node_port(30080).external_ip("198.51.100.7").load_balancer_ip("1.2.3.4")


class TestWhatChangesAPlan:
    """SVC-42: derived attributes do, and nothing else."""

    @pytest.mark.parametrize(
        "changed",
        [
            pytest.param(reached().affinity(60), id="affinity"),
            pytest.param(reached().source_range("10.0.0.0/8"), id="source ranges"),
            pytest.param(reached().local(), id="external policy"),
            pytest.param(reached().internal_local(), id="internal policy"),
            pytest.param(reached().external_ip("198.51.100.8"), id="external IP"),
            pytest.param(reached().load_balancer_ip("5.6.7.8"), id="load balancer IP"),
            pytest.param(reached().node_port(30081), id="NodePort"),
            pytest.param(reached().cluster_ip("10.96.0.99"), id="ClusterIP"),
            pytest.param(reached().local().health_check(30000), id="health check"),
        ],
    )
    def test_every_attribute_does_and_back_again(self, agent: Agent, changed: ServiceBuilder):
        agent.take(reached().upserted(), pods("10.0.0.1").upserted())
        before = agent.plan("web")

        there = agent.take(changed.upserted())
        back = agent.take(reached().upserted())

        assert (set(there.puts), set(back.puts)) == ({key("web")}, {key("web")})
        assert there.puts[key("web")] != before
        assert back.puts[key("web")] == before

    @pytest.mark.parametrize(
        ("seconds", "other"),
        [
            pytest.param(60, 120, id="another timeout"),
            pytest.param(60, 0, id="switched off"),
            pytest.param(None, 60, id="not the default any more"),
        ],
    )
    def test_affinity_changes_with_its_timeout(self, agent: Agent, seconds: int | None, other: int):
        """SVC-22."""
        agent.take(web().affinity(seconds).upserted())

        delta = agent.take((web().affinity(other) if other else web()).upserted())

        assert delta.puts[key("web")].affinity_seconds == other

    def test_the_default_timeout_may_be_written_or_left_out(self, agent: Agent):
        """SVC-22 [N]: three hours either way, so it is no change."""
        agent.take(web().affinity(10800).upserted())

        assert agent.take(web().affinity().upserted()).is_empty
        assert agent.plan("web").affinity_seconds == 10800

    @pytest.mark.parametrize(
        "turned",
        [
            pytest.param(web().label("service.kubernetes.io/service-proxy-name"), id="other proxy"),
            pytest.param(web().cluster_ip("None"), id="headless"),
            pytest.param(web().type("ExternalName"), id="ExternalName"),
        ],
    )
    def test_a_service_that_is_not_served_any_more_has_no_plan(
        self, agent: Agent, turned: ServiceBuilder
    ):
        """SVC-44, EP-4; served again, its endpoints are still known."""
        agent.take(web().upserted(), pods("10.0.0.1").upserted())

        gone = agent.take(turned.upserted())
        back = agent.take(web().upserted())

        assert (gone.puts, gone.removes) == ({}, {key("web")})
        assert pool(back.puts[key("web")]) == ["10.0.0.1:8080"]


class TestNamedPorts:
    """EP-17, EP-25: slices say which number a port's name means, each for its own endpoints."""

    def test_one_name_may_mean_a_number_for_each_slice(self, agent: Agent):
        old = slice_("web-1", service="web").port(8080, "http").endpoint("10.0.0.1")
        new = slice_("web-2", service="web").port(9090, "http").endpoint("10.0.0.2")
        builder = service("web").cluster_ip("10.96.0.10").port(80, "http")

        agent.take(builder.upserted(), old.upserted(), new.upserted())

        assert pool(agent.plan("web", "http")) == ["10.0.0.1:8080", "10.0.0.2:9090"]

    def test_one_pod_may_answer_on_both_numbers_during_a_rollout(self, agent: Agent):
        """TS-109."""
        old = slice_("web-1", service="web").port(80, "http").endpoint("10.0.0.1")
        new = slice_("web-2", service="web").port(8080, "http").endpoint("10.0.0.1")
        builder = service("web").cluster_ip("10.96.0.10").port(80, "http")

        agent.take(builder.upserted(), old.upserted(), new.upserted())

        assert pool(agent.plan("web", "http")) == ["10.0.0.1:80", "10.0.0.1:8080"]

    def test_a_name_and_its_protocol_belong_together(self, agent: Agent):
        udp = slice_("web-1", service="web").port(8080, "http", "UDP").endpoint("10.0.0.1")
        builder = service("web").cluster_ip("10.96.0.10").port(80, "http")

        agent.take(builder.upserted(), udp.upserted())

        assert pool(agent.plan("web", "http")) == []

    def test_endpoints_mode_has_named_ports_too(self, agent: Agent):
        """EPS-9."""
        builder = service("web").cluster_ip("10.96.0.10").port(80, "http")
        found = endpoints("web").port(8080, "http").address("10.0.0.1")
        found.subset().port(9090, "http").address("10.0.0.2")

        agent.take(builder.upserted(), found.upserted())

        assert pool(agent.plan("web", "http")) == ["10.0.0.1:8080", "10.0.0.2:9090"]


class TestAttributes:
    def test_everything_a_backend_needs_is_carried(self, agent: Agent):
        builder = (
            web()
            .load_balancer_ip("1.2.3.4")
            .source_range("10.0.0.0/8")
            .affinity(60)
            .local()
            .health_check(30000)
        )

        agent.take(builder.upserted(), pods("10.0.0.1", node="n1").upserted())

        plan = agent.plan("web")
        assert [str(frontend) for frontend in plan.frontends] == [
            "10.96.0.10:80/tcp",
            "1.2.3.4:80/tcp",
        ]
        assert (plan.internal_policy, plan.external_policy) == ("Cluster", "Local")
        assert [str(cidr) for cidr in plan.source_ranges] == ["10.0.0.0/8"]
        assert (plan.affinity_seconds, plan.health_check_node_port) == (60, 30000)


class TestWhoMayReachLoadBalancerIps:
    """DP-41, DP-42: a VIP on the node itself is a source too, if the node is an allowed one."""

    @staticmethod
    def ranged(*ranges: str) -> ServiceBuilder:
        return web().load_balancer_ip("1.2.3.4").source_range(*ranges)

    @pytest.mark.parametrize(
        ("address", "range_", "admitted"),
        [
            pytest.param("192.168.0.2", "192.168.0.0/24", True, id="node in a range"),
            pytest.param("192.168.1.2", "192.168.0.0/24", False, id="node in none"),
            pytest.param(None, "127.0.0.0/8", True, id="unknown node is 127.0.0.1"),
            pytest.param(None, "192.168.0.0/24", False, id="unknown node"),
        ],
    )
    def test_vips_are_admitted_with_the_node(
        self, agent: Agent, address: str | None, range_: str, admitted: bool
    ):
        events = [node("n1").internal_ip(address).upserted()] if address else []

        agent.take(self.ranged("203.0.113.0/25", range_).upserted(), *events)

        assert agent.plan("web").admits_vips is admitted

    def test_a_bind_address_is_the_nodes_address(self):
        """NODE-3, NODE-4."""
        agent = Agent(PlanOptions(bind_address=parse_addr("10.9.9.9")))

        agent.take(
            self.ranged("10.9.0.0/16").upserted(), node("n1").internal_ip("1.1.1.1").upserted()
        )

        assert agent.plan("web").admits_vips

    def test_each_family_asks_for_its_own_address(self, agent: Agent):
        builder = self.ranged("::1/128", "192.168.0.0/24").cluster_ip("10.96.0.10", "fd00::10")

        agent.take(builder.upserted(), node("n1").internal_ip("192.168.1.2").upserted())

        assert not agent.plan("web").admits_vips
        assert agent.plan("web", family=V6).admits_vips

    def test_without_ranges_there_is_nothing_to_admit(self, agent: Agent):
        agent.take(web().load_balancer_ip("1.2.3.4").upserted())

        assert not agent.plan("web").admits_vips

    def test_a_new_address_of_the_node_replans_what_has_ranges(self, agent: Agent):
        agent.take(
            self.ranged("192.168.0.0/24").upserted(),
            web("shop", 11).upserted(),
            node("n1").internal_ip("192.168.1.2").upserted(),
        )

        delta = agent.take(node("n1").internal_ip("192.168.0.2").upserted())

        assert set(delta.puts) == {key("web")}
        assert delta.puts[key("web")].admits_vips


class TestHealthCheckCount:
    """EP-33, TS-210, TS-917."""

    @staticmethod
    def checked() -> ServiceBuilder:
        return (
            service("web")
            .cluster_ip("10.96.0.10")
            .port(80, "a")
            .port(443, "b")
            .type("LoadBalancer")
            .local()
            .health_check(30000)
        )

    @staticmethod
    def two_ports() -> SliceBuilder:
        return slice_("web-1", service="web").port(80, "a").port(443, "b")

    def test_an_address_counts_once_over_all_ports(self, agent: Agent):
        builder = self.two_ports().endpoint("10.0.0.1", node="n1").endpoint("10.0.0.2", node="n1")

        agent.take(self.checked().upserted(), builder.upserted())

        assert [agent.plan("web", port).local_ready for port in "ab"] == [2, 2]

    def test_ports_served_by_different_pods_add_up(self, agent: Agent):
        one = slice_("web-1", service="web").port(80, "a").endpoint("10.0.0.1", node="n1")
        other = slice_("web-2", service="web").port(443, "b").endpoint("10.0.0.2", node="n1")

        agent.take(self.checked().upserted(), one.upserted(), other.upserted())

        assert agent.plan("web", "a").local_ready == 2

    def test_only_ready_local_ones_count(self, agent: Agent):
        builder = (
            self.two_ports()
            .endpoint("10.0.0.1", node="n1")
            .endpoint("10.0.0.2", node="n2")
            .not_ready("10.0.0.3", node="n1")
            .terminating("10.0.0.4", node="n1")
            .endpoint("10.0.0.5", node="n1", ready=True, terminating=True)
        )

        agent.take(self.checked().upserted(), builder.upserted())

        assert agent.plan("web", "a").local_ready == 1

    def test_families_count_on_their_own(self, agent: Agent):
        builder = self.checked().cluster_ip("10.96.0.10", "fd00::10")
        v6 = slice_("web-6", service="web", address_type="IPv6").port(80, "a")

        agent.take(builder.upserted(), v6.endpoint("fd00::1", node="n1").upserted())

        assert agent.plan("web", "a").local_ready == 0
        assert agent.plan("web", "a", V6).local_ready == 1

    def test_without_a_health_check_port_nothing_is_counted(self, agent: Agent):
        agent.take(web().upserted(), pods("10.0.0.1", node="n1").upserted())

        assert agent.plan("web").local_ready == 0


class TestOwnNode:
    ZONED = (
        slice_("web-1", service="web")
        .port(8080)
        .endpoint("10.0.0.1", zones=("a",))
        .endpoint("10.0.0.2", zones=("b",))
    )

    def test_a_new_zone_replans_what_has_hints(self, agent: Agent):
        """EP-54."""
        agent.take(web().upserted(), self.ZONED.upserted(), node("n1").zone("a").upserted())
        before = pool(agent.plan("web"))

        delta = agent.take(node("n1").zone("b").upserted())

        assert (before, pool(delta.puts[key("web")])) == (["10.0.0.1:8080"], ["10.0.0.2:8080"])

    @pytest.mark.parametrize("zones", [("", "a"), ("a", ""), ("c", "b"), ("b", "c"), ("a", "b")])
    def test_any_way_between_zones_ends_where_a_fresh_start_does(
        self, agent: Agent, zones: tuple[str, str]
    ):
        """Hints that were of no use in the old zone may be in the new one (EP-52)."""
        fresh = Agent()
        before, after = (node("n1").zone(zone).upserted() for zone in zones)

        agent.take(web().upserted(), self.ZONED.upserted(), before)
        agent.take(after)
        fresh.take(web().upserted(), self.ZONED.upserted(), after)

        assert agent.planner.plans == fresh.planner.plans

    def test_another_label_changes_nothing(self, agent: Agent):
        """EP-54, TS-506."""
        agent.take(web().upserted(), self.ZONED.upserted(), node("n1").zone("a").upserted())

        assert agent.take(node("n1").zone("a").label("rack", "7").upserted()).is_empty

    def test_a_deleted_node_keeps_its_zone(self, agent: Agent):
        """EP-54."""
        agent.take(web().upserted(), self.ZONED.upserted(), node("n1").zone("a").upserted())

        assert agent.take(node("n1").removed()).is_empty

    def test_a_new_address_changes_the_settings_of_its_family(self, agent: Agent):
        """DP-52."""
        agent.take(node("n1").internal_ip("192.168.0.2").internal_ip("fd00::2").upserted())

        delta = agent.take(node("n1").internal_ip("192.168.0.3").internal_ip("fd00::2").upserted())

        assert list(delta.settings) == [V4]
        assert delta.settings[V4].node_ports.primary == (parse_addr("192.168.0.3"),)
        assert agent.planner.settings[V4] == delta.settings[V4]

    def test_new_networks_of_the_node_change_the_settings_at_once(self):
        """DP-31 [N]: followed live, and their absence is told once."""
        agent = Agent(PlanOptions(detect_local_mode=LocalMode.NODE_CIDR))
        without = agent.take(node("n1").upserted())
        again = agent.take(node("n1").internal_ip("192.168.0.2").upserted())

        delta = agent.take(node("n1").internal_ip("192.168.0.2").pod_cidr("10.0.0.0/24").upserted())

        assert [len(d.remarks) for d in (without, again, delta)] == [1, 0, 0]
        assert delta.settings[V4].local_detector == LocalDetector(cidr=parse_cidr("10.0.0.0/24"))

    def test_options_shape_the_settings(self):
        agent = Agent(PlanOptions(masquerade_all=True))

        assert agent.take().settings[V4].masquerade_all


class TestNodePortsEverywhere:
    """DP-52: told when a Service has one in a family of which the node has no address."""

    def test_they_are_told_once_for_a_family(self, agent: Agent):
        agent.take(node("n1").internal_ip("192.168.0.2").upserted(), web().upserted())
        dual = service("web").cluster_ip("10.96.0.10", "fd00::10").port(80).node_port(30080)
        other = service("dns").cluster_ip("fd00::53").port(53).node_port(30053)

        told = [agent.take(b.upserted()).remarks for b in (dual, other)]

        assert [len(remarks) for remarks in told] == [1, 0]
        assert "no IPv6 address of this node is known" in told[0][0]

    def test_they_are_told_again_after_they_were_limited(self, agent: Agent):
        builder = web().node_port(30080)
        agent.take(builder.upserted())
        agent.take(node("n1").internal_ip("192.168.0.2").upserted())
        agent.take(node("n1").upserted())

        delta = agent.take(builder.node_port(30081).upserted())

        assert len(delta.remarks) == 1

    def test_services_without_one_need_no_address(self, agent: Agent):
        assert agent.take(web().upserted()).remarks == ()


class TestExternalIps:
    def test_a_feature_gate_ignores_them(self):
        """SVC-11: no frontend and no claim, so others may have the address."""
        agent = Agent(PlanOptions(allows_external_ips=False))
        shared = web("b", 12).load_balancer_ip("1.2.3.4")

        delta = agent.take(web("a", 11).external_ip("1.2.3.4").upserted(), shared.upserted())

        assert delta.conflicts == ()
        assert [str(f) for f in agent.plan("a").frontends] == ["10.96.0.11:80/tcp"]
        assert "1.2.3.4:80/tcp" in map(str, agent.plan("b").frontends)

    def test_ignored_ones_still_make_a_service_reachable_from_outside(self):
        """SVC-11 [Q]: the raw list decides about the pools (EP-41)."""
        agent = Agent(PlanOptions(allows_external_ips=False))

        agent.take(web().external_ip("1.2.3.4").local().upserted(), pods("10.0.0.1").upserted())

        assert agent.plan("web").selection.local_reason is Reason.NONE_LOCAL


class TestServiceCidrs:
    """DP-11, NFT-29 [N]: what is known of them is in the settings at once."""

    def test_a_new_one_changes_the_settings_of_its_family(self, agent: Agent):
        agent.take(web().upserted())

        delta = agent.take(service_cidr("kubernetes").cidr("10.96.0.0/16").upserted())

        assert (list(delta.settings), delta.puts) == ([V4], {})
        assert [str(c) for c in delta.settings[V4].service_cidrs] == ["10.96.0.0/16"]

    def test_a_deleted_one_does_too(self, agent: Agent):
        builder = service_cidr("kubernetes").cidr("fd00:96::/112")
        agent.take(builder.upserted())

        delta = agent.take(builder.removed())

        assert {f: s.service_cidrs for f, s in delta.settings.items()} == {V6: ()}

    def test_one_that_adds_nothing_new_is_no_change(self, agent: Agent):
        agent.take(service_cidr("kubernetes").cidr("10.96.0.0/16").upserted())

        assert agent.take(service_cidr("twin").cidr("10.96.0.0/16").upserted()).is_empty


class TestConflicts:
    """SVC-60 [N]: the first in key order has a destination that several claim."""

    @staticmethod
    def claiming(name: str, number: int) -> ServiceBuilder:
        return web(name, number).external_ip("1.2.3.4")

    @staticmethod
    def owners(agent: Agent) -> list[str]:
        """Services whose plan has the contested frontend."""
        return [
            plan.key.name
            for plan in agent.planner.plans.values()
            if any(frontend.addr == parse_addr("1.2.3.4") for frontend in plan.frontends)
        ]

    @pytest.mark.parametrize("names", ["abc", "cba", "bca"])
    @pytest.mark.parametrize("batched", [True, False])
    def test_the_order_of_arrival_does_not_matter(self, agent: Agent, names: str, batched: bool):
        events = [self.claiming(name, 10 + ord(name)).upserted() for name in names]

        if batched:
            agent.take(*events)
        else:
            for event in events:
                agent.take(event)

        assert self.owners(agent) == ["a"]

    def test_the_loser_keeps_its_other_frontends(self, agent: Agent):
        agent.take(self.claiming("a", 1).upserted(), self.claiming("b", 2).upserted())

        assert [str(f) for f in agent.plan("b").frontends] == ["10.96.0.2:80/tcp"]

    def test_a_conflict_is_told_once_and_stays_in_the_status(self, agent: Agent):
        told = agent.take(self.claiming("a", 1).upserted(), self.claiming("b", 2).upserted())
        again = agent.take(pods("10.0.0.1", name="b").upserted())

        assert [(c.loser, c.winner.name) for c in told.conflicts] == [(key("b"), "a")]
        assert again.conflicts == ()
        assert agent.planner.conflicts == {key("b"): told.conflicts}

    def test_when_the_winner_goes_the_next_one_has_it(self, agent: Agent):
        agent.take(*(self.claiming(name, 10 + ord(name)).upserted() for name in "abc"))

        delta = agent.take(self.claiming("a", 1).removed())

        assert set(delta.puts) == {key("b")}
        assert self.owners(agent) == ["b"]
        assert [(c.loser, c.winner.name) for c in delta.conflicts] == [(key("c"), "b")]

    def test_when_the_winner_drops_the_claim_the_next_one_has_it(self, agent: Agent):
        agent.take(self.claiming("a", 1).upserted(), self.claiming("b", 2).upserted())

        delta = agent.take(web("a", 1).upserted())

        assert set(delta.puts) == {key("a"), key("b")}
        assert self.owners(agent) == ["b"]
        assert agent.planner.conflicts == {}

    def test_a_newcomer_first_in_order_takes_it_over(self, agent: Agent):
        agent.take(self.claiming("b", 2).upserted())

        delta = agent.take(self.claiming("a", 1).upserted())

        assert set(delta.puts) == {key("a"), key("b")}
        assert self.owners(agent) == ["a"]

    def test_a_loser_that_goes_changes_nothing_for_the_winner(self, agent: Agent):
        agent.take(self.claiming("a", 1).upserted(), self.claiming("b", 2).upserted())

        delta = agent.take(self.claiming("b", 2).removed())

        assert (delta.puts, delta.removes) == ({}, {key("b")})
        assert agent.planner.conflicts == {}

    def test_node_ports_conflict_too(self, agent: Agent):
        delta = agent.take(
            web("a", 1).node_port(30080).upserted(), web("b", 2).node_port(30080).upserted()
        )

        assert [str(c.frontend) for c in delta.conflicts] == ["node:30080/tcp"]

    def test_a_node_port_of_both_families_of_one_service_is_no_conflict(self, agent: Agent):
        builder = service("web").cluster_ip("10.96.0.10", "fd00::10").port(80).node_port(30080)

        assert agent.take(builder.upserted()).conflicts == ()

    def test_a_conflict_within_one_service_is_one_too(self, agent: Agent):
        builder = service("web").cluster_ip("10.96.0.10").port(80, "a").node_port(30080)

        delta = agent.take(builder.port(81, "b").node_port(30080).upserted())

        assert [c.loser for c in delta.conflicts] == [key("web", "b")]
        assert [str(f) for f in agent.plan("web", "b").frontends] == ["10.96.0.10:81/tcp"]
