"""Files that cannot be read: told once when it begins, and once when it is over."""

from __future__ import annotations

from nodeproxy.model.problems import Problem


class BrokenFiles:
    """Owner of what is wrong with whole files.

    A file gets `patience_seconds` to be completed before it is told; a file that is broken in
    another way after that is told at once, because somebody is working on it.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._since: dict[str, float] = {}
        self._problems: dict[str, Problem] = {}
        self._told: dict[str, Problem] = {}

    def fail(self, file: str, problem: Problem, now: float) -> None:
        """A file cannot be read as it is now."""
        self._since.setdefault(file, now)
        self._problems[file] = problem

    def mend(self, file: str) -> bool:
        """A file can be read again, or is gone; True if its problem had been told."""
        self._since.pop(file, None)
        self._problems.pop(file, None)
        return self._told.pop(file, None) is not None

    def due(self, now: float, *, is_first: bool = False) -> list[Problem]:
        """Problems to tell now; those found at the first look have no patience coming."""
        patience = 0.0 if is_first else self._patience_seconds
        due = []
        for file, problem in sorted(self._problems.items()):
            is_told = self._told.get(file) == problem
            if not is_told and (file in self._told or now - self._since[file] >= patience):
                self._told[file] = problem
                due.append(problem)
        return due

    def next_due_in(self, now: float) -> float | None:
        """Seconds until a problem may become due; None if none is waiting."""
        waiting = [
            since + self._patience_seconds - now
            for file, since in self._since.items()
            if file not in self._told
        ]
        return max(0.0, min(waiting)) if waiting else None

    def problems(self) -> tuple[Problem, ...]:
        """Problems that have been told and last, by file."""
        return tuple(self._told[file] for file in sorted(self._told))
