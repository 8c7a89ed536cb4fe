"""The generated cluster and those who change in it: nothing in it may be wrong or for show."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.cast import MovedNode, RelabelledNode, subjects
from benchmarks.figures import Size
from benchmarks.mixture import background_shape, cluster_events
from benchmarks.objects import NODE_NAME, Answerer, Shape, in_slices
from benchmarks.subjects import EndpointSubject, Subject, Supply
from benchmarks.ways import way_events, ways
from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.events import SourceEvent
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.plan.types import FrontendKind, PlanDelta
from nodeproxy.state.cluster import ClusterState

SIZE = Size(40, 3)
TURNS = 3


class PlannedCluster:
    """State and planner; keeps what was complained about."""

    def __init__(self) -> None:
        self.state = ClusterState(NODE_NAME)
        self.planner = Planner(self.state, PlanOptions())
        self.complaints: list[str] = []

    def take(self, *events: SourceEvent) -> PlanDelta:
        changes = self.state.apply(events)
        delta = self.planner.replan(changes)
        self.complaints += map(str, (*changes.problems, *delta.conflicts))
        return delta

    def endpoints(self) -> Counter[str]:
        """How many endpoints each Service has."""
        return Counter(
            {key.port.name: len(p.selection.cluster) for key, p in self.planner.plans.items()}
        )


@pytest.fixture
def cluster() -> PlannedCluster:
    planned = PlannedCluster()
    planned.take(*cluster_events(SIZE))
    return planned


def test_everything_that_is_generated_is_valid_and_has_its_own_addresses(cluster: PlannedCluster):
    cast = subjects()

    for subject in cast:
        cluster.take(*subject.arrive())
    cluster.take(*way_events(ways()))
    for turn in range(TURNS):
        for subject in cast:
            for step in subject.steps(turn):
                cluster.take(*step.events)

    assert cluster.complaints == []


def test_the_mixture_has_every_kind_of_frontend_and_both_families_of_policies(
    cluster: PlannedCluster,
):
    plans = cluster.planner.plans.values()

    kinds = {frontend.kind for plan in plans for frontend in plan.frontends}
    assert kinds == {
        FrontendKind.CLUSTER_IP,
        FrontendKind.NODE_PORT,
        FrontendKind.LOAD_BALANCER_IP,
    }
    assert {plan.affinity_seconds for plan in plans} == {0, 3600, 10800}
    assert any(plan.source_ranges for plan in plans)
    assert any(plan.selection.local for plan in plans)
    assert any(plan.key.protocol is Protocol.UDP for plan in plans)


def test_a_large_mixture_runs_out_of_node_ports_and_goes_on_without():
    shapes = [background_shape(index) for index in range(20_000)]

    ports = [shape.node_port for shape in shapes if shape.node_port]

    assert len(ports) == len(set(ports)) == 2600


@pytest.mark.parametrize("subject", [s for s in subjects() if not isinstance(s, RelabelledNode)])
def test_every_step_changes_the_plan_and_a_round_leads_back(
    cluster: PlannedCluster, subject: Subject
):
    cluster.take(*subject.arrive())
    at_first = cluster.endpoints()

    deltas = [cluster.take(*step.events) for step in subject.steps(turn=1)]

    assert not any(delta.is_empty for delta in deltas)
    assert cluster.endpoints() == at_first


def test_a_moved_node_changes_the_services_with_hints(cluster: PlannedCluster):
    away, back = MovedNode().steps(turn=0)

    moved, returned = cluster.take(*away.events), cluster.take(*back.events)

    hinted = {f"svc-{index:05}" for index in range(0, SIZE.services, 20)}
    assert {key.port.name for key in moved.puts} == hinted
    assert moved.puts.keys() == returned.puts.keys()


def test_a_label_that_means_nothing_changes_nothing(cluster: PlannedCluster):
    (step,) = RelabelledNode().steps(turn=7)

    delta = cluster.take(*step.events)

    assert delta.is_empty


def test_a_removed_endpoint_is_not_the_newest_one(cluster: PlannedCluster):
    shape = Shape(name="web", cluster_ip="10.111.1.1")
    subject = EndpointSubject("any", shape, Supply(), 3)
    cluster.take(*subject.arrive())

    *_, added, removed = subject.steps(turn=1)

    gone = addresses(cluster, *added.events) - addresses(cluster, *removed.events)
    assert gone == {"10.250.0.4"}


def addresses(cluster: PlannedCluster, *events: SourceEvent) -> set[str]:
    cluster.take(*events)
    key = ServicePortKey("bench", "web", "http", Protocol.TCP)
    return {format_addr(e.addr) for e in cluster.state.endpoints(Family.IPV4, key)}


def test_the_same_cast_twice_takes_the_same_steps():
    first, second = ([s for subject in subjects() for s in subject.steps(1)] for _ in "12")

    assert first == second


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (100, [100]), (250, [100, 100, 50])])
def test_slices_hold_up_to_a_hundred_endpoints(count: int, sizes: list[int]):
    answerers = [Answerer(f"10.0.0.{number}") for number in range(count)]

    slices = in_slices(answerers)

    assert [len(each) for each in slices] == sizes
