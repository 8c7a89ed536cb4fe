"""Several sources, one list of endpoints (EP-17, EP-23..27)."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.model.endpoints import Endpoint, EndpointAddress, EndpointGroup, EndpointPort
from nodeproxy.model.keys import Protocol
from nodeproxy.state.merge import merge_addresses, merge_endpoints

READY = EndpointAddress(parse_addr("10.0.0.1"), node_name="ready")
NOT_READY = EndpointAddress(READY.addr, ready=False, serving=False, node_name="not-ready")
TERMINATING = EndpointAddress(READY.addr, ready=False, terminating=True, node_name="terminating")
GONE = EndpointAddress(READY.addr, ready=False, serving=False, terminating=True, node_name="gone")
"""Four things one endpoint may be said to be; the node name tells which record won."""


def address(text: str, node: str = "") -> EndpointAddress:
    return EndpointAddress(parse_addr(text), node_name=node)


def group(
    *addresses: EndpointAddress,
    port: int = 80,
    name: str = "http",
    protocol: Protocol = Protocol.TCP,
    family: Family = Family.IPV4,
) -> EndpointGroup:
    return EndpointGroup(family, (EndpointPort(name, protocol, port),), addresses)


def merge(*groups: EndpointGroup, node_name: str = "") -> tuple[Endpoint, ...]:
    return merge_endpoints(groups, Family.IPV4, "http", Protocol.TCP, node_name)


def pairs(endpoints: tuple[Endpoint, ...]) -> list[tuple[int, int]]:
    """Last octet and port of each."""
    return [(endpoint.addr[-1], endpoint.port) for endpoint in endpoints]


def test_only_groups_with_that_port_name_protocol_and_family_count():
    """EP-17."""
    merged = merge(
        group(address("10.0.0.1")),
        group(address("10.0.0.2"), name="https"),
        group(address("10.0.0.3"), protocol=Protocol.UDP),
        group(address("fd00::4"), family=Family.IPV6),
    )

    assert pairs(merged) == [(1, 80)]


def test_no_group_gives_no_endpoint():
    """EP-26."""
    assert merge() == ()


def test_several_sources_are_sorted_into_one_list():
    """TS-102; in numeric order, unlike EP-27's."""
    merged = merge(
        group(address("10.0.0.10"), address("10.0.0.30")),
        group(address("10.0.0.9"), address("10.0.0.20")),
    )

    assert pairs(merged) == [(9, 80), (10, 80), (20, 80), (30, 80)]


def test_one_address_with_two_port_numbers_is_two_endpoints():
    """EP-25, TS-109."""
    merged = merge(
        group(address("10.0.0.1"), address("10.0.0.2"), port=8080),
        group(address("10.0.0.1"), address("10.0.0.2"), port=80),
    )

    assert pairs(merged) == [(1, 80), (1, 8080), (2, 80), (2, 8080)]


def test_two_ports_of_one_group_with_one_name_are_both_served():
    ports = (EndpointPort("http", Protocol.TCP, 80), EndpointPort("http", Protocol.TCP, 81))

    merged = merge(EndpointGroup(Family.IPV4, ports, (address("10.0.0.1"),)))

    assert pairs(merged) == [(1, 80), (1, 81)]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        (TERMINATING, READY, "ready"),
        (READY, TERMINATING, "ready"),
        (TERMINATING, NOT_READY, "not-ready"),
        (NOT_READY, TERMINATING, "not-ready"),
        (NOT_READY, READY, "ready"),
        (READY, NOT_READY, "ready"),
        (TERMINATING, GONE, "terminating"),
        (GONE, TERMINATING, "gone"),
    ],
)
@pytest.mark.parametrize("where", ["one source", "two sources"])
def test_of_two_records_of_one_endpoint(
    first: EndpointAddress, second: EndpointAddress, winner: str, where: str
):
    """EP-23, EP-24: not terminating, then ready, decides; of two terminating the first stays."""
    if where == "one source":
        groups = [group(*merge_addresses([first, second]))]
    else:
        groups = [group(first), group(second)]

    (merged,) = merge(*groups, node_name=winner)

    assert merged.is_local


def test_of_two_equal_states_the_last_source_wins():
    """EP-23, EP-24: sources come in the order of their names."""
    (merged,) = merge(
        group(address("10.0.0.1", "a")), group(address("10.0.0.1", "b")), node_name="b"
    )

    assert merged.is_local


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [
        ("n1", "n1", True),
        ("n1", "n2", False),
        ("n1", "N1", False),
        ("n1", "", False),
        ("", "", False),
    ],
)
def test_local_means_exactly_the_own_node_name(own: str, theirs: str, expected: bool):
    """EP-21, TS-101."""
    (merged,) = merge(group(address("10.0.0.1", theirs)), node_name=own)

    assert merged.is_local is expected


def test_conditions_and_hints_are_carried_over():
    record = EndpointAddress(READY.addr, False, True, True, "n", ("a",), ("n1",))

    (merged,) = merge(group(record))

    assert merged == Endpoint(READY.addr, 80, False, True, True, False, ("a",), ("n1",))
