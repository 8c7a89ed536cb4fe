"""What kube-proxy leaves in its ipvs mode besides rules (NFT-41).

An interface that bears all service addresses, virtual servers, and sets that its rules refer to.
kube-proxy itself flushes all virtual servers; others, such as those of keepalived, stay here. It is
kube-proxy's if its address is on that interface, or (NodePorts) if it leads only to real servers
that such a one leads to as well. The rest is told and left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Addr
from nodeproxy.model.leftovers import Holding, Item, Kind, Leftover, Place, Search
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.interfaces import delete_interface, interface_addresses, interface_index
from nodeproxy.netlink.ipset import destroy_set, list_sets
from nodeproxy.netlink.ipvs import (
    NETLINK_GENERIC,
    VirtualServer,
    delete_virtual_server,
    parse_virtual_servers,
)
from nodeproxy.netlink.requests import RequestSocket

INTERFACE = "kube-ipvs0"


class ServersLeft(BackendError):
    """The interface has to stay as long as it tells whose the virtual servers are."""

    def __init__(self, servers: Sequence[VirtualServer]) -> None:
        super().__init__(servers)
        self.servers = tuple(servers)

    def __str__(self) -> str:
        names = ", ".join(str(server) for server in self.servers)
        return f"{INTERFACE} stays, because virtual servers with its addresses do: {names}"


_SETS = (
    "LOOP-BACK",
    "CLUSTER-IP",
    "EXTERNAL-IP",
    "EXTERNAL-IP-LOCAL",
    "LOAD-BALANCER",
    "LOAD-BALANCER-LOCAL",
    "LOAD-BALANCER-FW",
    "LOAD-BALANCER-SOURCE-IP",
    "LOAD-BALANCER-SOURCE-CIDR",
    "NODE-PORT-TCP",
    "NODE-PORT-LOCAL-TCP",
    "NODE-PORT-UDP",
    "NODE-PORT-LOCAL-UDP",
    "NODE-PORT-SCTP-HASH",
    "NODE-PORT-LOCAL-SCTP-HASH",
    "HEALTH-CHECK-NODE-PORT",
    "IPVS-IPS",
)
_MAX_SET_NAME = 31
"""The kernel's limit; kube-proxy cuts longer names."""
SET_NAMES = frozenset(
    f"{prefix}{name}"[:_MAX_SET_NAME] for prefix in ("KUBE-", "KUBE-6-") for name in _SETS
)
"""The sets of kube-proxy; other names that begin with KUBE- are not its own."""


class Sorted(msgspec.Struct, frozen=True):
    """Virtual servers by whose they are."""

    ours: tuple[VirtualServer, ...]
    """Those of kube-proxy."""
    others: tuple[VirtualServer, ...]


def sort_servers(servers: Sequence[VirtualServer], bound: frozenset[Addr]) -> Sorted:
    """Tell kube-proxy's virtual servers from others.

    Args:
        servers: all of the network namespace.
        bound: addresses of the interface kube-ipvs0.
    """
    certain = {server for server in servers if server.addr in bound}
    reached = frozenset[str]().union(*(server.real_servers for server in certain))
    ours = tuple(
        server
        for server in servers
        if server in certain or (server.real_servers and server.real_servers <= reached)
    )
    return Sorted(ours, tuple(server for server in servers if server not in ours))


def search_ipvs(proc: Path = Path("/proc/thread-self")) -> Search:
    """Virtual servers, sets and the interface of kube-proxy, in the order of their removal.

    Raises:
        BackendError: something could not be read.
    """
    index = interface_index(INTERFACE)
    bound = interface_addresses(index) if index else frozenset[Addr]()
    servers = _read_servers(proc)
    notes = []
    if servers is None:
        notes.append("ipvs: the kernel has no IPVS loaded, so there is nothing in it")
    sorted_servers = sort_servers(servers or (), bound)
    if sorted_servers.others:
        names = ", ".join(str(server) for server in sorted_servers.others)
        notes.append(
            f"ipvs: not known to be kube-proxy's and left alone: {names}; "
            "if they are, remove them with ipvsadm --delete-service"
        )
    leftovers = [*_virtual_servers(sorted_servers.ours), *_sets(), *_interface(index, bound, proc)]
    return Search(tuple(leftovers), tuple(notes))


def _read_servers(proc: Path) -> list[VirtualServer] | None:
    """None if the kernel has no IPVS."""
    try:
        return parse_virtual_servers((proc / "net" / "ip_vs").read_text())
    except FileNotFoundError:
        return None


def _virtual_servers(servers: Sequence[VirtualServer]) -> list[Leftover]:
    if not servers:
        return []
    items = tuple(
        Item(Kind.VIRTUAL_SERVER, str(server), len(server.real_servers)) for server in servers
    )
    return [Leftover(Holding(Place.IPVS, items), partial(_delete_servers, servers))]


def _sets() -> list[Leftover]:
    with RequestSocket(nf.NETLINK_NETFILTER) as sock:
        found = [one for one in list_sets(sock) if one.name in SET_NAMES]
    if not found:
        return []
    found.sort(key=lambda one: one.name)
    items = tuple(Item(Kind.SET, one.name, one.entries or 0) for one in found)
    names = tuple(one.name for one in found)
    return [Leftover(Holding(Place.IPSET, items), partial(_destroy_sets, names))]


def _interface(index: int | None, bound: frozenset[Addr], proc: Path) -> list[Leftover]:
    if index is None:
        return []
    holding = Holding(Place.INTERFACE, (Item(Kind.INTERFACE, INTERFACE, len(bound)),))
    return [Leftover(holding, partial(_delete_interface, bound, proc))]


def _delete_servers(servers: Sequence[VirtualServer]) -> None:
    with RequestSocket(NETLINK_GENERIC) as sock:
        for server in servers:
            delete_virtual_server(sock, server)


def _destroy_sets(names: Sequence[str]) -> None:
    with RequestSocket(nf.NETLINK_NETFILTER) as sock:
        for name in names:
            destroy_set(sock, name)


def _delete_interface(bound: frozenset[Addr], proc: Path) -> None:
    """Delete it once no virtual server needs it any more to be known for kube-proxy's."""
    left = sort_servers(_read_servers(proc) or (), bound).ours
    if left:
        raise ServersLeft(left)
    delete_interface(INTERFACE)
