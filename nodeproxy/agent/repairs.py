"""How often foreign changes of the rules are answered by a repair.

    watcher --changed(reason)--> Repairs --repair(reason)--> look and put right

One change is repaired at once. Who changes our rules again and again, another agent with another
view of the cluster for example, would be answered sixty times a second, each time with a line in
the log. So after a few repairs there is one a second at most, and one line a minute.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

_log = logging.getLogger("nodeproxy.rules")

BURST = 5
"""Repairs without a pause."""
BURST_SECONDS = 10.0
PAUSE_SECONDS = 1.0
"""Before a further repair, while there were `BURST` in the last `BURST_SECONDS`."""
SUMMARY_SECONDS = 60.0
"""Between two lines in the log while it goes on."""


class Repairs:
    """Calls for repairs, at once or a little later."""

    # Mutable: when repairs were, what waits for one, and what the log has not told.
    def __init__(
        self,
        repair: Callable[[str], None],
        call_later: Callable[[float, Callable[[], None]], object],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wait for changes.

        Args:
            repair: looks at the rules and puts them right; takes what happened to them.
            call_later: as of an event loop.
            now: in seconds.
        """
        self._repair = repair
        self._call_later = call_later
        self._now = now
        self._repaired_at: deque[float] = deque(maxlen=BURST)
        self._waiting = ""
        self._told_at = 0.0
        self._untold = 0

    def changed(self, reason: str) -> None:
        """Somebody else changed the rules; what waits for a repair already waits on."""
        is_waiting = bool(self._waiting)
        self._tell(reason)
        if self._is_fight():
            self._waiting = reason
            if not is_waiting:
                self._call_later(PAUSE_SECONDS, self._repair_waiting)
        else:
            self._repair_now(reason)

    def _repair_waiting(self) -> None:
        reason, self._waiting = self._waiting, ""
        self._repair_now(reason)

    def _repair_now(self, reason: str) -> None:
        self._repaired_at.append(self._now())
        self._repair(reason)

    def _is_fight(self) -> bool:
        times = self._repaired_at
        return len(times) == BURST and self._now() - times[0] < BURST_SECONDS

    def _tell(self, reason: str) -> None:
        if not self._is_fight():
            self._untold = 0
            self._told_at = 0.0
            _log.warning("rules changed by somebody else: %s; checking and repairing", reason)
            return
        self._untold += 1
        if not self._told_at or self._now() - self._told_at >= SUMMARY_SECONDS:
            _log.error(
                "rules are changed by somebody else again and again: %s; repairing every %g s from "
                "now on, find that process and end it changes=%d",
                reason,
                PAUSE_SECONDS,
                self._untold,
            )
            self._told_at = self._now()
            self._untold = 0
