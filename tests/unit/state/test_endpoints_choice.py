"""Two kinds of objects can tell endpoints: which of them counts, and how that changes at once."""

from __future__ import annotations

from nodeproxy.model.addresses import Family, format_addr
from nodeproxy.model.events import EndpointsChosen, Kind, SourceEvent
from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.state.cluster import Changes, ClusterState
from nodeproxy.state.triggers import TRIGGER_TIME_ANNOTATION
from tests.support.builders import (
    EndpointsBuilder,
    SliceBuilder,
    endpoints,
    service,
    slice_,
    upserted,
)

WEB = ServiceKey("default", "web")
SLICES, ENDPOINTS = EndpointsChosen(Kind.ENDPOINT_SLICE), EndpointsChosen(Kind.ENDPOINTS)


def sliced(*addresses: str, name: str = "web-1") -> SliceBuilder:
    builder = slice_(name, service="web").port(8080)
    for address in addresses:
        builder = builder.endpoint(address)
    return builder


def listed(*addresses: str) -> EndpointsBuilder:
    builder = endpoints("web").subset().port(8080)
    for address in addresses:
        builder = builder.address(address)
    return builder


class Cluster:
    """A state of which the endpoints of one Service are asked."""

    def __init__(self, *events: SourceEvent) -> None:
        self.state = ClusterState("n1", since=0.0)
        self.takes(*upserted(service("web").cluster_ip("10.96.0.1").port(80)), *events)

    def takes(self, *events: SourceEvent) -> Changes:
        return self.state.apply(events)

    @property
    def addresses(self) -> list[str]:
        key = ServicePortKey("default", "web", "", Protocol.TCP)
        return [format_addr(e.addr) for e in self.state.endpoints(Family.IPV4, key)]


def test_until_there_is_a_choice_both_kinds_count():
    cluster = Cluster(sliced("10.0.0.1").upserted(), listed("10.0.0.2").upserted())

    assert cluster.addresses == ["10.0.0.1", "10.0.0.2"]


def test_what_is_not_chosen_is_taken_beside_and_changes_nothing():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)

    changes = cluster.takes(listed("10.0.0.2").upserted())

    assert cluster.addresses == ["10.0.0.1"]
    assert changes.services == set()
    assert cluster.state.endpoint_count == 1


def test_a_choice_exchanges_the_endpoints_at_once():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)
    cluster.takes(listed("10.0.0.2", "10.0.0.3").upserted())

    changes = cluster.takes(ENDPOINTS)

    assert cluster.addresses == ["10.0.0.2", "10.0.0.3"]
    assert (changes.services, changes.has_other_endpoints) == ({WEB}, True)
    assert cluster.state.endpoint_count == 2


def test_what_was_not_chosen_does_not_come_back():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)
    cluster.takes(listed("10.0.0.2").upserted())
    cluster.takes(ENDPOINTS)

    cluster.takes(SLICES)

    assert cluster.addresses == []
    assert cluster.state.endpoint_count == 0


def test_a_choice_that_was_given_up_forgets_what_was_kept_beside():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)
    cluster.takes(listed("10.0.0.2").upserted())

    changes = cluster.takes(SLICES)
    cluster.takes(ENDPOINTS)

    assert (changes.services, changes.has_other_endpoints) == (set(), False)
    assert cluster.addresses == []


def test_a_slice_that_comes_back_after_a_choice_is_new():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)
    cluster.takes(ENDPOINTS)
    cluster.takes(sliced("10.0.0.9").upserted())

    cluster.takes(SLICES)

    assert cluster.addresses == ["10.0.0.9"]


def test_problems_of_the_kind_that_is_forgotten_are_over():
    cluster = Cluster(sliced("10.0.0.999").upserted(), SLICES)
    before = len(cluster.state.problems)

    cluster.takes(ENDPOINTS)

    assert (before, len(cluster.state.problems)) == (1, 0)


def test_a_choice_of_what_counts_already_changes_nothing():
    cluster = Cluster(sliced("10.0.0.1").upserted())

    changes = cluster.takes(SLICES)

    assert (changes.services, changes.has_other_endpoints) == (set(), False)
    assert cluster.addresses == ["10.0.0.1"]


def test_without_a_choice_again_both_kinds_count():
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)

    cluster.takes(EndpointsChosen(None), listed("10.0.0.2").upserted())

    assert cluster.addresses == ["10.0.0.1", "10.0.0.2"]


def test_how_old_the_objects_are_that_take_over_does_not_count():
    """EP-31 is about changes; these objects may have been written long ago."""
    cluster = Cluster(sliced("10.0.0.1").upserted(), SLICES)
    written = listed("10.0.0.2").annotation(TRIGGER_TIME_ANNOTATION, "2030-01-01T00:00:00Z")

    cluster.takes(ENDPOINTS, written.upserted())
    exchanged = cluster.state.take_triggers()
    cluster.takes(written.address("10.0.0.3").upserted())

    assert (exchanged, len(cluster.state.take_triggers())) == ([], 1)
