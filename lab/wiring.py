"""Links and routes between the namespaces of a lab, as lines of the `ip` command.

Pods hang on a veth and a host route each: without br_netfilter pods on one bridge would answer
each other past the node. Those outside share a bridge, the switch of the site, on which each
knows only whom it must: clients and pods of the far node send everything to the node, so that
questions and answers pass its rules, whoever asks.

All hardware addresses and neighbours are fixed, so that no ARP, no neighbour discovery and no
duplicate address detection delays the first packet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lab.namespace import Namespace

Pair = tuple[str, str]
"""An IPv4 and an IPv6 address, or networks."""

COMMON_SYSCTLS = {
    # No link-local addresses, no duplicate address detection: addresses work when they are set.
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    # Whoever is told a shorter way would pass the node by.
    "net.ipv6.conf.default.accept_redirects": "0",
    # `ping` asks without a raw socket.
    "net.ipv4.ping_group_range": "0 2147483647",
}
ROUTER_SYSCTLS = COMMON_SYSCTLS | {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    # The kernel sends one ICMP error a second to each peer; a test that counts refusals would
    # mistake the limit for a hang.
    "net.ipv4.icmp_ratemask": "0",
    "net.ipv6.icmp.ratelimit": "0",
    "net.ipv6.icmp.ratemask": "127",  # a type that is not sent: none has the limit of all peers
}
NODE_SYSCTLS = ROUTER_SYSCTLS | {
    # The callers of traffic.py use a port again after seconds; by then its former flow must be
    # forgotten.
    "net.netfilter.nf_conntrack_udp_timeout": "2",
    "net.netfilter.nf_conntrack_tcp_timeout_close": "2",
}
# The crowd's addresses are routes, not addresses of an interface; IPv6 wants that said before a
# datagram may come from one of them.
CROWD_SYSCTLS = COMMON_SYSCTLS | {"net.ipv6.ip_nonlocal_bind": "1"}

_POD_GATEWAYS = ("169.254.1.1", "fe80::1")
END_OF_THE_WORLD = """
table inet end-of-the-world {
  chain forward { type filter hook forward priority filter
    oifname "lo" meta nfproto ipv4 reject with icmp host-unreachable
    oifname "lo" reject with icmpv6 addr-unreachable
  }
}
"""
"""For the router, in nft's language: what it would send to itself has nowhere to go. Unreachable
routes would do without, but they answer one IPv4 packet a second of each sender, whatever the
settings of ICMP say."""


class Port(NamedTuple):
    """A namespace on the site's switch."""

    number: int
    """Unique; its hardware address ends in it."""
    namespace: Namespace
    addresses: Pair


class PodPort(NamedTuple):
    """A pod on a link of its own to the node."""

    number: int
    namespace: Namespace
    addresses: Pair
    networks: Pair | None = None
    """Networks the pod owns as a whole."""


class Site(NamedTuple):
    """Who is on the switch."""

    node: Port
    client: Port
    far_pods: Sequence[Port]
    router: Port


def link(site: Site, pods: Sequence[PodPort]) -> None:
    """Make the switch and all links; they are up afterwards, without addresses."""
    router = site.router.namespace
    router.ip(f"link add eth0 address {_mac(site.router.number)} type bridge", "link set eth0 up")
    for port in (site.node, site.client, *site.far_pods):
        name = f"to-{port.namespace.name}"
        router.ip(
            f"link add {name} type veth "
            f"peer name eth0 address {_mac(port.number)} netns {port.namespace.path}",
            f"link set {name} master eth0 up",
        )
        port.namespace.ip("link set lo up", "link set eth0 up")
    lines = []
    for pod in pods:
        name = pod.namespace.name
        lines += [
            f"link add {name} address {_mac(pod.number)} type veth "
            f"peer name eth0 address {_peer_mac(pod.number)} netns {pod.namespace.path}",
            f"link set {name} up",
        ]
    site.node.namespace.ip(*lines)


def node_lines(site: Site, pods: Sequence[PodPort], others: Pair, strangers: Pair) -> list[str]:
    """Addresses and routes of the node.

    Args:
        site: who is around.
        pods: who is on it.
        others: its further addresses; what it sends comes from the first pair all the same.
        strangers: addresses behind the client.
    """
    lines = [f"addr add {a}/{_length(a)} dev eth0" for a in site.node.addresses]
    # preferred_lft 0: never chosen as a source; what the node sends comes from the first pair.
    lines += [f"addr add {a}/{_length(a)} dev eth0 preferred_lft 0" for a in others]
    lines += _on_link(site.far_pods) + _neighbours(site.client, *site.far_pods, site.router)
    lines += _via(site.client, strangers)
    lines += _via(site.router, ("default", "default"))
    for pod in pods:
        name = pod.namespace.name
        for address in pod.addresses:
            lines += [f"route add {address} dev {name}"]
            lines += [_neighbour(address, _peer_mac(pod.number), name)]
        if pod.networks:
            lines += [
                f"route add {network} via {gateway} dev {name} onlink"
                for network, gateway in zip(pod.networks, pod.addresses, strict=True)
            ]
    return lines


def client_lines(site: Site, strangers: Pair) -> list[str]:
    """Addresses and routes of the client: everything but its neighbours is behind the node."""
    lines = [f"addr add {a}/{_length(a)} dev eth0" for a in site.client.addresses]
    lines += [f"addr add {a} dev eth0 preferred_lft 0" for a in strangers]
    return lines + _neighbours(site.node, site.router) + _via(site.node, ("default", "default"))


def far_pod_lines(site: Site, pod: Port) -> list[str]:
    """Addresses and routes of a pod of another node: all it knows is the first node."""
    lines = [f"addr add {address} dev eth0" for address in pod.addresses]
    lines += _on_link([site.node]) + _neighbours(site.node)
    return lines + _via(site.node, ("default", "default"))


def router_lines(site: Site, behind_node: Sequence[Pair], strangers: Pair) -> list[str]:
    """Addresses and routes of the router, the end of the world.

    What it does not know is unreachable, at once: a packet that no rule picked up ends in an
    error instead of a timeout. The routes lead to where END_OF_THE_WORLD says so.
    """
    lines = ["link set lo up"]
    lines += [f"addr add {a}/{_length(a)} dev eth0" for a in site.router.addresses]
    lines += _on_link(site.far_pods) + _neighbours(site.node, site.client, *site.far_pods)
    lines += _via(site.client, strangers)
    for pair in behind_node:
        lines += _via(site.node, pair)
    return [*lines, "route add 0.0.0.0/0 dev lo", "route add ::/0 dev lo"]


def pod_lines(pod: PodPort) -> list[str]:
    """Addresses and routes of a pod."""
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {address} dev eth0" for address in pod.addresses]
    lines += [f"route add {_POD_GATEWAYS[0]} dev eth0 scope link"]
    lines += [_neighbour(gateway, _mac(pod.number)) for gateway in _POD_GATEWAYS]
    lines += [f"route add default via {gateway} dev eth0" for gateway in _POD_GATEWAYS]
    lines += [f"route add local {network} dev lo" for network in pod.networks or ()]
    return lines


def _via(gateway: Port, networks: Pair) -> list[str]:
    return [
        f"route add {network} via {address} dev eth0"
        for network, address in zip(networks, gateway.addresses, strict=True)
    ]


def _on_link(ports: Sequence[Port]) -> list[str]:
    return [f"route add {address} dev eth0" for port in ports for address in port.addresses]


def _neighbours(*ports: Port) -> list[str]:
    return [_neighbour(a, _mac(port.number)) for port in ports for a in port.addresses]


def _neighbour(address: str, mac: str, device: str = "eth0") -> str:
    return f"neigh add {address} lladdr {mac} dev {device} nud permanent"


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _peer_mac(number: int) -> str:
    return f"02:00:00:00:01:{number:02x}"


def _length(address: str) -> int:
    return 64 if ":" in address else 24
