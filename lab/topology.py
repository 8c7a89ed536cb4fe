"""The private node: a forwarding namespace, pods on a veth and host route each, and a client.

No bridge: without br_netfilter pods on one bridge would answer each other past the node. All
hardware addresses and neighbours are fixed, so that no ARP, no neighbour discovery and no
duplicate address detection delays the first packet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from lab.namespace import Namespace
from lab.server import Server

NODE_NAME = "lab-node"
CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:10:244::/56")
NODE_ADDRESSES = ("192.168.0.2", "2001:db8::2")
NODE_OTHER_ADDRESSES = ("192.168.1.2", "2001:db8:1::2")
"""A second address pair on the same link, for what only some node addresses do."""
CLIENT_ADDRESSES = ("192.168.0.9", "2001:db8::9")
CROWD_CIDRS = ("10.244.1.0/24", "fd00:10:244:1::/64")

_POD_GATEWAYS = ("169.254.1.1", "fe80::1")
_CLIENT_NUMBER = 0
_CROWD_NUMBER = 99
_FIRST_POD_NUMBER = 11

_COMMON_SYSCTLS = {
    # No link-local addresses, no duplicate address detection: addresses work when they are set.
    "net.ipv6.conf.default.addr_gen_mode": "1",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
}
_ROUTER_SYSCTLS = _COMMON_SYSCTLS | {
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
}
_NODE_SYSCTLS = _ROUTER_SYSCTLS | {
    # The callers of traffic.py use a port again after seconds; by then its former flow must be
    # forgotten.
    "net.netfilter.nf_conntrack_udp_timeout": "2",
    "net.netfilter.nf_conntrack_tcp_timeout_close": "2",
}

# The crowd's addresses are routes, not addresses of an interface; IPv6 wants that said before a
# datagram may come from one of them.
_CROWD_SYSCTLS = _COMMON_SYSCTLS | {"net.ipv6.ip_nonlocal_bind": "1"}


class Pod(msgspec.Struct, frozen=True, eq=False):
    """A pod: its namespace and its address in each family."""

    namespace: Namespace
    ipv4: str
    ipv6: str

    @property
    def name(self) -> str:
        """Unique within the lab."""
        return self.namespace.name

    @property
    def addresses(self) -> tuple[str, str]:
        """IPv4, IPv6."""
        return (self.ipv4, self.ipv6)


class Lab:
    """A running node with pods and a client; make one with `private_node`."""

    def __init__(self, node: Namespace, client: Namespace, pods: Sequence[Pod], crowd: Pod) -> None:
        self.node = node
        self.client = client
        self.pods = pods
        self.crowd = crowd
        """One pod that owns all of CROWD_CIDRS, for Services with hundreds of endpoints."""
        self._servers: list[Server] = []

    def serve(self, *, tcp: Iterable[int] = (), udp: Iterable[int] = ()) -> None:
        """Let every pod answer on these ports."""
        tcp, udp = tuple(tcp), tuple(udp)
        for pod in (*self.pods, self.crowd):
            self._servers.append(Server(pod.namespace, tcp=tcp, udp=udp))

    def serve_on_node(self, *, tcp: Iterable[int] = (), udp: Iterable[int] = ()) -> None:
        """Let the node itself answer on these ports, as a pod on the host's network does."""
        self._servers.append(Server(self.node, tcp=tcp, udp=udp))

    def crowd_addresses(self, count: int) -> list[tuple[str, str]]:
        """Return IPv4 and IPv6 addresses of the crowd, up to 250."""
        return [(f"10.244.1.{i}", f"fd00:10:244:1::{i}") for i in range(1, count + 1)]

    def close(self) -> None:
        """Stop the servers."""
        for server in self._servers:
            server.close()


@contextlib.contextmanager
def private_node(pod_names: Sequence[str] = ("pod1", "pod2", "pod3", "pod4")) -> Iterator[Lab]:
    """Build the lab; it is gone when the block ends or this process does.

    Args:
        pod_names: up to fifteen characters each; the first pod has the addresses ending in 11.
    """
    with contextlib.ExitStack() as stack:
        node, client = (stack.enter_context(Namespace(name)) for name in ("node", "client"))
        numbered = [*enumerate(pod_names, _FIRST_POD_NUMBER), (_CROWD_NUMBER, "crowd")]
        *pods, crowd = (
            Pod(stack.enter_context(Namespace(name)), f"10.244.0.{n}", f"fd00:10:244::{n}")
            for n, name in numbered
        )
        _configure(node, client, [*pods, crowd])
        lab = Lab(node, client, pods, crowd)
        stack.callback(lab.close)
        yield lab


def _configure(node: Namespace, client: Namespace, pods: Sequence[Pod]) -> None:
    """Make the links and routes; first the settings that links are born with."""
    node.set_sysctls(_NODE_SYSCTLS)
    client.set_sysctls(_ROUTER_SYSCTLS)
    for pod in pods:
        is_crowd = _number(pod) == _CROWD_NUMBER
        pod.namespace.set_sysctls(_CROWD_SYSCTLS if is_crowd else _COMMON_SYSCTLS)
    node.ip(*_node_lines(client, pods))
    client.ip(*_client_lines())
    for pod in pods:
        pod.namespace.ip(*_pod_lines(pod))


def _number(pod: Pod) -> int:
    return int(pod.ipv4.rpartition(".")[2])


def _node_mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _peer_mac(number: int) -> str:
    return f"02:00:00:00:01:{number:02x}"


def _node_lines(client: Namespace, pods: Sequence[Pod]) -> list[str]:
    lines = ["link set lo up", *_link("eth0", _CLIENT_NUMBER, client)]
    lines += [f"addr add {a}/{_length(a)} dev eth0" for a in NODE_ADDRESSES]
    # preferred_lft 0: never chosen as a source; what the node sends comes from the first pair.
    lines += [f"addr add {a}/{_length(a)} dev eth0 preferred_lft 0" for a in NODE_OTHER_ADDRESSES]
    lines += [_neighbour(a, _peer_mac(_CLIENT_NUMBER)) for a in CLIENT_ADDRESSES]
    lines += [f"route add default via {a}" for a in CLIENT_ADDRESSES]
    for pod in pods:
        number = _number(pod)
        lines += _link(pod.name, number, pod.namespace)
        for address in pod.addresses:
            lines += [f"route add {address} dev {pod.name}"]
            lines += [_neighbour(address, _peer_mac(number), pod.name)]
        if number == _CROWD_NUMBER:
            lines += [
                f"route add {cidr} via {gateway} dev {pod.name} onlink"
                for cidr, gateway in zip(CROWD_CIDRS, pod.addresses, strict=True)
            ]
    return lines


def _client_lines() -> list[str]:
    """Give the client its addresses and make it the end of the world.

    What it does not know is unreachable, at once: a packet that no rule picked up ends in an
    error instead of a timeout.
    """
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {a}/{_length(a)} dev eth0" for a in CLIENT_ADDRESSES]
    lines += [_neighbour(a, _node_mac(_CLIENT_NUMBER)) for a in NODE_ADDRESSES]
    for other, gateway in zip(NODE_OTHER_ADDRESSES, NODE_ADDRESSES, strict=True):
        lines.append(f"route add {other} via {gateway}")
    for cidr, gateway in zip(CLUSTER_CIDRS, NODE_ADDRESSES, strict=True):
        lines.append(f"route add {cidr} via {gateway}")
    return [*lines, "route add unreachable 0.0.0.0/0", "route add unreachable ::/0"]


def _pod_lines(pod: Pod) -> list[str]:
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {pod.ipv4}/32 dev eth0", f"addr add {pod.ipv6}/128 dev eth0"]
    lines += [f"route add {_POD_GATEWAYS[0]} dev eth0 scope link"]
    lines += [_neighbour(gateway, _node_mac(_number(pod))) for gateway in _POD_GATEWAYS]
    lines += [f"route add default via {gateway} dev eth0" for gateway in _POD_GATEWAYS]
    if _number(pod) == _CROWD_NUMBER:
        lines += [f"route add local {cidr} dev lo" for cidr in CROWD_CIDRS]
    return lines


def _link(name: str, number: int, peer: Namespace) -> list[str]:
    return [
        f"link add {name} address {_node_mac(number)} type veth "
        f"peer name eth0 address {_peer_mac(number)} netns {peer.path}",
        f"link set {name} up",
    ]


def _neighbour(address: str, mac: str, device: str = "eth0") -> str:
    return f"neigh add {address} lladdr {mac} dev {device} nud permanent"


def _length(address: str) -> int:
    return 64 if ":" in address else 24
