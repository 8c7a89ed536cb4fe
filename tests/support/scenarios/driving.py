"""The agent without a kernel: objects of a scenario in, plans out.

    manifests -> FileDecoder -> Catalog -> ClusterState -> Planner -> plans, settings

Objects take the way of manifest files, one object a file: the same selection, defaults and
refusals, and flags are read as the agent reads them. A `Cluster` survives restarts of its agent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nodeproxy.config.gates import ENDPOINT_SLICE_PROXYING
from nodeproxy.model.addresses import Family
from nodeproxy.model.events import Kind, SourceEvent, Synced
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import plan_options_from
from nodeproxy.plan.types import FamilySettings, PlanDelta, PlanKey, ServicePortPlan
from nodeproxy.sources.manifests.catalog import Catalog
from nodeproxy.sources.manifests.content import Content
from nodeproxy.sources.manifests.decode import FileDecoder
from nodeproxy.state.cluster import ClusterState
from tests.support.scenarios.flags import config_from
from tests.support.scenarios.manifests import manifests_from
from tests.support.scenarios.model import Apply, Delete, Manifest
from tests.support.scenarios.world import NODE_MANIFEST

NODE_MANIFESTS = manifests_from(NODE_MANIFEST, 0)

Update = dict[str, str | None]
"""Texts by file name; None for a file that goes."""


class Cluster:
    """All objects there are, and an agent that follows them."""

    def __init__(
        self, flags: Sequence[str], manifests: Iterable[Manifest] = NODE_MANIFESTS
    ) -> None:
        # Mutable: the files; and with each start of the agent, everything it knows.
        self._files = {manifest.file_name: manifest.text for manifest in manifests}
        self.start(flags)

    def start(self, flags: Sequence[str]) -> None:
        """Start the agent, for the first time or after it ended without a trace."""
        self.flags = tuple(flags)
        config = config_from(flags)
        is_sliced = config.feature_gates.is_enabled(ENDPOINT_SLICE_PROXYING)
        unread = Kind.ENDPOINTS if is_sliced else Kind.ENDPOINT_SLICE
        self._decoder = FileDecoder(config.node_name, frozenset({unread}))
        self._catalog = Catalog()
        self._state = ClusterState(config.node_name)
        self._planner = Planner(self._state, plan_options_from(config))
        events = [*self._read(dict(self._files)), *map(Synced, Kind)]
        self.delta: PlanDelta = self._planner.replan(self._state.apply(events))
        """What the last round changed."""

    @property
    def plans(self) -> dict[PlanKey, ServicePortPlan]:
        """The plan in force."""
        return self._planner.plans

    @property
    def settings(self) -> dict[Family, FamilySettings]:
        """The settings in force."""
        return self._planner.settings

    @property
    def state(self) -> ClusterState:
        """What the agent knows of the objects."""
        return self._state

    def files(self) -> dict[str, str]:
        """The objects that exist, as JSON by file name."""
        return dict(self._files)

    def take(self, *updates: Update, times: int = 1) -> None:
        """Let files change, one update after the other, then let the agent do one round.

        Args:
            updates: what changes.
            times: how often the agent is told each event.
        """
        events: list[SourceEvent] = []
        for update in updates:
            for name, text in update.items():
                if text is None:
                    self._files.pop(name, None)
                else:
                    self._files[name] = text
            events += [event for event in self._read(update) for _ in range(times)]
        self.delta = self._planner.replan(self._state.apply(events))

    def _read(self, update: Update) -> tuple[SourceEvent, ...]:
        contents: dict[str, Content | None] = {
            name: None if text is None else self._decoder.decode(name, text.encode())
            for name, text in update.items()
        }
        return self._catalog.apply(contents).events


def update_of(section: Apply | Delete) -> Update:
    """What a section does to the files, in its order."""
    if isinstance(section, Apply):
        return {manifest.file_name: manifest.text for manifest in section.manifests}
    return {deletion.file_name: None for deletion in section.deletions}
