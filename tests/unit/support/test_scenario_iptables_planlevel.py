"""The iptables column of spec 30 that scenarios are held against, case by case."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from nodeproxy.model.addresses import parse_cidr
from nodeproxy.plan.types import FamilySettings, NodePortAddresses
from tests.support.builders import ServiceBuilder
from tests.support.scenarios.iptables_planlevel import IptablesPlanLevel
from tests.unit.support.test_scenario_planlevel import (
    BOTH,
    BOTH_MASQ,
    LOCAL,
    NODE_ADDRESSES,
    SETTINGS,
    answer,
    connect,
    tell,
    web,
)


def level(
    builder: ServiceBuilder,
    *,
    here: Iterable[str] = ("pod-a",),
    far: Iterable[str] = ("far-a",),
    settings: FamilySettings = SETTINGS,
) -> IptablesPlanLevel:
    """A dataplane with one Service and these endpoints."""
    found = IptablesPlanLevel(NODE_ADDRESSES)
    tell(found, builder, here=here, far=far, settings=settings)
    return found


def networks(*cidrs: str) -> FamilySettings:
    """Settings with NodePorts in these networks."""
    addresses = NodePortAddresses(cidrs=tuple(map(parse_cidr, cidrs)))
    return replace(SETTINGS, node_ports=addresses)


@pytest.mark.parametrize(
    "text",
    [
        "pod-b -> 10.96.0.10:81",
        "pod-b -> 10.96.0.10:80/udp",
        "node -> ping 10.96.0.10",
        "pod-b -> 10.96.0.11:80",
        "pod-b -> 1.2.3.4:81",
    ],
)
def test_what_no_service_port_answers_for_is_not_looked_at(text: str):
    """DP-10, DP-11, PP-12."""
    settings = replace(SETTINGS, service_cidrs=(parse_cidr("10.96.0.0/16"),))

    assert answer(level(web(), settings=settings), text) == "untouched"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node -> 10.96.0.10:80", "refused"),
        ("node -> 1.2.3.4:80", "untouched"),
        ("node -> 198.51.100.7:80", "untouched"),
        ("node -> node:30080", "refused"),
        ("client -> 1.2.3.4:80", "refused"),
        ("pod-b -> node:30080", "refused"),
    ],
)
def test_without_endpoints_the_node_is_refused_by_cluster_ips_and_by_itself(
    text: str, expected: str
):
    """DP-13."""
    assert answer(level(web(), here=(), far=()), text) == expected


def test_source_ranges_hold_where_there_are_endpoints():
    """DP-43."""
    service = web().source_range("192.168.0.0/24")

    assert answer(level(service), "stranger -> 1.2.3.4:80") == "dropped"
    assert answer(level(service), "client -> 1.2.3.4:80") == BOTH_MASQ
    assert answer(level(service, here=(), far=()), "stranger -> 1.2.3.4:80") == "refused"


def test_hairpins_of_other_nodes_are_masqueraded_too():
    """DP-23."""
    expected = "{pod-a:8080 no-masq, far-a:8080 masq}"

    assert answer(level(web()), "far-a -> 10.96.0.10:80") == expected


@pytest.mark.parametrize(
    ("settings", "is_open"),
    [
        (SETTINGS, False),
        (replace(SETTINGS, node_ports=NodePortAddresses()), True),
        (networks("127.0.0.0/8"), True),
        (networks("64.0.0.0/2"), True),
        (networks("127.0.0.0/28"), True),
        (networks("128.0.2.0/28"), False),
        (networks("192.168.0.0/16"), False),
    ],
)
def test_node_ports_are_open_on_loopback_where_networks_cover_it(
    settings: FamilySettings, is_open: bool
):
    """DP-57, DP-58, TS-1012: and then nobody else may reach it."""
    dataplane = level(web().local(), settings=settings)

    by_itself = answer(dataplane, "localhost -> localhost:30080")
    by_others = answer(dataplane, "node -> localhost:22")

    assert by_itself == (BOTH_MASQ if is_open else "untouched")
    assert by_others == ("dropped" if is_open else "untouched")


def test_a_network_inside_loopback_opens_its_own_addresses_alone():
    dataplane = level(web(), settings=networks("127.0.2.0/28"))

    assert answer(dataplane, "localhost -> 127.0.2.1:30080") == BOTH_MASQ
    assert answer(dataplane, "localhost -> localhost:30080") == "untouched"


def test_a_client_with_several_records_goes_to_the_first_endpoint_in_order():
    """DP-63, DP-65."""
    dataplane = level(web().local().affinity(60))

    connect(dataplane, "client -> 10.96.0.10:80", "far-a")
    before = answer(dataplane, "client -> 10.96.0.10:80")
    connect(dataplane, "client -> 1.2.3.4:80", "pod-a")

    assert before == "{far-a:8080 masq}"
    assert answer(dataplane, "client -> 1.2.3.4:80") == LOCAL
    assert answer(dataplane, "client -> 10.96.0.10:80") == "{pod-a:8080 masq}"


def test_records_end_with_their_time_and_with_their_endpoint():
    """DP-62, DP-64."""
    dataplane = level(web().affinity(60))
    text = "pod-b -> 10.96.0.10:80"

    connect(dataplane, text, "far-a")
    dataplane.restart()
    tell(dataplane, web().affinity(60))
    after_restart = answer(dataplane, text)
    tell(dataplane, web().affinity(60), far=())
    tell(dataplane, web().affinity(60))
    after_return = answer(dataplane, text)
    connect(dataplane, text, "far-a")
    dataplane.wait(60)
    after_a_minute = answer(dataplane, text)

    assert after_restart == "{far-a:8080 no-masq}"
    assert after_return == BOTH
    assert after_a_minute == BOTH
