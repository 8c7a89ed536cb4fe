"""How a caller speaks each protocol: connect, say something, hear what the server says.

All raise the OSError that the kernel reports, TimeoutError included.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from typing import Literal

from lab import sctp
from lab.namespace import Namespace

Spoken = Literal["tcp", "udp", "sctp", "ping"]
"""What callers speak; `ping` is an ICMP or ICMPv6 echo, without ports."""

QUESTION = b"?"
_RECEIVE_BYTES = 2048
# Numbers of linux/in.h and linux/in6.h that the socket module does not name.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
# Closing with a reset leaves no port in TIME_WAIT, so thousands of questions need no new ports.
_CLOSE_BY_RESET = struct.pack("ii", 1, 0)
_ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}


class Line:
    """One connection or flow of a caller.

    As it stands: TCP, and SCTP where the kernel has it. The server speaks first.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        """The socket beneath; whoever waits has its timeout."""

    def bind(self, source: str, port: int) -> None:
        """Choose the caller's end; "" leaves the address to the kernel."""
        self.sock.bind((source, port))

    def local(self) -> tuple[str, int]:
        """The caller's end as the caller knows it, once opened."""
        address, port = self.sock.getsockname()[:2]
        return address, port

    def open(self, address: str, port: int) -> None:
        """Connect and say what makes the server speak."""
        self.sock.connect((address, port))

    def send(self) -> None:
        """Say something more."""
        self.sock.send(QUESTION)

    def receive(self) -> bytes:
        """Wait for what the server says: a line of `server.answer_text`."""
        return self.sock.recv(_RECEIVE_BYTES)

    def close(self) -> None:
        """End it at once."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSE_BY_RESET)
        self.sock.close()


class DatagramLine(Line):
    """UDP: the caller speaks first, and the kernel tells it of ICMP errors."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        _report_icmp_errors(sock)

    def open(self, address: str, port: int) -> None:
        """Connect and speak."""
        super().open(address, port)
        self.send()

    def send(self) -> None:
        """Say something, whatever rules of the own host do to it."""
        # A rule on the caller's own host tells drop and reject alike as EPERM; after a reject
        # the receive that follows hears of the refused port as well.
        with contextlib.suppress(PermissionError):
            self.sock.send(self._words())

    def close(self) -> None:
        """Let go; there is no connection to end."""
        self.sock.close()

    def _words(self) -> bytes:
        return QUESTION


class PingLine(DatagramLine):
    """An echo request; its answer names no port and nobody's view of the caller."""

    _address = ""

    def open(self, address: str, port: int) -> None:
        """Send the echo request; there is no port."""
        self._address = address
        super().open(address, 0)

    def receive(self) -> bytes:
        """Wait for the echo and put it in words."""
        super().receive()
        own, number = self.local()
        return f"{self._address} 0 {own} {number}\n".encode()

    def _words(self) -> bytes:
        # Checksum and identifier are the kernel's business.
        return struct.pack("!BBHHH", _ECHO_REQUEST[self.sock.family], 0, 0, 0, 1)


class RawSctpLine(DatagramLine):
    """An INIT in a raw packet; the INIT ACK carries the server's words."""

    _own_port = 0
    _port = 0

    def bind(self, source: str, port: int) -> None:
        """Choose the port; a raw socket knows addresses only."""
        self._own_port = port
        self.sock.bind((source, 0))

    def local(self) -> tuple[str, int]:
        """See `Line.local`."""
        return self.sock.getsockname()[0], self._own_port

    def open(self, address: str, port: int) -> None:
        """Connect and ask for an association."""
        self._port = port
        self.sock.connect((address, 0))
        self.send()

    def receive(self) -> bytes:
        """Raw sockets hear everything from that address: wait for what is meant for us."""
        deadline = time.monotonic() + (self.sock.gettimeout() or 0)
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            data = sctp.without_ip_header(self.sock.family, super().receive())
            heard = sctp.parse(data)
            if heard and heard[:3] == (self._port, self._own_port, sctp.INIT_ACK):
                return heard.cookie
        raise TimeoutError

    def _words(self) -> bytes:
        return sctp.build(sctp.Packet(self._own_port, self._port, sctp.INIT))


def line(namespace: Namespace, protocol: Spoken, family: socket.AddressFamily) -> Line:
    """Make a line of a caller inside a namespace."""
    match protocol:
        case "tcp":
            return Line(namespace.socket(family, socket.SOCK_STREAM))
        case "sctp" if sctp.has_sockets():
            return Line(namespace.socket(family, socket.SOCK_STREAM, sctp.IPPROTO_SCTP))
        case "sctp":
            return RawSctpLine(namespace.socket(family, socket.SOCK_RAW, sctp.IPPROTO_SCTP))
        case "udp":
            return DatagramLine(namespace.socket(family, socket.SOCK_DGRAM))
        case "ping":
            is_v4 = family == socket.AF_INET
            number = socket.IPPROTO_ICMP if is_v4 else socket.IPPROTO_ICMPV6
            return PingLine(namespace.socket(family, socket.SOCK_DGRAM, number))


def _report_icmp_errors(sock: socket.socket) -> None:
    """Let a socket hear of unreachable hosts; by itself it hears of refused ports only."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
