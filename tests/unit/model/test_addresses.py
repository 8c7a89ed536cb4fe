"""Addresses and networks, as leniently as old API servers wrote them (SVC-50)."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeproxy.model.addresses import (
    Addr,
    Family,
    family_of,
    format_addr,
    format_addr_port,
    format_cidr,
    merge_cidrs,
    parse_addr,
    parse_cidr,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("172.30.0.041", "172.30.0.41"),
        ("1.2.3.004", "1.2.3.4"),
        ("192.168.099.022", "192.168.99.22"),
        ("10.180.00.001", "10.180.0.1"),
        ("0000000010.0.0.1", "10.0.0.1"),
        ("FD00:0:0::0001", "fd00::1"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
    ],
)
def test_addresses_that_parse_have_one_canonical_form(text: str, canonical: str):
    assert format_addr(parse_addr(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["", " ", "10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.-1", "10.0.0.1 ", "10..0.1", "fd00::g",
     "fe80::1%eth0", "10.0.0.١", "localhost", "10.0.0." + "9" * 40],
)  # fmt: skip
def test_what_is_no_address_is_quoted(text: str):
    with pytest.raises(ValueError, match="is not an IP address") as caught:
        parse_addr(text)

    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.1.2.0/28", "10.1.2.0/28"),
        ("10.1.2.7/28", "10.1.2.0/28"),
        ("203.0.113.000/025", "203.0.113.0/25"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::1/128", "::1/128"),
    ],
)
def test_host_bits_of_a_network_are_cleared(text: str, canonical: str):
    """SVC-16."""
    assert format_cidr(parse_cidr(text)) == canonical


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0", "10.0.0/8", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1",
     "10.0.0.0/8/8", "10.0.0.0/ 8", ""],
)  # fmt: skip
def test_what_is_no_network_is_quoted(text: str):
    with pytest.raises(ValueError, match="is not a CIDR") as caught:
        parse_cidr(text)

    assert f'"{text}"' in str(caught.value)


@pytest.mark.parametrize(
    ("network", "expected"),
    [("0.0.0.0/0", True), ("::/0", True), ("172.10.0.0/16", False), ("::/128", False)],
)
def test_everything_is_a_network_without_prefix(network: str, expected: bool):
    """TS-313."""
    assert parse_cidr(network).is_everything is expected


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("0.0.0.0/0", "1.2.3.4", True),
        ("0.0.0.0/0", "::1", False),
        ("10.0.0.1/32", "10.0.0.1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
    ],
)
def test_a_network_contains_addresses_of_its_family(network: str, address: str, expected: bool):
    assert parse_cidr(network).contains(parse_addr(address)) is expected


def test_ports_are_written_so_that_they_can_be_told_from_addresses():
    assert format_addr_port(parse_addr("10.0.0.1"), 80) == "10.0.0.1:80"
    assert format_addr_port(parse_addr("fd00::1"), 80) == "[fd00::1]:80"


@pytest.mark.parametrize(("size", "family"), [(4, Family.IPV4), (16, Family.IPV6)])
def test_the_length_tells_the_family(size: int, family: Family):
    assert family_of(Addr(bytes(size))) is family
    assert family.addr_bytes == size


@given(st.ip_addresses())
def test_any_address_survives_being_written_and_read(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
):
    packed = Addr(address.packed)

    assert parse_addr(format_addr(packed)) == packed == parse_addr(str(address))


@given(st.ip_addresses(), st.data())
def test_any_network_agrees_with_the_standard_library(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, data: st.DataObject
):
    length = data.draw(st.integers(0, address.max_prefixlen))
    expected = ipaddress.ip_network((address, length), strict=False)

    cidr = parse_cidr(f"{address}/{length}")

    assert (cidr.addr, cidr.prefix_length) == (expected.network_address.packed, length)
    assert parse_cidr(format_cidr(cidr)) == cidr
    assert cidr.contains(Addr(address.packed))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(["10.0.0.0/8", "10.0.0.0/8"], ["10.0.0.0/8"], id="twice the same"),
        pytest.param(["10.1.0.0/16", "10.0.0.0/8"], ["10.0.0.0/8"], id="one inside the other"),
        pytest.param(["10.0.1.0/24", "10.0.0.0/24"], ["10.0.0.0/23"], id="two halves"),
        pytest.param(
            ["10.0.1.0/24", "10.0.2.0/24"],
            ["10.0.1.0/24", "10.0.2.0/24"],
            id="neighbours that are no halves",
        ),
        pytest.param(
            ["10.0.3.0/24", "10.0.2.0/24", "10.0.0.0/23"], ["10.0.0.0/22"], id="halves of halves"
        ),
        pytest.param(["128.0.0.0/1", "0.0.0.0/1"], ["0.0.0.0/0"], id="everything"),
        pytest.param(["fd00::/16", "1.0.0.0/8"], ["1.0.0.0/8", "fd00::/16"], id="both families"),
    ],
)
def test_merged_networks_are_the_fewest_that_hold_the_same(texts: list[str], expected: list[str]):
    """NFT-17."""
    assert [str(cidr) for cidr in merge_cidrs(map(parse_cidr, texts))] == expected


@given(
    st.lists(
        st.ip_addresses(network="10.0.0.0/26").flatmap(
            lambda address: st.integers(26, 32).map(lambda length: f"{address}/{length}")
        )
    )
)
def test_merging_any_networks_agrees_with_the_standard_library(texts: list[str]):
    networks = [ipaddress.IPv4Network(text, strict=False) for text in texts]
    expected = [str(network) for network in ipaddress.collapse_addresses(networks)]

    assert [str(cidr) for cidr in merge_cidrs(map(parse_cidr, texts))] == expected
