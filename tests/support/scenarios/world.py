"""The hosts every scenario has, and how they are written.

                       eth0                    interface pod-a, pod-b, ...
    client, stranger ---+--- node (lab-node) ---+--- pod-a .. pod-d
    far-a .. far-c -----+

`pod-a` in a manifest or a packet is its IPv4 address, `pod-a.v6` its IPv6 address.
"""

from __future__ import annotations

from nodeproxy.model.addresses import Addr, Family, format_addr, parse_addr
from nodeproxy.plan.types import Target
from tests.support.scenarios.model import Host, Place, Scenario

NODE_NAME = "lab-node"
NODE_ZONE = "zone-a"
FAR_NODE_NAME = "far-node"
FAR_ZONE = "zone-b"

DEFAULT_FLAGS = (
    f"--hostname-override={NODE_NAME}",
    "--feature-gates=EndpointSliceProxying=true",
    "--cluster-cidr=10.244.0.0/16,fd00:10:244::/56",
)
"""What the agent is started with; a scenario's own flags take their place by name."""

NODE_MANIFEST = """
kind: Node
metadata: {name: lab-node, labels: {topology.kubernetes.io/zone: zone-a}}
spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24, 'fd00:10:244::/64']}
status:
  addresses:
  - {type: InternalIP, address: 192.168.0.2}
  - {type: InternalIP, address: '2001:db8::2'}
  - {type: Hostname, address: lab-node}
"""
"""The node as the cluster knows it; a scenario may apply its own."""


def _host(name: str, place: Place, ipv4: str, ipv6: str) -> Host:
    return Host(name, place, parse_addr(ipv4), parse_addr(ipv6))


_ALL = (
    _host("node", Place.NODE, "192.168.0.2", "2001:db8::2"),
    _host("node-alt", Place.NODE, "192.168.1.2", "2001:db8:1::2"),
    _host("localhost", Place.NODE, "127.0.0.1", "::1"),
    *(
        _host(f"pod-{letter}", Place.POD_HERE, f"10.244.0.{n}", f"fd00:10:244::{n}")
        for n, letter in enumerate("abcd", 11)
    ),
    *(
        _host(f"far-{letter}", Place.ELSEWHERE, f"10.244.7.{n}", f"fd00:10:244:7::{n}")
        for n, letter in enumerate("abc", 11)
    ),
    _host("client", Place.ELSEWHERE, "192.168.0.9", "2001:db8::9"),
    _host("stranger", Place.ELSEWHERE, "203.0.113.130", "2001:db8:bad::130"),
)

HOSTS: dict[str, Host] = {host.name: host for host in _ALL}
"""All hosts by name. `node-alt` and `localhost` are the node with other addresses."""

NAMES: dict[str, Addr] = {
    **{host.name: host.ipv4 for host in _ALL},
    **{f"{host.name}.v6": host.ipv6 for host in _ALL},
}
"""Addresses by the names that manifests and packets use for them."""

_NAME_BY_ADDRESS = {addr: name for name, addr in NAMES.items()}


def node_addresses(scenario: Scenario) -> frozenset[Addr]:
    """Every local address of the node in a scenario, loopback included (fib type local)."""
    own = (host for host in _ALL if host.place is Place.NODE)
    return scenario.node_addresses.union(*((host.ipv4, host.ipv6) for host in own))


def address_text(addr: Addr) -> str:
    """The name of an address if it has one, as a scenario would write it."""
    return _NAME_BY_ADDRESS.get(addr) or format_addr(addr)


def target_text(target: Target) -> str:
    """`pod-a:80`, `pod-a.v6:80`, `10.0.0.1:80` or `[fd00::1]:80`."""
    name = _NAME_BY_ADDRESS.get(target.addr)
    return f"{name}:{target.port}" if name else str(target)


def host_address(host: Host, family: Family) -> str:
    """A host's address as text."""
    return format_addr(host.address(family))
