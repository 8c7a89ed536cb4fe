"""ClusterState: what events change, and what they do not (TS-100, TS-200, SVC-40..47)."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import Family, format_addr_port
from nodeproxy.model.endpoints import Endpoint
from nodeproxy.model.events import Kind, Rejected, Removed, Synced, Upserted
from nodeproxy.model.keys import Protocol, ServiceKey, ServicePortKey
from nodeproxy.model.problems import Problem
from nodeproxy.state.cluster import ClusterState, ObjectKey
from nodeproxy.state.slices import HEADLESS_LABEL
from tests.support.builders import (
    ServiceBuilder,
    SliceBuilder,
    endpoints,
    node,
    service,
    slice_,
    upserted,
)

WEB = ServiceKey("default", "web")


@pytest.fixture
def state() -> ClusterState:
    return ClusterState("host1")


def look_up(
    state: ClusterState,
    service_name: str = "web",
    port_name: str = "port-0",
    *,
    namespace: str = "default",
    protocol: Protocol = Protocol.TCP,
    family: Family = Family.IPV4,
) -> tuple[Endpoint, ...]:
    key = ServicePortKey(namespace, service_name, port_name, protocol)
    return state.endpoints(family, key)


def texts(found: tuple[Endpoint, ...]) -> list[str]:
    return [format_addr_port(endpoint.addr, endpoint.port) for endpoint in found]


def generated(
    number: int,
    count: int,
    *,
    service_name: str = "web",
    namespace: str = "default",
    hosts: tuple[str, ...] = ("host1", "host2"),
    ports: tuple[int, ...] = (80, 443),
    unready: int = 0,
    terminating: int = 0,
    name: str | None = None,
) -> SliceBuilder:
    """The generator of TS-100: slice `number` has endpoints 10.0.number.1..count.

    Every `unready`-th is not ready, every `terminating`-th on its way out but serving.
    """
    builder = slice_(name or f"slice-{number}", service=service_name, namespace=namespace)
    for index, port in enumerate(ports):
        builder.port(port, f"port-{index}")
    for i in range(1, count + 1):
        text, host = f"10.0.{number}.{i}", hosts[(i - 1) % len(hosts)]
        if terminating and i % terminating == 0:
            builder.terminating(text, node=host)
        elif unready and i % unready == 0:
            builder.not_ready(text, node=host)
        else:
            builder.endpoint(text, node=host)
    return builder


class TestSlices:
    def test_one_slice_gives_its_endpoints_to_every_port(self, state: ClusterState):
        """TS-101."""
        state.apply(upserted(generated(1, 3, hosts=("host2", "host1"))))

        assert texts(look_up(state)) == ["10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80"]
        assert texts(look_up(state, port_name="port-1")) == [
            "10.0.1.1:443",
            "10.0.1.2:443",
            "10.0.1.3:443",
        ]
        assert [endpoint.is_local for endpoint in look_up(state)] == [False, True, False]

    def test_two_slices_of_one_service_add_up(self, state: ClusterState):
        """TS-102."""
        state.apply(upserted(generated(2, 3), generated(1, 3)))

        assert texts(look_up(state)) == [
            "10.0.1.1:80",
            "10.0.1.2:80",
            "10.0.1.3:80",
            "10.0.2.1:80",
            "10.0.2.2:80",
            "10.0.2.3:80",
        ]

    def test_a_slice_of_the_same_name_replaces(self, state: ClusterState):
        """TS-103, EP-11."""
        state.apply(upserted(generated(1, 3, name="same"), generated(1, 4, name="same")))

        assert len(look_up(state)) == 4

    def test_readiness_is_that_of_the_last_version(self, state: ClusterState):
        """TS-104."""
        state.apply(upserted(generated(1, 10, unready=3, name="same")))
        state.apply(upserted(generated(1, 10, unready=6, name="same")))

        unready = [endpoint.addr[-1] for endpoint in look_up(state) if not endpoint.ready]
        assert unready == [6]

    def test_terminating_and_not_ready_are_told_apart(self, state: ClusterState):
        """TS-105."""
        state.apply(upserted(generated(1, 10, unready=6, terminating=5)))

        found = {endpoint.addr[-1]: endpoint for endpoint in look_up(state)}
        for number in (5, 10):
            endpoint = found[number]
            assert (endpoint.ready, endpoint.serving, endpoint.terminating) == (False, True, True)
        assert (found[6].ready, found[6].serving, found[6].terminating) == (False, False, False)

    def test_endpoints_that_are_not_ready_are_kept(self, state: ClusterState):
        """TS-106."""
        state.apply(upserted(generated(1, 10, unready=1)))

        assert len(look_up(state)) == 10
        assert not any(endpoint.ready or endpoint.serving for endpoint in look_up(state))

    def test_services_and_namespaces_do_not_mix(self, state: ClusterState):
        """TS-107."""
        state.apply(
            upserted(
                generated(1, 1, service_name="svc1", namespace="ns1"),
                generated(2, 1, service_name="svc2", namespace="ns1"),
                generated(3, 1, service_name="svc1", namespace="ns2"),
            )
        )

        assert texts(look_up(state, "svc1", namespace="ns1")) == ["10.0.1.1:80"]

    def test_slices_of_one_name_in_two_namespaces_are_two(self, state: ClusterState):
        first = generated(1, 1, namespace="ns1", name="same")
        second = generated(2, 1, namespace="ns2", name="same")
        state.apply(upserted(first, second))

        state.apply([first.removed()])

        assert texts(look_up(state, namespace="ns1")) == []
        assert texts(look_up(state, namespace="ns2")) == ["10.0.2.1:80"]

    def test_updating_one_slice_leaves_the_other(self, state: ClusterState):
        """TS-203."""
        state.apply(upserted(generated(1, 3), generated(2, 2, hosts=("host2",))))

        state.apply(upserted(generated(1, 5, hosts=("host1",))))

        assert [endpoint.is_local for endpoint in look_up(state)] == [True] * 5 + [False] * 2

    def test_a_third_slice_may_overlap_with_fewer_ports(self, state: ClusterState):
        """TS-204."""
        state.apply(upserted(generated(1, 3), generated(2, 2)))

        state.apply(upserted(generated(1, 5, name="slice-3", ports=(80,))))

        assert len(look_up(state)) == 7
        assert len(look_up(state, port_name="port-1")) == 5

    def test_removing_a_slice_leaves_the_others(self, state: ClusterState):
        """TS-205."""
        state.apply(upserted(generated(1, 3), generated(2, 2)))

        changes = state.apply([generated(1, 9).removed()])

        assert changes.services == {WEB}
        assert texts(look_up(state)) == ["10.0.2.1:80", "10.0.2.2:80"]

    def test_removing_one_of_two_slices_with_the_same_endpoint_keeps_it(self, state: ClusterState):
        """TS-113."""
        first, second = generated(1, 1, name="a"), generated(1, 1, name="b")
        state.apply(upserted(first, second))

        state.apply([first.removed()])

        assert texts(look_up(state)) == ["10.0.1.1:80"]

    def test_a_port_that_goes_takes_its_endpoints_along_and_no_others(self, state: ClusterState):
        """TS-208."""
        state.apply(upserted(generated(1, 3)))

        changes = state.apply(upserted(generated(1, 3, ports=(80,))))

        assert changes.services == {WEB}
        assert len(look_up(state)) == 3
        assert look_up(state, port_name="port-1") == ()

    def test_a_relabelled_slice_moves_to_its_new_service(self, state: ClusterState):
        """EP-15 [N]; the peer leaves the endpoints at the old Service."""
        state.apply(upserted(generated(1, 1, name="s")))

        changes = state.apply(upserted(generated(1, 1, name="s", service_name="shop")))

        assert changes.services == {WEB, ServiceKey("default", "shop")}
        assert texts(look_up(state)) == []
        assert texts(look_up(state, "shop")) == ["10.0.1.1:80"]

    @pytest.mark.parametrize(
        "builder",
        [
            pytest.param(slice_("s", service=None).port(80).endpoint("10.0.1.1"), id="no label"),
            pytest.param(generated(1, 1, name="s").label(HEADLESS_LABEL), id="headless"),
            pytest.param(
                slice_("s", service="web", address_type="FQDN").endpoint("x.example"), id="FQDN"
            ),
        ],
    )
    def test_a_slice_that_belongs_to_nobody_any_more_leaves_its_service(
        self, state: ClusterState, builder: SliceBuilder
    ):
        state.apply(upserted(generated(1, 1, name="s")))

        changes = state.apply(upserted(builder))

        assert changes.services == {WEB}
        assert texts(look_up(state)) == []

    def test_the_source_order_that_decides_is_that_of_names(self, state: ClusterState):
        """EP-24: of two equal records the one in the last slice by name counts."""
        a = slice_("a", service="web").port(80, "port-0").endpoint("10.0.0.1", node="host1")
        b = slice_("b", service="web").port(80, "port-0").endpoint("10.0.0.1", node="host2")
        other = ClusterState("host1")

        state.apply(upserted(a, b))
        other.apply(upserted(b, a))

        assert look_up(state) == look_up(other)
        assert not look_up(state)[0].is_local

    def test_everything_removed_leaves_nothing_behind(self, state: ClusterState):
        """TS-112, EP-12."""
        builders = [
            generated(1, 2),
            generated(2, 2),
            generated(3, 2, service_name="svc2"),
            generated(4, 2, namespace="ns2"),
        ]
        state.apply(upserted(*builders))

        state.apply([builder.removed() for builder in builders])

        empty = ClusterState("host1")
        assert vars(state) == vars(empty)

    def test_both_families_of_a_service_have_slices_of_their_own(self, state: ClusterState):
        v6 = slice_("web-6", service="web", address_type="IPv6").port(80, "port-0")
        state.apply(upserted(generated(1, 1), v6.endpoint("fd00::1")))

        assert texts(look_up(state)) == ["10.0.1.1:80"]
        assert texts(look_up(state, family=Family.IPV6)) == ["[fd00::1]:80"]


def test_addresses_are_counted_as_they_come_and_go(state: ClusterState):
    counts = []
    for event in (
        generated(1, 3).upserted(),
        endpoints("web").address("10.0.0.1").address("fd00::1").port(80).upserted(),
        generated(1, 5, unready=2).upserted(),
        generated(1, 5).removed(),
        endpoints("web").removed(),
    ):
        state.apply([event])
        counts.append(state.endpoint_count)

    assert counts == [3, 5, 7, 2, 0]


class TestWhatCountsAsAChange:
    def test_a_new_slice_does_and_its_repetition_does_not(self, state: ClusterState):
        """TS-201."""
        first = state.apply(upserted(generated(1, 3)))
        second = state.apply(upserted(generated(1, 3)))

        assert (first.services, second.services) == ({WEB}, set())

    def test_a_host_name_slice_does_not(self, state: ClusterState):
        """TS-202."""
        builder = slice_("s", service="web", address_type="FQDN").port(80).endpoint("x.example")

        assert state.apply(upserted(builder)).services == set()

    def test_metadata_does_not(self, state: ClusterState):
        """EP-14 would sync; here derived records are compared."""
        state.apply(upserted(generated(1, 3)))

        changed = generated(1, 3).version("99").annotation("note", "x").label("team", "shop")

        assert state.apply(upserted(changed)).services == set()

    @pytest.mark.parametrize(
        ("changed", "expected"),
        [
            pytest.param(generated(1, 3, ports=(443, 80)), True, id="port numbers swapped"),
            pytest.param(generated(1, 3, ports=(80,)), True, id="port removed"),
            pytest.param(generated(1, 3, ports=(80, 443, 8443)), True, id="port added"),
            pytest.param(generated(1, 4), True, id="endpoint added"),
            pytest.param(generated(1, 2), True, id="endpoint removed"),
            pytest.param(generated(1, 3, unready=1), True, id="ready to not ready"),
            pytest.param(generated(1, 3, terminating=2), True, id="ready to terminating"),
            pytest.param(generated(1, 3, hosts=("host3",)), True, id="another node"),
            pytest.param(generated(1, 3), False, id="nothing"),
        ],
    )
    def test_content_does(self, state: ClusterState, changed: SliceBuilder, expected: bool):
        """TS-111, TS-207."""
        state.apply(upserted(generated(1, 3)))

        assert (state.apply(upserted(changed)).services == {WEB}) is expected

    def test_the_order_of_endpoints_does_not(self, state: ClusterState):
        """Differs from TS-111: the merged list is the same."""
        forth = slice_("s", service="web").port(80).endpoint("10.0.0.1").endpoint("10.0.0.2")
        back = slice_("s", service="web").port(80).endpoint("10.0.0.2").endpoint("10.0.0.1")
        state.apply(upserted(forth))

        assert state.apply(upserted(back)).services == set()

    def test_removing_what_is_unknown_does_not(self, state: ClusterState):
        """TS-206, TS-211."""
        changes = state.apply(
            [
                generated(1, 1).removed(),
                service("web").removed(),
                endpoints("web").removed(),
                node("host1").removed(),
            ]
        )

        assert (changes.services, changes.node_changed) == (set(), False)

    def test_input_objects_stay_as_they_are(self, state: ClusterState):
        """TS-114, EP-16."""
        event = generated(1, 3).upserted()

        state.apply([event])

        assert event == generated(1, 3).upserted()

    def test_a_group_of_changes_names_every_service(self, state: ClusterState):
        """TS-209, the complex case."""
        state.apply(
            upserted(
                generated(1, 2, namespace="ns1"),
                generated(2, 2, namespace="ns2"),
                generated(4, 3, namespace="ns4"),
            )
        )

        changes = state.apply(
            [
                generated(1, 3, namespace="ns1").upserted(),
                generated(2, 2, namespace="ns2").removed(),
                generated(3, 1, namespace="ns3").upserted(),
                generated(4, 1, namespace="ns4").upserted(),
            ]
        )

        assert changes.services == {ServiceKey(f"ns{n}", "web") for n in (1, 2, 3, 4)}


class TestServices:
    def test_added_changed_and_removed(self, state: ClusterState):
        """SVC-47, TS-308."""
        builders = [
            service(f"s{n}").cluster_ip(f"10.96.0.{n}").port(80, "a").port(81, "b")
            for n in range(1, 5)
        ]
        added = state.apply(upserted(*builders))
        entries = sum(len(ports) for ports in state.services.values())

        renamed = service("s1").cluster_ip("10.96.0.1").port(80, "c")
        changed = state.apply([renamed.upserted(), *(b.removed() for b in builders[1:])])

        assert (len(added.services), entries) == (4, 8)
        assert len(changed.services) == 4
        assert [str(port.key) for port in state.services[ServiceKey("default", "s1")]] == [
            "default/s1:c"
        ]
        assert len(state.services) == 1

    def test_the_same_object_again_is_no_change(self, state: ClusterState):
        """SVC-42, SVC-47, EP-5."""
        state.apply(upserted(service("web").cluster_ip("10.96.0.1").port(80)))

        again = service("web").cluster_ip("10.96.0.1").port(80).version("2").annotation("a", "b")

        assert state.apply(upserted(again)).services == set()

    def test_health_check_ports_come_and_go_with_the_type(self, state: ClusterState):
        """SVC-47, TS-308."""

        def plain() -> None:
            state.apply(upserted(service("web").cluster_ip("10.96.0.1").port(80)))

        def balanced() -> None:
            builder = service("web").cluster_ip("10.96.0.1").port(80)
            state.apply(upserted(builder.type("LoadBalancer").local().health_check(345)))

        seen = []
        for step in (plain, balanced, plain):
            step()
            seen.append(state.services[WEB][0].health_check_node_port)

        assert seen == [0, 345, 0]

    @pytest.mark.parametrize(
        "turned",
        [
            service("web").cluster_ip("None").port(80),
            service("web").type("ExternalName").port(80),
            service("web")
            .cluster_ip("10.96.0.1")
            .port(80)
            .label("service.kubernetes.io/service-proxy-name", ""),
        ],
        ids=["headless", "ExternalName", "another proxy"],
    )
    def test_a_service_that_is_not_served_any_more_is_gone(
        self, state: ClusterState, turned: ServiceBuilder
    ):
        """SVC-44."""
        state.apply(upserted(service("web").cluster_ip("10.96.0.1").port(80)))

        changes = state.apply(upserted(turned))

        assert changes.services == {WEB}
        assert state.services == {}

    def test_added_and_removed_in_one_round_leaves_nothing(self, state: ClusterState):
        """SVC-40, TS-309; the planner sees that nothing came of it."""
        builder = service("web").cluster_ip("10.96.0.1").port(80)

        state.apply([builder.upserted(), builder.removed()])

        assert state.services == {}


class TestEndpointsObjects:
    def test_they_feed_the_service_of_their_name(self, state: ClusterState):
        """EPS-2, TS-1401."""
        state.apply(upserted(endpoints("web").address("10.0.0.1", node="host1").port(80, "port-0")))

        (endpoint,) = look_up(state)

        assert (endpoint.ready, endpoint.serving, endpoint.terminating) == (True, True, False)
        assert endpoint.is_local

    def test_subsets_with_one_port_name_are_united(self, state: ClusterState):
        """EPS-8, EPS-9, TS-1406."""
        builder = (
            endpoints("web")
            .address("10.0.0.2")
            .address("10.0.0.1")
            .port(80, "port-0")
            .subset()
            .address("10.0.0.1")
            .port(81, "port-0")
            .subset()
            .address("10.0.0.1")
            .port(80, "port-0")
        )

        state.apply(upserted(builder))

        assert texts(look_up(state)) == ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"]

    @pytest.mark.parametrize("how", ["empty subsets", "deleted"])
    def test_nothing_left_removes_all_endpoints(self, state: ClusterState, how: str):
        """EPS-11, EPS-12, TS-1407."""
        full = endpoints("web").address("10.0.0.1").address("fd00::1").port(80, "port-0")
        state.apply(upserted(full))

        event = full.removed() if how == "deleted" else endpoints("web").upserted()
        changes = state.apply([event])

        assert changes.services == {WEB}
        assert look_up(state) == look_up(state, family=Family.IPV6) == ()

    def test_there_and_back_again_is_no_difference(self, state: ClusterState):
        """TS-1408: the records are what they were."""
        one = endpoints("web").address("10.0.0.1").port(80, "port-0")
        other = endpoints("web").address("10.0.0.2").port(80, "port-0")
        state.apply(upserted(one))
        before = look_up(state)

        state.apply(upserted(other, one))

        assert look_up(state) == before

    def test_the_same_content_in_slices_gives_the_same_endpoints(self, state: ClusterState):
        """EPS-15, TS-1411."""
        other = ClusterState("host1")

        state.apply(upserted(generated(1, 3)))
        builder = endpoints("web").port(80, "port-0").port(443, "port-1")
        for i in (1, 2, 3):
            builder.address(f"10.0.1.{i}", node=("host1", "host2")[(i - 1) % 2])
        other.apply(upserted(builder))

        assert look_up(state) == look_up(other)

    def test_slices_and_endpoints_of_one_service_are_united(self, state: ClusterState):
        same_name = slice_("web", service="web").port(80, "port-0").endpoint("10.0.0.1")

        state.apply(upserted(same_name, endpoints("web").address("10.0.0.2").port(80, "port-0")))
        state.apply([endpoints("web").removed()])

        assert texts(look_up(state)) == ["10.0.0.1:80"]


class TestOwnNode:
    def test_only_the_own_node_counts(self, state: ClusterState):
        changes = state.apply(upserted(node("host2").zone("b")))

        assert (state.node, changes.node_changed) == (None, False)

    def test_what_matters_of_it_is_a_change(self, state: ClusterState):
        """EP-54."""
        state.apply(upserted(node("host1").zone("a")))

        changed = state.apply(upserted(node("host1").zone("b")))
        same = state.apply(upserted(node("host1").zone("b").label("other", "x")))

        assert (changed.node_changed, same.node_changed) == (True, False)

    def test_a_deleted_node_is_remembered(self, state: ClusterState):
        """EP-54, NODE-5."""
        state.apply(upserted(node("host1").zone("a").internal_ip("10.0.0.1")))
        before = state.node

        changes = state.apply([node("host1").removed()])

        assert (state.node, changes.node_changed) == (before, False)


class TestSynced:
    def test_each_kind_is_noted(self, state: ClusterState):
        state.apply([Synced(Kind.SERVICE), Synced(Kind.ENDPOINTS)])

        assert state.synced == {Kind.SERVICE, Kind.ENDPOINTS}

    def test_events_before_it_count(self, state: ClusterState):
        """EP-61."""
        state.apply(upserted(generated(1, 1)))

        state.apply([Synced(Kind.ENDPOINT_SLICE)])

        assert texts(look_up(state)) == ["10.0.1.1:80"]


class TestProblems:
    BAD = service("web").cluster_ip("10.96.0.1").port(80).external_ip("foo")

    def test_a_problem_is_told_once_as_long_as_it_lasts(self, state: ClusterState):
        first = state.apply(upserted(self.BAD))
        second = state.apply(upserted(self.BAD))

        assert [problem.field for problem in first.problems] == ["spec.externalIPs[0]"]
        assert second.problems == ()
        assert state.problems[ObjectKey(Kind.SERVICE, "default", "web")] == first.problems

    def test_only_the_new_problem_of_an_object_is_told(self, state: ClusterState):
        state.apply(upserted(self.BAD))
        worse = service("web").cluster_ip("10.96.0.1").port(80).external_ip("foo", "bar")

        changes = state.apply(upserted(worse))

        assert [problem.field for problem in changes.problems] == ["spec.externalIPs[1]"]

    def test_a_mended_object_has_none_and_a_relapse_is_told(self, state: ClusterState):
        state.apply(upserted(self.BAD))
        state.apply(upserted(service("web").cluster_ip("10.96.0.1").port(80)))
        assert state.problems == {}

        assert len(state.apply(upserted(self.BAD)).problems) == 1

    def test_a_removed_object_takes_its_problems_along(self, state: ClusterState):
        state.apply(upserted(self.BAD))

        state.apply([self.BAD.removed()])

        assert state.problems == {}

    def test_a_bad_object_does_not_stop_the_others(self, state: ClusterState):
        bad = slice_("bad", service="web").port(0).endpoint("nonsense")

        state.apply(upserted(bad, generated(1, 1)))

        assert texts(look_up(state)) == ["10.0.1.1:80"]

    def test_objects_of_one_name_and_different_kind_are_told_apart(self, state: ClusterState):
        bad_endpoints = endpoints("web").address("nonsense").port(80)

        state.apply(upserted(self.BAD, bad_endpoints))

        assert {key.kind for key in state.problems} == {Kind.SERVICE, Kind.ENDPOINTS}


class TestRejectedObjects:
    PROBLEM = Problem("EndpointSlice default/slice-1", "", "no JSON; former content stays")

    def rejected(self) -> Rejected:
        return Rejected(Kind.ENDPOINT_SLICE, "default", "slice-1", self.PROBLEM)

    def test_what_was_known_stays_in_force(self, state: ClusterState):
        state.apply(upserted(generated(1, 2)))

        changes = state.apply([self.rejected()])

        assert (changes.services, changes.problems) == (set(), (self.PROBLEM,))
        assert len(look_up(state)) == 2

    def test_it_is_told_once(self, state: ClusterState):
        state.apply([self.rejected()])

        assert state.apply([self.rejected()]).problems == ()

    def test_a_good_version_ends_it(self, state: ClusterState):
        state.apply([self.rejected()])

        state.apply(upserted(generated(1, 2)))

        assert state.problems == {}


def test_events_are_applied_in_order(state: ClusterState):
    state.apply([generated(1, 1).upserted(), generated(1, 1).removed(), generated(1, 2).upserted()])

    assert len(look_up(state)) == 2


def test_any_iterable_of_events_will_do(state: ClusterState):
    event = service("web").cluster_ip("10.96.0.1").port(80).upserted()

    changes = state.apply(e for e in (event, Removed(Kind.SERVICE, "x", "y")))

    assert changes.services == {WEB}
    assert isinstance(event, Upserted)
