"""What is measured at which size, in which order."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import measure
from benchmarks.cluster import Cluster
from benchmarks.figures import Figure, Size, Unit, percentile
from benchmarks.options import Options
from benchmarks.process import ENDPOINTS_MODE, MeasuredAgent, filled
from benchmarks.realserver import open_real_server
from benchmarks.site import Site, open_site
from benchmarks.standin import open_standin
from benchmarks.table import table_lines
from benchmarks.targets import WIDE, Measured, reference

_ALONE_PAUSE_SECONDS = 0.02
_BUSY_PAUSE_SECONDS = 0.02


class Run(msgspec.Struct, frozen=True):
    """What came of one size."""

    size: Size
    figures: tuple[Figure, ...]
    samples: dict[str, list[float]]
    """The single values behind the figures, in seconds, in order of time."""

    @property
    def title(self) -> str:
        """What was measured."""
        return f"{self.size.services:,} Services x {self.size.endpoints:,} endpoints"

    def lines(self) -> Iterator[str]:
        """The table for people."""
        return table_lines(self.figures)


def run_size(options: Options, size: Size) -> Run:
    """Measure start, latency, CPU and memory at one size.

    Raises:
        BenchmarkFailed: something that is not a matter of speed went wrong.
    """
    with _measured(options, size) as (site, cluster, agent), _scratch() as directory:
        starts = [measure.first_vip_seconds(site, cluster, agent)]
        while len(starts) < options.starts and starts[-1] is not None:
            agent.kill()
            starts.append(measure.first_vip_seconds(site, cluster, agent))
        reached = [seconds for seconds in starts if seconds is not None]
        if len(reached) < len(starts):
            return Run(size, (_figure(size, "first_vip", None),), {"first_vip": reached})
        agent.kill()
        answers = measure.answer_seconds(site, cluster, agent, directory)
        return _after_start(options, size, reached, answers, (site, cluster, agent))


def _after_start(
    options: Options,
    size: Size,
    starts: list[float],
    answers: list[float],
    parts: tuple[Site, Cluster, MeasuredAgent],
) -> Run:
    site, cluster, agent = parts
    alone = measure.move_seconds(site, cluster, agent, options.moves, _ALONE_PAUSE_SECONDS)
    with measure.other_changes(cluster, size):
        busy = measure.move_seconds(site, cluster, agent, options.moves, _BUSY_PAUSE_SECONDS)
    cpu = measure.cpu_seconds_per_change(cluster, agent, size, options.stream)
    resident, proportional = measure.steady_memory_mb(agent)
    figures = (
        _figure(size, "first_vip", statistics.median(starts)),
        _figure(size, "answer_p99", percentile(answers, 99) * 1000 if answers else None),
        _figure(size, "answer_max", max(answers) * 1000 if answers else None),
        _figure(size, "alone_p50", percentile(alone, 50) * 1000),
        _figure(size, "alone_p99", percentile(alone, 99) * 1000),
        _figure(size, "busy_p50", percentile(busy, 50) * 1000),
        _figure(size, "busy_p99", percentile(busy, 99) * 1000),
        _figure(size, "cpu", cpu * 1000),
        _figure(size, "peak_memory", agent.peak_memory_mb()),
        _figure(size, "steady_memory", resident),
        _figure(size, "proportional_memory", proportional),
    )
    samples = {"first_vip": starts, "answers": answers, "alone": alone, "busy": busy}
    return Run(size, figures, samples)


def run_bytes(options: Options) -> Run:
    """Measure what one change of a Service of 1,000 endpoints costs on the wire, in each mode."""
    modes: list[tuple[Measured, str]] = [("slice_bytes", "")]
    if options.is_own_agent:
        modes.append(("endpoints_bytes", ENDPOINTS_MODE))
    figures = []
    for measured, flags in modes:
        with _measured(options, WIDE, flags) as (site, cluster, agent):
            value = None
            if measure.first_vip_seconds(site, cluster, agent) is not None:
                value = measure.bytes_per_change(cluster, WIDE)
            figures.append(_figure(WIDE, measured, value))
    return Run(WIDE, tuple(figures), {})


@contextlib.contextmanager
def _measured(
    options: Options, size: Size, flags: str = ""
) -> Iterator[tuple[Site, Cluster, MeasuredAgent]]:
    """A node, a cluster of this size, and an agent that is not started yet; all end afterwards."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(_scratch())
        site = stack.enter_context(open_site())
        cluster: Cluster
        if options.kubeconfig is None:
            cluster = stack.enter_context(open_standin(site.node, directory, size))
        else:
            opened = open_real_server(site.node, directory, size, options.kubeconfig)
            cluster = stack.enter_context(opened)
        command = filled(options.agent + flags, cluster.kubeconfig, cluster.node_name)
        agent = MeasuredAgent(site.node, command, directory / "agent.log")
        stack.callback(agent.kill)
        yield site, cluster, agent


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nodeproxy-") as directory:
        yield Path(directory)


_NAMES: dict[Measured, tuple[str, Unit]] = {
    "first_vip": ("process start to first working VIP", "s"),
    "answer_p99": ("/livez during the start, p99", "ms"),
    "answer_max": ("/livez during the start, slowest", "ms"),
    "alone_p50": ("API change to traffic, one at a time, p50", "ms"),
    "alone_p99": ("API change to traffic, one at a time, p99", "ms"),
    "busy_p50": ("API change to traffic, 50 others a second, p50", "ms"),
    "busy_p99": ("API change to traffic, 50 others a second, p99", "ms"),
    "cpu": ("CPU time a change", "ms"),
    "peak_memory": ("memory, peak (VmHWM)", "MB"),
    "steady_memory": ("memory, steady (Rss)", "MB"),
    "proportional_memory": ("memory, steady (Pss)", "MB"),
    "slice_bytes": ("from the API a change, EndpointSlices", "bytes"),
    "endpoints_bytes": ("from the API a change, Endpoints", "bytes"),
}


def _figure(size: Size, measured: Measured, value: float | None) -> Figure:
    return Figure(*_NAMES[measured], value, reference(size, measured))
