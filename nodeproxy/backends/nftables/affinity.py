"""Session affinity: a client comes back to the endpoint it had (DP-61..65).

    pick chain         frontend -> affinity id, carried in the packet's priority
      known-clients      client, protocol, id -> endpoint?  then translate, no draw
      ...                otherwise draw, as for everybody
    after translation  the endpoint is a member of the id?  then write or refresh the record
      remember           once more for the id of the service port's other pool

One map, `affinity`, holds the records of all Services; packets write it, each record dies when its
client has opened no connection for the Service's timeout. A service port has an id for its
cluster pool and another for its local pool: all its frontends share the records (DP-61), and both
pools learn from each connection (DP-65), yet a client never gets an endpoint its pool does not
have (DP-62). A pool that knows the client already keeps the endpoint it has (DP-63): an update of
a live record renews its time and not its data. Deleting it first would do, but not as often as
packets come: the kernel unlinks deleted elements once a second only, and beyond 16 of one hash it
takes no new one.

The priority of a packet is the one word rules can write and read again that does not route or
filter packets; only the first packet of a connection to such a Service carries an id, and only
from one rule to the next. The id is a hash of the service port's name, so the records stay
right over restarts, and `render` prints the same ids as the kernel has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from nodeproxy.backends.nftables.objects import (
    Chain,
    ClearAffinity,
    DnatByMap,
    Field,
    InSet,
    Jump,
    LoadAffinity,
    Remember,
    Rule,
)
from nodeproxy.backends.nftables.sets import (
    AFFINITY,
    AFFINITY_SIBLINGS,
    MEMBER_KEY,
    POOL_KEYS,
    RECORD_KEY,
    members_name,
)
from nodeproxy.backends.nftables.slots import SlotPool
from nodeproxy.plan.types import PlanKey, PoolKind

REMEMBER = "remember"
_REMEMBER_SIBLING = "remember-sibling"
_KNOWN_CLIENTS = "known-clients"
_FIRST_ID = 0x40000000
"""Far above the priorities that sockets, VLANs and the type of service give to packets."""


def recall_rule(pool: SlotPool) -> Rule:
    """The first rule of a pick chain: does this frontend have affinity, and a known client?"""
    return Rule((LoadAffinity(POOL_KEYS[pool], pool.affinity_ids), Jump(_KNOWN_CLIENTS)))


def affinity_chains(timeouts: Iterable[int]) -> tuple[Chain, ...]:
    """The chains that use and write records; a rule for each timeout in use."""
    updates = tuple(
        Rule((InSet(MEMBER_KEY, members_name(seconds)), Remember(RECORD_KEY, AFFINITY, seconds)))
        for seconds in sorted(timeouts)
    )
    to_sibling = LoadAffinity((Field.AFFINITY,), AFFINITY_SIBLINGS)
    return (
        Chain(_KNOWN_CLIENTS, (Rule((DnatByMap(RECORD_KEY, AFFINITY),)),)),
        Chain(_REMEMBER_SIBLING, (*updates, Rule((ClearAffinity(),)))),
        Chain(REMEMBER, (*updates, Rule((to_sibling, Jump(_REMEMBER_SIBLING))))),
    )


class AffinityIds:
    """The numbers of service ports with affinity, one for each of their two pools.

    A number is a hash of the name; if two names have the same, the one asked for later takes the
    next free number. With 1,000 pools that happens in one of 2,000 clusters.
    """

    # Mutable state: the numbers given, both ways.
    def __init__(self) -> None:
        self._numbers: dict[tuple[PlanKey, PoolKind], int] = {}
        self._taken: set[int] = set()

    def of(self, key: PlanKey, pool: PoolKind) -> int:
        """The id of a pool, 2^30..2^31-1."""
        known = self._numbers.get((key, pool))
        if known is not None:
            return known
        digest = hashlib.sha256(f"{key} {pool}".encode()).digest()
        number = _FIRST_ID + int.from_bytes(digest[:4], "big") % _FIRST_ID
        while number in self._taken:
            number = _FIRST_ID + (number + 1) % _FIRST_ID
        self._taken.add(number)
        self._numbers[key, pool] = number
        return number

    def forget(self, key: PlanKey) -> None:
        """Give the numbers of a service port back that is gone from the kernel."""
        for pool in PoolKind:
            number = self._numbers.pop((key, pool), None)
            if number is not None:
                self._taken.discard(number)
