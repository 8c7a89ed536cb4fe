"""What each kind of change costs the agent and the kernel, in a large table and in a small one.

::

    large: N Services, private namespace  --+
                                            +-- the same steps, turn by turn --> samples --> rows
    small: 100 Services, another one      --+

Both tables exist at the same time and every step is applied to both one after the other, so that
a noisy moment of the machine hits both and their ratio stays meaningful.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.cast import MovedNode, subjects
from benchmarks.figures import Figure, Reference, Size, percentile
from benchmarks.mixture import cluster_events
from benchmarks.programmed import Applied, ProgrammedNode, open_programmed
from benchmarks.subjects import Subject
from benchmarks.table import aligned, amount_text, verdict
from lab.namespace import Namespace
from nodeproxy.model.events import SourceEvent

SMALL_SERVICES = 100
ENDPOINT_TARGET_MS = 1.0
SERVICE_TARGET_MS = 2.0
_WARM_UP_TURNS = 5
_MOVES = 5
_TITLES = (
    *("change", "of", "p50", "p99", "in kernel", "operations", "target", "met"),
    *(f"{SMALL_SERVICES} Services, p50", "ratio"),
)

Label = tuple[str, str]
"""Change and subject of a row."""
Samples = dict[Label, list[Applied]]
"""What each change took, in the order of the table."""


class ChangeRow(msgspec.Struct, frozen=True):
    """One kind of change."""

    change: str
    subject: str
    p50_ms: float
    p99_ms: float
    kernel_share: float
    """0..1, of the time."""
    operations: float
    """Median; the two ways of a flip may differ."""
    target_ms: float | None
    small_p50_ms: float

    @property
    def ratio(self) -> float:
        """Median in the large table, divided by that in the small one."""
        return self.p50_ms / self.small_p50_ms

    @property
    def is_met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        return Figure(self.change, "ms", self.p50_ms, Reference(self.target_ms)).is_met


class ChangesResult(msgspec.Struct, frozen=True):
    """Everything that came of it."""

    size: Size
    load_seconds: float
    """First load of the large table: plan, lowering and kernel, without the reading of objects."""
    rows: tuple[ChangeRow, ...]

    @property
    def title(self) -> str:
        """What was measured."""
        size = self.size
        return (
            f"One change, from the event to the kernel's confirmation, among {size.services:,} "
            f"Services x {size.endpoints:,} endpoints (first load {self.load_seconds:.2f} s)"
        )

    def lines(self) -> Iterator[str]:
        """The table for people, and what it says in short."""
        yield from aligned([_TITLES, *map(_cells, self.rows)], words=2)
        yield ""
        for target in (ENDPOINT_TARGET_MS, SERVICE_TARGET_MS):
            rows = [row for row in self.rows if row.target_ms == target]
            if rows:
                yield _summary(rows)


def run_changes(size: Size, rounds: int) -> ChangesResult:
    """Measure every kind of change at one size.

    Args:
        size: of the large table.
        rounds: how often each change is made.

    Raises:
        BenchmarkFailed: the kernel refused a change.
    """
    sizes = (size, Size(min(SMALL_SERVICES, size.services), size.endpoints))
    with contextlib.ExitStack() as stack:
        nodes = []
        for each in sizes:
            namespace = stack.enter_context(Namespace(f"changes-{each}"))
            nodes.append(stack.enter_context(open_programmed(namespace)))
        return asyncio.run(_measure(nodes, sizes, rounds))


async def _measure(
    nodes: Sequence[ProgrammedNode], sizes: Sequence[Size], rounds: int
) -> ChangesResult:
    casts = [subjects() for _ in nodes]
    loads = [
        await node.load(_beginning(cast, size))
        for node, cast, size in zip(nodes, casts, sizes, strict=True)
    ]
    await _play(nodes, casts, range(_WARM_UP_TURNS))
    large, small = await _play(nodes, casts, range(_WARM_UP_TURNS, _WARM_UP_TURNS + rounds))
    moves: list[list[Subject]] = [[MovedNode()] for _ in nodes]
    for samples, moved in zip(
        (large, small), await _play(nodes, moves, range(_MOVES)), strict=True
    ):
        samples.update(moved)
    rows = tuple(row_of(label, large[label], small[label]) for label in large)
    return ChangesResult(sizes[0], loads[0].seconds, rows)


def _beginning(cast: Sequence[Subject], size: Size) -> list[SourceEvent]:
    arrivals = (event for subject in cast for event in subject.arrive())
    return [*arrivals, *cluster_events(size)]


async def _play(
    nodes: Sequence[ProgrammedNode], casts: Sequence[Sequence[Subject]], turns: range
) -> list[Samples]:
    """Apply the same steps to all nodes, one step at a time; they take turns in going first."""
    taken: list[Samples] = [{} for _ in nodes]
    players = list(zip(nodes, taken, strict=True))
    for turn in turns:
        for twins in zip(*casts, strict=True):
            for steps in zip(*(twin.steps(turn) for twin in twins), strict=True):
                order = list(zip(players, steps, strict=True))
                for (node, samples), step in order if turn % 2 else reversed(order):
                    label = (step.change, step.subject)
                    samples.setdefault(label, []).append(await node.take(step.events))
    return taken


def row_of(label: Label, large: Sequence[Applied], small: Sequence[Applied]) -> ChangeRow:
    """Sum up what one kind of change took in the large and in the small table."""
    seconds = [applied.seconds for applied in large]
    return ChangeRow(
        change=label[0],
        subject=label[1],
        p50_ms=percentile(seconds, 50) * 1000,
        p99_ms=percentile(seconds, 99) * 1000,
        kernel_share=statistics.median(a.kernel_seconds / a.seconds for a in large),
        operations=statistics.median(applied.operations for applied in large),
        target_ms=target_ms(label[0]),
        small_p50_ms=percentile([applied.seconds for applied in small], 50) * 1000,
    )


def target_ms(change: str) -> float | None:
    """What a change of this kind may take; the Node's changes concern everybody and have none."""
    if change.startswith("Node"):
        return None
    return ENDPOINT_TARGET_MS if change.startswith("endpoint") else SERVICE_TARGET_MS


def _summary(rows: Sequence[ChangeRow]) -> str:
    """Rows of one target in one sentence."""
    medians = [row.p50_ms for row in rows]
    ratios = [row.ratio for row in rows]
    met = sum(row.is_met is True for row in rows)
    return (
        f"target {amount_text(rows[0].target_ms or 0, 'ms')}: {met} of {len(rows)} met; "
        f"p50 {amount_text(min(medians), 'ms')} to {amount_text(max(medians), 'ms')}, "
        f"ratio {min(ratios):.2f} to {max(ratios):.2f}"
    )


def _cells(row: ChangeRow) -> tuple[str, ...]:
    return (
        row.change,
        row.subject,
        amount_text(row.p50_ms, "ms"),
        amount_text(row.p99_ms, "ms"),
        f"{row.kernel_share:.0%}",
        f"{row.operations:,g}",
        "-" if row.target_ms is None else amount_text(row.target_ms, "ms"),
        verdict(row.is_met),
        amount_text(row.small_p50_ms, "ms"),
        f"{row.ratio:.2f}",
    )
