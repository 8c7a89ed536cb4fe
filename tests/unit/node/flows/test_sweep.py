"""What is asked of the kernel, and how much of the answer is held."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest

from lab.conntrack import Entry
from nodeproxy.model.addresses import Addr, Cidr, Family, parse_addr
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink.conntrack import FlowFilter
from nodeproxy.node.flows.judge import Judge, Verdict, packed
from nodeproxy.node.flows.sweep import Sweep, filters_for
from tests.support.fake_conntrack import end_of_dump, entry_message

IP = parse_addr("10.96.0.10")
ANY = Addr(b"")


def node_port(number: int) -> bytes:
    return packed(ANY, number)


@pytest.mark.parametrize(
    ("destinations", "asked"),
    [
        ([packed(IP, 53)], [(IP, 53)]),
        ([packed(IP, 53), packed(parse_addr("1.2.3.4"), 53)], [(ANY, 53)]),
        ([packed(IP, 53), node_port(30053)], [(IP, 53), (ANY, 30053)]),
        ([packed(IP, port) for port in range(53, 57)], [(ANY, 0)]),
        ([], []),
    ],
    ids=["one frontend", "two addresses", "with NodePort", "many ports", "nothing"],
)
def test_questions_are_few_and_as_narrow_as_they_can_be(
    destinations: list[bytes], asked: list[tuple[Addr, int]]
):
    filters = filters_for(Family.IPV4, Protocol.UDP, destinations)

    assert filters == tuple(FlowFilter(Family.IPV4, 17, addr, port) for addr, port in asked)


def test_everything_is_asked_for_where_any_destination_may_be_stale():
    filters = filters_for(Family.IPV4, Protocol.UDP, [packed(IP, 53)], wants_all=True)

    assert filters == (FlowFilter(Family.IPV4, 17),)


class EndlessTable:
    """A channel that tells `flows` flows, of which each thousandth is to 10.96.0.10:53."""

    def __init__(self, flows: int) -> None:
        self.deletes = 0
        self.dumps = 0
        self._flows = flows
        self._answer: Iterator[bytes] = iter(())

    def start_dump(self, flow_filter: FlowFilter) -> None:
        self.dumps += 1
        self._answer = self._datagrams()

    def receive(self) -> bytes:
        return next(self._answer)

    def delete(self, family: Family, identities: Sequence[bytes]) -> int:
        self.deletes += len(identities)
        return len(identities)

    def own_networks(self, family: Family) -> tuple[Cidr, ...]:
        return ()

    def close(self) -> None:
        """Nothing to close."""

    def _datagrams(self) -> Iterator[bytes]:
        foreign = entry_message(Entry.to(("10.96.7.7", 999), ("10.244.0.5", 999)), 1)
        stale = entry_message(Entry.to(("10.96.0.10", 53), ("10.244.0.5", 53)), 2)
        datagram = foreign * 999 + stale
        for _ in range(self._flows // 1000):
            yield bytes(bytearray(datagram))
        yield end_of_dump()


def test_a_huge_table_is_read_with_little_memory():
    """TS-702: only flows to the service port with a wrong backend go, in one dump."""
    table = EndlessTable(30_000)
    judge = Judge({packed(IP, 53): Verdict(frozenset())})
    sweep = Sweep(table, Family.IPV4, Protocol.UDP, [FlowFilter(Family.IPV4, 17)], judge)

    tracemalloc.start()
    while sweep.step(0.005):
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (table.dumps, table.deletes, sweep.deleted) == (1, 30, 30)
    assert peak_bytes < 2_000_000


def test_a_slice_ends_when_its_time_is_over():
    table = EndlessTable(10_000)
    judge = Judge({packed(IP, 53): Verdict(frozenset())})
    sweep = Sweep(table, Family.IPV4, Protocol.UDP, [FlowFilter(Family.IPV4, 17)], judge)

    has_more = sweep.step(0.0)

    assert has_more
    assert table.deletes == 1


def test_flows_of_a_zone_belong_to_somebody_else():
    zone = struct.pack("=HH", 6, 18) + b"\0\1\0\0"
    message = entry_message(Entry.to(("10.96.0.10", 53), ("10.244.0.5", 53)), 1, more=zone)
    table = EndlessTable(0)
    table._datagrams = lambda: iter([message + end_of_dump()])  # type: ignore[method-assign]
    judge = Judge({packed(IP, 53): Verdict(frozenset())})
    sweep = Sweep(table, Family.IPV4, Protocol.UDP, [FlowFilter(Family.IPV4, 17)], judge)

    has_more = sweep.step(1.0)

    assert not has_more
    assert table.deletes == 0
