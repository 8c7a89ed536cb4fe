"""The seam between a source and the agent.

A source is one object with one long-running method. It reports through a sink, never waits for
the agent, and retries for ever by itself: a source that ends has been cancelled or has met
something no retry can mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from nodeproxy.config.gates import FeatureGates
from nodeproxy.model.events import Kind, SourceEvent


class EventSink(Protocol):
    """Where a source puts its events; the agent's inbox, or a list in a test."""

    def put(self, events: Sequence[SourceEvent]) -> None:
        """Take events in order. Never blocks, never fails."""


class SourceStatus(msgspec.Struct, frozen=True):
    """How fresh the view of one kind is, for health, metrics and the log."""

    kind: Kind
    is_synced: bool
    is_connected: bool
    """False while a watch is broken and being retried; what was known stays in force."""
    last_event: float | None
    """Monotonic seconds of the last sign of life, None before the first."""
    last_error: str
    """What the last failure said; empty when connected."""
    relists: int
    """Complete lists fetched so far."""
    bytes_received: int = 0
    """Bytes of answers so far, where a source counts them."""


class Source(Protocol):
    """Services, endpoints, the own Node and ServiceCIDRs, from one place."""

    async def run(self, sink: EventSink) -> None:
        """Report everything there is, then every change, until cancelled.

        Raises:
            SourceError: the source can never work as configured (unreadable credentials,
                no such directory); anything that may pass is retried instead.
        """

    def choose_endpoints(self, gates: FeatureGates) -> None:
        """Read the endpoints from now on as the gate EndpointSliceProxying says; returns at once.

        While the source runs, what it reads now stays in force until everything of the other
        kind has been told; then `EndpointsChosen` exchanges them. If that cannot be had within
        a bounded time, everything stays as it is and the log says why.
        """

    def statuses(self) -> Sequence[SourceStatus]:
        """One entry for each kind that is watched."""
