"""Mistakes in lists: several at once, each in an item of its own."""

from __future__ import annotations

from collections.abc import Sequence


class WrongItems(ValueError):
    """Mistakes in items of a list, each with the index of its item."""

    def __init__(self, mistakes: Sequence[tuple[int, str]]) -> None:
        super().__init__(*(message for _, message in mistakes))
        self.mistakes = tuple(mistakes)
