"""A node whose flows are cleaned, in this process, and a table full of flows for it."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Size
from benchmarks.mixture import POD_NETWORK, background_shape
from benchmarks.objects import NODE_NAME, POD_PORT, SERVICE_PORT
from lab.conntrack import Entry, add_entries
from lab.flows import Tuple
from lab.namespace import Namespace
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.model.addresses import FAMILIES, parse_cidr
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.netlink.conntrack_channel import ConntrackSockets
from nodeproxy.node.flows.cleaner import FlowCleaner
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState

_CLIENTS = ipaddress.IPv4Network("10.244.0.0/16")
_FIRST_CLIENT_PORT, _CLIENT_PORTS = 1024, 60_000
_FILLED = 0.9
"""Share of a table's limit that is used: the kernel drops flows early when it is full."""
_LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
UDP_PLACE, CYCLE = 19, 20
"""Of the mixture's Services, every twentieth is a UDP one."""


class FlowNode:
    """State, planner, backend and cleaner, as the sync loop drives them."""

    # Mutable state: the parts.
    def __init__(self, channel: NetfilterSocket, sockets: ConntrackSockets) -> None:
        state = ClusterState(NODE_NAME)
        self._state = state
        self._planner = Planner(state, PlanOptions(cluster_cidrs=(parse_cidr("10.128.0.0/9"),)))
        self._backend = NftablesBackend(channel, FAMILIES)
        self.cleaner = FlowCleaner(
            lambda: sockets, FAMILIES, cleans_tcp=False, endpoints=state.endpoints
        )

    async def take(self, events: Sequence[SourceEvent]) -> None:
        """Bring these events into the kernel; the cleaner learns of it."""
        changes = self._state.apply(events)
        delta = self._planner.replan(changes)
        if not delta.is_empty:
            self._backend.stage(delta)
        self.cleaner.decided(changes, delta)
        await self._backend.commit()
        self.cleaner.installed()


@contextlib.contextmanager
def open_flow_node(namespace: Namespace) -> Iterator[FlowNode]:
    """Program the tables and the flows of a namespace while the block runs."""
    with contextlib.ExitStack() as stack:
        with namespace.entered():
            channel = stack.enter_context(NetfilterSocket())
            sockets = stack.enter_context(ConntrackSockets())
        yield FlowNode(channel, sockets)


class Filling(msgspec.Struct, frozen=True):
    """How many flows there are."""

    limit: int
    """nf_conntrack_max, which cannot be changed in a network namespace."""
    own: int
    """In the node's own table; all of them UDP flows to its Services."""
    others: int
    """In other namespaces; the kernel has one table for all, so that a dump walks over them."""


@contextlib.contextmanager
def filled(namespace: Namespace, size: Size, wanted: int) -> Iterator[Filling]:
    """Put flows into the table, into further namespaces what one may not hold."""
    with namespace.entered():
        limit = int(_LIMIT.read_text())
    at_most = int(limit * _FILLED)
    own = add_entries(namespace, flows_to_endpoints(size, min(wanted, at_most)))
    others = 0
    with contextlib.ExitStack() as stack:
        while own + others < wanted:
            neighbour = stack.enter_context(Namespace("neighbour"))
            count = min(wanted - own - others, at_most)
            others += add_entries(neighbour, flows_to_endpoints(size, count))
        yield Filling(limit, own, others)


def flows_to_endpoints(size: Size, count: int) -> Iterable[Entry]:
    """So many flows, spread evenly over all endpoints of all UDP Services."""
    indexes = range(UDP_PLACE, size.services, CYCLE)
    ips = [background_shape(index).cluster_ip for index in indexes]
    ways = itertools.cycle(
        (ip, str(POD_NETWORK[1 + index * size.endpoints + slot]))
        for slot in range(size.endpoints)
        for index, ip in zip(indexes, ips, strict=True)
    )
    for number, (ip, endpoint) in zip(range(count), ways, strict=False):
        client, port = divmod(number, _CLIENT_PORTS)
        source = (str(_CLIENTS[1 + client]), _FIRST_CLIENT_PORT + port)
        there = Tuple(*source, ip, SERVICE_PORT)
        yield Entry("udp", there, Tuple(endpoint, POD_PORT, *source))
