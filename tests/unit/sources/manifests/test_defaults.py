"""What an API server would have filled in, and what it would have refused."""

from __future__ import annotations

import msgspec
import pytest

from nodeproxy.model.wire import ApiObject, Endpoints, EndpointSlice, Node, Service
from nodeproxy.sources.manifests.defaults import Unusable, oddities, with_defaults


def service(**spec: object) -> Service:
    found = with_defaults(msgspec.convert({"metadata": {"name": "web"}, "spec": spec}, Service))
    assert isinstance(found, Service)
    return found


def refused(found: ApiObject) -> Unusable:
    with pytest.raises(Unusable) as caught:
        with_defaults(found)
    return caught.value


def refused_service(**spec: object) -> Unusable:
    return refused(msgspec.convert({"metadata": {"name": "web"}, "spec": spec}, Service))


def test_service_gets_its_type_protocol_and_family():
    spec = service(clusterIP="10.96.0.10", ports=[{"port": 80}]).spec

    assert spec is not None
    assert (spec.type, spec.cluster_ips, spec.ip_families) == (
        "ClusterIP",
        ["10.96.0.10"],
        ["IPv4"],
    )
    assert spec.ports is not None
    assert spec.ports[0].protocol == "TCP"


def test_families_of_a_dual_stack_service_follow_its_addresses():
    spec = service(clusterIPs=["fd00::10", "10.96.0.10"]).spec

    assert spec is not None
    assert (spec.cluster_ip, spec.ip_families) == ("fd00::10", ["IPv6", "IPv4"])


def test_what_is_written_stays_as_it_is():
    spec = service(
        clusterIP="10.96.0.10",
        clusterIPs=["10.96.0.10", "fd00::10"],
        ipFamilies=["IPv4"],
        type="NodePort",
        ports=[{"port": 53, "protocol": "UDP", "nodePort": 30053}],
    ).spec

    assert spec is not None
    assert (spec.type, spec.ip_families) == ("NodePort", ["IPv4"])
    assert spec.ports is not None
    assert (spec.ports[0].protocol, spec.ports[0].node_port) == ("UDP", 30053)


def test_address_that_is_none_leaves_the_families_open():
    spec = service(clusterIP="10.96.0").spec

    assert spec is not None
    assert spec.ip_families is None


def test_service_without_an_address_is_refused_with_the_remedy():
    error = refused_service(ports=[{"port": 80}])

    assert error.field == "spec.clusterIP"
    assert "set spec.clusterIP to a free address" in error.reason


def test_service_whose_addresses_disagree_is_refused():
    error = refused_service(clusterIP="10.96.0.10", clusterIPs=["10.96.0.11"])

    assert str(error) == (
        'spec.clusterIPs: begins with "10.96.0.11" but spec.clusterIP is "10.96.0.10"; '
        "make them equal or leave one out"
    )


def test_service_without_a_spec_is_refused():
    assert refused(Service()).field == "spec"


def test_external_name_needs_no_address():
    spec = service(type="ExternalName").spec

    assert spec is not None
    assert spec.cluster_ip is None


def test_slice_ports_get_an_empty_name_and_tcp():
    raw = {
        "metadata": {"labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"}],
    }

    found = with_defaults(msgspec.convert(raw, EndpointSlice))

    assert isinstance(found, EndpointSlice)
    assert [(p.name, p.protocol) for p in found.ports or ()] == [("", "TCP"), ("dns", "UDP")]


def test_slice_of_no_service_is_refused_with_the_remedy():
    error = refused(msgspec.convert({"addressType": "IPv4"}, EndpointSlice))

    assert error.field == "metadata.labels"
    assert "kubernetes.io/service-name is missing" in error.reason


def test_slice_without_an_address_type_is_refused():
    raw = {"metadata": {"labels": {"kubernetes.io/service-name": "web"}}}

    error = refused(msgspec.convert(raw, EndpointSlice))

    assert str(error) == "addressType: missing; write IPv4 or IPv6"


def test_endpoints_ports_get_an_empty_name_and_tcp():
    raw = {"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 8080}]}]}

    found = with_defaults(msgspec.convert(raw, Endpoints))

    assert isinstance(found, Endpoints)
    assert found.subsets is not None
    assert [(p.name, p.protocol) for p in found.subsets[0].ports or ()] == [("", "TCP")]


def test_pod_cidr_of_a_node_is_the_only_one_unless_more_are_written():
    node = with_defaults(msgspec.convert({"spec": {"podCIDR": "10.1.0.0/24"}}, Node))
    bare = with_defaults(Node())

    assert isinstance(node, Node)
    assert node.spec is not None
    assert node.spec.pod_cidrs == ["10.1.0.0/24"]
    assert bare == Node()


def test_node_port_that_nobody_allocates_is_odd():
    found = service(
        clusterIP="10.96.0.10", type="NodePort", ports=[{"port": 1, "nodePort": 30001}, {"port": 2}]
    )

    assert [field for field, _ in oddities(found)] == ["spec.ports[1].nodePort"]


def test_service_without_ports_is_odd():
    found = service(clusterIP="10.96.0.10")

    assert list(oddities(found)) == [("spec.ports", "no ports; nothing leads to this Service")]


def test_other_kinds_are_never_odd():
    assert list(oddities(Node())) == []
