"""What the rules cost a connection: through a Service against direct, few Services against many.

::

    private node with 10 Services     --+
                                        +-- caller -> node -> endpoints, call by call in turn
    private node with N of them       --+

Both nodes exist at the same time, and each way through each of them is taken once before any is
taken again, so that a noisy moment of the machine hits all alike. The servers are processes of
their own, both on the last CPU; the callers are this process, on the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.calls import answer_seconds, bulk_rate
from benchmarks.figures import Size, percentile
from benchmarks.measure import BenchmarkFailed
from benchmarks.mixture import cluster_events
from benchmarks.objects import POD_PORT
from benchmarks.programmed import open_programmed
from benchmarks.table import aligned, verdict
from benchmarks.ways import DIRECT, VIP_NETWORK, Caller, Way, way_events, ways
from lab.namespace import Namespace
from lab.topology import NODE_ADDRESSES, Lab, private_node
from lab.waiting import eventually

SMALL_SERVICES = 10
FLAT = 1.1
"""Up to this ratio between many and few Services a way counts as flat."""
_WARM_UP_CALLS = 20
_BULK_SECONDS = 0.15
_BULK_ROUNDS = 15
_ROOT = Path(__file__).parents[1]


class WayRow(msgspec.Struct, frozen=True):
    """Time of a new connection and its first answer, by one way."""

    name: str
    caller: Caller
    protocol: str
    small_p50_us: float
    small_p99_us: float
    p50_us: float
    p99_us: float
    against_direct: float
    """Median, divided by that of the direct way of the same caller, both among many Services."""

    @property
    def against_small(self) -> float:
        """Median among many Services, divided by that among few."""
        return self.p50_us / self.small_p50_us


class BulkRow(msgspec.Struct, frozen=True):
    """Bytes a second over one TCP connection, by one way, in each round on each node."""

    name: str
    small_rates: tuple[float, ...]
    rates: tuple[float, ...]

    @property
    def against_small(self) -> float:
        """Median over the rounds of the rate among many Services divided by that among few."""
        pairs = zip(self.rates, self.small_rates, strict=True)
        return percentile([rate / small for rate, small in pairs], 50)


class DatapathResult(msgspec.Struct, frozen=True):
    """Everything that came of it."""

    size: Size
    connections: int
    rows: tuple[WayRow, ...]
    bulk: tuple[BulkRow, ...]
    unanswered: tuple[str, ...]
    """Ways that nobody answers, so that there is nothing to measure."""

    @property
    def title(self) -> str:
        """What was measured."""
        return (
            f"A new connection and its first answer, among {SMALL_SERVICES} and "
            f"{self.size.services:,} Services, {self.connections} of each"
        )

    def lines(self) -> Iterator[str]:
        """The tables for people."""
        few, many = f"{SMALL_SERVICES} Services", f"{self.size.services:,}"
        yield from aligned(
            [
                ("from", "to", "", few, "p99", many, "p99", "to direct", "to few", "flat"),
                *map(_way_cells, self.rows),
            ],
            words=3,
        )
        yield ""
        yield from aligned(
            [
                ("one TCP connection, a pod to", few, many, "to few", "flat"),
                *map(_bulk_cells, self.bulk),
            ]
        )
        yield from (f"NOT ANSWERED: {name}" for name in self.unanswered)


def run_datapath(size: Size, connections: int) -> DatapathResult:
    """Measure every way.

    Args:
        size: of the larger node.
        connections: how many calls each way gets.

    Raises:
        BenchmarkFailed: a call was not answered by a way that worked before.
    """
    chosen = ways()
    with contextlib.ExitStack() as stack:
        server_cpu = stack.enter_context(_pinned())
        few = Size(min(SMALL_SERVICES, size.services), size.endpoints)
        small, large = (
            stack.enter_context(_open_node(each, chosen, server_cpu)) for each in (few, size)
        )
        answered = [way for way in chosen if _is_answered(way, (small, large))]
        _call(answered, (small, large), _WARM_UP_CALLS)
        seconds = _call(answered, (small, large), connections)
        rates = _send(_bulk_ways(answered), (small, large))
    rows = tuple(_way_row(way, answered, seconds) for way in answered)
    bulk = tuple(BulkRow(name, *map(tuple, found)) for name, found in rates.items())
    unanswered = tuple(str(way) for way in chosen if way not in answered)
    return DatapathResult(size, connections, rows, bulk, unanswered)


@contextlib.contextmanager
def _pinned() -> Iterator[int]:
    """Keep this thread on the first CPU while the block runs; gives the one for the servers.

    Left to the scheduler, the server of one node may get the busier CPU for all of the time: the
    direct way through two equal nodes then differed by 26 %.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield max(allowed)
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def _open_node(size: Size, chosen: list[Way], server_cpu: int) -> Iterator[Lab]:
    """A node with this many Services, a pod and a client that call, and one pod that answers."""
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(private_node(("caller",)))
        lab.client.ip(f"route add {VIP_NETWORK} via {NODE_ADDRESSES[0]}")
        stack.enter_context(_serving(lab.crowd.namespace, server_cpu))
        node = stack.enter_context(open_programmed(lab.node))
        asyncio.run(node.load([*way_events(chosen), *cluster_events(size)]))
        yield lab


@contextlib.contextmanager
def _serving(namespace: Namespace, cpu: int) -> Iterator[None]:
    command = ("env", "-C", str(_ROOT), sys.executable, "-m", "benchmarks.echo", str(POD_PORT))
    with tempfile.NamedTemporaryFile(prefix="nodeproxy-") as output:
        process = namespace.spawn(*command, output=output)
        os.sched_setaffinity(process.pid, {cpu})
        try:
            eventually("the server listens", lambda: b"ready" in Path(output.name).read_bytes())
            yield
        finally:
            process.kill()
            process.wait()


def _caller(lab: Lab, way: Way) -> Namespace:
    return lab.client if way.caller == "client" else lab.pods[0].namespace


def _is_answered(way: Way, labs: Sequence[Lab]) -> bool:
    try:
        for lab in labs:
            answer_seconds(_caller(lab, way), way.protocol, way.destination)
    except BenchmarkFailed:
        return False
    return True


def _call(chosen: Sequence[Way], labs: Sequence[Lab], count: int) -> dict[Way, list[list[float]]]:
    """Call by all ways on all nodes, each once a round.

    The order of a round is drawn anew: in a fixed one whoever came first after a change of
    caller and protocol was 6 % slower, with cold caches.

    Returns:
        For each way, the seconds of each call, by node.
    """
    seconds: dict[Way, list[list[float]]] = {way: [[] for _ in labs] for way in chosen}
    round_ = [(way, place) for way in chosen for place in range(len(labs))]
    chooser = random.Random(count)
    for _ in range(count):
        chooser.shuffle(round_)
        for way, place in round_:
            caller = _caller(labs[place], way)
            taken = answer_seconds(caller, way.protocol, way.destination)
            seconds[way][place].append(taken)
    return seconds


def _bulk_ways(chosen: Sequence[Way]) -> list[Way]:
    """The direct one and the first Service, of a pod."""
    return [way for way in chosen if way.caller == "pod" and way.protocol == "TCP"][:2]


def _send(chosen: Sequence[Way], labs: Sequence[Lab]) -> dict[str, list[list[float]]]:
    """Send by these ways on all nodes in turn; bytes a second of each try, by node."""
    rates: dict[str, list[list[float]]] = {way.name: [[] for _ in labs] for way in chosen}
    round_ = [(way, place) for way in chosen for place in range(len(labs))]
    chooser = random.Random(_BULK_ROUNDS)
    for _ in range(_BULK_ROUNDS):
        chooser.shuffle(round_)
        for way, place in round_:
            rate = bulk_rate(_caller(labs[place], way), way.destination, _BULK_SECONDS)
            rates[way.name][place].append(rate)
    return rates


def _way_row(way: Way, chosen: Sequence[Way], seconds: dict[Way, list[list[float]]]) -> WayRow:
    small, large = seconds[way]
    direct = next(
        other
        for other in chosen
        if other.name == DIRECT and (other.caller, other.protocol) == (way.caller, way.protocol)
    )
    return WayRow(
        name=way.name,
        caller=way.caller,
        protocol=way.protocol,
        small_p50_us=percentile(small, 50) * 1e6,
        small_p99_us=percentile(small, 99) * 1e6,
        p50_us=percentile(large, 50) * 1e6,
        p99_us=percentile(large, 99) * 1e6,
        against_direct=percentile(large, 50) / percentile(seconds[direct][1], 50),
    )


def _way_cells(row: WayRow) -> tuple[str, ...]:
    times = (row.small_p50_us, row.small_p99_us, row.p50_us, row.p99_us)
    return (
        row.caller,
        row.name,
        row.protocol,
        *(f"{time:.0f} us" for time in times),
        f"{row.against_direct:.2f}",
        f"{row.against_small:.2f}",
        verdict(row.against_small <= FLAT),
    )


def _bulk_cells(row: BulkRow) -> tuple[str, ...]:
    rates = (percentile(found, 50) for found in (row.small_rates, row.rates))
    return (
        row.name,
        *(f"{rate * 8 / 1e9:.1f} Gbit/s" for rate in rates),
        f"{row.against_small:.2f}",
        verdict(row.against_small * FLAT >= 1),
    )
