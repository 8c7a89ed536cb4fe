"""/debug/pprof: where time and memory go, asked of a running agent (flag --profiling).

kube-proxy answers in Go's format; here the same questions have Python's answers:

    profile?seconds=N      CPU time by sampled stacks, folded, as flame graph tools read them;
                           format=pstats for `python -m pstats`
    heap?seconds=N         what was allocated meanwhile and is still there, by line of code
    goroutine              the stacks of all threads and tasks
    cmdline                the command line, separated by NUL

Sampling is done by the servers' thread and slows the others down by a few percent; tracing
allocations makes them several times slower while it lasts.
"""

from __future__ import annotations

import asyncio
import io
import marshal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import FrameType

from nodeproxy.server.http1 import PLAIN, Answer, Request, Route

SAMPLE_SECONDS = 0.01
LONGEST_SECONDS = 300.0

_Place = tuple[str, int, str]
"""File, first line and name of a function, as pstats has them."""
Stack = tuple[_Place, ...]
"""From the outermost function to the one that runs."""

_INDEX = b"""/debug/pprof/

profile?seconds=30&format=folded|pstats   CPU time by sampling
heap?seconds=10                           memory allocated meanwhile and kept
goroutine                                 stacks of threads and tasks
cmdline                                   command line
"""


def profiling_routes(tasks: Callable[[], list[asyncio.Task[object]]]) -> dict[str, Route]:
    """What is served below /debug/pprof/.

    Args:
        tasks: those of the agent's own loop.
    """
    return {
        "/debug/pprof/": lambda _: Answer(200, PLAIN, _INDEX),
        "/debug/pprof/cmdline": lambda _: Answer(200, PLAIN, _command_line()),
        "/debug/pprof/goroutine": lambda _: Answer(200, PLAIN, stacks(tasks()).encode()),
        "/debug/pprof/profile": _profile,
        "/debug/pprof/heap": _heap,
    }


def _profile(request: Request) -> Awaitable[Answer] | Answer:
    seconds = _seconds(request, 30.0)
    if seconds is None or request.query.get("format", "folded") not in ("folded", "pstats"):
        return _bad_request(request)

    async def answer() -> Answer:
        samples = await sample(seconds)
        if request.query.get("format") == "pstats":
            return Answer(200, "application/octet-stream", pstats_from(samples))
        return Answer(200, PLAIN, folded(samples).encode())

    return answer()


def _heap(request: Request) -> Awaitable[Answer] | Answer:
    seconds = _seconds(request, 10.0)
    return _bad_request(request) if seconds is None else _traced(seconds)


def _seconds(request: Request, default: float) -> float | None:
    """How long to look; None for what is no length of time."""
    try:
        seconds = float(request.query.get("seconds", default))
    except ValueError:
        return None
    return seconds if 0 < seconds <= LONGEST_SECONDS else None


def _bad_request(request: Request) -> Answer:
    text = f"{request.path}: seconds must be in 0..{LONGEST_SECONDS:g}, format folded or pstats\n"
    return Answer(400, PLAIN, text.encode())


async def sample(seconds: float, interval: float = SAMPLE_SECONDS) -> Counter[Stack]:
    """What the other threads do, by the CPU time they spend, in microseconds.

    The time a thread has spent since the last look is ascribed to where it is now; a thread that
    waits spends none.
    """
    loop = asyncio.get_running_loop()
    samples: Counter[Stack] = Counter()
    spent: dict[int, float] = {}
    own = threading.get_ident()
    end = loop.time() + seconds
    while (now := loop.time()) < end:
        for ident, frame in sys._current_frames().items():
            # A thread that has a frame lives: its clock can be asked.
            cpu = time.clock_gettime(time.pthread_getcpuclockid(ident))
            microseconds = round((cpu - spent.get(ident, cpu)) * 1e6)
            spent[ident] = cpu
            if microseconds and ident != own:
                samples[_stack(frame)] += microseconds
        await asyncio.sleep(min(interval, end - now))
    return samples


def _stack(frame: FrameType | None) -> Stack:
    places: list[_Place] = []
    while frame is not None:
        code = frame.f_code
        places.append((code.co_filename, code.co_firstlineno, code.co_qualname))
        frame = frame.f_back
    return tuple(reversed(places))


def folded(samples: Mapping[Stack, int]) -> str:
    """One line a stack: functions separated by semicolons, a blank, microseconds of CPU time."""
    lines = (f"{';'.join(_short(place) for place in stack)} {n}" for stack, n in samples.items())
    return "".join(f"{line}\n" for line in sorted(lines))


def _short(place: _Place) -> str:
    path, _, name = place
    return f"{Path(path).stem}.{name}".replace(" ", "_").replace(";", ",")


_Row = tuple[int, int, float, float]
"""Calls (unknown here, so 1), calls that are no recursion, own and cumulative seconds."""


def pstats_from(samples: Mapping[Stack, int]) -> bytes:
    """The samples as a file of `pstats`, which knows times here and no numbers of calls."""
    own: Counter[_Place] = Counter()
    total: Counter[_Place] = Counter()
    by_caller: dict[_Place, Counter[_Place]] = {}
    for stack, microseconds in samples.items():
        own[stack[-1]] += microseconds
        for place in set(stack):
            total[place] += microseconds
        for caller, place in set(pairwise(stack)):
            by_caller.setdefault(place, Counter())[caller] += microseconds
    table: dict[_Place, tuple[int, int, float, float, dict[_Place, _Row]]] = {}
    for place, cumulative in total.items():
        callers = by_caller.get(place, Counter())
        rows = {caller: (1, 1, time_ / 1e6, time_ / 1e6) for caller, time_ in callers.items()}
        table[place] = (1, 1, own[place] / 1e6, cumulative / 1e6, rows)
    return marshal.dumps(table)


_HEAP_LINES = 50


async def _traced(seconds: float) -> Answer:
    """Allocations from now on that are still there at the end."""
    import tracemalloc

    if tracemalloc.is_tracing():
        return Answer(409, PLAIN, b"allocations are being traced already\n")
    tracemalloc.start()
    try:
        await asyncio.sleep(seconds)
        statistics = tracemalloc.take_snapshot().statistics("lineno")
    finally:
        tracemalloc.stop()
    total = sum(one.size for one in statistics)
    lines = [f"{total} bytes allocated in {seconds:g} s and still there"]
    lines += [
        f"{one.size:>12} bytes {one.count:>8} blocks  {one.traceback}"
        for one in statistics[:_HEAP_LINES]
    ]
    return Answer(200, PLAIN, "\n".join([*lines, ""]).encode())


def stacks(tasks: list[asyncio.Task[object]]) -> str:
    """The stacks of all threads, and where each task waits."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    text = io.StringIO()
    for ident, frame in sys._current_frames().items():
        text.write(f"thread {names.get(ident, ident)}\n")
        text.writelines(traceback.format_stack(frame))
        text.write("\n")
    for task in tasks:
        text.writelines(_task_lines(task))
    return text.getvalue()


def _task_lines(task: asyncio.Task[object]) -> Iterator[str]:
    yield f"task {task.get_name()}\n"
    for frame in task.get_stack():
        yield from traceback.format_list(traceback.extract_stack(frame, limit=1))
    yield "\n"


def _command_line() -> bytes:
    try:
        return Path("/proc/self/cmdline").read_bytes().rstrip(b"\0")
    except OSError:
        return "\0".join(sys.orig_argv).encode()
