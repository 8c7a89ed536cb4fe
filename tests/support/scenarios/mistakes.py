"""What is wrong with a scenario's text."""

from __future__ import annotations

from pathlib import Path


class Mistake(Exception):
    """Something in a text that is not a scenario."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(line, message)
        self.line = line
        """1-based."""
        self.message = message
        """What is wrong, and what to write instead."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class ScenarioError(Exception):
    """A mistake in a file."""

    def __init__(self, path: Path, line: int, message: str) -> None:
        super().__init__(path, line, message)
        self.path = path
        self.line = line
        self.message = message

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"
