from __future__ import annotations

import pytest

from nodeproxy.config.doubts import doubts_about, notes_on
from nodeproxy.config.schema import Config, LocalMode
from nodeproxy.model.addresses import Cidr, parse_cidr


def config(*node_port_cidrs: str, cluster_cidr: str = "10.244.0.0/16") -> Config:
    cidrs = tuple(parse_cidr(text) for text in node_port_cidrs) or None
    cluster_cidrs: tuple[Cidr, ...] = (parse_cidr(cluster_cidr),) if cluster_cidr else ()
    return Config(node_name="n", node_port_addresses=cidrs, cluster_cidrs=cluster_cidrs)


def test_the_usual_settings_raise_no_doubt():
    assert (doubts_about(config()), notes_on(config())) == ([], [])


def test_networks_of_one_family_leave_the_other_open():
    """DP-51, TS-1312."""
    (doubt,) = doubts_about(config("2001:db8::/64"))

    assert doubt.startswith("--nodeport-addresses: no network of IPv4, so every IPv4 address")


def test_networks_of_both_families_raise_no_doubt():
    assert doubts_about(config("192.168.0.0/16", "2001:db8::/64")) == []


@pytest.mark.parametrize("cidr", ["127.0.0.1/32", "127.0.0.0/8", "127.0.2.0/28"])
def test_loopback_addresses_accept_no_node_ports(cidr: str):
    """DP-54, TS-1005, TS-1006: nothing else is left of such a network."""
    doubts = doubts_about(config(cidr, "10.0.0.0/8", "2001:db8::/64"))

    assert doubts == [
        f"--nodeport-addresses: {cidr} holds loopback addresses only, which accept no NodePorts "
        "in nftables mode"
    ]


@pytest.mark.parametrize("cidr", ["64.0.0.0/2", "128.0.2.0/28", "0.0.0.0/0"])
def test_a_network_with_more_than_loopback_raises_no_doubt(cidr: str):
    assert doubts_about(config(cidr, "::/0")) == []


def test_a_missing_cluster_cidr_is_told_with_its_consequence():
    """DP-30."""
    (note,) = notes_on(config(cluster_cidr=""))

    assert note.startswith("--cluster-cidr: not set, so pods cannot be told from others")


def test_masquerading_everything_needs_no_cluster_cidr():
    settings = Config(node_name="n", masquerade_all=True)

    assert notes_on(settings) == []


def test_another_mode_needs_no_cluster_cidr():
    settings = Config(node_name="n", detect_local_mode=LocalMode.NODE_CIDR)

    assert (doubts_about(settings), notes_on(settings)) == ([], [])


def test_a_cluster_cidr_for_nothing_is_only_noted():
    """Clusters set it for other components too."""
    settings = Config(node_name="n", detect_local_mode=LocalMode.NODE_CIDR, unused=("clusterCIDR",))

    assert notes_on(settings) == ["--cluster-cidr: ignored, because detectLocalMode is NodeCIDR"]
    assert doubts_about(settings) == []


def test_an_interface_for_nothing_is_a_mistake():
    settings = Config(node_name="n", unused=("detectLocal.bridgeInterface",))

    assert doubts_about(settings) == [
        "--pod-bridge-interface: ignored, because detectLocalMode is ClusterCIDR; it is for mode "
        "BridgeInterface"
    ]
