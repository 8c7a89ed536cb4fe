"""SCTP in the lab and through rules: real associations, or raw INIT chunks where it has no sockets.

Which of the two this kernel allows is asked once (`sctp.has_sockets`); the tests are the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import nft, sctp
from lab.topology import NODE_ADDRESSES, Lab, private_node
from lab.traffic import Answer, Failure, Target, ask

pytestmark = pytest.mark.live

PORT = 8080
RULES = """
table inet by-hand {
  chain prerouting { type nat hook prerouting priority dstnat
    ip daddr 10.96.0.1 sctp dport 80 dnat ip to 10.244.0.11:8080
    ip6 daddr fd00:96::1 sctp dport 80 dnat ip6 to [fd00:10:244::11]:8080
  }
  chain postrouting { type nat hook postrouting priority srcnat
    ct status dnat ip saddr 192.168.0.9 masquerade fully-random
    ct status dnat ip6 saddr 2001:db8::9 masquerade fully-random
  }
  chain forward { type filter hook forward priority filter
    ip daddr 10.96.0.9 reject
    ip6 daddr fd00:96::9 reject
    ip daddr 10.96.0.8 drop
    ip6 daddr fd00:96::8 drop
  }
}
"""
FAMILIES = pytest.mark.parametrize("index", [0, 1], ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with private_node() as built:
        built.serve(sctp_ports=[PORT])
        nft.load(built.node, RULES)
        yield built


def test_checksum_is_crc32c():
    """The check value that every catalogue of CRCs gives."""
    assert sctp.crc32c(b"123456789") == 0xE3069283


def test_packets_are_read_as_written():
    packet = sctp.Packet(1000, 80, sctp.INIT_ACK, b"some words")

    assert sctp.parse(sctp.build(packet)) == packet


def test_a_damaged_packet_is_not_read():
    written = bytearray(sctp.build(sctp.Packet(1000, 80, sctp.INIT)))

    written[-1] ^= 1

    assert sctp.parse(bytes(written)) is None


@FAMILIES
def test_pods_answer_each_other_unchanged(lab: Lab, index: int):
    target = Target("sctp", lab.pods[1].addresses[index], PORT)

    answer = ask(lab.pods[0].namespace, target)

    assert isinstance(answer, Answer)
    assert (answer.server, answer.server_port) == (target.address, PORT)
    assert answer.seen_as == lab.pods[0].addresses[index]


@FAMILIES
def test_translation_and_masquerade_are_seen(lab: Lab, index: int):
    target = Target("sctp", ("10.96.0.1", "fd00:96::1")[index], 80)

    plain = ask(lab.pods[1].namespace, target)
    masqueraded = ask(lab.client, target)

    assert isinstance(plain, Answer)
    assert (plain.server, plain.server_port) == (lab.pods[0].addresses[index], PORT)
    assert not plain.is_masqueraded
    assert isinstance(masqueraded, Answer)
    assert masqueraded.seen_as == NODE_ADDRESSES[index]


@FAMILIES
def test_refused_and_dropped_are_told_apart(lab: Lab, index: int):
    refused = Target("sctp", ("10.96.0.9", "fd00:96::9")[index], 80)
    dropped = Target("sctp", ("10.96.0.8", "fd00:96::8")[index], 80)
    caller = lab.pods[1].namespace

    outcomes = [ask(caller, refused), ask(caller, dropped, timeout=0.3)]

    assert [o.kind for o in outcomes if isinstance(o, Failure)] == ["refused", "timeout"]
