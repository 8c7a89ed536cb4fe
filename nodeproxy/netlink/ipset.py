"""Sets of the kernel's ipset: which there are, and the end of one (ip_set.h).

The module needs no command, so a node without `ipset` is no obstacle.
"""

from __future__ import annotations

import errno

import msgspec

from nodeproxy.errors import NetlinkError
from nodeproxy.netlink import attributes, messages
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute, parse_string, parse_u32, string
from nodeproxy.netlink.requests import RequestSocket

_NFNL_SUBSYS_IPSET = 6
_CMD_DESTROY = 3
_CMD_LIST = 7
_ATTR_PROTOCOL = 1
_ATTR_SETNAME = 2
_ATTR_FLAGS = 6
_ATTR_DATA = 7
_ATTR_ELEMENTS = 24
_FLAG_LIST_HEADER = 1 << 2
_NLA_F_NET_BYTEORDER = 0x4000
_PROTOCOL = 6
"""Spoken by every kernel since 2.6.39; newer ones know 7 too."""


class IpSet(msgspec.Struct, frozen=True):
    """One set."""

    name: str
    entries: int | None
    """None where the kernel does not count (before 4.11)."""


def list_request() -> bytes:
    """Ask for the headers of all sets."""
    flags = attributes.u32(_ATTR_FLAGS | _NLA_F_NET_BYTEORDER, _FLAG_LIST_HEADER)
    return _message(_CMD_LIST, nf.NLM_F_DUMP, flags)


def destroy_request(name: str) -> bytes:
    """Ask to destroy one set; without a name it would be all of them."""
    if not name:
        raise ValueError("a set without a name")
    return _message(_CMD_DESTROY, nf.NLM_F_ACK, string(_ATTR_SETNAME, name))


def list_sets(sock: RequestSocket) -> list[IpSet]:
    """The sets of this network namespace; none if the kernel has no ipset.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: they could not be listed.
    """
    try:
        answers = sock.ask("list ipsets", list_request())
    except NetlinkError as exc:
        if exc.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return []  # the kernel has no such subsystem
        raise
    return [_set_from(attributes.parse(answer.body)) for answer in answers]


def destroy_set(sock: RequestSocket, name: str) -> None:
    """Destroy a set; one that is gone already is as good.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: it stays, as rules refer to it (EBUSY), or something else.
    """
    try:
        sock.ask(f"destroy ipset {name}", destroy_request(name))
    except NetlinkError as exc:
        if exc.errno != errno.ENOENT:
            raise


def _message(command: int, flags: int, body: bytes) -> bytes:
    kind = _NFNL_SUBSYS_IPSET << 8 | command
    protocol = attribute(_ATTR_PROTOCOL, bytes([_PROTOCOL]))
    return messages.message(kind, flags, 0, nf.NFPROTO_IPV4, protocol + body)


def _set_from(found: dict[int, bytes]) -> IpSet:
    entries = attributes.parse(found.get(_ATTR_DATA, b"")).get(_ATTR_ELEMENTS)
    name = parse_string(found[_ATTR_SETNAME])
    return IpSet(name, None if entries is None else parse_u32(entries))
