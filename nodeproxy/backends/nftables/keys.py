"""Keys and data of elements as bytes.

Every part of a key occupies whole 32-bit registers, zero-padded behind; addresses, protocol and
port are in network order, the slot in native order like the numgen that is compared with it:

    frontend by address   addr(4|16)  proto(1)+3  port(2)+2
    NodePort                          proto(1)+3  port(2)+2
    endpoint map          frontend or NodePort, slot(4)       : addr(4|16) port(2)+2
    hairpin               addr(4|16)  addr(4|16)  proto(1)+3  port(2)+2
    allowed network       addr(4|16)  frontend
    affinity member       id(4)  addr(4|16)  port(2)+2
    affinity record       addr(4|16)  proto(1)+3  id(4)              : addr(4|16) port(2)+2
"""

from __future__ import annotations

import struct
from functools import lru_cache

from nodeproxy.backends.nftables.objects import Field, SetSpec
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import expressions

ID_BYTES = 4
"""Length of an affinity id in keys."""
SLOT_BYTES = 4
"""Length of the slot at the end of an endpoint map's key."""


def address_key(addr: bytes, protocol: int, port: int) -> bytes:
    """Key of a frontend that is reached by an address."""
    return addr + struct.pack(">B3xH2x", protocol, port)


def nodeport_key(protocol: int, port: int) -> bytes:
    """Key of a NodePort."""
    return struct.pack(">B3xH2x", protocol, port)


def hairpin_key(addr: bytes, protocol: int, port: int) -> bytes:
    """Key of a connection of an endpoint to itself."""
    return addr + address_key(addr, protocol, port)


def affinity_key(number: int) -> bytes:
    """An affinity id as a key; native order, as the packet's priority is."""
    return expressions.host_u32(number)


def target_data(addr: bytes, port: int) -> bytes:
    """Data of an endpoint map."""
    return addr + _port_bytes(port)


@lru_cache(maxsize=1024)
def _port_bytes(port: int) -> bytes:
    """The endpoints of a Service nearly always share a port."""
    return struct.pack(">H2x", port)


@lru_cache(maxsize=1024)
def slot_bytes(slot: int) -> bytes:
    """The slot as the last part of a key of an endpoint map."""
    return expressions.host_u32(slot)


def key_bytes(spec: SetSpec, family: Family) -> int:
    """Length of a key without the slot."""
    sizes = {Field.SOURCE: family.addr_bytes, Field.DESTINATION: family.addr_bytes}
    return sum(sizes.get(field, 4) for field in spec.fields)
