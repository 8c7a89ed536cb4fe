"""The sets and maps of a table: their names, what their keys are made of, and which exist when.

A key that begins with an address is a frontend reached by address; the sets of NodePorts have no
address, so they are not multiplied by the addresses of the node.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from nodeproxy.backends.nftables.objects import Field, SetSpec, ValueKind
from nodeproxy.backends.nftables.slots import SlotClass, SlotPool

CLUSTER_IPS = "cluster-ips"
RESTRICTED_SERVICES = "restricted-services"
EXTERNAL_SERVICES = "external-services"
EXTERNAL_NODEPORTS = "external-nodeports"
POLICY_LOCAL_SERVICES = "policy-local-services"
POLICY_LOCAL_NODEPORTS = "policy-local-nodeports"
NO_ENDPOINTS = "no-endpoint-services"
NO_ENDPOINT_NODEPORTS = "no-endpoint-nodeports"
NO_LOCAL_ENDPOINTS = "no-local-endpoint-services"
NO_LOCAL_ENDPOINT_NODEPORTS = "no-local-endpoint-nodeports"
HAIRPIN = "hairpin-connections"
AFFINITY = "affinity"
AFFINITY_SIBLINGS = "affinity-siblings"
_MEMBERS_PREFIX = "affinity-members-"
_ALLOWED_PREFIX = "allowed-sources-"

ADDRESS_KEY = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
NODEPORT_KEY = (Field.PROTOCOL, Field.PORT)
SOURCE_KEY = (Field.SOURCE, *ADDRESS_KEY)
"""A connection from a source to a frontend; also of an endpoint to itself."""
RECORD_KEY = (Field.SOURCE, Field.PROTOCOL, Field.AFFINITY)
MEMBER_KEY = (Field.AFFINITY, Field.DESTINATION, Field.PORT)
_POOLS_BY_NAME = {pool.value: pool for pool in SlotPool}
POOL_KEYS = {
    SlotPool.SERVICE: ADDRESS_KEY,
    SlotPool.LOCAL_SERVICE: ADDRESS_KEY,
    SlotPool.NODEPORT: NODEPORT_KEY,
    SlotPool.LOCAL_NODEPORT: NODEPORT_KEY,
}


class Shape(msgspec.Struct, frozen=True):
    """What the frame of a table is made for, beside the settings; it grows on demand."""

    classes: frozenset[SlotClass] = frozenset()
    """Slot classes with frontends in them."""
    timeouts: frozenset[int] = frozenset()
    """The seconds of all Services with session affinity."""
    prefix_lengths: frozenset[int] = frozenset()
    """The lengths of all load balancer source ranges."""

    def __or__(self, other: Shape) -> Shape:
        return Shape(
            self.classes | other.classes,
            self.timeouts | other.timeouts,
            self.prefix_lengths | other.prefix_lengths,
        )

    def covers(self, other: Shape) -> bool:
        """True if a frame of this shape has everything the other needs."""
        return self | other == self


def _plain(name: str, fields: tuple[Field, ...], comment: str) -> SetSpec:
    return SetSpec(name, fields, ValueKind.NOTHING, comment)


_FIXED_SETS = (
    _plain(CLUSTER_IPS, (Field.DESTINATION,), "ClusterIPs of Services"),
    _plain(RESTRICTED_SERVICES, ADDRESS_KEY, "loadBalancerSourceRanges: others are dropped"),
    _plain(EXTERNAL_SERVICES, ADDRESS_KEY, "reached from outside: masquerade"),
    _plain(EXTERNAL_NODEPORTS, NODEPORT_KEY, "reached from outside: masquerade"),
    _plain(POLICY_LOCAL_SERVICES, ADDRESS_KEY, "externalTrafficPolicy Local"),
    _plain(POLICY_LOCAL_NODEPORTS, NODEPORT_KEY, "externalTrafficPolicy Local"),
    _plain(NO_ENDPOINTS, ADDRESS_KEY, "refused: no endpoints"),
    _plain(NO_ENDPOINT_NODEPORTS, NODEPORT_KEY, "refused: no endpoints"),
    _plain(NO_LOCAL_ENDPOINTS, ADDRESS_KEY, "dropped: none on this node"),
    _plain(NO_LOCAL_ENDPOINT_NODEPORTS, NODEPORT_KEY, "dropped: none on this node"),
    _plain(HAIRPIN, SOURCE_KEY, "endpoints on this node that may reach themselves"),
    *(
        SetSpec(pool.endpoints, fields, ValueKind.ENDPOINT, "frontend and slot to endpoint")
        for pool, fields in POOL_KEYS.items()
    ),
)
_AFFINITY_SETS = (
    *(
        SetSpec(pool.affinity_ids, fields, ValueKind.AFFINITY_ID, "frontend to affinity id")
        for pool, fields in POOL_KEYS.items()
    ),
    SetSpec(
        AFFINITY_SIBLINGS, (Field.AFFINITY,), ValueKind.AFFINITY_ID, "to the id of the other pool"
    ),
    SetSpec(AFFINITY, RECORD_KEY, ValueKind.RECORDS, "which endpoint a client had last"),
)
_SETS_BY_NAME = {spec.name: spec for spec in (*_FIXED_SETS, *_AFFINITY_SETS)}


def sets_for(shape: Shape) -> tuple[SetSpec, ...]:
    """All sets of a table of this shape; those of affinity only where it is used."""
    timeouts = sorted(shape.timeouts)
    affinity = (*_AFFINITY_SETS, *map(members_set, timeouts)) if timeouts else ()
    allowed = map(allowed_set, sorted(shape.prefix_lengths))
    return (*_FIXED_SETS, *allowed, *affinity, *map(class_set, sorted(shape.classes)))


def class_set(slot_class: SlotClass) -> SetSpec:
    """The set of the frontends in a class."""
    least = slot_class.slots // 2 + 1
    count = str(least) if least >= slot_class.slots else f"{least} to {slot_class.slots}"
    return _plain(
        slot_class.set_name, POOL_KEYS[slot_class.pool], f"frontends by endpoints: {count}"
    )


def members_name(seconds: int) -> str:
    """The name of the set of endpoints that clients are remembered for so long."""
    return f"{_MEMBERS_PREFIX}{seconds}"


def members_set(seconds: int) -> SetSpec:
    """The set of endpoints, by affinity id, that clients are remembered for so long."""
    name = members_name(seconds)
    return SetSpec(name, MEMBER_KEY, ValueKind.MEMBERS, f"remembered for {seconds} s")


def allowed_name(prefix_length: int) -> str:
    """The name of the set of networks of this length that may use restricted frontends."""
    return f"{_ALLOWED_PREFIX}{prefix_length}"


def allowed_set(prefix_length: int) -> SetSpec:
    """The set of networks of this length that may use restricted frontends."""
    name = allowed_name(prefix_length)
    return _plain(name, SOURCE_KEY, f"loadBalancerSourceRanges of length /{prefix_length}")


def set_spec(name: str) -> SetSpec | None:
    """The declaration of a set of ours, by its name; None for a name we never use."""
    if name in _SETS_BY_NAME:
        return _SETS_BY_NAME[name]
    slot_class = parse_class(name)
    if slot_class is not None:
        return class_set(slot_class)
    seconds, prefix_length = parse_timeout(name), parse_prefix_length(name)
    if prefix_length:
        return allowed_set(prefix_length)
    return members_set(seconds) if seconds else None


@lru_cache(maxsize=256)
def parse_class(set_name: str) -> SlotClass | None:
    """The class whose set has this name; None if it is no class set."""
    prefix, _, digits = set_name.rpartition("s-")
    is_power = digits.isascii() and digits.isdecimal() and int(digits).bit_count() == 1
    pool = _POOLS_BY_NAME.get(prefix)
    return SlotClass(pool, int(digits)) if pool and is_power else None


@lru_cache(maxsize=256)
def parse_timeout(set_name: str) -> int:
    """The seconds of a set of affinity members; 0 if it is none."""
    return _number_behind(_MEMBERS_PREFIX, set_name, 999_999)


@lru_cache(maxsize=256)
def parse_prefix_length(set_name: str) -> int:
    """The prefix length of a set of allowed sources; 0 if it is none."""
    return _number_behind(_ALLOWED_PREFIX, set_name, 128)


def _number_behind(prefix: str, name: str, most: int) -> int:
    """The number that follows a prefix, written plainly and not above `most`; 0 if not so."""
    digits = name.removeprefix(prefix)
    is_number = digits.isascii() and digits.isdecimal() and not digits.startswith("0")
    is_ours = is_number and digits != name and len(digits) <= len(str(most))
    return int(digits) if is_ours and int(digits) <= most else 0


def shape_of(set_names: set[str]) -> Shape:
    """The shape of the table that holds these sets."""
    classes = (parse_class(name) for name in set_names)
    timeouts = (parse_timeout(name) for name in set_names)
    lengths = (parse_prefix_length(name) for name in set_names)
    return Shape(
        frozenset(filter(None, classes)),
        frozenset(filter(None, timeouts)),
        frozenset(filter(None, lengths)),
    )
