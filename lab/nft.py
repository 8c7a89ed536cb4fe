"""What the kernel has, as the `nft` command and the kernel itself tell it."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from lab.namespace import Namespace

_NETLINK_NETFILTER = 12
_NFT_MSG_GETGEN = (10 << 8) | 16  # subsystem nf_tables, message 16
_NLM_F_REQUEST = 1
_NFTA_GEN_ID = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_NFGENMSG = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr
_REPLY_TIMEOUT_SECONDS = 5.0


def load(namespace: Namespace, ruleset: str) -> None:
    """Load a ruleset written in nft's language."""
    namespace.run("nft", "-f", "-", stdin=ruleset)


def list_ruleset(namespace: Namespace) -> str:
    """List everything, as a person would.

    Raises:
        CommandFailed: nft could not print it.
    """
    return namespace.run("nft", "list", "ruleset")


def list_ruleset_json(namespace: Namespace) -> list[dict[str, Any]]:
    """List everything, as a program would.

    Raises:
        CommandFailed: nft could not print it.
    """
    # It warns of statements that it has no JSON for (1.0.6: map updates) and prints them as text.
    text = namespace.run("nft", "-j", "list", "ruleset", with_warnings=False)
    listed: list[dict[str, Any]] = json.loads(text)["nftables"]
    return listed


def generation(namespace: Namespace) -> int:
    """Return the number of the ruleset's current generation; every commit makes a new one."""
    body = _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
    request = _HEADER.pack(_HEADER.size + len(body), _NFT_MSG_GETGEN, _NLM_F_REQUEST, 1, 0) + body
    with namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.settimeout(_REPLY_TIMEOUT_SECONDS)
        sock.bind((0, 0))
        sock.send(request)
        reply = sock.recv(4096)
    kind = _HEADER.unpack_from(reply)[1]
    if kind == 2:  # NLMSG_ERROR
        errno = -struct.unpack_from("=i", reply, _HEADER.size)[0]
        raise OSError(errno, f"asking for the ruleset's generation: {os.strerror(errno)}")
    offset = _HEADER.size + _NFGENMSG.size
    while offset < len(reply):
        length, attribute = _ATTRIBUTE.unpack_from(reply, offset)
        if attribute == _NFTA_GEN_ID:
            number: int = struct.unpack_from("!I", reply, offset + _ATTRIBUTE.size)[0]
            return number
        offset += (length + 3) & ~3
    raise ValueError(f"generation reply without an id: {reply.hex()}")
