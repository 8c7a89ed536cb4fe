"""A scenario as values: objects that come and go, and what packets meet in between.

    Scenario = title, rules, agent's flags + sections in the order of the file
    section  = Apply | Delete | Expect | Wait | Restart

An `Expectation` is a packet and the one outcome it must have. Whoever can tell outcomes is a
`Dataplane`: an independent reading of the rules, a packet tracer, a kernel.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from nodeproxy.model.addresses import Addr, Family, family_of, format_addr, format_addr_port
from nodeproxy.model.events import Kind
from nodeproxy.model.keys import Protocol as Transport
from nodeproxy.plan.types import FamilySettings, PlanKey, ServicePortPlan, Target


class Place(enum.Enum):
    """Where a host of the world is, seen from the node."""

    NODE = "the node itself"
    POD_HERE = "a pod of this node, behind an interface of its own"
    ELSEWHERE = "reached through eth0"


class Host(msgspec.Struct, frozen=True):
    """One machine or pod that sends and receives packets."""

    name: str
    place: Place
    ipv4: Addr
    ipv6: Addr

    @property
    def interface(self) -> str:
        """By which its packets enter the node; empty for the node's own."""
        return {Place.NODE: "", Place.POD_HERE: self.name, Place.ELSEWHERE: "eth0"}[self.place]

    def address(self, family: Family) -> Addr:
        """The address it is known by in a family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6


class Packet(msgspec.Struct, frozen=True):
    """The first packet of a connection, as its sender made it."""

    sender: Host
    source: Addr
    """Usually the sender's own address; `node@1.2.3.4` sends from another one it has."""
    destination: Addr
    transport: Transport | None
    """None for a ping (ICMP or ICMPv6 echo request)."""
    port: int
    """0 for a ping."""

    @property
    def family(self) -> Family:
        """The family it travels in."""
        return family_of(self.destination)

    @property
    def is_from_node(self) -> bool:
        """True if a process of the node sends it: it has no input interface (DP-32)."""
        return self.sender.place is Place.NODE

    def __str__(self) -> str:
        if self.transport is None:
            return f"{self.sender.name} -> ping {format_addr(self.destination)}"
        destination = format_addr_port(self.destination, self.port)
        return f"{self.sender.name} -> {destination}/{self.transport.name.lower()}"


class Verdict(enum.StrEnum):
    """What a packet meets when it reaches no endpoint."""

    REFUSED = "refused"
    """The sender gets an ICMP error at once (DP-8)."""
    DROPPED = "dropped"
    """The sender hears nothing."""
    UNTOUCHED = "untouched"
    """No rule of ours applies: the packet goes where it would go without us."""


class Arrival(NamedTuple):
    """An endpoint that a packet may reach, and how."""

    target: Target
    is_masqueraded: bool
    """True if the endpoint sees an address of the node instead of the sender's."""


class Reaches(msgspec.Struct, frozen=True):
    """A packet is translated, to one of these."""

    arrivals: frozenset[Arrival]
    has_affinity: bool = False
    """True if a further connection of the same client goes where the first went (DP-61)."""
    is_remembered: bool = False
    """True if it goes where a former connection of the client went; a single arrival then."""


Answer = Reaches | Verdict
"""What may happen to a packet."""


class Wanted(NamedTuple):
    """An endpoint that a packet must be able to reach."""

    target: Target
    is_masqueraded: bool | None
    """None if the scenario does not say."""


class WantsEndpoints(msgspec.Struct, frozen=True):
    """`{pod-a:80, pod-b:80} no-masq`: exactly these, each as often as any other."""

    endpoints: frozenset[Wanted]
    is_sticky: bool = False
    """The service port has affinity: all connections of the client go to one and the same."""
    binds: str = ""
    """Name for the endpoint that one connection reaches; implies `is_sticky`."""


class WantsBound(msgspec.Struct, frozen=True):
    """`X` or `not X`: the endpoint of that name, or any but that one."""

    name: str
    is_same: bool
    is_masqueraded: bool | None = None
    binds: str = ""
    """A name for the endpoint that is reached, as in `not X as Y`."""


Outcome = WantsEndpoints | WantsBound | Verdict
"""What a scenario demands."""


class Expectation(msgspec.Struct, frozen=True):
    """One line of an expect section."""

    line: int
    """1-based, in the scenario's file."""
    text: str
    packet: Packet
    outcome: Outcome
    in_iptables: Outcome | None = None
    """Where the iptables mode differs (spec 30): its outcome."""


class Manifest(msgspec.Struct, frozen=True):
    """One object, names of hosts replaced by addresses, apiVersion and namespace filled in."""

    line: int
    kind: Kind
    namespace: str
    """Empty for objects without one, such as a Node."""
    name: str
    text: str
    """The object as JSON, which is YAML too; not checked beyond its identity."""

    @property
    def file_name(self) -> str:
        """A name for a file that holds this object alone."""
        return _file_name(self.kind, self.namespace, self.name)


class Deletion(msgspec.Struct, frozen=True):
    """The identity of an object that goes."""

    line: int
    kind: Kind
    namespace: str
    name: str

    @property
    def file_name(self) -> str:
        """The name of the file that held the object."""
        return _file_name(self.kind, self.namespace, self.name)


def _file_name(kind: Kind, namespace: str, name: str) -> str:
    return f"{kind}.{namespace or '-'}.{name}.json".lower()


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Objects come, or take the place of those of the same kind, namespace and name."""

    line: int
    title: str
    manifests: tuple[Manifest, ...]


class Delete(msgspec.Struct, frozen=True, tag=True):
    """Objects go."""

    line: int
    title: str
    deletions: tuple[Deletion, ...]


class Expect(msgspec.Struct, frozen=True, tag=True):
    """Packets are sent."""

    line: int
    title: str
    expectations: tuple[Expectation, ...]


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Time passes."""

    line: int
    seconds: float


class Restart(msgspec.Struct, frozen=True, tag=True):
    """The agent ends without cleaning up and starts again with the same objects."""

    line: int
    flags: tuple[str, ...] | None
    """Flags of the new agent in place of the scenario's, as in `Scenario.flags`; None for the
    flags it had."""


Section = Apply | Delete | Expect | Wait | Restart


class Scenario(msgspec.Struct, frozen=True):
    """One file."""

    path: Path
    title: str
    rules: tuple[str, ...]
    """Ids of the rules in docs/behaviour that it shows."""
    flags: tuple[str, ...]
    """All flags of the agent, `--name=value`: the world's defaults and the file's own."""
    is_live: bool
    """True if every full test run sends its packets for real."""
    text: str
    """Why it is so, in words."""
    sections: tuple[Section, ...]

    @property
    def name(self) -> str:
        """`clusterip/basic`: group and name, unique."""
        return f"{self.path.parent.name}/{self.path.stem}"

    @property
    def node_addresses(self) -> frozenset[Addr]:
        """Addresses that packets of this scenario's node are sent from, loopback included.

        To those of the world come the ones written as `node@ADDRESS`: the node has them.
        """
        return frozenset(
            expectation.packet.source
            for section in self.sections
            if isinstance(section, Expect)
            for expectation in section.expectations
            if expectation.packet.is_from_node
        )


class Dataplane(Protocol):
    """Something that knows what happens to packets, made for one scenario."""

    def update(
        self,
        plans: Mapping[PlanKey, ServicePortPlan],
        settings: Mapping[Family, FamilySettings],
    ) -> None:
        """The plan is this now. Called after every change, with everything there is."""

    def restart(self) -> None:
        """The agent starts again: what only it knew is gone, what is in the kernel stays.

        The plan of the new agent follows with `update`.
        """

    def wait(self, seconds: float) -> None:
        """Time passes."""

    def answer(self, packet: Packet) -> Answer:
        """Everything that may happen to this packet now; asking changes nothing."""

    def connect(self, packet: Packet, target: Target) -> None:
        """The packet was sent and reached `target`, one of the targets of `answer`.

        What the dataplane learns by that (affinity) counts from now on.
        """
