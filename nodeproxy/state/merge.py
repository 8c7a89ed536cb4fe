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


def merge_endpoints(
    groups: Iterable[EndpointGroup],
    family: Family,
    port_name: str,
    protocol: Protocol,
    node_name: str,
) -> tuple[Endpoint, ...]:
    """The endpoints of one service port, sorted and without duplicates (EP-17, EP-23..26).

    Args:
        groups: all groups of the Service, of any family and port, in the order of their sources.
        family: groups of the other family are skipped.
        port_name: the service port's name; groups are matched by name and protocol only, the
            Service's own port number plays no part.
        protocol: see `port_name`.
        node_name: the own node, for `Endpoint.is_local`; nothing is local if empty (EP-21).
    """
    merged: dict[tuple[Addr, int], EndpointAddress] = {}
    for group in groups:
        if group.family is not family:
            continue
        for port in group.ports:
            if port.name == port_name and port.protocol is protocol:
                _add(merged, group.addresses, port.port)
    return tuple(
        Endpoint(
            key[0],
            key[1],
            address.ready,
            address.serving,
            address.terminating,
            bool(node_name) and address.node_name == node_name,
            address.zone_hints,
            address.node_hints,
        )
        for key, address in sorted(merged.items(), key=_address_and_port)
    )


def _add(
    merged: dict[tuple[Addr, int], EndpointAddress],
    addresses: Iterable[EndpointAddress],
    port: int,
) -> None:
    for address in addresses:
        key = (address.addr, port)
        known = merged.setdefault(key, address)
        if known is not address and _replaces(address, known):
            merged[key] = address


def _replaces(new: EndpointAddress, known: EndpointAddress) -> bool:
    """Which of two records of one endpoint counts.

    A terminating record never replaces one, a non-terminating one always does (EP-23), except
    that a ready record is not given up for one that is not (EP-24).
    """
    if new.terminating:
        return False
    return known.terminating or new.ready or not known.ready


def _address_and_port(item: tuple[tuple[Addr, int], EndpointAddress]) -> tuple[Addr, int]:
    return item[0]
