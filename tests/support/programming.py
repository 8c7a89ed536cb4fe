"""A node in memory: objects of the API in, elements of a (fake) kernel out.

node = ProgrammedNode()
await node.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())
node.kernel.listing(Family.IPV4)["no-endpoint-services"]
"""

from __future__ import annotations

import re

from nodeproxy.backends.base import CommitReport
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.model.addresses import FAMILIES, Family
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink.channel import Channel
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.fake_kernel import FakeKernel

OWN_NODE = "n1"

Pools = dict[str, dict[str, frozenset[str]]]
"""Endpoints by endpoint map and frontend."""

_CLASS_SET = re.compile(r"((?:local-)?(?:service|nodeport))s-(\d+)")
_POOLS = ("service", "local-service", "nodeport", "local-nodeport")


class ProgrammedNode:
    """State, planner and backend, driven as the sync loop drives them."""

    def __init__(
        self,
        kernel: FakeKernel | None = None,
        families: tuple[Family, ...] = FAMILIES,
        options: PlanOptions | None = None,
        channel: Channel | None = None,
    ) -> None:
        self.kernel = kernel or FakeKernel()
        self._families = families
        self._channel = channel or self.kernel
        self._options = options or PlanOptions()
        self.state = ClusterState(OWN_NODE)
        self._start()

    def _start(self) -> None:
        self.planner = Planner(self.state, self._options)
        self.backend = NftablesBackend(self._channel, self._families)

    def stage(self, *events: SourceEvent) -> None:
        """Decide, without committing."""
        delta = self.planner.replan(self.state.apply(events))
        if not delta.is_empty:
            self.backend.stage(delta)

    async def take(self, *events: SourceEvent) -> CommitReport:
        """Decide and commit."""
        self.stage(*events)
        return await self.backend.commit()

    async def restart(self, options: PlanOptions | None = None) -> CommitReport:
        """Start again with the same cluster, as after SIGKILL."""
        self._options = options or self._options
        self._start()
        return await self.take()


def plain_elements(listing: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The elements of all sets but endpoint maps; sets without elements are left out."""
    maps = {f"{pool}-endpoints" for pool in _POOLS}
    return {name: found for name, found in listing.items() if found and name not in maps}


def pools(listing: dict[str, dict[str, str]]) -> Pools:
    """The endpoints of every frontend, whatever slots they are in.

    Checked on the way: the slots of a frontend are filled from 0 on without holes or repeats, and
    it is a member of exactly the class that its number of endpoints asks for.
    """
    found: Pools = {}
    for pool in _POOLS:
        slots: dict[str, dict[int, str]] = {}
        for key, target in listing.get(f"{pool}-endpoints", {}).items():
            frontend, _, slot = key.rpartition(" ")
            slots.setdefault(frontend, {})[int(slot)] = target
        for vector in slots.values():
            assert sorted(vector) == list(range(len(vector))), "slots with holes"
            assert len(set(vector.values())) == len(vector), "an endpoint in two slots"
        sizes = {frontend: 1 << (len(v) - 1).bit_length() for frontend, v in slots.items()}
        assert _classes(listing, pool) == sorted(sizes.items()), "wrong class"
        found[pool] = {frontend: frozenset(v.values()) for frontend, v in slots.items()}
    return found


def _classes(listing: dict[str, dict[str, str]], pool: str) -> list[tuple[str, int]]:
    return sorted(
        (frontend, int(match[2]))
        for name, elements in listing.items()
        if (match := _CLASS_SET.fullmatch(name)) and match[1] == pool
        for frontend in elements
    )
