"""ServicePort: what counts as reachable from outside."""

from __future__ import annotations

from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.model.keys import Protocol, ServicePortKey
from nodeproxy.model.services import ServicePort

KEY = ServicePortKey("default", "web", "", Protocol.TCP)
ADDR = parse_addr("1.2.3.4")


def test_a_cluster_ip_alone_is_not_reachable_from_outside():
    """EP-41."""
    assert not ServicePort(KEY, Family.IPV4, ADDR, 80).is_externally_accessible


def test_each_way_in_makes_it_reachable():
    """EP-41."""
    ports = [
        ServicePort(KEY, Family.IPV4, ADDR, 80, node_port=30080),
        ServicePort(KEY, Family.IPV4, ADDR, 80, external_ips=(ADDR,)),
        ServicePort(KEY, Family.IPV4, ADDR, 80, load_balancer_ips=(ADDR,)),
    ]

    assert all(port.is_externally_accessible for port in ports)
