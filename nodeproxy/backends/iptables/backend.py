"""The iptables backend: both families, each with restores of its own.

They are committed side by side, so a failure of one never holds up the other (DP-82).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.iptables.family import FamilyRules, Totals
from nodeproxy.backends.iptables.render import render_family
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.tool import Tool
from nodeproxy.errors import BackendError
from nodeproxy.model.addresses import Family
from nodeproxy.plan.types import FamilySettings, PlanDelta, PlanKey

_DEFAULTS = IptablesOptions()


class IptablesBackend:
    """Programs plans as chains of our own; see `frame`, `dispatch` and `lowering`."""

    # Mutable state: that of the families.
    def __init__(
        self, tool: Tool, families: tuple[Family, ...], options: IptablesOptions = _DEFAULTS
    ) -> None:
        """Prepare for the families the node can use; nothing is written yet."""
        self._options = options
        self.families = families
        self._families = {
            family: FamilyRules(tool, FamilySettings(family), options) for family in families
        }

    def stage(self, delta: PlanDelta) -> None:
        """See `Backend.stage`; plans of a family the node does not have are left out."""
        for family, settings in delta.settings.items():
            if family in self._families:
                self._families[family].set_settings(settings)
        for key in delta.removes:
            if key.family in self._families:
                self._families[key.family].remove(key)
        for key, plan in delta.puts.items():
            if key.family in self._families:
                self._families[key.family].put(key, plan)

    @property
    def needs_commit(self) -> bool:
        """See `Backend.needs_commit`."""
        return any(family.has_work for family in self._families.values())

    async def commit(self) -> CommitReport:
        """See `Backend.commit`."""
        started = time.perf_counter()
        totals = Totals()
        work = [family.commit(totals) for family in self._families.values() if family.has_work]
        results = await asyncio.gather(*work, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BackendError):
                raise result
        for result in results:
            if isinstance(result, BackendError):
                raise result
        seconds = time.perf_counter() - started
        return CommitReport(totals.operations, seconds, totals.read_backs, self.quarantined())

    def mark_stale(self, reason: str) -> None:
        """See `Backend.mark_stale`."""
        for family in self._families.values():
            family.mirror.mark_stale(reason)

    def render(self) -> str:
        """See `Backend.render`: input for iptables-restore, and for ip6tables-restore."""
        return "\n".join(
            render_family(family.settings, self._options, family.plans.values())
            for family in self._families.values()
        )

    def quarantined(self) -> Mapping[PlanKey, str]:
        """See `Backend.quarantined`."""
        return {
            key: reason
            for family in self._families.values()
            for key, reason in family.quarantined.items()
        }
