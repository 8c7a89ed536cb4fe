"""Runs the benchmark; see the package."""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn, Protocol

import msgspec

from benchmarks.api import RequestRefused
from benchmarks.changes import run_changes
from benchmarks.conntrack import run_conntrack
from benchmarks.datapath import run_datapath
from benchmarks.measure import BenchmarkFailed
from benchmarks.options import Options, parse_options
from benchmarks.runs import run_bytes, run_size
from lab import requirements
from lab.waiting import DeadlinePassed
from nodeproxy.errors import NodeproxyError


class Result(Protocol):
    """What came of one part; everything in it goes into the JSON."""

    @property
    def title(self) -> str:
        """What was measured."""

    def lines(self) -> Iterable[str]:
        """The figures, laid out."""


def main() -> int:
    """Measure, print, write; 0 unless something could not be measured at all."""
    signal.signal(signal.SIGTERM, _end)
    options = parse_options()
    lacks = requirements.missing()
    if lacks:
        print("The benchmark cannot run here: " + "; ".join(lacks), file=sys.stderr)
        return 1
    started_at = datetime.now(UTC)
    runs: list[Result] = []
    code = 0
    try:
        for run in _runs(options):
            runs.append(run)
            _show(run)
    except (BenchmarkFailed, RequestRefused, DeadlinePassed, NodeproxyError) as exc:
        print(f"Not measured: {exc}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("Interrupted; nothing is left behind.", file=sys.stderr)
        code = 128 + signal.SIGINT
    if runs:
        print(f"\nwritten to {_write(options, started_at, runs)}")
    return code


def _runs(options: Options) -> Iterator[Result]:
    for part in options.parts:
        match part:
            case "agent":
                for size in options.sizes:
                    yield run_size(options, size)
            case "bytes":
                yield run_bytes(options)
            case "changes":
                yield run_changes(options.largest, options.rounds)
            case "datapath":
                yield run_datapath(options.largest, options.connections)
            case "conntrack":
                yield run_conntrack(options.largest, options.rounds, options.flows)


def _show(run: Result) -> None:
    print(f"\n{run.title}")
    for line in run.lines():
        print(f"  {line}", flush=True)


def _write(options: Options, started_at: datetime, runs: list[Result]) -> Path:
    """Keep everything as JSON; the name tells when it began, in UTC."""
    machine = {
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    source = "stand-in" if options.kubeconfig is None else "real API server"
    content = {
        "started_at": started_at,
        "machine": machine,
        "source": source,
        "agent": options.agent,
        "runs": runs,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"{started_at:%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return path


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Leave through all the clean-up when asked to end."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
