"""Whether the agent keeps up, is ready, and whether its node should get traffic (HZ-1..HZ-6).

Pure: monotonic seconds come in as `now`, for what is late; wall-clock times as `at`, for what
people read. Written by the sync loop and read by the servers on their own thread: every change
replaces one frozen value by another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from nodeproxy.model.addresses import Family
from nodeproxy.model.node import NodeInfo
from nodeproxy.sources.base import SourceStatus

HEALTH_TIMEOUT_SECONDS = 60.0
"""Twice the default sync period of 30 s (LIFE-1)."""

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""The zero time, as Go prints it."""


class FamilyHealth(msgspec.Struct, frozen=True):
    """One family in a report."""

    last_updated: datetime
    is_healthy: bool
    is_programmed: bool
    """The rules of this process have been in force at least once."""


class HealthReport(msgspec.Struct, frozen=True):
    """How things stand at one moment; bodies are JSON."""

    at: datetime
    is_node_eligible: bool
    families: dict[Family, FamilyHealth]
    sources: dict[str, dict[str, object]] = {}
    """How fresh the view of the cluster is, by kind, as it is told. It decides nothing: rules stay
    right while nobody can change the cluster, and a load balancer that takes every node out when
    the API server is away makes things worse."""

    @property
    def is_healthy(self) -> bool:
        """True unless a family is late; the node's own state does not count (HZ-2)."""
        return all(health.is_healthy for health in self.families.values())

    @property
    def is_ready(self) -> bool:
        """True from the first time every family was programmed."""
        return bool(self.families) and all(f.is_programmed for f in self.families.values())

    def healthz(self) -> tuple[bool, bytes]:
        """Verdict and body of /healthz, where the node counts too."""
        is_good = self.is_healthy and self.is_node_eligible
        return is_good, self._body(is_good, {"nodeEligible": self.is_node_eligible})

    def livez(self) -> tuple[bool, bytes]:
        """Verdict and body of /livez."""
        return self.is_healthy, self._body(self.is_healthy, {})

    def readyz(self) -> tuple[bool, bytes]:
        """Verdict and body of /readyz, which kube-proxy does not have (HZ-1)."""
        status = {family: health.is_programmed for family, health in self.families.items()}
        body = {
            "currentTime": rfc3339(self.at),
            "ready": self.is_ready,
            "status": status,
            "sources": self.sources,
        }
        return self.is_ready, msgspec.json.encode(body)

    def _body(self, is_good: bool, extra: dict[str, bool]) -> bytes:
        latest = max((f.last_updated for f in self.families.values()), default=NEVER)
        return msgspec.json.encode(
            {
                # An idle agent is up to date: nothing was late, so what is in force is current.
                "lastUpdated": rfc3339(self.at if is_good else latest),
                "currentTime": rfc3339(self.at),
                **extra,
                "healthy": self.is_healthy,
                "status": {
                    family: {"lastUpdated": rfc3339(f.last_updated), "healthy": f.is_healthy}
                    for family, f in self.families.items()
                },
                "sources": self.sources,
            }
        )


class _Progress(msgspec.Struct, frozen=True):
    """What is remembered of one family."""

    last_updated: datetime
    pending_since: float | None = None
    is_programmed: bool = False


class HealthState:
    """Collects what happens to the families and to the node.

    The sync loop calls `loop_started` once for each family it programs, `queued` when there is
    work, `synced` when the work has been done, and `saw_node` when the own Node changed. Families
    that never started do not count (HZ-3).
    """

    def __init__(
        self, *, is_node_required: bool = True, timeout_seconds: float = HEALTH_TIMEOUT_SECONDS
    ) -> None:
        """A state in which nothing has happened.

        Args:
            is_node_required: False where no Node object is promised (manifests): then the node
                is eligible until a Node object says otherwise.
            timeout_seconds: how long work may be pending before its family is unhealthy.
        """
        self._timeout_seconds = timeout_seconds
        self._is_node_eligible = not is_node_required
        # Mutable state: replaced as a whole, because servers on another thread read it.
        self._progress: dict[Family, _Progress] = {}

    def set_timeout(self, seconds: float) -> None:
        """How long work may be pending, from now on: the sync period has been changed."""
        self._timeout_seconds = seconds

    def loop_started(self, family: Family, at: datetime) -> None:
        """The family is going to be programmed from now on."""
        self._replace(family, _Progress(at))

    def queued(self, family: Family, now: float) -> None:
        """There is work; the oldest work that is not done counts."""
        progress = self._progress[family]
        if progress.pending_since is None:
            self._replace(family, msgspec.structs.replace(progress, pending_since=now))

    def synced(self, family: Family, at: datetime) -> None:
        """All work of the family has been done; the lateness of others stays (HZ-5)."""
        self._replace(family, _Progress(at, None, True))

    def saw_node(self, node: NodeInfo) -> None:
        """The own Node is known; once seen, it is not forgotten when its object goes (NODE-5)."""
        self._is_node_eligible = not node.is_being_deleted

    def report(
        self, now: float, at: datetime, statuses: Sequence[SourceStatus] = ()
    ) -> HealthReport:
        """How things stand; `statuses` as the source tells them now."""
        return HealthReport(
            at,
            self._is_node_eligible,
            {
                family: FamilyHealth(
                    progress.last_updated, not self._is_late(progress, now), progress.is_programmed
                )
                for family, progress in self._progress.items()
            },
            {status.kind: _freshness(status, now) for status in statuses},
        )

    def is_healthy(self, now: float) -> bool:
        """The same as `report(...).is_healthy`, for those who ask often."""
        return not any(self._is_late(progress, now) for progress in self._progress.values())

    def _replace(self, family: Family, progress: _Progress) -> None:
        self._progress = {**self._progress, family: progress}

    def _is_late(self, progress: _Progress, now: float) -> bool:
        pending_since = progress.pending_since
        return pending_since is not None and now - pending_since >= self._timeout_seconds


def _freshness(status: SourceStatus, now: float) -> dict[str, object]:
    """The age of what is known of a kind; null before anything was heard."""
    heard = status.last_event
    return {
        "synced": status.is_synced,
        "connected": status.is_connected,
        "silentSeconds": None if heard is None else round(max(0.0, now - heard), 3),
    }


def rfc3339(at: datetime) -> str:
    """UTC with nine digits of a second, `2026-11-23T12:00:00.123456000Z` (HZ-2)."""
    if at == NEVER:
        return "0001-01-01T00:00:00Z"
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"
