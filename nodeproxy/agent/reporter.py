"""What the sync loop decides, as reports for operators who do not read this node's log."""

from __future__ import annotations

from collections.abc import Mapping

from nodeproxy.model import reports
from nodeproxy.model.events import Kind
from nodeproxy.model.reports import Recorder
from nodeproxy.plan.types import PlanDelta, PlanKey
from nodeproxy.state.cluster import Changes, ClusterState

_SLICES_FIRST = "EndpointSlice"
"""What endpoints are called as long as nobody has chosen."""


class Reporter:
    """A `Follower` that tells a `Recorder` what is news."""

    # Mutable: what was told and still holds.
    def __init__(self, recorder: Recorder, state: ClusterState) -> None:
        """Report to a recorder what happens to a state."""
        self._recorder = recorder
        self._state = state
        self._kind: Kind | None = None
        self._quarantined: Mapping[PlanKey, str] = {}
        self._foreign_change = ""

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """See `Observer.decided`."""
        for conflict in delta.conflicts:
            self._recorder.emit(reports.in_conflict(conflict.loser.port.service, str(conflict)))
        kind = self._state.endpoints_kind
        if changes.has_other_endpoints:
            before, after = self._kind or _SLICES_FIRST, kind or _SLICES_FIRST
            if before != after:
                self._recorder.emit(reports.source_switched(before, after))
        self._kind = kind

    def installed(self) -> None:
        """See `Observer.installed`."""
        if self._foreign_change:
            self._recorder.emit(reports.rules_repaired(self._foreign_change))
            self._foreign_change = ""

    def rules_changed(self, reason: str) -> None:
        """Somebody else changed the rules; reported when they are repaired."""
        self._foreign_change = reason

    def refused(self, quarantined: Mapping[PlanKey, str]) -> None:
        """The kernel refuses these service ports at present; each is reported when it begins."""
        for key in quarantined.keys() - self._quarantined.keys():
            report = reports.quarantined(self._state.node_name, key.port, quarantined[key])
            self._recorder.emit(report)
        self._quarantined = quarantined
