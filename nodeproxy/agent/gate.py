"""When the first rules may be written: everything that counts has been told."""

from __future__ import annotations

from collections.abc import Collection

from nodeproxy.model.events import Kind

PATIENCE_SECONDS = 2.0


def is_synced(kinds: Collection[Kind]) -> bool:
    """True if every source has told all that rules cannot do without (EP-60).

    The Node counts too: the node's addresses decide where NodePorts are open.
    """
    has_endpoints = Kind.ENDPOINT_SLICE in kinds or Kind.ENDPOINTS in kinds
    return has_endpoints and Kind.SERVICE in kinds and Kind.NODE in kinds


class StartGate:
    """Decides when planning begins (design invariant 3); once open it is not asked again.

    ServiceCIDRs do not hold up the start (EP-62), but they are worth a short wait: an agent that
    starts again finds the rules of the one before, and would take the drop of unused addresses out
    and put it in again a moment later.
    """

    # Mutable: the moment from which on nobody waits any more.
    def __init__(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._opens_at: float | None = None

    def is_open(self, kinds: Collection[Kind], now: float) -> bool:
        """True if rules may be written.

        Args:
            kinds: what has been told completely.
            now: monotonic seconds.
        """
        if not is_synced(kinds):
            return False
        if self._opens_at is None:
            self._opens_at = now + self._patience_seconds
        return Kind.SERVICE_CIDR in kinds or now >= self._opens_at

    def seconds_left(self, now: float) -> float | None:
        """How long until it opens by itself; None while other kinds are missing."""
        return None if self._opens_at is None else max(0.0, self._opens_at - now)
