"""The world of the scenarios in network namespaces: hosts that send real packets, and a kernel.

    packet -> Conversation (lab.traffic): answered by whom, seen as whom, or failed how
           -> Flow (lab.flows): what connection tracking of the node made of it
           -> Attempt: both together say what the rules did

Failures look alike: a closed port refuses as a rule does. So what a scenario sends to the node's
own addresses finds an open port, and elsewhere the flow log decides: a flow is entered when its
first packet has passed all rules.

    no flow, ICMP error or reset at once    refused by a rule of ours
    no flow, nothing heard                  dropped by a rule of ours
    a flow with another destination         sent to that endpoint
    a flow with its addresses as sent       untouched, whatever became of it afterwards; but from
                                            the node to itself rules of input come after the
                                            entry, and only an answer shows that none took it

Masquerading is read from the flow log too: an answer to the node looks the same with and without.
Where the address tells (everybody but the node), it must agree.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lab.flows import Flow, FlowLog
from lab.lines import Spoken
from lab.topology import Lab, private_node
from lab.traffic import Answer, Conversation, Outcome
from lab.traffic import Target as Destination
from nodeproxy.backends.base import Backend
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.backends.nftables.encode import encode_batch
from nodeproxy.backends.nftables.objects import DeleteTable
from nodeproxy.model.addresses import FAMILIES, Addr, Family, format_addr, parse_addr
from nodeproxy.netlink import messages
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.types import PlanDelta, Target
from tests.support.scenarios.model import Arrival, Packet, Place, Verdict
from tests.support.scenarios.world import HOSTS, target_text

ANSWER_SECONDS = 5.0
"""How long somebody may take who must answer or refuse; nobody takes that long."""
SILENCE_SECONDS = 0.15
"""How long nobody must be heard for a packet to count as dropped; besides, it left no flow."""
AT_ONCE = 32
"""So many packets that will not be answered are sent side by side."""

_OWN = frozenset(
    format_addr(address)
    for host in HOSTS.values()
    if host.place is Place.NODE
    for address in (host.ipv4, host.ipv6)
)

Port = tuple[Spoken, int]
FlowKey = tuple[str, str, int, int]
"""Protocol, destination, its port, and the sender's: ports come back after thousands of packets."""


class Attempt(NamedTuple):
    """One packet that was sent, and what became of it."""

    outcome: Outcome
    flow: Flow | None
    """None if no flow was entered: the packet did not get past the rules."""
    is_to_itself: bool
    """From the node to an address of its own, where every port that is asked for is open."""

    def seen(self, may_stay: bool = False) -> Arrival | Verdict | str:
        """What the rules did, as scenarios say it; words if it is nothing they could say.

        Args:
            may_stay: the destination is an endpoint as well. A translation to where a packet
                goes anyway leaves no trace, so an answer from there counts as an arrival.
        """
        flow, outcome = self.flow, self.outcome
        if may_stay and flow is not None and not flow.is_redirected:
            return _redirected(flow, outcome)
        if flow is not None and flow.is_redirected:
            return _redirected(flow, outcome)
        if flow is None or (self.is_to_itself and not isinstance(outcome, Answer)):
            return _taken_by_a_rule(outcome)
        if flow.is_masqueraded:
            return f"masqueraded, but sent on as it was: {flow}"
        return Verdict.UNTOUCHED


def _redirected(flow: Flow, outcome: Outcome) -> Arrival | str:
    target = Target(parse_addr(flow.reply.source), flow.reply.source_port)
    if not isinstance(outcome, Answer):
        return f"sent to {target_text(target)}, and then: {outcome.kind}"
    if (outcome.server, outcome.server_port) != flow.reply[:2]:
        return f"sent to {target_text(target)}, but answered as {outcome}"
    if outcome.is_masqueraded and not flow.is_masqueraded:
        return f"seen as {outcome.seen_as}, but never masqueraded"
    if flow.is_masqueraded and outcome.seen_as not in _OWN:
        return f"masqueraded as {outcome.seen_as}, no address of the node"
    return Arrival(target, flow.is_masqueraded)


def _taken_by_a_rule(outcome: Outcome) -> Verdict | str:
    if isinstance(outcome, Answer):
        return f"answered by {outcome.server} past the node"
    match outcome.kind:
        case "refused":
            return Verdict.REFUSED
        case "timeout":
            return Verdict.DROPPED
        case kind:
            return f"lost on the way to the node: {kind}"


class LiveWorld:
    """A lab with a socket to the node's rules; make one with `open_world`."""

    def __init__(self, lab: Lab, channel: NetfilterSocket, flows: FlowLog) -> None:
        self.lab = lab
        self._channel = channel
        self._log = flows
        # Mutable: flows heard of and not asked for yet, and what this scenario added to the node.
        self._flows: dict[FlowKey, Flow] = {}
        self._own: frozenset[Addr] = frozenset()
        self._added: list[str] = []
        self._runner = asyncio.Runner()
        pods = {pod.name: pod.namespace for pod in (*lab.pods, *lab.far_pods)}
        outside = {"client": lab.client, "stranger": lab.client}
        self._namespaces = {name: (pods | outside).get(name, lab.node) for name in HOSTS}

    def begin(self, node_addresses: frozenset[Addr], ports: Sequence[tuple[Addr, Port]]) -> None:
        """Make everything as if no scenario had been here before.

        Args:
            node_addresses: all addresses the node has.
            ports: what listens where: endpoints, and the node wherever it is asked. All pods
                listen where one of them does.
        """
        for family in FAMILIES:
            _delete_table(self._channel, family)
        self._move_addresses(node_addresses)
        self.lab.stop_serving()
        self._own = node_addresses
        self.lab.serve(**_by_protocol(port for address, port in ports if address not in self._own))
        self.lab.serve_on_node(
            **_by_protocol(port for address, port in ports if address in self._own)
        )
        self._log.forget_flows()
        self._log.new_flows()
        self._flows.clear()

    def new_backend(self) -> Backend:
        """A backend that knows nothing yet, as that of an agent that starts."""
        return NftablesBackend(self._channel, FAMILIES)

    def program(self, backend: Backend, delta: PlanDelta) -> None:
        """Stage and commit."""
        backend.stage(delta)
        self._runner.run(backend.commit())

    def send(self, packet: Packet, timeout: float = ANSWER_SECONDS) -> Attempt:
        """Open one new connection (UDP flow, association, echo request)."""
        return self._attempt(*self._ask(packet, timeout))

    def send_all(self, packets: Sequence[Packet], timeout: float) -> list[Attempt]:
        """Send packets that probably nobody answers side by side."""
        with ThreadPoolExecutor(AT_ONCE, "scenario-packet") as pool:
            asked = list(pool.map(lambda packet: self._ask(packet, timeout), packets))
        return [self._attempt(*each) for each in asked]

    def close(self) -> None:
        """Let go of the event loop; the rest belongs to the lab."""
        self._runner.close()

    def _attempt(self, packet: Packet, outcome: Outcome, key: FlowKey) -> Attempt:
        is_to_itself = packet.is_from_node and packet.destination in self._own
        return Attempt(outcome, self._flow(key), is_to_itself)

    def _ask(self, packet: Packet, timeout: float) -> tuple[Packet, Outcome, FlowKey]:
        address = format_addr(packet.destination)
        protocol = _spoken(packet)
        with Conversation(
            self._namespaces[packet.sender.name],
            Destination(protocol, address, packet.port),
            source=format_addr(packet.source),
            timeout=timeout,
        ) as conversation:
            port = packet.port or conversation.port  # a ping has its identifier at both ends
            return packet, conversation.opening, (protocol, address, port, conversation.port)

    def _flow(self, key: FlowKey) -> Flow | None:
        for flow in self._log.new_flows():
            original = flow.original
            ends = (original.destination, original.destination_port, original.source_port)
            self._flows[flow.protocol, *ends] = flow
        return self._flows.get(key)

    def _move_addresses(self, wanted: Iterable[Addr]) -> None:
        """Give the node the addresses a scenario writes for it, and take those of the last one.

        They come after its own on eth0, so they are never chosen for what it sends.
        """
        texts = sorted({format_addr(address) for address in wanted} - _OWN)
        lines = [f"addr del {address} dev eth0" for address in self._added]
        lines += [f"addr add {text}/{128 if ':' in text else 32} dev eth0" for text in texts]
        if lines:
            self.lab.node.ip(*lines)
        self._added = [f"{text}/{128 if ':' in text else 32}" for text in texts]


@contextlib.contextmanager
def open_world() -> Iterator[LiveWorld]:
    """Build it; it is gone when the block ends or this process does."""
    pods = [name for name, host in HOSTS.items() if host.place is Place.POD_HERE]
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(private_node(pods))
        with lab.node.entered():
            channel = stack.enter_context(NetfilterSocket())
        world = LiveWorld(lab, channel, stack.enter_context(FlowLog(lab.node)))
        stack.callback(world.close)
        yield world


def _delete_table(channel: NetfilterSocket, family: Family) -> None:
    """As `nodeproxy cleanup` does, but without a socket of its own, whose end takes 20 ms."""
    encoded = encode_batch([DeleteTable()], family)
    last = len(encoded) + 1
    batch = [messages.batch_begin(), *(m.data for m in encoded), messages.batch_end(last)]
    errors = channel.transact(batch, last)
    assert all(error.errno == errno.ENOENT for error in errors), errors


def _spoken(packet: Packet) -> Spoken:
    if packet.transport is None:
        return "ping"
    spoken: dict[str, Spoken] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
    return spoken[packet.transport.name]


def port_of(packet: Packet, target: Target) -> tuple[Addr, Port]:
    """Where an endpoint must listen to be reached by a packet."""
    return target.addr, (_spoken(packet), target.port)


def _by_protocol(ports: Iterable[Port]) -> dict[str, list[int]]:
    """Arguments of `Lab.serve`."""
    found: dict[str, set[int]] = {"tcp": set(), "udp": set(), "sctp_ports": set()}
    for protocol, number in ports:
        found["sctp_ports" if protocol == "sctp" else protocol].add(number)
    return {name: sorted(numbers) for name, numbers in found.items()}
