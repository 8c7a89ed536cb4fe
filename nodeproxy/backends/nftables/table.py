"""One family's table: what is desired, what the mirror knows, and the way from one to the other.

    stage():   plans replaced, their keys remembered as dirty
    commit():  stale mirror? read back, and everything is dirty
               portions of dirty plans -> Differ -> one transaction each -> mirror
               the last transaction also takes out what nobody wants any more

The frame goes first, in a transaction of its own: a packet that walks the old rules while a new
class gets its first frontend would not find it. A portion holds whole service ports, so a Service
is never half programmed; only a first load or a repair is large enough to need more than one. A
refused transaction changes nothing: if the mirror was in doubt the kernel is read back and the
same difference computed again; if it was fresh, the service ports the kernel named are quarantined
and the rest goes in.
"""

from __future__ import annotations

import asyncio
import enum
import errno
import logging
from collections import Counter
from collections.abc import Iterable

from nodeproxy.backends.nftables.affinity import AffinityIds
from nodeproxy.backends.nftables.diff import Differ
from nodeproxy.backends.nftables.lowering import (
    Wanted,
    lower,
    needed_shape,
    own_elements,
    shared_elements,
)
from nodeproxy.backends.nftables.mirror import Mirror
from nodeproxy.backends.nftables.objects import ElementId
from nodeproxy.backends.nftables.readback import read_back, read_shape
from nodeproxy.backends.nftables.record_keeper import RecordKeeper
from nodeproxy.backends.nftables.sets import Shape, parse_class
from nodeproxy.backends.nftables.skeleton import build_skeleton
from nodeproxy.backends.nftables.transaction import Answer, describe, send
from nodeproxy.errors import BackendError, NetlinkError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink.channel import Channel
from nodeproxy.netlink.messages import KernelError
from nodeproxy.plan.types import FamilySettings, PlanKey, ServicePortPlan

_log = logging.getLogger("nodeproxy.nftables")

PORTION_ELEMENTS = 20_000
"""Elements after which a portion is closed: about 70 ms of kernel time and 10 MB of memory."""
_COMMIT_ATTEMPTS = 3


class _Outcome(enum.Enum):
    """How one transaction ended."""

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    """Refused, but the guilty service ports are set aside now: compute it again."""
    DOUBTFUL = "doubtful"
    """Refused although it should have fitted: the mirror is wrong."""


class Totals:
    """What one commit of one table did."""

    # Mutable state: counted up during the commit.
    def __init__(self) -> None:
        self.operations = 0
        self.read_backs = 0


class FamilyTable:
    """See the module's text. One instance per family; only the backend calls it."""

    # Mutable state: everything below, changed by stage() and commit() only.
    def __init__(self, channel: Channel, settings: FamilySettings) -> None:
        self._channel = channel
        self.settings = settings
        self._family: Family = settings.family
        self._ids = AffinityIds()
        self.records = RecordKeeper(channel, settings.family)
        self._shape = Shape()
        self._skeleton = build_skeleton(settings, self._shape)
        self.mirror = Mirror()
        self.plans: dict[PlanKey, ServicePortPlan] = {}
        self.quarantined: dict[PlanKey, str] = {}
        self._shared_uses: Counter[ElementId] = Counter()
        self._installed: dict[PlanKey, ServicePortPlan] = {}
        """The plans the kernel has confirmed; of a quarantined service port the last good one."""
        self._dirty: dict[PlanKey, None] = {}
        """Keys whose plan is not known to be installed, in the order of commit."""
        self._dirty_shared: set[ElementId] = set()
        self._leftovers: set[ElementId] = set()
        self._needs_skeleton = True
        self._is_full = False
        """True while everything is compared, after a read-back."""

    # -- stage -----------------------------------------------------------------------------------

    def set_settings(self, settings: FamilySettings) -> None:
        """Settings changed: the frame of the table is compared again."""
        if settings != self.settings:
            self.settings = settings
            self._rebuild_skeleton(self._shape)

    def _rebuild_skeleton(self, shape: Shape) -> None:
        self._shape = shape
        self._skeleton = build_skeleton(self.settings, shape)
        self._needs_skeleton = True

    def put(self, key: PlanKey, plan: ServicePortPlan) -> None:
        """This service port shall be programmed so."""
        self._replace(key, plan)
        self.plans[key] = plan

    def remove(self, key: PlanKey) -> None:
        """This service port shall not be programmed."""
        self._replace(key, None)
        self.plans.pop(key, None)

    def _replace(self, key: PlanKey, plan: ServicePortPlan | None) -> None:
        self._dirty[key] = None
        # The shared elements of a quarantined plan are not counted any more.
        is_counted = self.quarantined.pop(key, None) is None
        former = self.plans.get(key) if is_counted else None
        before = shared_elements(former) if former is not None else []
        after = shared_elements(plan) if plan is not None else []
        if before != after:
            self._count_shared(before, -1)
            self._count_shared(after, 1)

    def _count_shared(self, elements: Iterable[ElementId], sign: int) -> None:
        for element in elements:
            self._shared_uses[element] += sign
            if not self._shared_uses[element]:
                del self._shared_uses[element]
            self._dirty_shared.add(element)

    # -- commit ----------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """True if a commit would look at anything."""
        return bool(
            self.mirror.is_stale
            or self._dirty
            or self._dirty_shared
            or self._leftovers
            or self._needs_skeleton
        )

    async def commit(self, totals: Totals) -> None:
        """Bring the kernel to what is desired.

        Raises:
            BackendError: what was not confirmed stays dirty, the mirror is stale; call again.
        """
        for attempt in range(1, _COMMIT_ATTEMPTS + 1):
            fresh = self.mirror.is_stale
            if fresh:
                await self._read_back(totals)
            try:
                if await self._commit_portions(totals, may_quarantine=fresh):
                    return
            except BackendError:
                self.mirror.mark_stale("a batch failed")
                raise
            if attempt == _COMMIT_ATTEMPTS:
                break
        raise NetlinkError(
            f"table {self._family}", errno.EBUSY, "refused after every read-back; trying again"
        )

    async def _read_back(self, totals: Totals) -> None:
        """Learn what the kernel holds and compare everything with it."""
        totals.read_backs += 1
        # Classes in the kernel stay although nothing may be in them now: they are few, and a
        # restart of an unchanged cluster writes nothing.
        self._rebuild_skeleton(await asyncio.to_thread(read_shape, self._channel, self._family))
        content = await asyncio.to_thread(read_back, self._channel, self._family, self._skeleton)
        if content.unusable:
            _log.warning(
                "table rebuilt family=%s reason=%r; rules are replaced in one step",
                self._family,
                content.unusable,
            )
        self.mirror.replace(content)
        for key in self.quarantined:
            self._count_shared(shared_elements(self.plans[key]), 1)
        self.quarantined.clear()
        self._is_full = True
        self._dirty = dict.fromkeys(sorted(self.plans, key=_commit_order))
        self._installed = {k: plan for k, plan in self._installed.items() if k in self.plans}
        installed = {
            ElementId(name, key) for name, keys in content.elements.items() for key in keys
        }
        self._leftovers = installed - self._shared_uses.keys()
        self._dirty_shared = set(self._shared_uses)

    async def _commit_portions(self, totals: Totals, *, may_quarantine: bool) -> bool:
        """Commit all that is dirty; False if the mirror turned out to be wrong."""
        self._leftovers |= self._installed_elements(self._dirty)
        while True:
            portion, wanted = self._next_portion()
            if not await self._commit_skeleton(wanted.values(), totals):
                return False
            is_last = len(portion) == len(self._dirty)
            differ = self._difference(wanted)
            later = self._add_removals(differ, wanted) if is_last else set()
            outcome = await self._apply(differ, totals, may_quarantine=may_quarantine)
            if outcome is _Outcome.DOUBTFUL:
                return False
            if outcome is _Outcome.QUARANTINED:
                continue
            self._settle(portion, wanted, later, is_last=is_last)
            if is_last and not later:
                await self.records.keep(self.mirror.content, fresh=may_quarantine)
                return True
            await asyncio.sleep(0)

    async def _commit_skeleton(self, wanted: Iterable[Wanted], totals: Totals) -> bool:
        """The frame with the classes that are about to be used; False if the mirror is wrong."""
        needed = needed_shape(wanted)
        if not self._shape.covers(needed):
            self._rebuild_skeleton(self._shape | needed)
        if not self._needs_skeleton or self.mirror.content.unusable:
            return True
        differ = Differ(self.mirror.content)
        differ.table(self._skeleton)
        if await self._apply(differ, totals, may_quarantine=False) is not _Outcome.ACCEPTED:
            return False
        self._needs_skeleton = False
        return True

    async def _apply(self, differ: Differ, totals: Totals, *, may_quarantine: bool) -> _Outcome:
        """Send one transaction and let the mirror take it if the kernel does."""
        difference = differ.finish()
        if difference.operations:
            answer = await send(self._channel, self._family, difference.operations)
            if answer.errors:
                if may_quarantine and self._quarantine(answer):
                    return _Outcome.QUARANTINED
                self._report_doubt(answer)
                return _Outcome.DOUBTFUL
            totals.operations += answer.count
        self.mirror.accept(difference.change)
        self.records.notice(difference.operations)
        return _Outcome.ACCEPTED

    def _next_portion(self) -> tuple[list[PlanKey], dict[PlanKey, Wanted]]:
        """Dirty keys up to the size of one transaction, with what they want."""
        unlimited = bool(self.mirror.content.unusable)
        keys: list[PlanKey] = []
        wanted: dict[PlanKey, Wanted] = {}
        weight = 0
        for key in self._dirty:
            keys.append(key)
            plan = self.plans.get(key)
            if plan is None or key in self.quarantined:
                continue
            wanted[key] = lower(plan, self._ids)
            selection = plan.selection
            weight += len(plan.frontends) * (len(selection.cluster) + len(selection.local) + 1)
            if weight > PORTION_ELEMENTS and not unlimited:
                break
        return keys, wanted

    def _difference(self, wanted: dict[PlanKey, Wanted]) -> Differ:
        """What one portion of service ports needs."""
        differ = Differ(self.mirror.content)
        if self._needs_skeleton:
            differ.table(self._skeleton)
        for key, elements in wanted.items():
            for element, value in elements.items():
                differ.element(element, value, key)
        return differ

    def _add_removals(self, differ: Differ, wanted: dict[PlanKey, Wanted]) -> set[ElementId]:
        """Shared elements that come or go, and everything nobody wants any more.

        Returns:
            What has to go in a transaction of its own, after this one.
        """
        for element in self._dirty_shared:
            if element in self._shared_uses:
                differ.element(element, "", None)
            else:
                differ.remove((element,))
        gone = set(self._leftovers)
        for elements in wanted.values():
            gone.difference_update(elements)
        gone -= self._installed_elements(self.quarantined)
        for key in self.quarantined:
            gone.difference_update(own_elements(self.plans[key], self._ids))
        later = _break_after_make(gone, wanted)
        differ.remove(gone - later)
        if self._is_full and not later:
            differ.prune(self._skeleton)
        return later

    def _installed_elements(self, keys: Iterable[PlanKey]) -> set[ElementId]:
        """What the confirmed plans of these keys have in the kernel."""
        return {
            element
            for key in keys
            if (plan := self._installed.get(key)) is not None
            for element in own_elements(plan, self._ids)
        }

    def _settle(
        self,
        portion: list[PlanKey],
        wanted: dict[PlanKey, Wanted],
        later: set[ElementId],
        *,
        is_last: bool,
    ) -> None:
        """Remember what has been done; `later` is still to be removed."""
        self._needs_skeleton = False
        for key in portion:
            del self._dirty[key]
            if key in wanted:
                self._installed[key] = self.plans[key]
            elif key not in self.quarantined:
                self._installed.pop(key, None)
                self._ids.forget(key)
        if is_last:
            self._dirty_shared.clear()
            self._leftovers = later
            self._is_full = self._is_full and bool(later)
            return
        for elements in wanted.values():
            self._leftovers.difference_update(elements)

    # -- kernel ----------------------------------------------------------------------------------

    def _quarantine(self, answer: Answer) -> bool:
        """Set aside the service ports the kernel named; False if it named none."""
        guilty: dict[PlanKey, KernelError] = {}
        for error in answer.errors:
            for key in self._guilty(error, answer):
                guilty.setdefault(key, error)
        for key, error in guilty.items():
            reason = describe(error, answer.encoded)
            self.quarantined[key] = reason
            self._count_shared(shared_elements(self.plans[key]), -1)
            _log.error(
                "service port not programmed key=%s reason=%r; its former state stays in force",
                key,
                reason,
            )
        return bool(guilty)

    def _guilty(self, error: KernelError, answer: Answer) -> list[PlanKey]:
        """The service ports whose element the kernel refused, as far as it can be told."""
        refused = answer.refused_element(error)
        if refused is None:
            return []
        element, raw = refused
        if raw.owner is not None:
            return [raw.owner]
        # A shared element: everybody who wants it. Rare enough to look at every plan.
        return [
            key
            for key, plan in self.plans.items()
            if key not in self.quarantined and element in shared_elements(plan)
        ]

    def _report_doubt(self, answer: Answer) -> None:
        text = describe(answer.errors[0], answer.encoded)
        _log.warning("batch refused family=%s error=%r; reading the table back", self._family, text)
        self.mirror.mark_stale(f"batch refused: {text}")


def _break_after_make(gone: set[ElementId], wanted: dict[PlanKey, Wanted]) -> set[ElementId]:
    """Elements of class sets whose frontend has moved to a smaller class.

    A packet asks the class sets one after the other, the small ones first. If one transaction
    moved a frontend down, a packet that has already passed the small set would find the frontend
    in the large one no more: 3 of 70,000 new connections were refused under constant scaling. So
    the frontend joins the small class first and leaves the large one in the next transaction. On
    the way up the order of asking does the same.
    """
    leaving = {
        element: old for element in gone if (old := parse_class(element.set_name)) is not None
    }
    if not leaving:
        return set()
    joined = {
        (new.pool, element.key): new.slots
        for elements in wanted.values()
        for element in elements
        if (new := parse_class(element.set_name)) is not None
    }
    return {
        element
        for element, old in leaving.items()
        if joined.get((old.pool, element.key), old.slots) < old.slots
    }


def _commit_order(key: PlanKey) -> tuple[bool, PlanKey]:
    """The API server's own Service and DNS first: everything else depends on them."""
    port = key.port
    comes_first = (port.namespace, port.name) == ("default", "kubernetes") or (
        port.namespace == "kube-system" and "dns" in port.name
    )
    return (not comes_first, key)
