"""Who answers: a thread that tells every caller which address it reached and who it seems to be.

One TCP and one UDP socket per port, on every address of the namespace and for both families, so
that a single server stands for hundreds of endpoints. An answer is one line::

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

from lab.namespace import Namespace

_BACKLOG = 1024
_READ_BYTES = 2048
# struct in6_pktinfo { struct in6_addr; int ifindex }; IPv4 travels as ::ffff:a.b.c.d
_PKTINFO = struct.Struct("=16si")


def answer_text(server: tuple[str, int], caller: tuple[str, int]) -> bytes:
    """Write an answer; IPv4 addresses lose the ``::ffff:`` a dual-stack socket gives them."""
    return f"{_plain(server[0])} {server[1]} {_plain(caller[0])} {caller[1]}\n".encode()


class Server:
    """Answers on ports of one namespace until closed."""

    def __init__(
        self, namespace: Namespace, *, tcp: Iterable[int] = (), udp: Iterable[int] = ()
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        for port in tcp:
            self._watch(_listen_tcp(namespace, port), self._accept)
        for port in udp:
            self._watch(_listen_udp(namespace, port), self._datagram)
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


def _listen_tcp(namespace: Namespace, port: int) -> socket.socket:
    sock = namespace.socket(socket.AF_INET6, socket.SOCK_STREAM)
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
