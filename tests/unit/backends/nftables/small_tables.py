"""Tables of a few rules, made by hand, for packets to be traced through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodeproxy.backends.nftables.objects import (
    Chain,
    ElementValue,
    Field,
    Hook,
    Rule,
    SetSpec,
    Skeleton,
    Statement,
    ValueKind,
)
from nodeproxy.backends.nftables.trace.packet import NodeAddresses
from nodeproxy.backends.nftables.trace.tracer import Tracer
from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.netlink import nf_tables as nf
from tests.support.tracing import packet

NAT_PREROUTING = Hook("nat", nf.NF_INET_PRE_ROUTING, -100, "hook prerouting priority dstnat")
NAT_OUTPUT = Hook("nat", nf.NF_INET_LOCAL_OUT, -100, "hook output priority -100")
NAT_POSTROUTING = Hook("nat", nf.NF_INET_POST_ROUTING, 100, "hook postrouting priority srcnat")
PREROUTING = Hook("filter", nf.NF_INET_PRE_ROUTING, -90, "hook prerouting priority dstnat + 10")
INPUT = Hook("filter", nf.NF_INET_LOCAL_IN, 0, "hook input priority filter")
FORWARD = Hook("filter", nf.NF_INET_FORWARD, 0, "hook forward priority filter")
OUTPUT = Hook("filter", nf.NF_INET_LOCAL_OUT, 0, "hook output priority filter")

FRONTEND = (Field.DESTINATION, Field.PROTOCOL, Field.PORT)
CLIENT = (Field.SOURCE, Field.PROTOCOL, Field.AFFINITY)

NODE = "192.168.0.2"
SETS = (
    SetSpec("known", FRONTEND, ValueKind.NOTHING, ""),
    SetSpec("ports", (Field.DESTINATION, Field.PORT), ValueKind.NOTHING, ""),
    SetSpec("members", (Field.AFFINITY,), ValueKind.NOTHING, ""),
    SetSpec("endpoints", FRONTEND, ValueKind.ENDPOINT, ""),
    SetSpec("ids", FRONTEND, ValueKind.AFFINITY_ID, ""),
    SetSpec("sources", (Field.SOURCE, *FRONTEND), ValueKind.NOTHING, ""),
    SetSpec("records", CLIENT, ValueKind.RECORDS, ""),
)

POD = packet("10.244.0.11", "10.96.0.10:80", interface="pod1")
"""From a pod to an address that is not the node's."""
OUTSIDER = packet("192.168.0.9", f"{NODE}:80", interface="eth0")
"""From elsewhere to the node itself."""
OWN = packet(NODE, "10.96.0.10:80")
"""From the node."""


def chain(name: str, *rules: Iterable[Statement], hook: Hook | None = None) -> Chain:
    return Chain(name, tuple(Rule(tuple(statements)) for statements in rules), hook)


def tracer(
    *chains: Chain,
    elements: Mapping[str, Mapping[bytes, ElementValue]] | None = None,
    sets: tuple[SetSpec, ...] = SETS,
) -> Tracer:
    node = NodeAddresses(frozenset({parse_addr(NODE)}))
    return Tracer(Skeleton(Family.IPV4, sets, chains), elements or {}, node)


def one_rule(statements: Iterable[Statement], *hooks: Hook) -> Tracer:
    """A tracer for one rule, hung into each of these hooks."""
    rule = tuple(statements)
    return tracer(*(chain(f"chain-{i}", rule, hook=hook) for i, hook in enumerate(hooks)))
