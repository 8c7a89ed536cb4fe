"""Network interfaces by name: their addresses, and their end (linux/rtnetlink.h)."""

from __future__ import annotations

import errno
import socket
import struct

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Addr
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.local_routes import NETLINK_ROUTE
from nodeproxy.netlink.requests import RequestSocket, plain_message

_RTM_DELLINK = 17
_RTM_NEWADDR = 20
_RTM_GETADDR = 22
_IFA_ADDRESS = 1
_IFINFOMSG = struct.Struct("=BxHiII")
"""Address family, type, index, flags, change."""
_IFADDRMSG = struct.Struct("=BBBBi")
"""Address family, prefix length, flags, scope, index."""
_IPV6_LINK_LOCAL = b"\xfe\x80"


def interface_index(name: str) -> int | None:
    """The kernel's number of an interface in this network namespace, None if there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def interface_addresses(index: int) -> frozenset[Addr]:
    """Addresses of an interface, without those IPv6 makes up by itself.

    Raises:
        NetlinkError: they could not be read.
    """
    request = plain_message(_RTM_GETADDR, nf.NLM_F_DUMP, _IFADDRMSG.pack(0, 0, 0, 0, 0))
    with RequestSocket(NETLINK_ROUTE) as sock:
        answers = sock.ask("list addresses", request)
    found = set()
    for answer in answers:
        if answer.kind == _RTM_NEWADDR and _IFADDRMSG.unpack_from(answer.payload)[4] == index:
            addr = attributes.parse(answer.payload[_IFADDRMSG.size :]).get(_IFA_ADDRESS, b"")
            if addr and not addr.startswith(_IPV6_LINK_LOCAL):
                found.add(Addr(addr))
    return frozenset(found)


def delete_interface(name: str) -> None:
    """Delete an interface; one that is gone already is as good.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: it stays.
    """
    index = interface_index(name)
    if index is None:
        return
    request = plain_message(_RTM_DELLINK, nf.NLM_F_ACK, _IFINFOMSG.pack(0, 0, index, 0, 0))
    with RequestSocket(NETLINK_ROUTE) as sock:
        try:
            sock.ask(f"delete interface {name}", request)
        except NetlinkError as exc:
            if exc.errno != errno.ENODEV:
                raise
