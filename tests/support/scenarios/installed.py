"""What may happen to a packet, told by what an agent with this past has in the kernel.

    plans -> the backend, change by change -> a kernel in memory -> read back -> tracer -> answer

Where `TraceLevel` asks the rules that a plan should become, this asks those that it did become:
endpoints in the slots that history gave them, tables adopted after restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.backends.nftables.mirror import Content
from nodeproxy.backends.nftables.readback import read_back, read_shape
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.trace.frame import skeleton_of
from nodeproxy.backends.nftables.trace.tracer import Tracer
from nodeproxy.model.addresses import FAMILIES, Addr, Family
from nodeproxy.plan.types import FamilySettings, PlanDelta
from tests.support.fake_kernel import FakeKernel
from tests.support.scenarios.tracelevel import Plans, TraceLevel


class InstalledLevel(TraceLevel):
    """A dataplane that consists of a kernel's tables (see `model.Dataplane`)."""

    def __init__(self, node_addresses: frozenset[Addr]) -> None:
        super().__init__(node_addresses)
        self._tables = {family: _Table(family) for family in FAMILIES}

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        """Let the backend commit what is different."""
        super().update(plans, settings)
        for table in self._tables.values():
            table.update(plans, settings)

    def restart(self) -> None:
        """Begin with a new backend, which finds the tables as they are."""
        super().restart()
        for table in self._tables.values():
            table.restart()

    def _tracer(self, family: Family) -> Tracer:
        if family not in self._tracers:
            content = self._tables[family].content()
            installed = skeleton_of(content, family)
            self._tracers[family] = Tracer(installed, content.elements, self._node)
        return self._tracers[family]


class _Table:
    """One family's table in a kernel of its own, and the agents that write it.

    Every update is a commit of its own, but none is made before somebody asks for the content:
    most scenarios never ask for one of the families.
    """

    # Mutable: the kernel, the backend with what it was told, and what it has not been told yet.
    def __init__(self, family: Family) -> None:
        self._family = family
        self._kernel = FakeKernel()
        self._backend = self._new_backend()
        self._told: Plans = {}
        self._settings = FamilySettings(family)
        self._untold: list[tuple[Plans, FamilySettings] | None] = []
        """None is the end of an agent."""

    def _new_backend(self) -> NftablesBackend:
        return NftablesBackend(self._kernel, (self._family,))

    def update(self, plans: Plans, settings: Mapping[Family, FamilySettings]) -> None:
        """The plan is this now."""
        own = {key: plan for key, plan in plans.items() if key.family is self._family}
        self._untold.append((own, settings[self._family]))

    def restart(self) -> None:
        """The agent ends and another begins."""
        self._untold.append(None)

    def content(self) -> Content:
        """What the kernel holds now."""
        asyncio.run(self._catch_up())
        frame = build_skeleton(self._settings, read_shape(self._kernel, self._family))
        return read_back(self._kernel, self._family, frame)

    async def _catch_up(self) -> None:
        for step in self._untold:
            if step is None:
                self._backend = self._new_backend()
                self._told = {}
                continue
            plans, self._settings = step
            self._backend.stage(self._delta(plans))
            self._told = plans
            await self._backend.commit()
        self._untold.clear()

    def _delta(self, plans: Plans) -> PlanDelta:
        """Settings are always told: a backend sees for itself whether they are new."""
        return PlanDelta(
            puts={key: plan for key, plan in plans.items() if self._told.get(key) != plan},
            removes=set(self._told.keys() - plans.keys()),
            settings={self._family: self._settings},
        )
