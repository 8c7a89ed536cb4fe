"""Where health checks of Services are listened for (HZ-20): where NodePorts are accepted."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Addr, Cidr, Family, format_addr, parse_cidr
from nodeproxy.netlink.local_routes import (
    NETLINK_GET_STRICT_CHK,
    NETLINK_ROUTE,
    SOL_NETLINK,
    read_local_routes,
)
from nodeproxy.plan.types import NodePortAddresses

_log = logging.getLogger("nodeproxy.server")

EVERYWHERE = {Family.IPV4: "0.0.0.0", Family.IPV6: "::"}
_LINK_LOCAL = parse_cidr("fe80::/10")
"""Useless without the name of an interface, and no load balancer asks there."""

LocalAddresses = Callable[[Family], Sequence[Addr]]
"""The addresses this machine has. Raises NetlinkError or OSError."""


def hosts_for(
    node_ports: NodePortAddresses, family: Family, local_addresses: LocalAddresses
) -> tuple[str, ...]:
    """The addresses to bind, as text.

    All of them if the machine does not tell which it has; none if it has none in the networks that
    were chosen (HZ-20a).
    """
    if node_ports.match_all:
        return (EVERYWHERE[family],)
    if not node_ports.cidrs:
        return tuple(format_addr(addr) for addr in node_ports.primary)
    try:
        known = local_addresses(family)
    except (NetlinkError, OSError) as exc:
        _log.warning(
            "addresses of this machine not known: %s; health checks of Services are answered on "
            "every %s address",
            exc,
            family,
        )
        return (EVERYWHERE[family],)
    chosen = {addr for addr in known if any(cidr.contains(addr) for cidr in node_ports.cidrs)}
    return tuple(format_addr(addr) for addr in sorted({*chosen, *node_ports.primary}))


def read_local_addresses(family: Family) -> Sequence[Addr]:
    """What the routing table `local` has as single addresses. One short dump.

    Raises:
        NetlinkError: the kernel refused.
        OSError: there is no such socket.
    """
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, NETLINK_ROUTE) as sock:
        sock.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        networks = read_local_routes(sock, family)
    return [network.addr for network in networks if _is_single(network, family)]


def _is_single(network: Cidr, family: Family) -> bool:
    is_whole = network.prefix_length == family.addr_bytes * 8
    return is_whole and not _LINK_LOCAL.contains(network.addr)
