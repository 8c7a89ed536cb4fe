from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.config import values
from nodeproxy.config.schema import ListenAddress, LocalMode, ProxyMode
from nodeproxy.model.addresses import format_addr, parse_addr, parse_cidr


@pytest.mark.parametrize("text", ["true", "True", "1", "t"])
def test_what_go_takes_for_true_is_true(text: str) -> None:
    assert values.parse_bool(text) is True


@pytest.mark.parametrize("text", ["false", "FALSE", "0", "f"])
def test_what_go_takes_for_false_is_false(text: str) -> None:
    assert values.parse_bool(text) is False


def test_another_word_is_no_boolean() -> None:
    with pytest.raises(ValueError, match=r'"yes" is not a boolean; write true or false'):
        values.parse_bool("yes")


@pytest.mark.parametrize("text", ["-1", "32", "x", "", "1e1", "٣"])
def test_numbers_outside_their_bounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number from 0 to 31"):
        values.parse_integer(text, 0, 31)


def test_node_names_are_trimmed_and_lower_case() -> None:
    assert values.parse_node_name("  Node-1.Example ") == "node-1.example"


def test_a_blank_node_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the name is blank"):
        values.parse_node_name("   ")


@pytest.mark.parametrize("text", ["", "nftables"])
def test_nftables_is_the_mode_and_the_default(text: str) -> None:
    assert values.parse_proxy_mode(text) is ProxyMode.NFTABLES


@pytest.mark.parametrize("text", ["iptables", "ipvs"])
def test_modes_of_kube_proxy_that_are_missing_are_named_as_such(text: str) -> None:
    with pytest.raises(ValueError, match=f'"{text}" is not available in this version; use nft'):
        values.parse_proxy_mode(text)


@pytest.mark.parametrize("text", ["NFTables", "dryrun", "ebpf"])
def test_other_words_are_no_proxy_mode(text: str) -> None:
    with pytest.raises(ValueError, match="is not a proxy mode; use nftables"):
        values.parse_proxy_mode(text)


@pytest.mark.parametrize("text", ["", "https://10.0.0.1:6443", "http://localhost:8080"])
def test_urls_of_api_servers_are_kept_as_written(text: str) -> None:
    assert values.parse_master(text) == text


def test_a_master_without_scheme_is_answered_with_one() -> None:
    with pytest.raises(ValueError, match=r"write it as https://10\.0\.0\.1:6443"):
        values.parse_master("10.0.0.1:6443")


@pytest.mark.parametrize("text", ["ftp://10.0.0.1", "https://", "https:///"])
def test_other_urls_are_no_api_server(text: str) -> None:
    with pytest.raises(ValueError, match="is not a URL of an API server"):
        values.parse_master(text)


@pytest.mark.parametrize("text", ["", "0.0.0.0", "::"])
def test_an_unspecified_bind_address_leaves_the_choice_to_the_node(text: str) -> None:
    assert values.parse_bind_address(text) is None


def test_a_bind_address_with_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing listens there, so it takes no port"):
        values.parse_bind_address("10.0.0.1:80")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("127.0.0.1", "127.0.0.1", 10256),
        ("fd00:1::5", "fd00:1::5", 10256),
        ("[FD00:1::5]:80", "fd00:1::5", 80),
        ("0.0.0.0:65535", "0.0.0.0", 65535),
    ],
)
def test_a_listen_address_takes_its_port_or_gets_the_usual_one(
    text: str, host: str, port: int
) -> None:
    """CFG-8."""
    assert values.parse_listen_address(text, 10256) == ListenAddress(host, port)


def test_an_empty_listen_address_means_no_server() -> None:
    """CFG-7: the documented meaning."""
    assert values.parse_listen_address("", 10256) is None


@pytest.mark.parametrize(
    "text",
    ["[fd00:1::5]", "localhost:80", ":80", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:", "10.0.0:1"],
)
def test_what_is_no_listen_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not (IP:port|an IP address|a number)"):
        values.parse_listen_address(text, 10256)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_a_listen_address_survives_being_printed_and_read(
    address: IPv4Address | IPv6Address, port: int
) -> None:
    listen = ListenAddress(format_addr(parse_addr(str(address))), port)

    assert values.parse_listen_address(str(listen), 1) == listen


def test_cluster_cidrs_are_one_for_each_family() -> None:
    cidrs = values.parse_cluster_cidrs("10.244.0.0/16,fd00:10::/64")

    assert cidrs == (parse_cidr("10.244.0.0/16"), parse_cidr("fd00:10::/64"))


@pytest.mark.parametrize("text", ["10.0.0.0/8,10.1.0.0/16", "10.0.0.0/8,fd00::/64,fd01::/64"])
def test_two_cluster_cidrs_of_one_family_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than one network of a family"):
        values.parse_cluster_cidrs(text)


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
    assert values.guess_cidr(text) == meant


@given(st.text())
def test_guessing_never_fails_and_gives_networks_only(text: str) -> None:
    meant = values.guess_cidr(text)

    assert meant == "" or str(parse_cidr(meant)) == meant


@pytest.mark.parametrize("text", ["", "primary"])
def test_node_ports_are_on_the_primary_addresses_unless_told_otherwise(text: str) -> None:
    """DP-53."""
    assert values.parse_node_port_addresses(text) is None


def test_node_port_addresses_may_be_networks() -> None:
    cidrs = values.parse_node_port_addresses("10.0.0.0/8,::/0")

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
    cidrs = values.parse_node_port_addresses(text)

    assert ",".join(map(str, cidrs or ())) == text


@pytest.mark.parametrize("text", ["foo", "1.2.3", "0", "10.20.30.40", "2001:db8:xyz/64"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """TS-1359."""
    with pytest.raises(ValueError, match=f'"{text}" is not a CIDR'):
        values.parse_node_port_addresses(text)


def test_every_wrong_network_of_a_list_is_told() -> None:
    """TS-1359."""
    with pytest.raises(ValueError, match=r"::0") as caught:
        values.parse_node_port_addresses("::0,10.0.0.0/8,::1")

    assert caught.value.args == (
        '"::0" is not a CIDR; write it as ::/128',
        '"::1" is not a CIDR; write it as ::1/128',
    )


def test_primary_and_networks_exclude_each_other() -> None:
    """DP-52, TS-1359."""
    with pytest.raises(ValueError, match="primary and networks cannot be combined"):
        values.parse_node_port_addresses("primary,10.0.0.0/8")


@pytest.mark.parametrize("mode", LocalMode)
def test_every_mode_of_local_detection_is_known(mode: LocalMode) -> None:
    assert values.parse_detect_local_mode(mode.value) is mode


def test_local_detection_is_by_cluster_cidr_if_nothing_is_said() -> None:
    """TS-1307."""
    assert values.parse_detect_local_mode("") is LocalMode.CLUSTER_CIDR


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        pytest.param(
            "Guess", "use ClusterCIDR, NodeCIDR, BridgeInterface, Interface", id="TS-1353"
        ),
        ("nodecidr", "write NodeCIDR"),
    ],
)
def test_other_words_are_no_mode_of_local_detection(text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=f'"{text}" is not a mode; {remedy}'):
        values.parse_detect_local_mode(text)


@pytest.mark.parametrize("text", ["", "cbr0", "br-1a2b3c4d5e6f", "docker0.100", "a"])
def test_what_the_kernel_takes_is_the_name_of_an_interface(text: str) -> None:
    assert values.parse_interface(text) == text


@pytest.mark.parametrize(
    "text",
    [".", "..", "br/0", "eth0:1", "br 0", "sixteen-letters!", "br*", 'br"0', "br\\0", "brü0"],
)
def test_what_no_interface_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of an interface"):
        values.parse_interface(text)


@pytest.mark.parametrize("text", ["cali*", "cali+"])
def test_a_prefix_needs_no_wildcard(text: str) -> None:
    with pytest.raises(ValueError, match="write only the beginning of the names, cali"):
        values.parse_interface_prefix(text)


def test_a_prefix_is_taken_as_it_is() -> None:
    assert values.parse_interface_prefix("veth") == "veth"
