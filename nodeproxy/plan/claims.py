"""Who owns a destination that several service ports claim (SVC-60)."""

from __future__ import annotations

from collections.abc import Collection

from nodeproxy.model.keys import ServicePortKey
from nodeproxy.plan.types import Claim


class ClaimTable:
    """The destinations claimed in one family, and by whom.

    The first claimant in key order owns a destination, so the outcome depends on who is there,
    not on who came first. Almost every destination has one claimant: only those with several pay
    for a set. Belongs to the Planner, which alone may change it.
    """

    def __init__(self) -> None:
        self._owners: dict[Claim, ServicePortKey] = {}
        self._contested: dict[Claim, set[ServicePortKey]] = {}
        """All claimants, the owner too, of destinations with more than one."""

    @property
    def has_contested(self) -> bool:
        """False if everybody owns what they claim."""
        return bool(self._contested)

    def owner(self, claim: Claim) -> ServicePortKey:
        """Who has a destination.

        Raises:
            KeyError: nobody claims it.
        """
        return self._owners[claim]

    def add(self, claim: Claim, key: ServicePortKey) -> Collection[ServicePortKey]:
        """Enter a claim, and return those whose outcome may be another now; most often nobody."""
        owner = self._owners.setdefault(claim, key)
        if owner == key:
            return ()
        claimants = self._contested.setdefault(claim, {owner})
        claimants.add(key)
        self._owners[claim] = min(claimants)
        return claimants

    def remove(self, claim: Claim, key: ServicePortKey) -> Collection[ServicePortKey]:
        """Withdraw a claim that was entered, and return those whose outcome may be another."""
        claimants = self._contested.get(claim)
        if claimants is None:
            del self._owners[claim]
            return ()
        claimants.remove(key)
        if len(claimants) == 1:
            del self._contested[claim]
        self._owners[claim] = min(claimants)
        return claimants
