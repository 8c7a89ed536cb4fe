"""The server of the data path benchmark: `python -m benchmarks.echo PORT`, a process of its own.

    TCP  "?..."   answered with one byte
    TCP  ">..."   everything is read to the end, then answered with the number of bytes
    UDP           every datagram is answered with one byte, from the address it was sent to

One caller at a time, as the benchmark is one; whoever hangs is dropped after seconds.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading

QUESTION = b"?"
BULK = b">"
COUNT = struct.Struct("!Q")
"""The answer to a bulk transfer."""
_ANSWER = b"!"
_READ_BYTES = 1 << 20
_CALLER_SECONDS = 5.0
# Missing from the socket module; linux/in.h. struct in_pktinfo { int; in_addr local, dst }
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("=i4s4s")


def main(port: int) -> None:
    """Answer until killed; says `ready` when callers may come."""
    listener = socket.create_server(("0.0.0.0", port), backlog=64)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    datagrams.bind(("0.0.0.0", port))
    threading.Thread(target=_answer_datagrams, args=(datagrams,), daemon=True).start()
    print("ready", flush=True)
    buffer = bytearray(_READ_BYTES)
    while True:
        connection, _ = listener.accept()
        # A caller that vanished is not this server's problem.
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_CALLER_SECONDS)
            _answer(connection, buffer)


def _answer(connection: socket.socket, buffer: bytearray) -> None:
    received = connection.recv_into(buffer)
    if buffer[:1] == QUESTION:
        connection.send(_ANSWER)
        connection.recv(1)  # the caller hangs up first
        return
    total = received
    while received := connection.recv_into(buffer):
        total += received
    connection.send(COUNT.pack(total))


def _answer_datagrams(sock: socket.socket) -> None:
    while True:
        _, control, _, caller = sock.recvmsg(64, socket.CMSG_SPACE(_PKTINFO.size))
        reached = _PKTINFO.unpack(control[0][2])[2]
        source = (socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(0, reached, bytes(4)))
        with contextlib.suppress(OSError):
            sock.sendmsg([_ANSWER], [source], 0, caller)


if __name__ == "__main__":
    main(int(sys.argv[1]))
