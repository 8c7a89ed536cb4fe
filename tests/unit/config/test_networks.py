from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.config import networks
from nodeproxy.config.items import WrongItems
from nodeproxy.model.addresses import parse_cidr


def test_cluster_cidrs_are_one_for_each_family() -> None:
    cidrs = networks.parse_cluster_cidrs("10.244.0.0/16,fd00:10::/64")

    assert cidrs == (parse_cidr("10.244.0.0/16"), parse_cidr("fd00:10::/64"))


@pytest.mark.parametrize("text", ["10.0.0.0/8,10.1.0.0/16", "10.0.0.0/8,fd00::/64,fd01::/64"])
def test_two_cluster_cidrs_of_one_family_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than one network of a family"):
        networks.parse_cluster_cidrs(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("10.0.0", "10.0.0.0/8"),
        ("10", "10.0.0.0/8"),
        ("10.244.0.0", "10.244.0.0/16"),
        ("192.168.1.0", "192.168.1.0/24"),
        ("192.168.1.7", "192.168.1.7/32"),
        ("fd00:10::", "fd00:10::/64"),
        ("fd00:10::1", "fd00:10::1/128"),
        (" 10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/33", ""),
        ("pods", ""),
        ("", ""),
        ("1.2.3.4.5", ""),
    ],
)
def test_the_network_that_was_meant_is_guessed_where_it_is_clear(text: str, meant: str) -> None:
    assert networks.guess_cidr(text) == meant


@given(st.text())
def test_guessing_never_fails_and_gives_networks_only(text: str) -> None:
    meant = networks.guess_cidr(text)

    assert meant == "" or str(parse_cidr(meant)) == meant


@pytest.mark.parametrize("text", ["", "primary"])
def test_node_ports_are_on_the_primary_addresses_unless_told_otherwise(text: str) -> None:
    """DP-53."""
    assert networks.parse_node_port_addresses(text) is None


def test_node_port_addresses_may_be_networks() -> None:
    cidrs = networks.parse_node_port_addresses("10.0.0.0/8,::/0")

    assert cidrs == (parse_cidr("10.0.0.0/8"), parse_cidr("::/0"))


@pytest.mark.parametrize(
    "text",
    [
        "10.20.30.0/24",
        "0.0.0.0/0",
        "127.0.0.1/32",
        "2001:db8::/32",
        "::/0",
        "::1/128",
        "10.20.30.0/24,2001:db8::/64",
        "0.0.0.0/0,::/0",
    ],
)
def test_every_valid_shape_of_networks_is_taken(text: str) -> None:
    """TS-1359."""
    cidrs = networks.parse_node_port_addresses(text)

    assert ",".join(map(str, cidrs or ())) == text


@pytest.mark.parametrize("text", ["foo", "1.2.3", "0", "10.20.30.40", "2001:db8:xyz/64"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """TS-1359."""
    with pytest.raises(ValueError, match=f'"{text}" is not a CIDR'):
        networks.parse_node_port_addresses(text)


def test_every_wrong_network_of_a_list_is_told() -> None:
    """TS-1359."""
    with pytest.raises(ValueError, match=r"::0") as caught:
        networks.parse_node_port_addresses("::0,10.0.0.0/8,::1")

    assert caught.value.args == (
        '"::0" is not a CIDR; write it as ::/128',
        '"::1" is not a CIDR; write it as ::1/128',
    )


def test_primary_and_networks_exclude_each_other() -> None:
    """DP-52, TS-1359."""
    with pytest.raises(ValueError, match="primary and networks cannot be combined"):
        networks.parse_node_port_addresses("primary,10.0.0.0/8")


def test_a_comma_too_many_is_told() -> None:
    with pytest.raises(ValueError, match="has a comma too many; take it out"):
        networks.parse_cluster_cidrs("10.0.0.0/8,")


def test_mistakes_know_which_item_they_are_in() -> None:
    with pytest.raises(WrongItems) as caught:
        networks.parse_node_port_addresses("10.0.0.0/8,foo,::/0,bar")

    assert [index for index, _ in caught.value.mistakes] == [1, 3]
