"""IP addresses and CIDRs as packed bytes, with the lenient text forms Kubernetes allows.

Old API servers accepted `010.1.2.003`, so objects with such text still exist. The peer reads
the octets as decimal and prints them canonically (SVC-50); `ipaddress` of the standard library
refuses them. Packed bytes are what the kernel wants and the cheapest key Python has.
"""

from __future__ import annotations

import enum
import socket
from collections.abc import Iterable
from typing import NewType

import msgspec

Addr = NewType("Addr", bytes)
"""Four or sixteen bytes, network order."""


class Family(enum.StrEnum):
    """An IP family, spelled as EndpointSlice.addressType and Service.ipFamilies spell it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"

    @property
    def addr_bytes(self) -> int:
        """Length of an address of this family in bytes."""
        return 4 if self is Family.IPV4 else 16


FAMILIES = (Family.IPV4, Family.IPV6)


def family_of(addr: Addr) -> Family:
    """The family of a packed address."""
    return Family.IPV4 if len(addr) == 4 else Family.IPV6


def parse_addr(text: str) -> Addr:
    """Packed form of an IP address; IPv4 octets may carry leading zeros (SVC-50).

    Raises:
        ValueError: the text is no IP address; the message quotes it.
    """
    try:
        if ":" in text:
            return Addr(socket.inet_pton(socket.AF_INET6, text))
        return Addr(socket.inet_pton(socket.AF_INET, text))
    except OSError:
        return _parse_sloppy_ipv4(text)


def _parse_sloppy_ipv4(text: str) -> Addr:
    octets = text.split(".")
    # isdecimal() alone would accept digits of other scripts.
    if len(octets) == 4 and all(o.isascii() and o.isdecimal() and len(o) <= 32 for o in octets):
        numbers = [int(o) for o in octets]
        if max(numbers) <= 255:
            return Addr(bytes(numbers))
    raise ValueError(f'"{text}" is not an IP address')


def format_addr(addr: Addr) -> str:
    """Canonical text: dotted decimal, or compressed lower-case IPv6."""
    if len(addr) == 4:
        return socket.inet_ntop(socket.AF_INET, addr)
    return socket.inet_ntop(socket.AF_INET6, addr)


def format_addr_port(addr: Addr, port: int) -> str:
    """`10.0.0.1:80` or `[fd00::1]:80`."""
    text = format_addr(addr)
    return f"[{text}]:{port}" if len(addr) == 16 else f"{text}:{port}"


class Cidr(msgspec.Struct, frozen=True, order=True, gc=False):
    """A network: `addr` has all bits beyond `prefix_length` cleared."""

    addr: Addr
    prefix_length: int
    """0..32 or 0..128."""

    @property
    def family(self) -> Family:
        """The family of the network."""
        return family_of(self.addr)

    @property
    def is_everything(self) -> bool:
        """True for 0.0.0.0/0 and ::/0."""
        return self.prefix_length == 0

    def contains(self, addr: Addr) -> bool:
        """True if `addr` is of this family and inside the network."""
        if len(addr) != len(self.addr):
            return False
        shift = len(addr) * 8 - self.prefix_length
        return int.from_bytes(addr, "big") >> shift == int.from_bytes(self.addr, "big") >> shift

    def holds(self, other: Cidr) -> bool:
        """True if every address of `other` is inside this network."""
        return other.prefix_length >= self.prefix_length and self.contains(other.addr)

    def __str__(self) -> str:
        return format_cidr(self)


def parse_cidr(text: str) -> Cidr:
    """Parse `address/prefix`, leniently like `parse_addr`; host bits are cleared (SVC-16).

    Raises:
        ValueError: not a CIDR; the message quotes the text.
    """
    addr_text, slash, length_text = text.partition("/")
    if not slash or not (length_text.isascii() and length_text.isdecimal()):
        raise ValueError(f'"{text}" is not a CIDR')
    try:
        addr = parse_addr(addr_text)
    except ValueError:
        raise ValueError(f'"{text}" is not a CIDR') from None
    bits = len(addr) * 8
    length = int(length_text[-9:])
    if length > bits:
        raise ValueError(f'"{text}" is not a CIDR: the prefix is longer than {bits} bits')
    shift = bits - length
    masked = int.from_bytes(addr, "big") >> shift << shift
    return Cidr(Addr(masked.to_bytes(len(addr), "big")), length)


def netmask(prefix_length: int, family: Family) -> bytes:
    """The mask of a network: `prefix_length` ones, then zeros."""
    bits = family.addr_bytes * 8
    return ((1 << bits) - (1 << (bits - prefix_length))).to_bytes(family.addr_bytes, "big")


def format_cidr(cidr: Cidr) -> str:
    """Canonical text of a network, `10.0.0.0/8`."""
    return f"{format_addr(cidr.addr)}/{cidr.prefix_length}"


def merge_cidrs(cidrs: Iterable[Cidr]) -> tuple[Cidr, ...]:
    """The fewest networks that hold the same addresses: sorted, none touching another (NFT-17).

    What lies inside another network goes; two halves become the whole. IPv4 comes first.
    """
    merged: list[Cidr] = []
    for cidr in sorted(cidrs, key=lambda cidr: (len(cidr.addr), cidr)):
        if merged and merged[-1].holds(cidr):
            continue
        merged.append(cidr)
        while len(merged) > 1 and (whole := _whole(*merged[-2:])) is not None:
            merged[-2:] = [whole]
    return tuple(merged)


def _whole(lower: Cidr, upper: Cidr) -> Cidr | None:
    """The network that two neighbours fill together, None if they are no two halves."""
    if lower.prefix_length != upper.prefix_length or not lower.prefix_length:
        return None
    whole = Cidr(lower.addr, lower.prefix_length - 1)
    bit = 1 << (len(lower.addr) * 8 - lower.prefix_length)
    starts_whole = not int.from_bytes(lower.addr, "big") & bit
    return whole if starts_whole and whole.contains(upper.addr) else None


LOOPBACK_NETWORKS = (parse_cidr("127.0.0.0/8"), parse_cidr("::1/128"))
