"""Family settings from options and the own Node (TS-1001..1011, DP-20, DP-30..33, DP-50..54)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from nodeproxy.config.gates import ALLOW_SERVICE_EXTERNAL_IPS, FeatureGates
from nodeproxy.config.schema import Config, LocalMode
from nodeproxy.model.addresses import Addr, Cidr, Family, format_addr, parse_addr, parse_cidr
from nodeproxy.model.node import NodeInfo
from nodeproxy.plan.settings import (
    PlanOptions,
    family_settings,
    plan_options_from,
    remarks_on,
    unlimited_node_ports,
)
from nodeproxy.plan.types import NodePortAddresses

V4, V6 = Family.IPV4, Family.IPV6


def cidrs(*texts: str) -> tuple[Cidr, ...]:
    return tuple(parse_cidr(text) for text in texts)


def node(*addresses: str) -> NodeInfo:
    return NodeInfo("n1", addresses=tuple(parse_addr(text) for text in addresses))


def node_ports(options: PlanOptions, own: NodeInfo | None, family: Family) -> NodePortAddresses:
    return family_settings(options, own)[family].node_ports


def described(addresses: NodePortAddresses) -> str:
    """`all`, or the networks and addresses in words."""
    parts = [str(cidr) for cidr in addresses.cidrs] + [format_addr(a) for a in addresses.primary]
    return "all" if addresses.match_all else " ".join(parts)


class TestNodePortNetworks:
    @pytest.mark.parametrize(
        ("texts", "v4", "v6"),
        [
            pytest.param(["10.20.30.0/24"], "10.20.30.0/24", "all", id="TS-1001"),
            pytest.param(["0.0.0.0/0"], "all", "all", id="TS-1002"),
            pytest.param(
                ["2001:db8::/64", "::1/128"], "all", "2001:db8::/64 ::1/128", id="TS-1003"
            ),
            pytest.param(["::/0"], "all", "all", id="TS-1004"),
            pytest.param(["127.0.0.1/32"], "127.0.0.1/32", "all", id="TS-1005"),
            pytest.param(["127.0.0.0/8"], "127.0.0.0/8", "all", id="TS-1006"),
            pytest.param(
                ["10.20.30.0/24", "100.200.201.0/24"],
                "10.20.30.0/24 100.200.201.0/24",
                "all",
                id="TS-1007",
            ),
            pytest.param([], "all", "all", id="TS-1008"),
            pytest.param(["1.2.3.0/24", "0.0.0.0/0"], "all", "all", id="TS-1009"),
            pytest.param(
                ["0.0.0.0/0", "1.2.3.0/24", "2001:db8::1/128"],
                "all",
                "2001:db8::1/128",
                id="TS-1010",
            ),
            pytest.param(
                ["::/0", "1.2.3.0/24", "2001:db8::1/128"], "1.2.3.0/24", "all", id="TS-1011"
            ),
        ],
    )
    def test_each_family_has_its_own_or_all(self, texts: list[str], v4: str, v6: str):
        """DP-50, DP-51."""
        options = PlanOptions(node_port_addresses=cidrs(*texts))

        found = {f: described(node_ports(options, node("10.0.0.1"), f)) for f in (V4, V6)}

        assert found == {V4: v4, V6: v6}


class TestPrimaryAddress:
    @pytest.mark.parametrize(
        ("addresses", "v4", "v6"),
        [
            pytest.param(["192.168.0.2", "fd00::2"], "192.168.0.2", "fd00::2", id="dual"),
            pytest.param(["192.168.0.2", "192.168.0.3"], "192.168.0.2", "all", id="first"),
            pytest.param(["fd00::2"], "all", "fd00::2", id="single v6"),
            pytest.param([], "all", "all", id="no address"),
            pytest.param(["127.0.0.1", "::1"], "all", "all", id="loopback"),
        ],
    )
    def test_it_is_the_first_of_the_family(self, addresses: list[str], v4: str, v6: str):
        """DP-52, DP-53, NODE-2."""
        found = {f: described(node_ports(PlanOptions(), node(*addresses), f)) for f in (V4, V6)}

        assert found == {V4: v4, V6: v6}

    def test_an_unknown_node_has_none(self):
        """DP-52."""
        assert node_ports(PlanOptions(), None, V4).match_all

    def test_a_specific_bind_address_takes_the_place_of_its_family(self):
        """NODE-3."""
        options = PlanOptions(bind_address=parse_addr("192.168.9.9"))
        own = node("192.168.0.2", "fd00::2")

        assert described(node_ports(options, own, V4)) == "192.168.9.9"
        assert described(node_ports(options, own, V6)) == "fd00::2"

    @pytest.mark.parametrize("text", ["0.0.0.0", "::"])
    def test_an_unspecified_bind_address_changes_nothing(self, text: str):
        """NODE-3."""
        options = PlanOptions(bind_address=parse_addr(text))

        assert described(node_ports(options, node("192.168.0.2"), V4)) == "192.168.0.2"

    def test_a_loopback_bind_address_is_never_primary(self):
        """DP-52."""
        options = PlanOptions(bind_address=parse_addr("127.0.0.1"))

        assert node_ports(options, node("192.168.0.2"), V4).match_all


def detectors(options: PlanOptions, own: NodeInfo | None = None) -> list[str]:
    """How pods are told apart in IPv4 and in IPv6."""
    found = (family_settings(options, own)[f].local_detector for f in (V4, V6))
    return [
        "" if d is None else str(d.cidr or d.interface or f"{d.interface_prefix}*") for d in found
    ]


class TestUnlimitedNodePorts:
    """DP-52: `primary` of a family without address is every address, which is worth telling."""

    @pytest.mark.parametrize(
        ("options", "families"),
        [
            pytest.param(PlanOptions(), [V6], id="IPv4 node"),
            pytest.param(PlanOptions(bind_address=parse_addr("fd00::2")), [], id="bound to IPv6"),
            pytest.param(
                PlanOptions(node_port_addresses=cidrs("10.0.0.0/8")), [], id="networks named"
            ),
            pytest.param(PlanOptions(node_port_addresses=()), [], id="all asked for"),
        ],
    )
    def test_the_families_without_address_are_told(
        self, options: PlanOptions, families: list[Family]
    ):
        settings = family_settings(options, node("192.168.0.2"))

        assert [f for f in (V4, V6) if unlimited_node_ports(options, settings[f])] == families


class TestLocalDetectionModes:
    """DP-30..33, TS-1308."""

    @pytest.mark.parametrize(
        ("texts", "expected"),
        [
            pytest.param(["10.0.0.0/14"], ["10.0.0.0/14", ""], id="IPv4"),
            pytest.param(["2002:0:0:1234::/64"], ["", "2002:0:0:1234::/64"], id="IPv6"),
            pytest.param(
                ["10.0.0.0/14", "2002:0:0:1234::/64"],
                ["10.0.0.0/14", "2002:0:0:1234::/64"],
                id="dual stack",
            ),
            pytest.param(
                ["2002:0:0:1234::/64", "10.0.0.0/14"],
                ["10.0.0.0/14", "2002:0:0:1234::/64"],
                id="dual stack reversed",
            ),
            pytest.param(["10.0.0.0/14", "10.4.0.0/14"], ["10.0.0.0/14", ""], id="first counts"),
            pytest.param([], ["", ""], id="none"),
        ],
    )
    @pytest.mark.parametrize("mode", [LocalMode.CLUSTER_CIDR, LocalMode.NODE_CIDR])
    def test_networks_count_in_their_family(
        self, mode: LocalMode, texts: list[str], expected: list[str]
    ):
        options = PlanOptions(detect_local_mode=mode)
        own = NodeInfo("n1")
        if mode is LocalMode.CLUSTER_CIDR:
            options = replace(options, cluster_cidrs=cidrs(*texts))
        else:
            own = replace(own, pod_cidrs=cidrs(*texts))

        assert detectors(options, own) == expected

    def test_the_nodes_networks_say_nothing_in_mode_cluster_cidr(self):
        own = NodeInfo("n1", pod_cidrs=cidrs("10.0.0.0/24"))

        assert detectors(PlanOptions(), own) == ["", ""]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (
                PlanOptions(detect_local_mode=LocalMode.BRIDGE_INTERFACE, bridge_interface="cbr0"),
                "cbr0",
            ),
            (
                PlanOptions(
                    detect_local_mode=LocalMode.INTERFACE_NAME_PREFIX, interface_name_prefix="cali"
                ),
                "cali*",
            ),
        ],
    )
    def test_interfaces_count_in_both_families(self, options: PlanOptions, expected: str):
        assert detectors(options) == [expected, expected]

    def test_an_unknown_node_has_no_networks(self):
        assert detectors(PlanOptions(detect_local_mode=LocalMode.NODE_CIDR)) == ["", ""]


class TestRemarks:
    NODE_MODE = PlanOptions(detect_local_mode=LocalMode.NODE_CIDR)

    @pytest.mark.parametrize("own", [None, NodeInfo("n1")])
    def test_a_node_without_networks_is_told_where_they_count(self, own: NodeInfo | None):
        """DP-31."""
        (remark,) = remarks_on(self.NODE_MODE, own)

        assert "has no podCIDRs, which --detect-local-mode=NodeCIDR needs" in remark

    def test_networks_of_one_family_are_enough(self):
        own = NodeInfo("n1", pod_cidrs=cidrs("10.0.0.0/24"))

        assert remarks_on(self.NODE_MODE, own) == ()

    def test_other_modes_need_no_networks_of_the_node(self):
        assert remarks_on(PlanOptions(), NodeInfo("n1")) == ()


@pytest.mark.parametrize(
    ("texts", "v4", "v6"),
    [
        pytest.param(
            ["172.30.0.0/16", "fd00:10:96::/112"], ["172.30.0.0/16"], ["fd00:10:96::/112"], id="two"
        ),
        pytest.param(
            ["172.50.0.0/16", "fd00:10:97::/112", "172.30.0.0/16", "fd00:10:96::/112"],
            ["172.50.0.0/16", "172.30.0.0/16"],
            ["fd00:10:97::/112", "fd00:10:96::/112"],
            id="four mixed",
        ),
        pytest.param([], [], [], id="none"),
    ],
)
def test_each_family_keeps_its_service_cidrs_in_order(
    texts: list[str], v4: list[str], v6: list[str]
):
    """TS-507."""
    settings = family_settings(PlanOptions(), None, cidrs(*texts))

    assert [str(cidr) for cidr in settings[V4].service_cidrs] == v4
    assert [str(cidr) for cidr in settings[V6].service_cidrs] == v6


def test_masquerading_is_the_same_for_both_families():
    """DP-20."""
    options = PlanOptions(masquerade_all=True, masquerade_mark=0x10)

    settings = family_settings(options, None)

    assert [(s.masquerade_all, s.masquerade_mark) for s in settings.values()] == [(True, 0x10)] * 2


def test_options_come_from_the_configuration():
    config = Config(
        node_name="n1",
        cluster_cidrs=cidrs("10.0.0.0/8"),
        node_port_addresses=cidrs("192.168.0.0/16"),
        bind_address=Addr(b"\x01\x02\x03\x04"),
        masquerade_all=True,
        masquerade_bit=5,
        detect_local_mode=LocalMode.BRIDGE_INTERFACE,
        pod_bridge_interface="cbr0",
        pod_interface_name_prefix="cali",
    )

    assert plan_options_from(config) == PlanOptions(
        cluster_cidrs=cidrs("10.0.0.0/8"),
        node_port_addresses=cidrs("192.168.0.0/16"),
        bind_address=Addr(b"\x01\x02\x03\x04"),
        masquerade_all=True,
        masquerade_mark=0x20,
        detect_local_mode=LocalMode.BRIDGE_INTERFACE,
        bridge_interface="cbr0",
        interface_name_prefix="cali",
    )


def test_external_ips_are_ignored_by_a_feature_gate():
    """SVC-11."""
    gates = FeatureGates({ALLOW_SERVICE_EXTERNAL_IPS: False})

    assert not plan_options_from(Config(node_name="n1", feature_gates=gates)).allows_external_ips
    assert plan_options_from(Config(node_name="n1")).allows_external_ips


@pytest.mark.parametrize("bit", [0, 14, 31])
def test_any_bit_of_the_mark_may_ask_for_masquerading(bit: int):
    """TS-1354."""
    options = plan_options_from(Config(node_name="n1", masquerade_bit=bit))

    assert [s.masquerade_mark for s in family_settings(options, None).values()] == [1 << bit] * 2


def test_the_usual_mark_is_bit_fourteen():
    """Spec 30 section 1."""
    assert plan_options_from(Config(node_name="n1")).masquerade_mark == 0x4000
