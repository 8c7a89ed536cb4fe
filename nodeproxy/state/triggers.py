"""When the changes happened that endpoints tell of (EP-31).

The controllers write into each slice, and each Endpoints object, when the pod or Service changed
that made them write it; from there to rules in force is the time dashboards watch.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import NamedTuple

import msgspec

from nodeproxy.model.addresses import Family
from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.wire import ObjectMeta

TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"


class Trigger(NamedTuple):
    """One change that is on its way into the rules."""

    family: Family
    at: float
    """Seconds since the epoch."""


class Triggers(msgspec.Struct):
    """The changes that are not in force yet; mutable, owned by ClusterState."""

    since: float = math.inf
    """Seconds since the epoch; what happened up to then is no change but how it was."""
    by_service: dict[ServiceKey, list[Trigger]] = {}

    def note(self, service: ServiceKey, families: tuple[Family, ...], metadata: ObjectMeta) -> None:
        """An object that contributes to a Service has changed."""
        at = trigger_time(metadata) if self.since < math.inf else None
        if at is not None and at > self.since:
            triggers = self.by_service.setdefault(service, [])
            triggers.extend(Trigger(family, at) for family in families)

    def forget(self, service: ServiceKey) -> None:
        """An object of the Service is gone: nothing says when, and its changes are void."""
        self.by_service.pop(service, None)

    def take(self) -> list[Trigger]:
        """Hand over everything noted since the last call."""
        if not self.by_service:
            return []
        taken = [trigger for triggers in self.by_service.values() for trigger in triggers]
        self.by_service.clear()
        return taken


def trigger_time(metadata: ObjectMeta) -> float | None:
    """Seconds since the epoch, None without the annotation or with one that makes no sense."""
    text = (metadata.annotations or {}).get(TRIGGER_TIME_ANNOTATION)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None
