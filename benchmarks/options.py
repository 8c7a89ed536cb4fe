"""The command line of `python -m benchmarks`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from benchmarks.figures import Size, parse_size
from benchmarks.process import own_agent

Part = Literal["agent", "bytes", "changes", "datapath", "conntrack"]
"""The process at each size; bytes from the API; one change in the agent and the kernel; packets;
flows that outlived their endpoint."""
PARTS: tuple[Part, ...] = get_args(Part)
RESULTS = Path(__file__).with_name("results")


class Options(msgspec.Struct, frozen=True):
    """What to measure, and on whom."""

    parts: tuple[Part, ...]
    sizes: tuple[Size, ...]
    """Of the process; changes and packets are measured at the largest one."""
    kubeconfig: Path | None
    """Of a real API server; None means the stand-in."""
    agent: str
    """Command line with `{kubeconfig}` and `{node}` to fill in."""
    is_own_agent: bool
    """False if the command line was given: its flags are not known, so that it is measured with
    EndpointSlices only."""
    starts: int
    """Starts whose median counts."""
    moves: int
    """Changes whose way to the traffic is timed, in each of two rounds."""
    stream: int
    """Changes over which CPU time is averaged."""
    rounds: int
    """How often each kind of change is made."""
    connections: int
    """How many connections each way through the rules gets."""
    flows: int
    """How many flows connection tracking holds."""
    results: Path

    @property
    def largest(self) -> Size:
        """The size with the most endpoints."""
        return max(self.sizes, key=lambda size: size.services * size.endpoints)


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Read the arguments; ends the program on a mistake, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures an agent on a private node: start, latency, CPU, memory, bytes, "
        "what each kind of change costs, what the rules cost a connection, and what stale flows "
        "cost. "
        "Needs root. The figures are informative: missing a target is not an error.",
    )
    parser.add_argument(
        "--only",
        type=_parts,
        default=PARTS,
        metavar="PART[,...]",
        help=f"of {', '.join(PARTS)}; default: all",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=_sizes("1000x10,10000x10"),
        metavar="SERVICESxENDPOINTS[,...]",
        help="default: 1000x10,10000x10",
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="measure with this real API server, in a namespace of its own that is deleted "
        "afterwards; default: a stand-in",
    )
    parser.add_argument(
        "--agent",
        metavar="COMMAND",
        help="command line of another agent, with {kubeconfig} and {node} to be filled in",
    )
    parser.add_argument("--starts", type=_positive, default=3, help="default: 3, median counts")
    parser.add_argument("--moves", type=_positive, default=200, help="timed changes; default: 200")
    parser.add_argument("--stream", type=_positive, default=500, help="for CPU; default: 500")
    parser.add_argument("--rounds", type=_positive, default=100, help="of changes; default: 100")
    parser.add_argument(
        "--connections", type=_positive, default=500, help="of each way; default: 500"
    )
    parser.add_argument(
        "--flows", type=_positive, default=1_000_000, help="for conntrack; default: 1000000"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="for JSON")
    given = parser.parse_args(arguments)
    return Options(
        parts=given.only,
        sizes=given.sizes,
        kubeconfig=given.kubeconfig,
        agent=given.agent or own_agent(),
        is_own_agent=given.agent is None,
        starts=given.starts,
        moves=given.moves,
        stream=given.stream,
        rounds=given.rounds,
        connections=given.connections,
        flows=given.flows,
        results=given.results,
    )


def _sizes(text: str) -> tuple[Size, ...]:
    try:
        return tuple(parse_size(part) for part in text.split(","))
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _parts(text: str) -> tuple[Part, ...]:
    asked = text.split(",")
    unknown = [name for name in asked if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in asked)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return int(text)
