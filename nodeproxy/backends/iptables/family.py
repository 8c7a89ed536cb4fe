"""One family: what is desired, what the mirror knows, and the way from one to the other.

    stage():   plans replaced, their keys remembered as dirty
    commit():  stale mirror? read back, and everything is dirty
               dirty plans -> chains, trees -> what differs from the mirror -> one restore

A restore that is refused although the mirror should be right makes it stale: read back, try
again. If it is refused again, the service port whose line the command named is quarantined: what
the kernel had of it stays in force, and the rest goes in. Where no line is named (the legacy
kernel interface refuses tables, not rules) the frame goes in first and then ever smaller portions,
until the guilty one is alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from nodeproxy.backends.iptables import frame
from nodeproxy.backends.iptables.dispatch import Place, TreeChanges
from nodeproxy.backends.iptables.frame import Trees, build_frame
from nodeproxy.backends.iptables.lowering import Entry, lower
from nodeproxy.backends.iptables.mirror import BuiltinRules, Change, Content, Mirror
from nodeproxy.backends.iptables.objects import SERVICE_PORT_CHAIN, Table
from nodeproxy.backends.iptables.readback import digests, parse_builtin
from nodeproxy.backends.iptables.settings import IptablesOptions
from nodeproxy.backends.iptables.text import chain_text
from nodeproxy.backends.iptables.tool import Refusal, Tool
from nodeproxy.backends.iptables.transaction import count_operations, restore_input
from nodeproxy.errors import BackendError
from nodeproxy.plan.types import FamilySettings, PlanKey, ServicePortPlan

_log = logging.getLogger("nodeproxy.iptables")

_COMMENT = re.compile(r'--comment "([^"]*)"')


class Totals:
    """What one commit of one family did."""

    # Mutable state: counted up during the commit.
    def __init__(self) -> None:
        self.operations = 0
        self.read_backs = 0


class FamilyRules:
    """See the module's text. One instance per family; only the backend calls it."""

    # Mutable state: everything below, changed by stage() and commit() only.
    def __init__(self, tool: Tool, settings: FamilySettings, options: IptablesOptions) -> None:
        self._tool = tool
        self._options = options
        self.settings = settings
        self.mirror = Mirror()
        self.plans: dict[PlanKey, ServicePortPlan] = {}
        self.quarantined: dict[PlanKey, str] = {}
        self._trees = Trees(settings.family, options)
        self._lowered: dict[PlanKey, ServicePortPlan] = {}
        """The plans that the trees and `_names` speak of."""
        self._names: dict[PlanKey, tuple[str, ...]] = {}
        """The chains of each service port."""
        self._installed: dict[PlanKey, ServicePortPlan] = {}
        """The plans the kernel has; of a quarantined service port the last good one."""
        self._dirty: dict[PlanKey, None] = {}
        self._accepted: set[PlanKey] = set()
        """Keys that this commit has seen taken; they are good, whatever is refused later."""
        self._pending: dict[str, str | None] = {}
        """Service ports' chains to compare: their text, None for those that go."""
        self._checks: Counter[Place] = Counter()
        self._needs_frame = True
        self._is_full = False
        """True while everything is compared, after a read-back."""
        self._refusals = 0
        """Frontends that were refused in the filter table at the last commit."""

    # -- stage -----------------------------------------------------------------------------------

    def set_settings(self, settings: FamilySettings) -> None:
        """Settings changed: frame and all pools are compared again."""
        if settings != self.settings:
            self.settings = settings
            self._needs_frame = True
            self._dirty |= dict.fromkeys(self.plans)

    def put(self, key: PlanKey, plan: ServicePortPlan) -> None:
        """This service port shall be programmed so."""
        self.quarantined.pop(key, None)
        self.plans[key] = plan
        self._dirty[key] = None

    def remove(self, key: PlanKey) -> None:
        """This service port shall not be programmed."""
        self.quarantined.pop(key, None)
        self.plans.pop(key, None)
        self._dirty[key] = None

    # -- commit ----------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        """True if a commit would look at anything."""
        return bool(self.mirror.is_stale or self._dirty or self._needs_frame)

    async def commit(self, totals: Totals) -> None:
        """Bring the kernel to what is desired.

        Raises:
            BackendError: what was not confirmed stays dirty, the mirror is stale; call again.
        """
        portion: int | None = None
        was_read = False
        self._accepted.clear()
        while True:
            if self.mirror.is_stale:
                await self._read_back(totals, anew=not was_read)
                was_read = True
            keys = self._next_portion(portion)
            try:
                refusal, text = await self._apply(keys, totals)
            except BackendError:
                self.mirror.mark_stale("a restore failed")
                raise
            if refusal is None:
                if not self._dirty:
                    return
                portion = max(1, 2 * (portion or len(self._dirty) // 4))
                continue
            self._report(refusal)
            self.mirror.mark_stale("a restore was refused")
            if not was_read or self._quarantine(self._culprits(refusal, text, keys), refusal):
                continue
            portion = self._smaller_portion(keys, portion, refusal)

    def _next_portion(self, most: int | None) -> list[PlanKey]:
        """Dirty keys that are neither in quarantine nor known to be taken."""
        is_settled = self._accepted | self.quarantined.keys()
        return [key for key in self._dirty if key not in is_settled][:most]

    def _smaller_portion(
        self, keys: Sequence[PlanKey], portion: int | None, refusal: Refusal
    ) -> int:
        """How many keys to try next, after a refusal that names nobody.

        Raises:
            BackendError: without any service port it is refused too.
        """
        if not keys:
            raise BackendError(f"the frame of the rules was refused: {refusal.text}")
        if portion is None:
            return 0
        if len(keys) == 1:
            self._quarantine(keys, refusal)
        return max(1, len(keys) // 2)

    async def _read_back(self, totals: Totals, *, anew: bool) -> None:
        """Learn what the kernel holds and compare everything with it.

        Args:
            totals: where it is counted.
            anew: forget whom we quarantined; they are tried again.
        """
        totals.read_backs += 1
        content = await asyncio.to_thread(self._read)
        self.mirror.replace(content)
        if anew:
            self.quarantined.clear()
        for _, tree in self._trees.all():
            tree.clear()
        self._lowered.clear()
        self._names.clear()
        self._pending.clear()
        self._checks.clear()
        self._dirty = dict.fromkeys(sorted(self.plans, key=_commit_order))
        self._installed = {k: plan for k, plan in self._installed.items() if k in self.plans}
        self._needs_frame = self._is_full = True

    def _read(self) -> Content:
        saved = {table: self._tool.save(self.settings.family, table) for table in Table}
        builtin: BuiltinRules = {
            (table, name): rules
            for table, text in saved.items()
            for name, rules in parse_builtin(text).items()
        }
        return Content({table: digests(text) for table, text in saved.items()}, builtin)

    async def _apply(self, keys: Sequence[PlanKey], totals: Totals) -> tuple[Refusal | None, str]:
        """Send what a portion of the dirty keys needs; the refusal, and the text it is about."""
        is_last = self._dirty.keys() <= {*keys, *self.quarantined, *self._accepted}
        if keys or is_last:
            self._aim(keys)
            change, trees = self._difference(is_last=is_last)
        else:
            change, trees = self._frame_alone(), []
        refusals = self._trees.refused
        text = restore_input(change, self.mirror.content, nat_first=refusals < self._refusals)
        if text:
            refusal = await asyncio.to_thread(self._tool.restore, self.settings.family, text)
            if refusal is not None:
                return refusal, text
            totals.operations += count_operations(text)
        self._refusals = refusals
        self._settle(keys, change, trees, is_last=is_last)
        return None, text

    def _aim(self, keys: Sequence[PlanKey]) -> None:
        """Let trees and pending chains speak of what is desired for these keys.

        Dirty keys that are not among them, and those in quarantine, keep what they had.
        """
        entries: list[Entry] = []
        chosen = self._accepted.union(keys)
        for key in self._dirty:
            plan = self.plans.get(key) if key in chosen else self._installed.get(key)
            self._pending |= dict.fromkeys(self._names.pop(key, ()))
            former = self._lowered.pop(key, None)
            if former is not None:
                for entry in lower(former, self.settings).entries:
                    self._take_out(entry)
            if plan is None:
                continue
            lowered = lower(plan, self.settings)
            entries += lowered.entries
            self._lowered[key] = plan
            self._names[key] = tuple(chain.name for chain in lowered.chains)
            self._pending |= {chain.name: chain_text(chain) for chain in lowered.chains}
        for entry in entries:
            self._put_in(entry)

    def _put_in(self, entry: Entry) -> None:
        if entry.root == frame.HEALTH:
            self._checks[entry.place] += 1
        self._trees.find(entry.table, entry.root).put(entry.place, entry.rules)

    def _take_out(self, entry: Entry) -> None:
        """The service ports of a Service share its health check."""
        if entry.root == frame.HEALTH:
            self._checks[entry.place] -= 1
            if self._checks[entry.place]:
                return
        self._trees.find(entry.table, entry.root).remove(entry.place, entry.rules)

    def _difference(self, *, is_last: bool) -> tuple[Change, list[TreeChanges]]:
        """What the mirror does not have, and what it has too much."""
        change = self._frame_alone()
        found = [tree.changes() for _, tree in self._trees.all()]
        for (table, _), changes in zip(self._trees.all(), found, strict=True):
            change.writes[table] |= {chain.name: chain_text(chain) for chain in changes.chains}
            change.deletes[table] += changes.gone.values()
        for name, text in self._pending.items():
            if text is None:
                change.deletes[Table.NAT].append(name)
            else:
                change.writes[Table.NAT][name] = text
        if self._is_full and is_last:
            self._add_leftovers(change)
        return self._without_what_is_there(change), found

    def _frame_alone(self) -> Change:
        """The fixed chains, and the roots of the trees they lead to."""
        writes: dict[Table, dict[str, str]] = {table: {} for table in Table}
        if self._needs_frame:
            for table, chains in build_frame(self.settings, self._options).items():
                writes[table] |= {chain.name: chain_text(chain) for chain in chains}
            for table, tree in self._trees.all():
                if tree.root not in self.mirror.content.chains[table]:
                    writes[table][tree.root] = ""
        return Change(writes, {table: [] for table in Table}, hooks=not self.mirror.has_hooks)

    def _without_what_is_there(self, change: Change) -> Change:
        content = self.mirror.content
        writes = {
            table: {
                name: text for name, text in wanted.items() if not content.has(table, name, text)
            }
            for table, wanted in change.writes.items()
        }
        deletes = {
            table: [name for name in names if name in content.chains[table]]
            for table, names in change.deletes.items()
        }
        return Change(writes, deletes, change.hooks)

    def _add_leftovers(self, change: Change) -> None:
        """Delete what is in the kernel and nobody wants."""
        wanted = {table: {*change.writes[table], *change.deletes[table]} for table in Table}
        for table, chains in build_frame(self.settings, self._options).items():
            wanted[table].update(chain.name for chain in chains)
        wanted[Table.NAT].update(name for names in self._names.values() for name in names)
        for table, tree in self._trees.all():
            wanted[table].update(tree.chain_names())
        for table, installed in self.mirror.content.chains.items():
            change.deletes[table] += [name for name in installed if name not in wanted[table]]

    def _settle(
        self,
        keys: Iterable[PlanKey],
        change: Change,
        changes: Sequence[TreeChanges],
        *,
        is_last: bool,
    ) -> None:
        """The kernel has it."""
        self.mirror.accept(change)
        for (_, tree), found in zip(self._trees.all(), changes, strict=False):
            tree.accept(found)
        if changes:
            self._pending.clear()
        self._needs_frame = False
        self._is_full = self._is_full and not is_last
        if is_last:
            self._dirty.clear()
        for key in keys:
            self._dirty.pop(key, None)
            self._accepted.add(key)
            if key in self.plans:
                self._installed[key] = self.plans[key]
            else:
                self._installed.pop(key, None)

    # -- refusals --------------------------------------------------------------------------------

    def _report(self, refusal: Refusal) -> None:
        _log.warning(
            "restore refused family=%s error=%r; reading the tables back",
            self.settings.family,
            refusal.text,
        )

    def _culprits(self, refusal: Refusal, text: str, keys: Iterable[PlanKey]) -> list[PlanKey]:
        """The service ports that the named line belongs to."""
        lines = text.splitlines()
        if not 0 < refusal.line <= len(lines):
            return []
        line = lines[refusal.line - 1]
        chains, comments = set(SERVICE_PORT_CHAIN.findall(line)), set(_COMMENT.findall(line))
        return [
            key
            for key in keys
            if key not in self.quarantined
            and (str(key.port) in comments or not chains.isdisjoint(self._names.get(key, ())))
        ]

    def _quarantine(self, keys: Iterable[PlanKey], refusal: Refusal) -> bool:
        """Set service ports aside; False if there were none."""
        keys = list(keys)
        for key in keys:
            self.quarantined[key] = refusal.text
            _log.error(
                "service port not programmed key=%s reason=%r; its former state stays in force",
                key,
                refusal.text,
            )
        return bool(keys)


def _commit_order(key: PlanKey) -> tuple[bool, PlanKey]:
    """The API server's own Service and DNS first: everything else depends on them."""
    port = key.port
    comes_first = (port.namespace, port.name) == ("default", "kubernetes") or (
        port.namespace == "kube-system" and "dns" in port.name
    )
    return (not comes_first, key)
