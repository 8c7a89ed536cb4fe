"""The two clocks of the agent, in one place so that tests can replace them.

Pure code never reads a clock: time comes in as an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def monotonic() -> float:
    """Monotonic seconds, for durations and deadlines."""
    return time.monotonic()


def utc_now() -> datetime:
    """Wall-clock time, for people and for comparing with timestamps of the API server."""
    return datetime.now(UTC)
