"""Kernel settings at the start and after a reload; what is wrong is told when it is certain."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from nodeproxy.config.schema import Config
from nodeproxy.model.addresses import Family
from nodeproxy.node import sysctls
from nodeproxy.node.sysctls import ForwardingCheck, Outcome, Result
from nodeproxy.plan.types import PlanDelta
from nodeproxy.state.cluster import Changes

_log = logging.getLogger("nodeproxy.kernel")


class KernelSettings:
    """A `Follower` that sets what connection tracking needs, and looks at forwarding.

    Our first rules load nf_conntrack where it is not loaded yet. So what the kernel does not have
    before them is tried once more behind them, and only then called missing.
    """

    # Mutable: whether a second attempt is due, and which families have Services.
    def __init__(self, config: Config, proc: Path = sysctls.PROC, sys: Path = sysctls.SYS) -> None:
        """Set nothing yet.

        Args:
            config: what to set.
            proc: where procfs is mounted.
            sys: where sysfs is mounted.
        """
        self._config = config
        self._proc = proc
        self._sys = sys
        self._is_incomplete = False
        self._forwarding = ForwardingCheck(proc)
        self._new_families: set[Family] = set()

    def apply(self) -> None:
        """Set everything; a dozen small files."""
        outcomes = sysctls.apply(self._config, proc=self._proc, sys=self._sys)
        self._is_incomplete = any(outcome.result is Result.MISSING for outcome in outcomes)
        _tell(outcome for outcome in outcomes if outcome.result is not Result.MISSING)

    def reconfigure(self, config: Config) -> None:
        """Set what a reload changed; at once."""
        is_other = config.conntrack != self._config.conntrack
        self._config = config
        if is_other:
            self.apply()

    def decided(self, changes: Changes, delta: PlanDelta) -> None:
        """See `Observer.decided`."""
        self._new_families.update(key.family for key in delta.puts)

    def installed(self) -> None:
        """See `Observer.installed`."""
        if self._is_incomplete:
            self._is_incomplete = False
            again = sysctls.apply(self._config, proc=self._proc, sys=self._sys)
            _tell(outcome for outcome in again if outcome.result is not Result.REFUSED)
        if self._new_families:
            for remark in self._forwarding.remarks(sorted(self._new_families)):
                _log.warning("%s", remark)
            self._new_families.clear()


def _tell(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.is_failure:
            _log.warning("%s", outcome)
        else:
            level = logging.INFO if outcome.result is Result.DONE else logging.DEBUG
            _log.log(level, "kernel setting %s", outcome)
