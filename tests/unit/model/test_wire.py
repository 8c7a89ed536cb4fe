"""Decoding what API servers send: absent, null, unknown, and wrong."""

from __future__ import annotations

import msgspec
import pytest

from nodeproxy.model.wire import Endpoints, EndpointSlice, Node, Service


def test_names_on_the_wire_are_those_of_kubernetes():
    text = b"""{"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "7"}, "spec": {
        "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "externalIPs": ["1.2.3.4"],
        "ipFamilies": ["IPv4"], "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local",
        "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 9}}, "healthCheckNodePort": 3,
        "ports": [{"nodePort": 30080, "port": 80, "targetPort": "http"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8", "ipMode": "VIP"}]}}}"""

    service = msgspec.json.decode(text, type=Service)

    spec = service.spec
    assert spec is not None
    assert spec.ports is not None
    assert spec.session_affinity_config is not None
    assert service.metadata.resource_version == "7"
    assert (spec.cluster_ip, spec.cluster_ips) == ("10.96.0.1", ["10.96.0.1"])
    assert (spec.external_ips, spec.ip_families) == (["1.2.3.4"], ["IPv4"])
    assert spec.load_balancer_source_ranges == ["10.0.0.0/8"]
    assert (spec.external_traffic_policy, spec.internal_traffic_policy) == ("Local", "Local")
    assert spec.session_affinity_config.client_ip is not None
    assert spec.session_affinity_config.client_ip.timeout_seconds == 9
    assert (spec.health_check_node_port, spec.ports[0].node_port) == (3, 30080)


@pytest.mark.parametrize("type_", [Service, EndpointSlice, Endpoints, Node])
def test_absent_and_null_are_the_same(type_: type[msgspec.Struct]):
    """Go servers send null for empty lists."""
    fields = [f.encode_name for f in msgspec.structs.fields(type_) if f.name != "metadata"]
    nulls = "{" + ", ".join(f'"{name}": null' for name in fields) + "}"

    assert msgspec.json.decode(nulls, type=type_) == msgspec.json.decode(b"{}", type=type_)


def test_unknown_fields_are_skipped():
    text = b'{"kind": "EndpointSlice", "addressType": "IPv4", "managedFields": [{"deep": [1]}]}'

    assert msgspec.json.decode(text, type=EndpointSlice).address_type == "IPv4"


def test_a_field_of_the_wrong_type_is_an_error_that_names_its_place():
    text = b'{"ports": [{"port": "eighty"}]}'

    with pytest.raises(msgspec.ValidationError, match=r"\$\.ports\[.*\]\.port"):
        msgspec.json.decode(text, type=EndpointSlice)
