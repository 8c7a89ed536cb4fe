"""Who answers: a thread that tells every caller which address it reached and who it seems to be.

One TCP and one UDP socket per port, on every address of the namespace and for both families, so
that a single server stands for hundreds of endpoints; SCTP likewise, or one raw socket of each
family where the kernel does not speak it (`sctp`). An answer is one line::

    10.244.0.11 8080 192.168.0.2 40123        reached address and port, caller as seen from here

TCP answers once when the connection is accepted and again after each thing the caller says; UDP
answers each datagram, from the address it was sent to.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterable

from lab import sctp
from lab.namespace import Namespace

_BACKLOG = 1024
_READ_BYTES = 2048
# struct in6_pktinfo { struct in6_addr; int ifindex }; IPv4 travels as ::ffff:a.b.c.d
_PKTINFO = struct.Struct("=16si")
# struct in_pktinfo { int ifindex; struct in_addr spec_dst; struct in_addr addr }
_PKTINFO_V4 = struct.Struct("=i4s4s")
_IP_PKTINFO = 8


def answer_text(server: tuple[str, int], caller: tuple[str, int]) -> bytes:
    """Write an answer; IPv4 addresses lose the ``::ffff:`` a dual-stack socket gives them."""
    return f"{_plain(server[0])} {server[1]} {_plain(caller[0])} {caller[1]}\n".encode()


class Server:
    """Answers on ports of one namespace until closed."""

    def __init__(
        self,
        namespace: Namespace,
        *,
        tcp: Iterable[int] = (),
        udp: Iterable[int] = (),
        sctp_ports: Iterable[int] = (),
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        for port in tcp:
            self._watch(_listen_stream(namespace, port, socket.IPPROTO_TCP), self._accept)
        for port in udp:
            self._watch(_listen_udp(namespace, port), self._datagram)
        self._sctp_ports = frozenset(sctp_ports)
        self._serve_sctp(namespace)
        self._thread = threading.Thread(
            target=self._serve, name=f"lab-server-{namespace.name}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering; open connections are closed."""
        if self._waker < 0:
            return
        os.close(self._waker)
        self._waker = -1
        self._thread.join()
        os.close(self._wake)

    def _watch(self, sock: socket.socket, handler: Callable[[socket.socket], None]) -> None:
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, handler)

    def _serve_sctp(self, namespace: Namespace) -> None:
        if sctp.has_sockets():
            for port in self._sctp_ports:
                self._watch(_listen_stream(namespace, port, sctp.IPPROTO_SCTP), self._accept)
        elif self._sctp_ports:
            self._watch(_listen_raw_sctp(namespace, socket.AF_INET), self._raw_sctp)
            self._watch(_listen_raw_sctp(namespace, socket.AF_INET6), self._raw_sctp)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._close_all()
                    return
                # A caller that vanished is not this server's problem.
                with contextlib.suppress(OSError):
                    key.data(key.fileobj)

    def _close_all(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _accept(self, listener: socket.socket) -> None:
        connection, caller = listener.accept()
        self._watch(connection, self._said)
        connection.send(answer_text(connection.getsockname()[:2], caller[:2]))

    def _said(self, connection: socket.socket) -> None:
        try:
            heard = connection.recv(_READ_BYTES)
        except OSError:
            heard = b""
        if heard:
            connection.send(answer_text(connection.getsockname()[:2], connection.getpeername()[:2]))
        else:
            self._selector.unregister(connection)
            connection.close()

    def _datagram(self, sock: socket.socket) -> None:
        _, control, _, caller = sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(_PKTINFO.size))
        packed = next(data for _, kind, data in control if kind == socket.IPV6_PKTINFO)
        address = _PKTINFO.unpack(packed)[0]
        server = (socket.inet_ntop(socket.AF_INET6, address), sock.getsockname()[1])
        reply_from = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO.pack(address, 0))
        sock.sendmsg([answer_text(server, caller[:2])], [reply_from], 0, caller)

    def _raw_sctp(self, sock: socket.socket) -> None:
        """Answer an INIT to a served port, from the address it was sent to."""
        data, control, _, caller = sock.recvmsg(_READ_BYTES, socket.CMSG_SPACE(_PKTINFO.size))
        asked = sctp.parse(sctp.without_ip_header(sock.family, data))
        if not asked or asked.chunk != sctp.INIT or asked.destination_port not in self._sctp_ports:
            return
        level, kind, info = control[0]
        server, reply_from = _destination(sock.family, info)
        words = answer_text((server, asked.destination_port), (caller[0], asked.source_port))
        ports = (asked.destination_port, asked.source_port)
        reply = sctp.build(sctp.Packet(*ports, sctp.INIT_ACK, words))
        sock.sendmsg([reply], [(level, kind, reply_from)], 0, (caller[0], 0))


def _destination(family: int, info: bytes) -> tuple[str, bytes]:
    """Where a packet was sent to, and the control message to answer from there."""
    if family == socket.AF_INET:
        _, _, address = _PKTINFO_V4.unpack(info)
        return socket.inet_ntop(socket.AF_INET, address), _PKTINFO_V4.pack(0, address, address)
    address, _ = _PKTINFO.unpack(info)
    return socket.inet_ntop(socket.AF_INET6, address), _PKTINFO.pack(address, 0)


def _listen_raw_sctp(namespace: Namespace, family: socket.AddressFamily) -> socket.socket:
    sock = namespace.socket(family, socket.SOCK_RAW, sctp.IPPROTO_SCTP)
    if family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return sock


def _listen_stream(namespace: Namespace, port: int, protocol: int) -> socket.socket:
    sock = namespace.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    sock.listen(_BACKLOG)
    return sock


def _listen_udp(namespace: Namespace, port: int) -> socket.socket:
    sock = namespace.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    sock.bind(("::", port))
    return sock


def _plain(address: str) -> str:
    return address.removeprefix("::ffff:")
