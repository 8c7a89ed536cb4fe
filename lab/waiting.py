"""Waiting for an outcome: look until it is there or the deadline has passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE_SECONDS = 10.0
_PAUSE_SECONDS = 0.001

_T = TypeVar("_T")


class DeadlinePassed(Exception):
    """What was waited for did not come."""

    def __init__(self, what: str, last: object, seconds: float) -> None:
        super().__init__(what, last, seconds)
        self.what = what
        self.last = last
        self.seconds = seconds

    def __str__(self) -> str:
        return f"waited {self.seconds:.0f} s for: {self.what}; last seen: {self.last}"


def eventually(
    what: str,
    look: Callable[[], _T],
    is_there: Callable[[_T], bool] = bool,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> _T:
    """Look until what is seen is what is wanted, and return it.

    Args:
        what: the condition in words, for the error.
        look: takes one look; bounded by itself.
        is_there: tells whether this is it.
        deadline_seconds: from now.

    Raises:
        DeadlinePassed: it did not come in time.
    """
    deadline = time.monotonic() + deadline_seconds
    while not is_there(seen := look()):
        if time.monotonic() > deadline:
            raise DeadlinePassed(what, seen, deadline_seconds)
        time.sleep(_PAUSE_SECONDS)
    return seen
