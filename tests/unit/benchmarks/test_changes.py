"""What single changes amount to."""

from __future__ import annotations

import pytest

from benchmarks.changes import ChangesResult, row_of, run_changes, target_ms
from benchmarks.figures import Size
from benchmarks.measure import BenchmarkFailed
from benchmarks.mixture import cluster_events
from benchmarks.objects import Shape, service_put, slice_put
from benchmarks.programmed import Applied, ProgrammedNode
from benchmarks.subjects import Supply
from tests.support.fake_kernel import FakeKernel

LABEL = ("endpoint added", "ClusterIP")
SIZE = Size(3, 2)


def applied(*milliseconds: float) -> list[Applied]:
    return [Applied(ms / 1000, ms / 4000, 3) for ms in milliseconds]


def test_the_median_is_what_a_target_is_held_against():
    row = row_of(LABEL, applied(0.5, 0.5, 0.5, 8.0), applied(0.25))

    assert (row.p50_ms, row.p99_ms, row.small_p50_ms) == (0.5, 8.0, 0.25)
    assert row.kernel_share == pytest.approx(0.25)
    assert row.is_met


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ("endpoint replaced", 1.0),
        ("endpoint's readiness flipped", 1.0),
        ("Service removed", 2.0),
        ("source ranges changed", 2.0),
        ("Node's zone changed", None),
    ],
)
def test_endpoints_and_services_have_targets_and_nodes_have_none(change: str, target: float | None):
    assert target_ms(change) == target


def test_a_row_tells_what_who_how_long_and_whether_that_is_good():
    row = row_of(LABEL, applied(1.5), applied(1.0))

    lines = list(ChangesResult(SIZE, 0.1, (row,)).lines())

    cells = "endpoint added ClusterIP 1.50 ms 1.50 ms 25% 3 1.00 ms NO 1.00 ms 1.50"
    assert lines[1].split() == cells.split()


def test_the_table_ends_with_how_many_targets_are_met():
    rows = (row_of(LABEL, applied(0.5), applied(0.5)), row_of(LABEL, applied(1.5), applied(1.0)))

    *_, last = ChangesResult(SIZE, 0.1, rows).lines()

    assert last == ("target 1.00 ms: 1 of 2 met; p50 0.50 ms to 1.50 ms, ratio 1.00 to 1.50")


async def test_a_change_counts_from_the_event_to_the_confirmation():
    node = ProgrammedNode(FakeKernel())
    await node.load(list(cluster_events(SIZE)))
    shape = Shape(name="web", cluster_ip="10.111.1.1")

    taken = await node.take([service_put(shape), slice_put(shape, 0, Supply().crowd(2))])

    # A member of cluster IPs, one of a class, and two endpoints.
    assert taken.operations == 4
    assert 0 < taken.kernel_seconds < taken.seconds


async def test_a_change_that_is_none_takes_no_operation():
    node = ProgrammedNode(FakeKernel())
    await node.load(list(cluster_events(SIZE)))

    taken = await node.take(list(cluster_events(SIZE)))

    assert taken.operations == 0


async def test_a_refused_change_ends_the_benchmark():
    kernel = FakeKernel()
    node = ProgrammedNode(kernel)
    await node.load(list(cluster_events(SIZE)))
    shape = Shape(name="web", cluster_ip="10.111.1.1")
    kernel.refuse_element(lambda *_: True)

    with pytest.raises(BenchmarkFailed, match="the kernel refused"):
        await node.take([service_put(shape)])


@pytest.mark.kernel
def test_every_change_is_measured_in_the_kernel():
    result = run_changes(SIZE, rounds=1)

    changes = {row.change for row in result.rows}
    assert len(result.rows) > 70
    assert {"endpoint added", "Service removed", "affinity on", "Node's zone changed"} <= changes
