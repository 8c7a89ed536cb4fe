"""The destinations of a service port, in order and once each."""

from __future__ import annotations

from nodeproxy.model.addresses import Family
from nodeproxy.plan.frontends import frontends_of
from nodeproxy.state.services import service_ports_from
from tests.support.builders import ServiceBuilder, service


def described(builder: ServiceBuilder, family: Family = Family.IPV4) -> list[str]:
    ports, _ = service_ports_from(builder.build())
    (port,) = [port for port in ports if port.family is family]
    return [f"{frontend.kind} {frontend}" for frontend in frontends_of(port)]


def web() -> ServiceBuilder:
    return service("web").cluster_ip("10.96.0.10", "fd00::10").port(80)


def test_all_kinds_in_order():
    builder = web().node_port(30080).load_balancer_ip("5.6.7.8").external_ip("1.2.3.4", "1.2.3.3")

    assert described(builder) == [
        "ClusterIP 10.96.0.10:80/tcp",
        "ExternalIP 1.2.3.4:80/tcp",
        "ExternalIP 1.2.3.3:80/tcp",
        "LoadBalancerIP 5.6.7.8:80/tcp",
        "NodePort node:30080/tcp",
    ]


def test_each_family_has_its_own_and_both_have_the_node_port():
    builder = web().node_port(30080).external_ip("1.2.3.4", "2001:db8::1")

    assert described(builder, Family.IPV6) == [
        "ClusterIP [fd00::10]:80/tcp",
        "ExternalIP [2001:db8::1]:80/tcp",
        "NodePort node:30080/tcp",
    ]


def test_an_address_given_twice_is_one_destination():
    assert described(web().external_ip("1.2.3.4", "1.2.3.4")) == [
        "ClusterIP 10.96.0.10:80/tcp",
        "ExternalIP 1.2.3.4:80/tcp",
    ]


def test_an_external_ip_that_is_also_a_vip_is_the_vip():
    """SVC-61; so the source ranges hold for it, whichever way it is looked at (DP-40)."""
    builder = web().external_ip("1.2.3.4").load_balancer_ip("1.2.3.4")

    assert described(builder) == [
        "ClusterIP 10.96.0.10:80/tcp",
        "LoadBalancerIP 1.2.3.4:80/tcp",
    ]


def test_an_external_ip_that_is_also_the_cluster_ip_is_the_cluster_ip():
    assert described(web().external_ip("10.96.0.10")) == ["ClusterIP 10.96.0.10:80/tcp"]
