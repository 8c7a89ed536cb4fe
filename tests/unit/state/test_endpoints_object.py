"""Endpoints objects become groups of addresses (spec 10 section 4; TS-1401..1412)."""

from __future__ import annotations

import msgspec
import pytest

from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.endpoints import EndpointAddress, EndpointGroup, EndpointPort
from nodeproxy.model.keys import Protocol, ServiceKey
from nodeproxy.model.wire import Endpoints
from nodeproxy.state.endpoints_object import OVER_CAPACITY_ANNOTATION, groups_from_endpoints
from nodeproxy.state.services import PROXY_NAME_LABEL
from nodeproxy.state.slices import HEADLESS_LABEL
from tests.support.builders import EndpointsBuilder, endpoints


def read(builder: EndpointsBuilder) -> tuple[EndpointGroup, ...]:
    """The groups of an object that must have no problems."""
    _, groups, problems = groups_from_endpoints(builder.build())
    assert not problems
    return groups


def complaints(builder: EndpointsBuilder) -> dict[str, str]:
    """Message by field of what was wrong."""
    _, _, problems = groups_from_endpoints(builder.build())
    assert all(problem.subject == "Endpoints default/web" for problem in problems)
    return {problem.field: problem.message for problem in problems}


def texts(group: EndpointGroup) -> list[str]:
    return [format_addr(address.addr) for address in group.addresses]


def test_it_belongs_to_the_service_of_the_same_name():
    """EPS-2."""
    owner, _, _ = groups_from_endpoints(endpoints("web", namespace="shop").build())

    assert owner == ServiceKey("shop", "web")


def test_every_address_answers_on_every_port_of_its_subset():
    """EPS-3, TS-1401."""
    builder = endpoints("web").address("10.0.0.1").address("10.0.0.2").port(80, "a").port(443, "b")

    (group,) = read(builder)

    assert texts(group) == ["10.0.0.1", "10.0.0.2"]
    assert [(port.name, port.port) for port in group.ports] == [("a", 80), ("b", 443)]


def test_every_address_is_ready_serving_and_not_terminating():
    """EPS-4, TS-1401."""
    ((address,),) = [
        group.addresses for group in read(endpoints("web").address("10.0.0.1").port(1))
    ]

    assert (address.ready, address.serving, address.terminating) == (True, True, False)


def test_addresses_that_are_not_ready_are_not_even_decoded():
    """EPS-4, TS-1402."""
    text = b"""{"metadata": {"name": "web", "namespace": "default"}, "subsets": [
        {"notReadyAddresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 80}]}]}"""

    _, groups, problems = groups_from_endpoints(msgspec.json.decode(text, type=Endpoints))

    assert (groups, problems) == ((), ())


@pytest.mark.parametrize(("node", "expected"), [("n1", "n1"), (None, "")])
def test_the_node_name_may_be_absent(node: str | None, expected: str):
    """EPS-7, TS-1403."""
    (group,) = read(endpoints("web").address("10.0.0.1", node=node).port(80))

    assert group.addresses[0].node_name == expected


def test_families_are_told_apart_address_by_address():
    """EPS-6, EPS-11, TS-1404."""
    builder = endpoints("web").address("fd00::1").address("10.0.0.1").address("fd00::2").port(80)

    groups = {group.family: texts(group) for group in read(builder)}

    assert groups == {Family.IPV4: ["10.0.0.1"], Family.IPV6: ["fd00::1", "fd00::2"]}


def test_an_absent_port_name_is_the_empty_one_and_an_absent_protocol_tcp():
    """EPS-3, TS-1405."""
    (group,) = read(endpoints("web").address("10.0.0.1").port(80, None, None))

    assert group.ports == (EndpointPort("", Protocol.TCP, 80),)


def test_port_zero_loses_only_that_port():
    """EPS-5, TS-1405."""
    builder = endpoints("web").address("10.0.0.1").port(0, "a").port(80, "b")

    _, (group,), _ = groups_from_endpoints(builder.build())

    assert [port.name for port in group.ports] == ["b"]
    assert list(complaints(builder)) == ["subsets[0].ports[0].port"]


@pytest.mark.parametrize("ip", ["", None, "10.0.0"])
def test_an_address_that_is_none_loses_only_itself(ip: str | None):
    """EPS-5, TS-1405."""
    builder = endpoints("web").address(ip).address("10.0.0.2").port(80)

    _, (group,), _ = groups_from_endpoints(builder.build())

    assert texts(group) == ["10.0.0.2"]
    assert complaints(builder) == {
        "subsets[0].addresses[0].ip": f'"{ip or ""}" is not an IP address; endpoint ignored'
    }


def test_subsets_are_groups_of_their_own():
    """EPS-9, TS-1406."""
    builder = endpoints("web").address("10.0.0.1").port(80).subset().address("10.0.0.2").port(81)

    assert [(texts(group), group.ports[0].port) for group in read(builder)] == [
        (["10.0.0.1"], 80),
        (["10.0.0.2"], 81),
    ]


def test_addresses_are_sorted_and_held_once():
    """EPS-8, TS-1406."""
    builder = endpoints("web").address("10.0.0.10").address("10.0.0.9").address("10.0.0.10").port(1)

    (group,) = read(builder)

    assert texts(group) == ["10.0.0.9", "10.0.0.10"]


@pytest.mark.parametrize(
    "builder",
    [
        pytest.param(endpoints("web"), id="no subsets"),
        pytest.param(endpoints("web").subset().port(80), id="no addresses"),
        pytest.param(endpoints("web").address("10.0.0.1"), id="no ports"),
        pytest.param(
            endpoints("web").address("10.0.0.1").port(80).label(HEADLESS_LABEL), id="headless"
        ),
        pytest.param(
            endpoints("web").address("10.0.0.1").port(80).label(PROXY_NAME_LABEL, "x"),
            id="another proxy",
        ),
    ],
)
def test_nothing_results_and_nothing_is_wrong(builder: EndpointsBuilder):
    """EPS-1, EPS-5, EPS-11, TS-1407, TS-1410."""
    assert read(builder) == ()


def test_a_truncated_object_is_used_and_reported():
    """EPS-13, TS-1409."""
    builder = endpoints("web").address("10.0.0.1").port(80)
    builder.annotation(OVER_CAPACITY_ANNOTATION, "truncated")

    _, groups, _ = groups_from_endpoints(builder.build())

    assert len(groups) == 1
    assert "exceeds 1000 addresses" in complaints(builder)["metadata.annotations"]


def test_the_warning_of_old_controllers_is_no_problem():
    """EPS-13: 1.21 wrote `warning` and left nothing out."""
    builder = endpoints("web").address("10.0.0.1").port(80)

    assert len(read(builder.annotation(OVER_CAPACITY_ANNOTATION, "warning"))) == 1


def test_an_address_needs_no_more_than_its_text():
    (group,) = read(endpoints("web").address("010.000.000.001").port(80))

    assert group.addresses == (EndpointAddress(group.addresses[0].addr),)
    assert texts(group) == ["10.0.0.1"]
