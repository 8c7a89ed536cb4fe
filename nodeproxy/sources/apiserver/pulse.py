"""How one kind is doing: what health checks, metrics and the log want to know."""

from __future__ import annotations

from nodeproxy import clock
from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.failures import ApiError
from nodeproxy.sources.apiserver.resources import Resource
from nodeproxy.sources.apiserver.troubles import Troubles, explain
from nodeproxy.sources.base import SourceStatus


class Pulse:
    """The state of one kind as seen from outside; mutable, written by its reflector."""

    def __init__(self, kind: Kind, troubles: Troubles) -> None:
        self.kind = kind
        self.is_synced = False
        self.relists = 0
        self.bytes_received = 0
        """Bytes of bodies, after HTTP framing."""
        self.heard_at: float | None = None
        self._troubles = troubles
        self._is_connected = False
        self._last_error = ""
        self._needs_proof = False  # an open watch is not enough to call the trouble over

    def status(self) -> SourceStatus:
        """A snapshot."""
        return SourceStatus(
            kind=self.kind,
            is_synced=self.is_synced,
            is_connected=self._is_connected,
            last_event=self.heard_at,
            last_error=self._last_error,
            relists=self.relists,
            bytes_received=self.bytes_received,
        )

    def heard(self) -> float:
        """Something arrived from the server; returns the moment."""
        self.heard_at = clock.monotonic()
        return self.heard_at

    def connected(self) -> None:
        """A watch is open."""
        now = self.heard()
        self._is_connected = True
        self._last_error = ""
        if not self._needs_proof:
            self._troubles.end(self.kind, now)

    def worked(self) -> None:
        """A watch told something new."""
        if self._needs_proof:
            self._needs_proof = False
            self._troubles.end(self.kind, clock.monotonic())

    def disconnected(self) -> None:
        """No watch is open."""
        self._is_connected = False

    def failed(self, error: ApiError, resource: Resource | None, *, is_news: bool) -> None:
        """The last attempt failed.

        Args:
            error: why.
            resource: what was asked for, None if that is not known yet.
            is_news: False for a single break that will probably mend at once: not logged.
        """
        self._is_connected = False
        self._last_error = explain(error, resource)
        self._needs_proof = error.is_of_open_watch
        if is_news:
            self._troubles.begin(self.kind, error, self._last_error, clock.monotonic())
