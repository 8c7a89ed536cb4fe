"""The private node and its surroundings: who is there, with which addresses.

How they are linked is told in `wiring`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from lab import nft, wiring
from lab.namespace import Namespace
from lab.server import Server
from lab.wiring import PodPort, Port, Site

NODE_NAME = "lab-node"
CLUSTER_CIDRS = ("10.244.0.0/16", "fd00:10:244::/56")
NODE_ADDRESSES = ("192.168.0.2", "2001:db8::2")
NODE_OTHER_ADDRESSES = ("192.168.1.2", "2001:db8:1::2")
"""A second address pair on the same link, for what only some node addresses do."""
CLIENT_ADDRESSES = ("192.168.0.9", "2001:db8::9")
STRANGER_ADDRESSES = ("203.0.113.130", "2001:db8:bad::130")
"""Further addresses of the client, from a network of their own."""
FAR_POD_NAMES = ("far-a", "far-b", "far-c")
"""Pods of another node; they are on the switch themselves, as behind a router nobody notices."""
CROWD_CIDRS = ("10.244.1.0/24", "fd00:10:244:1::/64")

_ROUTER_ADDRESSES = ("192.168.0.1", "2001:db8::1")
_OTHER_NETWORKS = ("192.168.1.0/24", "2001:db8:1::/64")
_NODE_NUMBER, _CLIENT_NUMBER, _ROUTER_NUMBER, _FIRST_FAR_NUMBER = 200, 201, 202, 203
_CROWD_NUMBER = 99
_FIRST_POD_NUMBER = 11


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
    """A running node with pods, a client and pods elsewhere; make one with `private_node`."""

    def __init__(
        self,
        node: Namespace,
        client: Namespace,
        far_pods: Sequence[Pod],
        pods: Sequence[Pod],
        crowd: Pod,
    ) -> None:
        self.node = node
        self.client = client
        self.far_pods = far_pods
        """Pods of another node."""
        self.pods = pods
        self.crowd = crowd
        """One pod that owns all of CROWD_CIDRS, for Services with hundreds of endpoints."""
        self._servers: list[Server] = []

    def serve(
        self,
        *,
        tcp: Iterable[int] = (),
        udp: Iterable[int] = (),
        sctp_ports: Iterable[int] = (),
    ) -> None:
        """Let every pod, those of the other node too, answer on these ports."""
        tcp, udp, sctp_ports = tuple(tcp), tuple(udp), tuple(sctp_ports)
        for pod in (*self.pods, *self.far_pods, self.crowd):
            server = Server(pod.namespace, tcp=tcp, udp=udp, sctp_ports=sctp_ports)
            self._servers.append(server)

    def serve_on_node(
        self,
        *,
        tcp: Iterable[int] = (),
        udp: Iterable[int] = (),
        sctp_ports: Iterable[int] = (),
    ) -> None:
        """Let the node itself answer on these ports, as a pod on the host's network does."""
        self._servers.append(Server(self.node, tcp=tcp, udp=udp, sctp_ports=sctp_ports))

    def stop_serving(self) -> None:
        """Let nobody answer any more, until somebody is told to serve again."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def crowd_addresses(self, count: int) -> list[tuple[str, str]]:
        """Return IPv4 and IPv6 addresses of the crowd, up to 250."""
        return [(f"10.244.1.{i}", f"fd00:10:244:1::{i}") for i in range(1, count + 1)]


@contextlib.contextmanager
def private_node(pod_names: Sequence[str] = ("pod1", "pod2", "pod3", "pod4")) -> Iterator[Lab]:
    """Build the lab; it is gone when the block ends or this process does.

    Args:
        pod_names: up to fifteen characters each; the first pod has the addresses ending in 11.
    """
    with contextlib.ExitStack() as stack:
        names = ("node", "client", "router", "crowd", *FAR_POD_NAMES, *pod_names)
        node, client, router, crowd, *others = (stack.enter_context(Namespace(n)) for n in names)
        far_pods = _pods(others[: len(FAR_POD_NAMES)], "10.244.7.{}", "fd00:10:244:7::{}")
        pods = _pods(others[len(FAR_POD_NAMES) :], "10.244.0.{}", "fd00:10:244::{}")
        (crowd_pod,) = _pods([crowd], "10.244.0.{}", "fd00:10:244::{}", _CROWD_NUMBER)
        site = Site(
            Port(_NODE_NUMBER, node, NODE_ADDRESSES),
            Port(_CLIENT_NUMBER, client, CLIENT_ADDRESSES),
            [Port(n, p.namespace, p.addresses) for n, p in enumerate(far_pods, _FIRST_FAR_NUMBER)],
            Port(_ROUTER_NUMBER, router, _ROUTER_ADDRESSES),
        )
        _configure(site, _pod_ports(pods, crowd_pod))
        lab = Lab(node, client, far_pods, pods, crowd_pod)
        stack.callback(lab.stop_serving)
        yield lab


def _pods(
    namespaces: Sequence[Namespace], ipv4: str, ipv6: str, first_number: int = _FIRST_POD_NUMBER
) -> list[Pod]:
    numbered = enumerate(namespaces, first_number)
    return [Pod(namespace, ipv4.format(n), ipv6.format(n)) for n, namespace in numbered]


def _pod_ports(pods: Sequence[Pod], crowd: Pod) -> list[PodPort]:
    ports = [
        PodPort(n, pod.namespace, pod.addresses) for n, pod in enumerate(pods, _FIRST_POD_NUMBER)
    ]
    return [*ports, PodPort(_CROWD_NUMBER, crowd.namespace, crowd.addresses, CROWD_CIDRS)]


def _configure(site: Site, pods: Sequence[PodPort]) -> None:
    """Make the links and routes; first the settings that links are born with."""
    site.node.namespace.set_sysctls(wiring.NODE_SYSCTLS)
    for port in (site.client, site.router, *site.far_pods):
        port.namespace.set_sysctls(wiring.ROUTER_SYSCTLS)
    for pod in pods:
        pod.namespace.set_sysctls(wiring.CROWD_SYSCTLS if pod.networks else wiring.COMMON_SYSCTLS)
    wiring.link(site, pods)
    site.node.namespace.ip(*wiring.node_lines(site, pods, NODE_OTHER_ADDRESSES, STRANGER_ADDRESSES))
    site.client.namespace.ip(*wiring.client_lines(site, STRANGER_ADDRESSES))
    site.router.namespace.ip(
        *wiring.router_lines(site, (CLUSTER_CIDRS, _OTHER_NETWORKS), STRANGER_ADDRESSES)
    )
    nft.load(site.router.namespace, wiring.END_OF_THE_WORLD)
    for far_pod in site.far_pods:
        far_pod.namespace.ip(*wiring.far_pod_lines(site, far_pod))
    for pod in pods:
        pod.namespace.ip(*wiring.pod_lines(pod))
