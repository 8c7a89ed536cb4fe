"""The numbers that shape listing and watching, in one place; tests use fractions of a second."""

from __future__ import annotations

import msgspec

from nodeproxy.sources.apiserver.backoff import BackoffLimits


class WatchLimits(msgspec.Struct, frozen=True):
    """How long to wait for what; see docs/decisions/0003-quiet-watches.md."""

    silence_limit_seconds: float = 30.0
    """A watch that has stopped delivering is noticed within this, also while TCP acknowledges."""
    probe_timeout_seconds: float = 2.5
    """How long the second opinion on a silent watch may take to begin."""
    grace_seconds: float = 2.0
    """How long a watch may lag behind what a second one shows; API servers differ a little."""
    recheck_seconds: float = 90.0
    """Silence after which it is asked whether the server still counts as it did. Bookmarks come
    every 60 s, so healthy watches never get there."""
    connect_timeout_seconds: float = 10.0
    page_size: int = 500
    """Objects in one page of a list, as client-go asks for."""
    streams_lists: bool = True
    """Ask for streaming lists first (docs/decisions/0005-streaming-lists.md)."""
    stream_stall_seconds: float = 5.0
    """A streaming list that pauses this long comes from a server that does not know them."""
    short_watch_seconds: float = 5.0
    """A watch that ends earlier without news counts as a failure."""
    watch_seconds: tuple[int, int] = (300, 600)
    """Between these the server is asked to end a watch, as client-go does: connections move to
    other API servers in time, and not all at once."""
    absent_retry_seconds: float = 300.0
    """A server without ServiceCIDRs is asked again after this: it may have been upgraded."""
    switch_seconds: float = 60.0
    """How long another kind of objects may take to tell all endpoints, before the change of the
    gate EndpointSliceProxying is given up; a list of a large cluster takes a few seconds."""
    backoff: BackoffLimits = BackoffLimits()

    @property
    def patience_seconds(self) -> tuple[float, float]:
        """Between these a silent watch is doubted, so that agents do not ask in step."""
        return self.silence_limit_seconds * 2 / 3, self.silence_limit_seconds * 5 / 6
