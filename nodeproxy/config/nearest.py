"""What somebody meant who wrote a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean --proxy-mode?`, or nothing if no known name is near."""
    from difflib import get_close_matches  # only a mistake pays for the import

    candidates = {name.lower(): name for name in known}
    nearest = get_close_matches(word.lower(), candidates, n=1)
    return f"did you mean {candidates[nearest[0]]}?" if nearest else ""
