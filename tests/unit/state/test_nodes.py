"""The own Node: zone, addresses, pod networks, whether it is going away."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.wire import Node, NodeSpec
from nodeproxy.state.nodes import DELETION_TAINT, node_from
from tests.support.builders import NodeBuilder, node


def test_internal_addresses_come_before_external_ones():
    """NODE-2."""
    builder = node("n1").external_ip("1.2.3.4").internal_ip("10.0.0.1").internal_ip("fd00::1")

    info, problems = node_from(builder.build())

    assert [format_addr(addr) for addr in info.addresses] == ["10.0.0.1", "fd00::1", "1.2.3.4"]
    assert problems == ()


def test_the_first_address_of_a_family_stands_for_it():
    """NODE-2."""
    builder = node("n1").internal_ip("10.0.0.1").internal_ip("10.0.0.2").external_ip("fd00::9")

    info, _ = node_from(builder.build())

    assert format_addr(info.address_of(Family.IPV4) or info.addresses[1]) == "10.0.0.1"
    assert format_addr(info.address_of(Family.IPV6) or info.addresses[1]) == "fd00::9"


def test_a_node_without_address_of_a_family_has_none():
    info, _ = node_from(node("n1").internal_ip("10.0.0.1").build())

    assert info.address_of(Family.IPV6) is None


def test_an_address_that_is_none_is_reported():
    info, (problem,) = node_from(node("n1").internal_ip("nowhere").internal_ip("10.0.0.1").build())

    assert [format_addr(addr) for addr in info.addresses] == ["10.0.0.1"]
    assert str(problem) == (
        'Node n1: status.addresses[0].address: "nowhere" is not an IP address; address ignored'
    )


@pytest.mark.parametrize(
    ("builder", "zone"),
    [(node("n1").zone("a"), "a"), (node("n1").zone(""), ""), (node("n1"), "")],
)
def test_the_zone_is_a_label(builder: NodeBuilder, zone: str):
    """EP-52."""
    assert node_from(builder.build())[0].zone == zone


def test_pod_networks_keep_their_order():
    info, _ = node_from(node("n1").pod_cidr("10.1.0.0/24", "fd00:1::/64").build())

    assert [str(cidr) for cidr in info.pod_cidrs] == ["10.1.0.0/24", "fd00:1::/64"]


def test_old_nodes_have_one_pod_network():
    info, _ = node_from(Node(spec=NodeSpec(pod_cidr="10.1.0.0/24")))

    assert [str(cidr) for cidr in info.pod_cidrs] == ["10.1.0.0/24"]


def test_a_pod_network_that_is_none_is_reported():
    info, (problem,) = node_from(node("n1").pod_cidr("10.1.0.0").build())

    assert info.pod_cidrs == ()
    assert problem.field == "spec.podCIDRs[0]"


@pytest.mark.parametrize(
    ("builder", "expected"),
    [
        (node("n1"), False),
        (node("n1").taint("node.kubernetes.io/unreachable"), False),
        (node("n1").taint(DELETION_TAINT), True),
        (node("n1").deleted_at("2026-11-23T23:21:07Z"), True),
    ],
)
def test_a_node_going_away_is_known(builder: NodeBuilder, expected: bool):
    """HZ-6, TS-1107."""
    assert node_from(builder.build())[0].is_being_deleted is expected
