"""A cluster that makes the iptables backend write every kind of rule it knows."""

from __future__ import annotations

from nodeproxy.model.addresses import parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.plan.settings import PlanOptions
from tests.support.builders import (
    ServiceBuilder,
    SliceBuilder,
    node,
    service,
    slice_,
    upserted,
)
from tests.support.programming import OWN_NODE

OPTIONS = PlanOptions(
    cluster_cidrs=(parse_cidr("10.244.0.0/16"), parse_cidr("fd00:10:244::/56")),
    node_port_addresses=(),
)

_IPV4, _IPV6 = "10.96.0.", "fd00:96::"


def every_kind_of_rule() -> list[SourceEvent]:
    """Both families; all protocols; policies, affinity, ranges, refusals, health checks."""
    return [
        *upserted(node(OWN_NODE).internal_ip("192.168.0.2").internal_ip("2001:db8::2")),
        *_serving("web", 1, 3),
        *_serving("dns", 2, 2, protocol="UDP"),
        *_serving("signals", 3, 1, protocol="SCTP"),
        *upserted(
            _service("sticky", 4).port(80).affinity(3600),
            _service("outside", 5)
            .port(443)
            .node_port(30443)
            .external_ip("198.51.100.7", "2001:db8:e::7")
            .load_balancer_ip("1.2.3.4", "2001:db8:f::4")
            .source_range("192.168.0.0/24", "203.0.113.0/24", "2001:db8::/64")
            .local()
            .health_check(31234),
            _service("empty", 6).port(80).node_port(30080).external_ip("198.51.100.8"),
            _service("elsewhere", 7).port(80).internal_local().local().node_port(30081),
            *_slices("sticky", 4, 3),
            *_slices("outside", 5, 3),
            slice_("elsewhere-4", service="elsewhere").port(80).endpoint("10.244.9.1", node="n2"),
        ),
    ]


def _serving(name: str, number: int, endpoints: int, protocol: str = "TCP") -> list[SourceEvent]:
    served = _service(name, number).port(53, "p", protocol)
    return upserted(served, *_slices(name, number, endpoints, "p", protocol))


def _service(name: str, number: int) -> ServiceBuilder:
    return service(name).cluster_ip(f"{_IPV4}{number}", f"{_IPV6}{number}")


def _slices(
    name: str, number: int, endpoints: int, port: str = "", protocol: str = "TCP"
) -> list[SliceBuilder]:
    """One of each family; the first endpoint is on this node."""
    ipv4 = slice_(f"{name}-4", service=name).port(8080, port, protocol)
    ipv6 = slice_(f"{name}-6", service=name, address_type="IPv6").port(8080, port, protocol)
    for index in range(endpoints):
        where = OWN_NODE if index == 0 else "n2"
        ipv4.endpoint(f"10.244.{number}.{index + 1}", node=where)
        ipv6.endpoint(f"fd00:10:244:{number}::{index + 1}", node=where)
    return [ipv4, ipv6]
