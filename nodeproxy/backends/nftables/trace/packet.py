"""The first packet of a new connection, and the node it meets."""

from __future__ import annotations

import msgspec

from nodeproxy.model.addresses import Addr, Family, family_of, parse_cidr

ICMP = {Family.IPV4: 1, Family.IPV6: 58}
"""Protocol numbers of ping."""

_LOOPBACK = {Family.IPV4: parse_cidr("127.0.0.0/8"), Family.IPV6: parse_cidr("::1/128")}


class Packet(msgspec.Struct, frozen=True):
    """The first packet of a connection, as it reaches the node or as a process there sends it."""

    source: Addr
    destination: Addr
    protocol: int
    """IANA number."""
    port: int
    """What the rules call `th dport`: bytes 2 and 3 behind the IP header. Of a ping that is the
    checksum, and the kernel compares it like any port."""
    interface: str | None = None
    """Where it came in; None for a packet the node itself makes."""
    mark: int = 0
    priority: int = 0
    """0 for what comes in by a veth; processes of the node may choose theirs (SO_PRIORITY)."""

    @property
    def family(self) -> Family:
        """The family of its addresses."""
        return family_of(self.destination)


def ping(source: Addr, destination: Addr, interface: str | None = None) -> Packet:
    """An echo request."""
    return Packet(source, destination, ICMP[family_of(destination)], 0, interface)


class NodeAddresses(msgspec.Struct, frozen=True):
    """What the routing table calls local (`fib ... type local`)."""

    addresses: frozenset[Addr]
    """Of all interfaces and both families; loopback is local without being named."""

    def __contains__(self, addr: Addr) -> bool:
        return addr in self.addresses or _LOOPBACK[family_of(addr)].contains(addr)
