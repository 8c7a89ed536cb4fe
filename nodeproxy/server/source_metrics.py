"""How fresh the view of the cluster is, by kind; made from the source's statuses at each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nodeproxy.server.exposition import Counter, Gauge, Metric
from nodeproxy.sources.base import SourceStatus

_KIND = ("kind",)


def source_metrics(statuses: Sequence[SourceStatus], now: float) -> Iterator[Metric]:
    """The metrics of this moment; `now` in monotonic seconds."""
    synced = Gauge("nodeproxy_source_synced", "1 if the kind is known completely.", _KIND)
    connected = Gauge("nodeproxy_source_connected", "1 while changes are followed.", _KIND)
    silence = Gauge("nodeproxy_source_silence_seconds", "Since the last sign of life.", _KIND)
    relists = Counter("nodeproxy_source_lists_total", "Complete lists fetched.", _KIND)
    received = Counter(
        "nodeproxy_source_received_bytes_total", "Bytes of answers, where they are counted.", _KIND
    )
    for status in statuses:
        synced.set(status.is_synced, status.kind)
        connected.set(status.is_connected, status.kind)
        relists.add(status.relists, status.kind)
        received.add(status.bytes_received, status.kind)
        if status.last_event is not None:
            silence.set(round(max(0.0, now - status.last_event), 3), status.kind)
    return iter((synced, connected, silence, relists, received))
