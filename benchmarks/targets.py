"""What the agent is meant to reach, and what kube-proxy needs for the same.

kube-proxy's figures are of version 1.36.2 in nftables mode, on a machine of the same kind (two
cores, kernel 6.18) with a real API server. Bytes are what a real control plane of 1.36 sent to
one watcher when one pod of 1,000 changed.
"""

from __future__ import annotations

from typing import Literal

from benchmarks.figures import Reference, Size

Measured = Literal[
    "first_vip",
    "answer_p99",
    "answer_max",
    "alone_p50",
    "alone_p99",
    "busy_p50",
    "busy_p99",
    "cpu",
    "peak_memory",
    "steady_memory",
    "proportional_memory",
    "slice_bytes",
    "endpoints_bytes",
]

_SMALL, _LARGE = Size(1000, 10), Size(10000, 10)
WIDE = Size(1, 1000)
"""One Service of 1,000 endpoints, for the bytes that a change costs."""

_REFERENCES: dict[tuple[Size, Measured], Reference] = {
    (_SMALL, "first_vip"): Reference(0.8, "0.83 s"),
    (_SMALL, "peak_memory"): Reference(80, "80-105 MB"),
    (_LARGE, "first_vip"): Reference(2.0, "19.2 s"),
    (_LARGE, "answer_max"): Reference(50),
    (_LARGE, "alone_p50"): Reference(2, "7.3 s"),
    (_LARGE, "alone_p99"): Reference(10),
    (_LARGE, "busy_p50"): Reference(2),
    (_LARGE, "busy_p99"): Reference(10),
    (_LARGE, "cpu"): Reference(1, "7 s"),
    (_LARGE, "peak_memory"): Reference(140, "493 MB"),
    (WIDE, "slice_bytes"): Reference(None, "24 KB"),
    (WIDE, "endpoints_bytes"): Reference(None, "144 KB"),
}


def reference(size: Size, measured: Measured) -> Reference:
    """What a figure is compared with at this size; empty for sizes nobody set targets for."""
    return _REFERENCES.get((size, measured), Reference())
