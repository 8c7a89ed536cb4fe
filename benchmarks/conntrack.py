"""What it costs to keep connection tracking free of stale flows, in a table full of flows.

::

    node: rules for N Services           one loop, as in the agent: sync turns and cleaner
          table full of UDP flows   -->  at start         every flow is looked at
                                         an endpoint goes  its flows are looked for and deleted
                                         rule changes      alone, and while all flows are looked at

Flows lead to the endpoints of the mixture's UDP Services. The kernel's table is one for all network
namespaces, and each may have so many entries in it; where a million do not fit into one, others
hold the rest, and every dump of the node's flows has to walk over them.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.conntrack_node import (
    UDP_PLACE,
    Filling,
    FlowNode,
    filled,
    open_flow_node,
)
from benchmarks.figures import Figure, Reference, Size, percentile
from benchmarks.measure import BenchmarkFailed
from benchmarks.mixture import background_answerers, background_shape, cluster_events
from benchmarks.objects import slice_puts
from benchmarks.table import table_lines
from lab.namespace import Namespace
from nodeproxy.model.addresses import Family

WANTED_FLOWS = 1_000_000
MEMORY_TARGET_MB = 50.0
STALL_TARGET_MS = 10.0
_PASS_SECONDS = 120.0
_TICK_SECONDS = 0.001
_RULE_CHANGES = 200
_ROUNDS_AT_MOST = 5
_QUIET_SECONDS = 2.5
"""Longer than it takes until a second look begins."""


class ConntrackResult(msgspec.Struct, frozen=True):
    """Everything that came of it."""

    size: Size
    filling: Filling
    deleted: int
    """Flows of one endpoint."""
    figures: tuple[Figure, ...]

    @property
    def title(self) -> str:
        """What was measured."""
        filling = self.filling
        return (
            f"Flows among {self.size.services:,} Services x {self.size.endpoints:,} endpoints: "
            f"{filling.own:,} in the node's table (limit {filling.limit:,}), "
            f"{filling.others:,} of other namespaces beside them"
        )

    def lines(self) -> Iterator[str]:
        """The table for people."""
        yield from table_lines(self.figures)


class _Look(msgspec.Struct, frozen=True):
    """What looking at the flows took."""

    seconds: float
    stall_seconds: float
    """Longest time for which the loop did nothing else."""
    memory_mb: float
    deleted: int


def run_conntrack(size: Size, rounds: int, wanted: int = WANTED_FLOWS) -> ConntrackResult:
    """Measure with a full table.

    Args:
        size: of the cluster whose rules are there.
        rounds: how many endpoints go, one after the other; five at most, and one stays.
        wanted: how many flows the kernel's table shall have in all.

    Raises:
        BenchmarkFailed: the cleaner did not come to an end, or deleted nothing.
    """
    with (
        Namespace("flows") as namespace,
        open_flow_node(namespace) as node,
        filled(namespace, size, wanted) as filling,
    ):
        return asyncio.run(
            _measure(node, size, filling, min(rounds, _ROUNDS_AT_MOST, size.endpoints - 1))
        )


async def _measure(node: FlowNode, size: Size, filling: Filling, rounds: int) -> ConntrackResult:
    await node.take(list(cluster_events(size)))
    gc.collect()
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        cleaner = group.create_task(node.cleaner.run())
        at_start = await _look(node)
        removals: list[_Look] = []
        for slot in range(rounds):
            await _quiet(node)
            removals.append(await _remove_endpoint(node, size, slot))
        await _quiet(node)
        noise = await _stall_of_a_second()
        alone = await _rule_changes(node, size)
        meanwhile = await _rule_changes_meanwhile(node, size)
        cleaner.cancel()
    figures = _figures(at_start, removals, noise, alone, meanwhile)
    return ConntrackResult(size, filling, removals[0].deleted, tuple(figures))


def _figures(
    at_start: _Look,
    removals: list[_Look],
    noise: float,
    alone: list[float],
    meanwhile: list[float],
) -> Iterator[Figure]:
    looks = [at_start, *removals]
    yield Figure("every flow looked at, with pauses", "s", at_start.seconds)
    yield Figure(
        "endpoint gone to its flows deleted, p50",
        "ms",
        percentile([look.seconds for look in removals], 50) * 1e3,
    )
    memory = max(look.memory_mb for look in looks)
    yield Figure("extra memory, peak", "MB", memory, Reference(MEMORY_TARGET_MB))
    stall = max(look.stall_seconds for look in looks) * 1e3
    yield Figure("event loop held up, longest", "ms", stall, Reference(STALL_TARGET_MS))
    yield Figure("the same in a second without looks", "ms", noise * 1e3)
    for name, seconds in (("alone", alone), ("while every flow is looked at", meanwhile)):
        yield Figure(f"one rule change {name}, p50", "ms", percentile(seconds, 50) * 1e3)
        yield Figure(f"one rule change {name}, p99", "ms", percentile(seconds, 99) * 1e3)


async def _remove_endpoint(node: FlowNode, size: Size, slot: int) -> _Look:
    """One more endpoint of the first UDP Service goes."""
    shape = background_shape(UDP_PLACE)
    left = background_answerers(UDP_PLACE, size)[slot + 1 :]
    await node.take(list(slice_puts(shape, left)))
    return await _look(node, wants_deletion=True)


async def _quiet(node: FlowNode) -> None:
    """Wait until second looks are over too."""
    statistics, before = node.cleaner.statistics, -1
    while sum(statistics.passes.values()) != before:
        before = sum(statistics.passes.values())
        await asyncio.sleep(_QUIET_SECONDS)


async def _look(node: FlowNode, *, wants_deletion: bool = False) -> _Look:
    """Wait until the IPv4 flows have been looked at, and stale ones were found if there are any."""
    cleaner, done = node.cleaner, asyncio.Event()
    before, memory = cleaner.statistics.deleted[Family.IPV4], _PeakMemory()

    def on_pass(family: Family, _: float, deleted: int) -> None:
        if family is Family.IPV4 and (deleted or not wants_deletion):
            done.set()

    cleaner.on_pass = on_pass
    started = time.perf_counter()
    stall = asyncio.create_task(_longest_stall(done))
    try:
        async with asyncio.timeout(_PASS_SECONDS):
            await done.wait()
    except TimeoutError as exc:
        raise BenchmarkFailed(f"flows not looked at within {_PASS_SECONDS:.0f} s") from exc
    seconds = time.perf_counter() - started
    deleted = cleaner.statistics.deleted[Family.IPV4] - before
    return _Look(seconds, await stall, memory.extra_mb(), deleted)


async def _stall_of_a_second() -> float:
    """What other work on the machine does to the loop."""
    end = asyncio.Event()
    asyncio.get_running_loop().call_later(1.0, end.set)
    return await _longest_stall(end)


async def _longest_stall(end: asyncio.Event) -> float:
    """By how much a tick of a millisecond came too late."""
    longest = 0.0
    while not end.is_set():
        asked_at = time.perf_counter()
        await asyncio.sleep(_TICK_SECONDS)
        longest = max(longest, time.perf_counter() - asked_at - _TICK_SECONDS)
    return longest


async def _rule_changes(node: FlowNode, size: Size) -> list[float]:
    """Endpoints of a TCP Service come and go; what each change took."""
    shape, answerers = background_shape(1), background_answerers(1, size)
    took: list[float] = []
    for number in range(_RULE_CHANGES):
        events = list(slice_puts(shape, answerers[number % 2 :]))
        started = time.perf_counter()
        await node.take(events)
        took.append(time.perf_counter() - started)
        await asyncio.sleep(_TICK_SECONDS)
    return took


async def _rule_changes_meanwhile(node: FlowNode, size: Size) -> list[float]:
    """The same while every flow is looked at, again and again."""
    node.cleaner.on_pass = lambda *_: node.cleaner.rules_were_lost()
    node.cleaner.rules_were_lost()
    took = await _rule_changes(node, size)
    node.cleaner.on_pass = None
    return took


class _PeakMemory:
    """By how much the process grows from now on, at its peak."""

    _STATUS = Path("/proc/self/status")

    # Mutable state: what it was at first.
    def __init__(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what it is now
        self._before = self._read("VmRSS")

    def extra_mb(self) -> float:
        """Peak since, minus what it was, in units of 10^6 bytes."""
        return (self._read("VmHWM") - self._before) * 1024 / 1e6

    def _read(self, name: str) -> int:
        line = next(x for x in self._STATUS.read_text().splitlines() if x.startswith(name))
        return int(line.split()[1])
