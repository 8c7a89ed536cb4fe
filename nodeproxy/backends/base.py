"""The seam between the plan and whatever programs the rules.

    PlanDelta -> stage() -> commit() -> CommitReport
                   ^           |
                   |           +-- accepted: the backend's Mirror takes the change
                   |           +-- a Service was refused: quarantined, the rest goes in
                   +---------------+-- doubt (foreign change, lost answer): read back, diff again

`stage` is synchronous and decides; `commit` acts. A backend keeps the plans it was given, so a
read-back can be compared with what should be there without asking the planner again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from nodeproxy.plan.types import PlanDelta, PlanKey


class CommitReport(msgspec.Struct, frozen=True):
    """What one commit did."""

    operations: int
    """Kernel operations that took effect (elements, rules, chains added or removed)."""
    seconds: float
    """From the start of the commit to the kernel's confirmation."""
    read_backs: int = 0
    """How often the kernel's content had to be read because the mirror was in doubt."""
    quarantined: Mapping[PlanKey, str] = {}
    """Service ports the kernel refused, with its words; their former state stays in force."""


class Backend(Protocol):
    """Programs plans; one instance owns everything it has installed."""

    def stage(self, delta: PlanDelta) -> None:
        """Fold a change of the plan into what is desired and prepare the difference.

        Several stages before a commit add up.
        """

    @property
    def needs_commit(self) -> bool:
        """True if a commit would do or check anything."""

    async def commit(self) -> CommitReport:
        """Bring the kernel to what is desired.

        Raises:
            BackendError: nothing was changed; call again later. What is desired is kept.
        """

    def mark_stale(self, reason: str) -> None:
        """Say that somebody else may have changed the rules; the next commit reads back."""

    def render(self) -> str:
        """What is desired, as canonical text (design invariant 5)."""

    def quarantined(self) -> Mapping[PlanKey, str]:
        """Service ports that are not programmed as planned, with the reason."""
