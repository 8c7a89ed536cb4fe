from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.config import values
from nodeproxy.config.schema import ListenAddress, LocalMode, ProxyMode
from nodeproxy.model.addresses import format_addr, parse_addr


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


@pytest.mark.parametrize("text", ["0.4s", "1s", "999ms"])
def test_seconds_of_sysctls_are_rounded_up(text: str) -> None:
    """Down would be 0, which leaves the sysctl alone."""
    assert values.parse_whole_seconds(text) == 1


def test_no_time_leaves_a_sysctl_alone() -> None:
    assert values.parse_whole_seconds_or_none("0s") is None
    assert values.parse_count_or_none("0") is None


@pytest.mark.parametrize(("text", "rate"), [("5", 5.0), ("2.5", 2.5), ("-1", -1.0)])
def test_a_rate_may_have_decimals(text: str, rate: float) -> None:
    assert values.parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "nan", "inf"])
def test_another_word_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number; write it as 5 or 2\.5"):
        values.parse_rate(text)


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::1]:1"])
def test_a_file_names_address_and_port(text: str) -> None:
    assert str(values.parse_host_and_port(text, 10256)) == text


@pytest.mark.parametrize(("text", "meant"), [("0.0.0.0", "0.0.0.0:7"), ("::1", "[::1]:7")])
def test_a_file_may_not_leave_out_the_port(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"has no port; write it as {meant}")):
        values.parse_host_and_port(text, 7)
