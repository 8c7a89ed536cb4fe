"""Packets that connection tracking calls invalid: docs/decisions/0010-invalid-packets-pass.md."""

from __future__ import annotations

import socket
import struct

import pytest

from lab.topology import Pod, private_node
from nodeproxy.netlink.channel import NetfilterSocket
from tests.support.builders import service, slice_
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.live

_SYN_AND_FIN = 0x03
"""No connection begins so: conntrack calls it invalid (nf_conntrack_proto_tcp, tcp_flags)."""
CLUSTER_IP = "10.96.0.10"


def segment(source: str, destination: str, ports: tuple[int, int], flags: int) -> bytes:
    """A TCP segment without data, checksum included."""
    header = struct.pack(">HHIIBBHHH", *ports, 1, 0, 5 << 4, flags, 1024, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination)
    pseudo += struct.pack(">HH", socket.IPPROTO_TCP, len(header))
    words = sum(struct.unpack(f">{len(pseudo + header) // 2}H", pseudo + header))
    while words >> 16:
        words = (words & 0xFFFF) + (words >> 16)
    return header[:16] + struct.pack(">H", words ^ 0xFFFF) + header[18:]


def send(pod: Pod, destination: str, port: int, source_port: int) -> None:
    data = segment(pod.ipv4, destination, (source_port, port), _SYN_AND_FIN)
    with pod.namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw:
        raw.sendto(data, (destination, 0))


def next_source_port(capture: socket.socket) -> int:
    """The source port of the next segment that arrives."""
    packet = capture.recv(2048)
    port: int = struct.unpack_from(">H", packet, (packet[0] & 0xF) * 4)[0]
    return port


async def test_invalid_packets_take_their_normal_route() -> None:
    """DP-70: one to a pod arrives; one to a ClusterIP is not translated."""
    with private_node() as lab:
        with lab.node.entered():
            channel = NetfilterSocket()
        with channel:
            sender, receiver = lab.pods[:2]
            web = service("web").cluster_ip(CLUSTER_IP).port(80)
            ready = slice_("web-1", service="web").port(8080).endpoint(receiver.ipv4)
            await ProgrammedNode(channel=channel).take(web.upserted(), ready.upserted())
            capture = receiver.namespace.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
            with capture:
                capture.settimeout(5)

                send(sender, CLUSTER_IP, 80, source_port=1001)
                send(sender, receiver.ipv4, 8080, source_port=1002)

                assert next_source_port(capture) == 1002
