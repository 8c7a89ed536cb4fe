"""Merging what several sources say about one service port into one list of endpoints.

The list is in canonical order: packed address, then port. The peer sorts by text ("10.0.1.10:80"
before "10.0.1.1:80", EP-27) because there the order decides rule order and slots. Here slots are
the backend's business and stay put while endpoints come and go, so the order only has to be the
same for the same content, and the packed form sorts three times as fast.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.endpoints import Endpoint, EndpointAddress, EndpointGroup
from nodeproxy.model.keys import Protocol


def merge_addresses(addresses: Iterable[EndpointAddress]) -> tuple[EndpointAddress, ...]:
    """The addresses of one source, sorted and each once (EP-23)."""
    merged: dict[Addr, EndpointAddress] = {}
    for address in addresses:
        known = merged.setdefault(address.addr, address)
        if known is not address and _replaces(address, known):
            merged[address.addr] = address
    return tuple([merged[addr] for addr in sorted(merged)])


def merge_endpoints(
    groups: Iterable[EndpointGroup],
    family: Family,
    port_name: str,
    protocol: Protocol,
    node_name: str,
) -> tuple[Endpoint, ...]:
    """The endpoints of one service port, sorted and without duplicates (EP-17, EP-23..26).

    Args:
        groups: all groups of the Service, of any family and port, in the order of their sources;
            their addresses as `merge_addresses` leaves them.
        family: groups of the other family are skipped.
        port_name: the service port's name; groups are matched by name and protocol only, the
            Service's own port number plays no part.
        protocol: see `port_name`.
        node_name: the own node, for `Endpoint.is_local`; nothing is local if empty (EP-21).
    """
    matching = [
        (port.port, group.addresses)
        for group in groups
        if group.family is family
        for port in group.ports
        if port.name == port_name and port.protocol is protocol
    ]
    if len(matching) == 1:  # Most Services: sorted and unique already.
        port, addresses = matching[0]
        return tuple([_endpoint(address, port, node_name) for address in addresses])
    if len({port for port, _ in matching}) == 1:  # Most of the others: many slices, one number.
        by_addr = {address.addr: address for _, addresses in matching for address in addresses}
        if len(by_addr) == sum(len(addresses) for _, addresses in matching):
            port = matching[0][0]
            return tuple([_endpoint(by_addr[addr], port, node_name) for addr in sorted(by_addr)])
    merged: dict[tuple[Addr, int], EndpointAddress] = {}
    for port, addresses in matching:
        for address in addresses:
            known = merged.setdefault((address.addr, port), address)
            if known is not address and _replaces(address, known):
                merged[address.addr, port] = address
    return tuple([_endpoint(merged[key], key[1], node_name) for key in sorted(merged)])


def _endpoint(address: EndpointAddress, port: int, node_name: str) -> Endpoint:
    return Endpoint(
        address.addr,
        port,
        address.ready,
        address.serving,
        address.terminating,
        address.node_name == node_name and node_name != "",
        address.zone_hints,
        address.node_hints,
    )


def _replaces(new: EndpointAddress, known: EndpointAddress) -> bool:
    """Which of two records of one endpoint counts.

    A terminating record never replaces one, a non-terminating one always does (EP-23), except
    that a ready record is not given up for one that is not (EP-24).
    """
    if new.terminating:
        return False
    return known.terminating or new.ready or not known.ready
