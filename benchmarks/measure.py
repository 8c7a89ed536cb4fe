"""Single measurements. Each ends with real connections, and each is bounded in time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.asking import asking
from benchmarks.cluster import Changes, Cluster
from benchmarks.figures import Size
from benchmarks.process import MeasuredAgent
from benchmarks.site import Site

CHANGES_PER_SECOND = 50
_FIRST_VIP_SECONDS = 150.0
_MOVE_SECONDS = 60.0
_LOOK_PAUSE_SECONDS = 0.0002
_START_PAUSE_SECONDS = 0.004
_SAMPLED_SERVICES = 20
_WIDE_CHANGES = 20
_QUIET_SECONDS = 1.0


class BenchmarkFailed(Exception):
    """What was to be measured did not work, so that there is no figure."""


def first_vip_seconds(site: Site, cluster: Cluster, agent: MeasuredAgent) -> float | None:
    """Start the agent and wait until the last Service's ClusterIP answers.

    Returns:
        Seconds from the start of the process; None if it did not happen in 150.

    Raises:
        BenchmarkFailed: the agent ended, or other Services do not answer.
    """
    last = cluster.cluster_ips[-1]
    site.forget_rules()
    if site.server_of(last):
        raise BenchmarkFailed(f"{last} answers before the agent runs: nothing can be measured")
    started = time.monotonic()
    agent.start()
    while not site.server_of(last):
        _must_run(agent)
        if time.monotonic() - started > _FIRST_VIP_SECONDS:
            return None
        time.sleep(_START_PAUSE_SECONDS)
    seconds = time.monotonic() - started
    _check_others(site, cluster)
    return seconds


def answer_seconds(
    site: Site, cluster: Cluster, agent: MeasuredAgent, directory: Path
) -> list[float]:
    """Start the agent and ask for its health until the last Service's ClusterIP answers.

    Returns:
        Seconds of each answer; empty if there were none.

    Raises:
        BenchmarkFailed: as `first_vip_seconds`.
    """
    with asking(site.node, directory) as questions:
        first_vip_seconds(site, cluster, agent)
        return questions.finish()


def move_seconds(
    site: Site, cluster: Cluster, agent: MeasuredAgent, moves: int, pause_seconds: float
) -> list[float]:
    """Move the probe from endpoint to endpoint, one move at a time.

    Returns:
        For each move, seconds from the change in the API to the end of the first connection that
        the new endpoint answered.

    Raises:
        BenchmarkFailed: the agent ended, or a move had no effect in a minute.
    """
    changes = cluster.open_changes()
    chooser = random.Random(moves)
    try:
        # The first gives the probe its endpoint; it may wait for what went before.
        _move(site, cluster, agent, changes, site.probe_addresses[0])
        seconds = []
        for number in range(1, moves + 1):
            # An uneven pause, so that no timer of the agent's is met at the same moment each time.
            time.sleep(pause_seconds * chooser.uniform(0.5, 1.5))
            address = site.probe_addresses[number % len(site.probe_addresses)]
            seconds.append(_move(site, cluster, agent, changes, address))
        return seconds
    finally:
        changes.close()


def _move(
    site: Site, cluster: Cluster, agent: MeasuredAgent, changes: Changes, address: str
) -> float:
    started = time.monotonic()
    changes.begin_move(address)
    while site.server_of(cluster.probe_ip) != address:
        _must_run(agent)
        if time.monotonic() - started > _MOVE_SECONDS:
            raise BenchmarkFailed(f"the probe did not move to {address} in {_MOVE_SECONDS:.0f} s")
        time.sleep(_LOOK_PAUSE_SECONDS)
    seen_at = time.monotonic()
    return seen_at - changes.finish_move() / 1e9


@contextlib.contextmanager
def other_changes(cluster: Cluster, size: Size) -> Iterator[None]:
    """Replace endpoints of random Services, 50 a second, while the block runs."""
    stop = threading.Event()
    changes = cluster.open_changes()
    thread = threading.Thread(
        target=_replace_some, args=(changes, size, stop, None), name="bench-changes", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        changes.close()


def cpu_seconds_per_change(cluster: Cluster, agent: MeasuredAgent, size: Size, count: int) -> float:
    """Replace `count` endpoints, 50 a second, and divide the CPU time the agent took."""
    before = agent.cpu_seconds()
    changes = cluster.open_changes()
    try:
        _replace_some(changes, size, threading.Event(), count)
    finally:
        changes.close()
    # What is still to be done belongs to the changes too.
    time.sleep(_QUIET_SECONDS)
    return (agent.cpu_seconds() - before) / count


def _replace_some(changes: Changes, size: Size, stop: threading.Event, count: int | None) -> None:
    chooser = random.Random(size.services)
    began, made = time.monotonic(), 0
    while made != count:
        due = began + made / CHANGES_PER_SECOND
        if stop.wait(max(0.0, due - time.monotonic())):
            return
        changes.replace_endpoint(
            chooser.randrange(size.services), chooser.randrange(size.endpoints)
        )
        made += 1


def bytes_per_change(cluster: Cluster, size: Size) -> float:
    """Bytes the server sends to the agent for one replaced endpoint."""
    changes = cluster.open_changes()
    time.sleep(_QUIET_SECONDS)
    before = cluster.bytes_received()
    try:
        for number in range(_WIDE_CHANGES):
            changes.replace_endpoint(0, number * size.endpoints // _WIDE_CHANGES)
        time.sleep(_QUIET_SECONDS)
        return (cluster.bytes_received() - before) / _WIDE_CHANGES
    finally:
        changes.close()


def steady_memory_mb(agent: MeasuredAgent) -> tuple[float, float]:
    """Resident and proportional set after a moment of quiet."""
    time.sleep(_QUIET_SECONDS)
    return agent.memory_mb()


def _check_others(site: Site, cluster: Cluster) -> None:
    """An answer from one Service proves something only if the others work too."""
    step = max(1, len(cluster.cluster_ips) // _SAMPLED_SERVICES)
    silent = [ip for ip in cluster.cluster_ips[::step] if not _answers_soon(site, ip)]
    if silent:
        raise BenchmarkFailed(f"{silent[-1]} answers, but these do not: {', '.join(silent)}")


def _answers_soon(site: Site, cluster_ip: str) -> bool:
    deadline = time.monotonic() + _QUIET_SECONDS
    while not site.server_of(cluster_ip):
        if time.monotonic() > deadline:
            return False
    return True


def _must_run(agent: MeasuredAgent) -> None:
    if not agent.is_running:
        raise BenchmarkFailed(f"the agent ended by itself; it said:\n{agent.log_tail()}")
