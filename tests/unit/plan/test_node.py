"""The own Node in the plan: its addresses, and what its changes change (TS-1200, TS-1311..1313)."""

from __future__ import annotations

import pytest

from nodeproxy.config.schema import LocalMode
from nodeproxy.model.addresses import FAMILIES, Family, format_addr, parse_addr, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.node import NodeInfo
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions, node_address, primary_family, remarks_on
from nodeproxy.plan.types import LocalDetector, PlanDelta
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import node, service

V4, V6 = Family.IPV4, Family.IPV6
NODE_CIDR = PlanOptions(detect_local_mode=LocalMode.NODE_CIDR)


class Agent:
    """State and planner as the sync loop drives them."""

    def __init__(self, options: PlanOptions) -> None:
        self.state = ClusterState("n1")
        self.planner = Planner(self.state, options)

    def take(self, *events: SourceEvent) -> PlanDelta:
        return self.planner.replan(self.state.apply(events))

    def primary(self) -> list[str]:
        """The addresses that `primary` stands for."""
        settings = self.planner.settings.values()
        return [format_addr(addr) for s in settings for addr in s.node_ports.primary]

    def detectors(self) -> list[str]:
        """The networks that tell pods apart."""
        found = (settings.local_detector for settings in self.planner.settings.values())
        return [str(detector.cidr) for detector in found if detector]


@pytest.fixture
def agent() -> Agent:
    return Agent(PlanOptions())


@pytest.mark.parametrize(
    ("bind", "raw", "primary", "ipv4", "ipv6"),
    [
        (None, [], V4, "127.0.0.1", "::1"),
        ("0.0.0.0", [], V4, "127.0.0.1", "::1"),
        ("::", [], V4, "127.0.0.1", "::1"),
        ("10.0.0.1", [], V4, "10.0.0.1", "::1"),
        ("fd00:4321::2", [], V6, "127.0.0.1", "fd00:4321::2"),
        ("::", ["192.168.1.1"], V4, "192.168.1.1", "::1"),
        ("0.0.0.0", ["fd00:1234::1"], V6, "127.0.0.1", "fd00:1234::1"),
        ("0.0.0.0", ["2001:db8::2", "90.90.90.90"], V6, "90.90.90.90", "2001:db8::2"),
        (None, ["2001:db8::2", "90.90.90.90"], V6, "90.90.90.90", "2001:db8::2"),
        ("80.80.80.80", ["2001:db8::2", "90.90.90.90"], V4, "80.80.80.80", "2001:db8::2"),
        ("::1", ["2001:db8::2", "90.90.90.90"], V6, "90.90.90.90", "::1"),
        (None, ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"], V4, "10.0.0.1", "fd00::1"),
    ],
)
def test_addresses_of_the_node_are_its_own_unless_one_is_given(
    bind: str | None, raw: list[str], primary: Family, ipv4: str, ipv6: str
):
    """NODE-2, NODE-3, TS-1311."""
    options = PlanOptions(bind_address=parse_addr(bind) if bind else None)
    own = NodeInfo("n1", addresses=tuple(parse_addr(text) for text in raw))

    found = [format_addr(node_address(options, own, family)) for family in (V4, V6)]

    assert found == [ipv4, ipv6]
    assert primary_family(options, own) is primary


class TestFamilies:
    """NODE-6, NODE-8, TS-1313: told, and nothing ends; the Node may change while we run."""

    V4_NODE = node("n1").internal_ip("192.168.0.2").pod_cidr("10.1.0.0/24", "fd00:1::/64")
    OF_V6 = "IPv6, the primary family of this node; IPv6 pods are not told from others"

    @pytest.mark.parametrize(
        ("addresses", "cidrs", "told"),
        [
            pytest.param(["192.168.0.2"], ["10.0.0.0/8"], "", id="single-stack"),
            pytest.param(["192.168.0.2", "fd00::2"], ["10.0.0.0/8", "fd00::/48"], "", id="dual"),
            pytest.param(["192.168.0.2"], ["fd00::/48", "10.0.0.0/8"], "", id="reversed"),
            pytest.param(["fd00::2"], ["10.0.0.0/8"], OF_V6, id="wrong family"),
            pytest.param(["fd00::2", "192.168.0.2"], ["10.0.0.0/8"], OF_V6, id="not the primary"),
            pytest.param(["fd00::2"], [], "", id="none"),
        ],
    )
    def test_cluster_cidrs_should_have_the_primary_family(
        self, addresses: list[str], cidrs: list[str], told: str
    ):
        options = PlanOptions(cluster_cidrs=tuple(parse_cidr(text) for text in cidrs))
        own = NodeInfo("n1", addresses=tuple(parse_addr(text) for text in addresses))

        remarks = remarks_on(options, own)

        assert len(remarks) == bool(told)
        assert all(remark.startswith(f"--cluster-cidr is not of {told}") for remark in remarks)

    @pytest.mark.parametrize(
        ("addresses", "cidrs", "told"),
        [
            pytest.param(["192.168.0.2"], ["10.0.0.0/8"], "", id="single-stack"),
            pytest.param(["fd00::2"], ["10.0.0.0/8", "fd00::/64"], "", id="dual-stack"),
            pytest.param(["fd00::2"], ["10.0.0.0/8"], OF_V6, id="wrong family"),
        ],
    )
    def test_pod_cidrs_should_have_the_primary_family(
        self, addresses: list[str], cidrs: list[str], told: str
    ):
        own = NodeInfo(
            "n1",
            addresses=tuple(parse_addr(text) for text in addresses),
            pod_cidrs=tuple(parse_cidr(text) for text in cidrs),
        )

        remarks = remarks_on(NODE_CIDR, own)

        assert len(remarks) == bool(told)
        assert all(f"podCIDRs of this node are not of {told}" in remark for remark in remarks)

    def test_primary_family_the_kernel_does_not_have_is_told(self):
        own = NodeInfo("n1", addresses=(parse_addr("fd00::2"),))

        without, with_it = (
            remarks_on(PlanOptions(usable_families=families), own) for families in ((V4,), FAMILIES)
        )

        assert len(without) == 1
        assert "IPv6, which its kernel does not have or has switched off" in without[0]
        assert with_it == ()

    def test_remark_is_told_once_and_again_when_it_is_true_again(self):
        agent = Agent(NODE_CIDR)
        without = node("n1").internal_ip("192.168.0.2")

        told = [
            len(agent.take(event.upserted()).remarks)
            for event in (without, without.zone("a"), self.V4_NODE, without)
        ]

        assert told == [1, 0, 0, 1]


class TestChanges:
    """Where kube-proxy waits, logs or ends, changes apply (NODE-1, NODE-5, TS-1201..1205)."""

    def test_absent_node_leaves_the_addresses_unknown(self, agent: Agent):
        """TS-1201."""
        agent.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())

        assert agent.primary() == []
        assert len(agent.planner.plans) == 1

    def test_absent_pod_networks_are_told_and_hold_up_nothing(self):
        """TS-1201, TS-1203."""
        agent = Agent(NODE_CIDR)

        delta = agent.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())

        assert "has no podCIDRs" in delta.remarks[0]
        assert len(agent.planner.plans) == 1

    def test_address_that_comes_later_is_used(self, agent: Agent):
        """TS-1202."""
        agent.take(node("n1").upserted())

        delta = agent.take(node("n1").internal_ip("192.168.0.2").upserted())

        assert agent.primary() == ["192.168.0.2"]
        assert set(delta.settings) == {V4}

    def test_pod_networks_that_come_with_another_address_are_both_used(self):
        """TS-1203."""
        agent = Agent(NODE_CIDR)
        agent.take(node("n1").internal_ip("192.168.0.2").upserted())

        agent.take(node("n1").internal_ip("192.168.0.3").pod_cidr("10.1.0.0/24").upserted())

        assert agent.primary() == ["192.168.0.3"]
        assert agent.detectors() == ["10.1.0.0/24"]

    def test_pod_networks_of_a_node_without_address_are_used(self):
        """TS-1203."""
        agent = Agent(NODE_CIDR)

        agent.take(node("n1").pod_cidr("10.1.0.0/24", "fd00:1::/64").upserted())

        assert agent.primary() == []
        assert agent.detectors() == ["10.1.0.0/24", "fd00:1::/64"]

    def test_same_addresses_and_networks_change_nothing(self):
        """TS-1204."""
        agent = Agent(NODE_CIDR)
        builder = node("n1").internal_ip("192.168.0.2").pod_cidr("10.1.0.0/24")
        agent.take(builder.upserted())

        delta = agent.take(builder.label("other", "x").upserted())

        assert delta.is_empty

    def test_other_address_moves_the_node_ports(self, agent: Agent):
        """TS-1204."""
        agent.take(node("n1").internal_ip("192.168.0.2").internal_ip("fd00::2").upserted())

        delta = agent.take(node("n1").internal_ip("192.168.0.3").internal_ip("fd00::2").upserted())

        assert agent.primary() == ["192.168.0.3", "fd00::2"]
        assert set(delta.settings) == {V4}

    def test_other_pod_networks_replace_the_detectors(self):
        """TS-1204: kube-proxy ends and is started again."""
        agent = Agent(NODE_CIDR)
        agent.take(node("n1").pod_cidr("10.1.0.0/24").upserted())

        delta = agent.take(node("n1").pod_cidr("10.2.0.0/24").upserted())

        assert delta.settings[V4].local_detector == LocalDetector(cidr=parse_cidr("10.2.0.0/24"))
        assert set(delta.settings) == {V4}

    def test_other_pod_networks_change_nothing_in_other_modes(self):
        """TS-1204."""
        agent = Agent(PlanOptions(cluster_cidrs=(parse_cidr("10.0.0.0/8"),)))
        agent.take(node("n1").pod_cidr("10.1.0.0/24").upserted())

        delta = agent.take(node("n1").pod_cidr("10.2.0.0/24").upserted())

        assert delta.is_empty

    def test_deleted_node_keeps_what_was_known_of_it(self, agent: Agent):
        """TS-1205."""
        builder = node("n1").internal_ip("192.168.0.2")
        agent.take(builder.upserted())

        delta = agent.take(builder.removed())

        assert delta.is_empty
        assert agent.primary() == ["192.168.0.2"]

    def test_other_node_of_the_cluster_changes_nothing(self, agent: Agent):
        agent.take(node("n1").internal_ip("192.168.0.2").upserted())

        delta = agent.take(node("n2").internal_ip("192.168.0.3").upserted())

        assert delta.is_empty
        assert agent.primary() == ["192.168.0.2"]
