"""ServiceCIDRs: which networks ClusterIPs come from (EP-3, DP-11)."""

from __future__ import annotations

from nodeproxy.model.events import Kind, SourceEvent, Synced
from nodeproxy.model.wire import ServiceCIDR
from nodeproxy.state.cluster import Changes, ClusterState
from nodeproxy.state.service_cidrs import cidrs_from
from tests.support.builders import service, service_cidr

DEFAULT = service_cidr("kubernetes").cidr("10.96.0.0/16", "fd00:96::/112")


def known(state: ClusterState) -> list[str]:
    return [str(cidr) for cidr in state.service_cidrs]


def state_of(*events: SourceEvent) -> ClusterState:
    state = ClusterState("n1")
    state.apply(events)
    return state


def test_the_networks_of_all_objects_are_known_by_name_of_the_object():
    """TS-505: several CIDRs each; an object's own order is kept."""
    extra = service_cidr("extra").cidr("10.200.0.0/16", "10.100.0.0/16")

    state = state_of(DEFAULT.upserted(), extra.upserted())

    assert known(state) == ["10.200.0.0/16", "10.100.0.0/16", "10.96.0.0/16", "fd00:96::/112"]


def test_a_deleted_object_leaves_the_others():
    """TS-505."""
    extra = service_cidr("extra").cidr("10.200.0.0/16")

    state = state_of(DEFAULT.upserted(), extra.upserted(), extra.removed())

    assert known(state) == ["10.96.0.0/16", "fd00:96::/112"]


def test_a_network_of_two_objects_is_known_once():
    again = service_cidr("again").cidr("10.96.0.0/16")

    assert known(state_of(DEFAULT.upserted(), again.upserted())).count("10.96.0.0/16") == 1


def test_a_network_that_does_not_parse_is_reported_and_the_rest_used():
    cidrs, problems = cidrs_from(service_cidr("odd").cidr("10.96.0", "10.97.0.0/16").build())

    assert [str(cidr) for cidr in cidrs] == ["10.97.0.0/16"]
    assert list(map(str, problems)) == [
        'ServiceCIDR odd: spec.cidrs[0]: "10.96.0" is not a CIDR; nothing in it is dropped'
    ]


def test_an_object_without_networks_is_as_good_as_none():
    assert cidrs_from(ServiceCIDR()) == ((), ())


class TestChanges:
    def test_new_changed_and_deleted_networks_are_changes(self):
        state = ClusterState("n1")
        bigger = service_cidr("kubernetes").cidr("10.96.0.0/12")

        changes = [state.apply([e]) for e in (DEFAULT.upserted(), bigger.upserted())]
        changes.append(state.apply([bigger.removed()]))

        assert [c.service_cidrs_changed for c in changes] == [True, True, True]

    def test_an_edited_label_a_resync_and_an_unknown_removal_are_none(self):
        """EP-5."""
        state = state_of(DEFAULT.upserted())

        changes = state.apply(
            [
                DEFAULT.upserted(),
                service_cidr("kubernetes")
                .cidr("10.96.0.0/16", "fd00:96::/112")
                .label("edited", "yes")
                .upserted(),
                service_cidr("never-seen").removed(),
            ]
        )

        assert changes == Changes(services=set(), node_changed=False, problems=())

    def test_services_do_not_change_them(self):
        state = state_of(DEFAULT.upserted())

        changes = state.apply([service("web").cluster_ip("10.96.0.10").port(80).upserted()])

        assert not changes.service_cidrs_changed


def test_that_all_are_known_is_remembered():
    assert state_of(Synced(Kind.SERVICE_CIDR)).synced == {Kind.SERVICE_CIDR}
