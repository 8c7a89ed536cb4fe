"""How even is even: Pearson's chi-square test, without a dependency."""

from __future__ import annotations

import math
from collections.abc import Mapping

FALSE_ALARM = 1e-7
"""How seldom a truly even choice may look uneven: with thirty such tests a run, one run in
three hundred thousand."""


def evenness(counts: Mapping[str, int], choices: int) -> float:
    """Return how likely an even choice is to give counts at least this uneven, 0 to 1.

    Args:
        counts: how often each choice was taken; those never taken may be missing.
        choices: how many there were; at least 2.
    """
    total = sum(counts.values())
    expected = total / choices
    taken = sum((n - expected) ** 2 for n in counts.values())
    never_taken = (choices - len(counts)) * expected**2
    return chi_square_tail((taken + never_taken) / expected, choices - 1)


def chi_square_tail(statistic: float, degrees: int) -> float:
    """Return the chance that a chi-square variable exceeds a value.

    It is the regularised upper incomplete gamma function Q(degrees / 2, statistic / 2), from the
    power series of its complement; the result is good to about 1e-12, more than is needed.
    """
    shape, x = degrees / 2, statistic / 2
    term = math.exp(shape * math.log(x) - x - math.lgamma(shape + 1)) if x > 0 else 0.0
    total, n = 0.0, 0
    while term > total * 1e-16:
        total += term
        n += 1
        term *= x / (shape + n)
    return max(0.0, 1.0 - total)
