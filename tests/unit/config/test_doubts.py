from __future__ import annotations

from nodeproxy.config.doubts import doubts_about, notes_on
from nodeproxy.config.schema import Config
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


def test_a_missing_cluster_cidr_is_told_with_its_consequence():
    """DP-30."""
    (note,) = notes_on(config(cluster_cidr=""))

    assert note.startswith("--cluster-cidr: not set, so pods cannot be told from others")


def test_masquerading_everything_needs_no_cluster_cidr():
    settings = Config(node_name="n", masquerade_all=True)

    assert notes_on(settings) == []
