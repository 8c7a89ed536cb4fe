"""Virtual servers of IPVS: read from the kernel's text, deleted by generic netlink (linux/ip_vs.h).

The list is read as text because asking generic netlink for IPVS makes the kernel load the module.
"""

from __future__ import annotations

import errno
import re
import socket
import struct

import msgspec

from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Addr, Family, family_of, format_addr
from nodeproxy.netlink import attributes
from nodeproxy.netlink import nf_tables as nf
from nodeproxy.netlink.attributes import attribute
from nodeproxy.netlink.requests import RequestSocket, plain_message

NETLINK_GENERIC = 16
_GENL_ID_CTRL = 16
_CTRL_CMD_GETFAMILY = 3
_CTRL_ATTR_FAMILY_ID = 1
_CTRL_ATTR_FAMILY_NAME = 2
_GENLMSGHDR = struct.Struct("=BBH")
_IPVS_VERSION = 1
_IPVS_CMD_DEL_SERVICE = 3
_IPVS_CMD_ATTR_SERVICE = 1
_SVC_ATTR_AF = 1
_SVC_ATTR_PROTOCOL = 2
_SVC_ATTR_ADDR = 3
_SVC_ATTR_PORT = 4
_ADDR_BYTES = 16
_NLA_F_NESTED = 0x8000
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_AF = {Family.IPV4: int(socket.AF_INET), Family.IPV6: int(socket.AF_INET6)}

_SERVER = re.compile(r"(TCP|UDP|SCTP)\s+(?:([0-9A-F]{8})|\[([0-9a-f:.]+)\]):([0-9A-F]{4})\s")


class VirtualServer(msgspec.Struct, frozen=True):
    """What IPVS answers for; those by packet mark are left out."""

    protocol: str
    """`TCP`, `UDP` or `SCTP`."""
    addr: Addr
    port: int
    real_servers: frozenset[str]
    """As the kernel prints them, protocol in front: `TCP 0A0A0001:0050`."""

    def __str__(self) -> str:
        addr = format_addr(self.addr)
        host = f"[{addr}]" if ":" in addr else addr
        return f"{self.protocol} {host}:{self.port}"


def parse_virtual_servers(text: str) -> list[VirtualServer]:
    """The virtual servers in /proc/net/ip_vs."""
    found: list[VirtualServer] = []
    is_known = False
    for line in text.splitlines():
        if not line.startswith("  ->"):
            server = _virtual_server(line)
            is_known = server is not None
            found += [server] if server else []
        elif is_known:
            real = f"{found[-1].protocol} {line.split()[1]}"
            found[-1] = msgspec.structs.replace(
                found[-1], real_servers=found[-1].real_servers | {real}
            )
    return found


def _virtual_server(line: str) -> VirtualServer | None:
    match = _SERVER.match(line)
    if match is None:
        return None
    protocol, ipv4, ipv6, port = match.groups()
    packed = bytes.fromhex(ipv4) if ipv4 else socket.inet_pton(socket.AF_INET6, ipv6)
    return VirtualServer(protocol, Addr(packed), int(port, 16), frozenset())


def family_request() -> bytes:
    """Ask generic netlink for the number of IPVS."""
    name = attributes.string(_CTRL_ATTR_FAMILY_NAME, "IPVS")
    header = _GENLMSGHDR.pack(_CTRL_CMD_GETFAMILY, 1, 0)
    return plain_message(_GENL_ID_CTRL, nf.NLM_F_ACK, header + name)


def delete_request(number: int, server: VirtualServer) -> bytes:
    """Ask to delete one virtual server.

    Args:
        number: of IPVS in generic netlink.
        server: which one.
    """
    body = b"".join(
        [
            attribute(_SVC_ATTR_AF, struct.pack("=H", _AF[family_of(server.addr)])),
            attribute(_SVC_ATTR_PROTOCOL, struct.pack("=H", _PROTOCOLS[server.protocol])),
            attribute(_SVC_ATTR_ADDR, server.addr.ljust(_ADDR_BYTES, b"\0")),
            attribute(_SVC_ATTR_PORT, struct.pack(">H", server.port)),
        ]
    )
    header = _GENLMSGHDR.pack(_IPVS_CMD_DEL_SERVICE, _IPVS_VERSION, 0)
    nested = attribute(_IPVS_CMD_ATTR_SERVICE | _NLA_F_NESTED, body)
    return plain_message(number, nf.NLM_F_ACK, header + nested)


def delete_virtual_server(sock: RequestSocket, server: VirtualServer) -> None:
    """Delete one virtual server with its real servers; one that is gone already is as good.

    Raises:
        PermissionMissing: CAP_NET_ADMIN is missing.
        NetlinkError: it stays.
    """
    subject = f"delete virtual server {server}"
    for answer in sock.ask(subject, family_request()):
        found = attributes.parse(answer.payload[_GENLMSGHDR.size :])
        (number,) = struct.unpack("=H", found[_CTRL_ATTR_FAMILY_ID][:2])
        try:
            sock.ask(subject, delete_request(number, server))
        except NetlinkError as exc:
            # ESRCH: no such service.
            if exc.errno not in (errno.ENOENT, errno.ESRCH):
                raise
