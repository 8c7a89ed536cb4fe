"""The reading of spec 30 that scenarios are held against, case by case."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from nodeproxy.model.addresses import Family, format_addr, parse_cidr
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import FamilySettings, LocalDetector, NodePortAddresses, Target
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import ServiceBuilder, node, service, slice_, upserted
from tests.support.scenarios.model import Packet, Reaches
from tests.support.scenarios.packets import expectation_from
from tests.support.scenarios.planlevel import PlanLevel
from tests.support.scenarios.running import answer_text
from tests.support.scenarios.world import HOSTS, NODE_NAME

NODE_ADDRESSES = frozenset(
    addr
    for name in ("node", "node-alt", "localhost")
    for addr in (HOSTS[name].ipv4, HOSTS[name].ipv6)
)
DETECTOR = LocalDetector(cidr=parse_cidr("10.244.0.0/16"))
SETTINGS = FamilySettings(
    family=Family.IPV4,
    local_detector=DETECTOR,
    node_ports=NodePortAddresses(primary=(HOSTS["node"].ipv4,)),
)


def packet(text: str) -> Packet:
    """`pod-a -> 10.96.0.10:80`."""
    return expectation_from(1, f"{text} = untouched").packet


def web() -> ServiceBuilder:
    """A Service with every kind of frontend."""
    return (
        service("web")
        .cluster_ip("10.96.0.10")
        .port(80)
        .node_port(30080)
        .external_ip("198.51.100.7")
        .load_balancer_ip("1.2.3.4")
    )


def level(
    builder: ServiceBuilder,
    *,
    here: Iterable[str] = ("pod-a",),
    far: Iterable[str] = ("far-a",),
    settings: FamilySettings = SETTINGS,
) -> PlanLevel:
    """A dataplane with one Service and these endpoints."""
    found = PlanLevel(NODE_ADDRESSES)
    tell(found, builder, here=here, far=far, settings=settings)
    return found


def tell(
    dataplane: PlanLevel,
    *builders: ServiceBuilder,
    here: Iterable[str] = ("pod-a",),
    far: Iterable[str] = ("far-a",),
    settings: FamilySettings = SETTINGS,
) -> None:
    own_slice = slice_("web-1", service="web").port(8080)
    for name in here:
        own_slice.endpoint(format_addr(HOSTS[name].ipv4), node=NODE_NAME)
    for name in far:
        own_slice.endpoint(format_addr(HOSTS[name].ipv4), node="far-node")
    state = ClusterState(NODE_NAME)
    planner = Planner(state, PlanOptions())
    own_node = node(NODE_NAME).internal_ip("192.168.0.2")
    planner.replan(state.apply([*upserted(own_node, *builders, own_slice)]))
    dataplane.update(planner.plans, {Family.IPV4: settings, Family.IPV6: settings})


def answer(dataplane: PlanLevel, text: str) -> str:
    return answer_text(dataplane.answer(packet(text)))


BOTH = "{pod-a:8080 no-masq, far-a:8080 no-masq}"
BOTH_MASQ = "{pod-a:8080 masq, far-a:8080 masq}"
LOCAL = "{pod-a:8080 no-masq}"


@pytest.mark.parametrize(
    ("text", "cluster", "local"),
    [
        ("pod-b -> 10.96.0.10:80", BOTH, BOTH),
        ("client -> 10.96.0.10:80", BOTH_MASQ, BOTH_MASQ),
        ("node -> 10.96.0.10:80", BOTH_MASQ, BOTH_MASQ),
        ("pod-b -> node:30080", BOTH_MASQ, BOTH),
        ("far-b -> 198.51.100.7:80", BOTH_MASQ, BOTH),
        ("node -> 1.2.3.4:80", BOTH_MASQ, BOTH_MASQ),
        ("client -> 1.2.3.4:80", BOTH_MASQ, LOCAL),
        ("client -> 198.51.100.7:80", BOTH_MASQ, LOCAL),
        ("client -> node:30080", BOTH_MASQ, LOCAL),
    ],
)
def test_the_masquerade_table(text: str, cluster: str, local: str):
    """Spec 30 section 3, by external policy."""
    assert answer(level(web()), text) == cluster
    assert answer(level(web().local()), text) == local


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pod-b -> 10.96.0.10:80", BOTH_MASQ),
        ("client -> 1.2.3.4:80", LOCAL),
        ("pod-b -> 1.2.3.4:80", BOTH),
    ],
)
def test_masquerade_all_is_about_cluster_ips(text: str, expected: str):
    settings = replace(SETTINGS, masquerade_all=True)

    assert answer(level(web().local(), settings=settings), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client -> 10.96.0.10:80", BOTH),
        ("node -> 10.96.0.10:80", BOTH),
        ("pod-b -> 1.2.3.4:80", LOCAL),
        ("node -> 1.2.3.4:80", BOTH_MASQ),
    ],
)
def test_without_a_detector_nobody_is_a_pod(text: str, expected: str):
    """DP-22, DP-30."""
    settings = replace(SETTINGS, local_detector=None)

    assert answer(level(web().local(), settings=settings), text) == expected


@pytest.mark.parametrize(
    "detector", [LocalDetector(interface="pod-b"), LocalDetector(interface_prefix="pod-")]
)
def test_interfaces_tell_pods_of_this_node(detector: LocalDetector):
    """PP-7, DP-32."""
    dataplane = level(web().local(), settings=replace(SETTINGS, local_detector=detector))

    assert answer(dataplane, "pod-b -> 1.2.3.4:80") == BOTH
    assert answer(dataplane, "far-b -> 1.2.3.4:80") == LOCAL
    assert answer(dataplane, "node -> 1.2.3.4:80") == BOTH_MASQ


def test_internal_policy_local_drops_what_has_no_local_endpoint():
    """DP-2, DP-6."""
    dataplane = level(web().internal_local(), here=())

    assert answer(dataplane, "pod-b -> 10.96.0.10:80") == "dropped"
    assert answer(dataplane, "client -> 1.2.3.4:80") == "{far-a:8080 masq}"


def test_external_policy_local_drops_strangers_alone():
    """DP-5, DP-7."""
    dataplane = level(web().local(), here=())

    assert answer(dataplane, "client -> 1.2.3.4:80") == "dropped"
    assert answer(dataplane, "pod-b -> 1.2.3.4:80") == "{far-a:8080 no-masq}"
    assert answer(dataplane, "node -> node:30080") == "{far-a:8080 masq}"


@pytest.mark.parametrize(
    "text", ["pod-b -> 10.96.0.10:80", "client -> 1.2.3.4:80", "node -> node:30080"]
)
def test_without_endpoints_everybody_is_refused(text: str):
    """DP-2, DP-3."""
    assert answer(level(web().local(), here=(), far=()), text) == "refused"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pod-b -> 10.96.0.10:81", "refused"),
        ("pod-b -> 10.96.0.10:80/udp", "refused"),
        ("pod-b -> ping 10.96.0.10", "refused"),
        ("pod-b -> 10.96.0.11:80", "dropped"),
        ("pod-b -> ping 10.96.0.11", "dropped"),
        ("pod-b -> 1.2.3.4:81", "untouched"),
        ("pod-b -> ping 1.2.3.4", "untouched"),
        ("pod-b -> pod-a:8080", "untouched"),
        ("client -> node:30081", "untouched"),
    ],
)
def test_what_no_service_port_answers_for(text: str, expected: str):
    """DP-10..12, DP-14, PP-12."""
    settings = replace(SETTINGS, service_cidrs=(parse_cidr("10.96.0.0/16"),))

    assert answer(level(web(), settings=settings), text) == expected


def test_what_ends_at_the_node_is_not_looked_up_as_a_cluster_ip():
    settings = replace(SETTINGS, service_cidrs=(parse_cidr("192.168.0.0/16"),))
    dataplane = level(web(), settings=settings)

    assert answer(dataplane, "client -> node:22") == "untouched"
    assert answer(dataplane, "client -> 192.168.0.77:22") == "dropped"


@pytest.mark.parametrize(
    ("accepting", "primary", "other"),
    [
        (NodePortAddresses(primary=(HOSTS["node"].ipv4,)), BOTH_MASQ, "untouched"),
        (NodePortAddresses(cidrs=(parse_cidr("192.168.1.0/24"),)), "untouched", BOTH_MASQ),
        (NodePortAddresses(cidrs=(parse_cidr("127.0.0.0/8"),)), "untouched", "untouched"),
        (NodePortAddresses(), BOTH_MASQ, BOTH_MASQ),
    ],
)
def test_node_ports_are_open_on_selected_addresses(
    accepting: NodePortAddresses, primary: str, other: str
):
    """DP-50..57: and never on loopback."""
    dataplane = level(web(), settings=replace(SETTINGS, node_ports=accepting))

    assert answer(dataplane, "client -> node:30080") == primary
    assert answer(dataplane, "client -> node-alt:30080") == other
    assert answer(dataplane, "localhost -> localhost:30080") == "untouched"
    assert answer(dataplane, "client -> 192.168.0.9:30080") == "untouched"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client -> 1.2.3.4:80", BOTH_MASQ),
        ("stranger -> 1.2.3.4:80", "dropped"),
        ("pod-b -> 1.2.3.4:80", "dropped"),
        ("node@1.2.3.4 -> 1.2.3.4:80", BOTH_MASQ),
        ("stranger -> 198.51.100.7:80", BOTH_MASQ),
        ("stranger -> node:30080", BOTH_MASQ),
        ("stranger -> 10.96.0.10:80", BOTH_MASQ),
    ],
)
def test_source_ranges_hold_for_load_balancer_ips_alone(text: str, expected: str):
    """DP-41, DP-44."""
    assert answer(level(web().source_range("192.168.0.0/24")), text) == expected


def test_source_ranges_without_the_node_shut_out_the_load_balancer_ip_itself():
    """DP-41, TS-829; and strangers also where there are no endpoints, DP-43."""
    dataplane = level(web().source_range("192.168.7.0/24"), here=(), far=())

    assert answer(dataplane, "node@1.2.3.4 -> 1.2.3.4:80") == "dropped"
    assert answer(dataplane, "client@192.168.7.9 -> 1.2.3.4:80") == "refused"


def test_an_endpoint_that_reaches_itself_is_masqueraded():
    """DP-23: if it is one of this node."""
    dataplane = level(web().local())

    assert answer(dataplane, "pod-a -> 1.2.3.4:80") == "{pod-a:8080 masq, far-a:8080 no-masq}"
    assert answer(dataplane, "far-a -> 1.2.3.4:80") == BOTH


def test_what_stays_on_the_node_is_never_masqueraded():
    """PP-2, PP-4: unless the node itself sent it."""
    dataplane = level(web(), here=("node",), far=())

    assert answer(dataplane, "client -> 1.2.3.4:80") == "{node:8080 no-masq}"
    assert answer(dataplane, "client -> 10.96.0.10:80") == "{node:8080 no-masq}"
    assert answer(dataplane, "node -> 10.96.0.10:80") == "{node:8080 masq}"


def connect(dataplane: PlanLevel, text: str, name: str) -> None:
    dataplane.connect(packet(text), Target(HOSTS[name].ipv4, 8080))


def test_a_client_comes_back_by_every_frontend_of_the_service_port():
    """DP-61."""
    dataplane = level(web().affinity(60))

    connect(dataplane, "client -> 10.96.0.10:80", "far-a")

    assert answer(dataplane, "client -> 1.2.3.4:80") == "{far-a:8080 masq}"
    assert answer(dataplane, "client -> node:30080") == "{far-a:8080 masq}"
    assert answer(dataplane, "pod-b -> 10.96.0.10:80") == BOTH


def test_every_connection_begins_the_timeout_anew():
    """DP-62."""
    dataplane = level(web().affinity(60))
    connect(dataplane, "pod-b -> 10.96.0.10:80", "far-a")
    dataplane.wait(40)
    connect(dataplane, "pod-b -> 10.96.0.10:80", "far-a")

    dataplane.wait(40)
    before = answer(dataplane, "pod-b -> 10.96.0.10:80")
    dataplane.wait(20)
    after = answer(dataplane, "pod-b -> 10.96.0.10:80")

    assert (before, after) == ("{far-a:8080 no-masq}", BOTH)


def test_a_record_of_an_endpoint_outside_the_list_is_no_help_now_but_stays():
    """DP-62, DP-65."""
    dataplane = level(web().local().affinity(60))

    connect(dataplane, "client -> 10.96.0.10:80", "far-a")

    assert answer(dataplane, "client -> 1.2.3.4:80") == LOCAL
    assert answer(dataplane, "client -> 10.96.0.10:80") == "{far-a:8080 masq}"


def test_each_pool_keeps_to_the_endpoint_it_knows_a_client_by():
    """DP-63."""
    dataplane = level(web().local().affinity(60), here=("pod-a", "pod-b"))

    connect(dataplane, "client -> 10.96.0.10:80", "far-a")
    connect(dataplane, "client -> 1.2.3.4:80", "pod-b")

    assert answer(dataplane, "client -> 10.96.0.10:80") == "{far-a:8080 masq}"
    assert answer(dataplane, "client -> 1.2.3.4:80") == "{pod-b:8080 no-masq}"


def test_a_pool_that_does_not_know_a_client_learns_from_the_other():
    """DP-63, DP-65."""
    dataplane = level(web().local().affinity(60), here=("pod-a", "pod-b"))

    connect(dataplane, "client -> 1.2.3.4:80", "pod-b")

    assert answer(dataplane, "client -> 10.96.0.10:80") == "{pod-b:8080 masq}"


def test_records_outlive_restarts_but_not_their_endpoint():
    """DP-64."""
    dataplane = level(web().affinity(60))
    connect(dataplane, "pod-b -> 10.96.0.10:80", "far-a")

    dataplane.restart()
    tell(dataplane, web().affinity(60))
    after_restart = answer(dataplane, "pod-b -> 10.96.0.10:80")
    tell(dataplane, web().affinity(60), far=())
    tell(dataplane, web().affinity(60))

    assert after_restart == "{far-a:8080 no-masq}"
    assert answer(dataplane, "pod-b -> 10.96.0.10:80") == BOTH


def test_an_answer_tells_whether_affinity_played_a_part():
    dataplane = level(web().affinity(60))
    text = "pod-b -> 10.96.0.10:80"

    before = dataplane.answer(packet(text))
    connect(dataplane, text, "pod-a")
    after = dataplane.answer(packet(text))

    assert isinstance(before, Reaches)
    assert isinstance(after, Reaches)
    assert (before.has_affinity, before.is_remembered) == (True, False)
    assert (after.has_affinity, after.is_remembered) == (True, True)
