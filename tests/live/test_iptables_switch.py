"""From one mode to the other while packets flow: the new rules are complete before the old ones go.

Both sets may be in force together: the first to translate a connection decides, the mark that asks
for masquerading is the same, and refusals look at untranslated packets only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from lab.topology import Lab, private_node
from lab.traffic import Answer, Conversation, Stream, Target, ask, ask_many, tally
from lab.waiting import eventually
from nodeproxy.backends.base import Backend
from nodeproxy.backends.iptables.backend import IptablesBackend
from nodeproxy.backends.iptables.cleanup import cleanup
from nodeproxy.backends.iptables.tool import Commands, Flavour
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.backends.nftables.cleanup import cleanup as cleanup_nftables
from nodeproxy.model.addresses import FAMILIES, parse_cidr
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import PlanOptions
from nodeproxy.state.cluster import ClusterState
from tests.support.builders import node, service, slice_
from tests.support.programming import OWN_NODE

pytestmark = pytest.mark.live

SERVICE = Target("tcp", "10.96.0.10", 80)
EMPTY = Target("tcp", "10.96.0.11", 80)
NODE_PORT = Target("tcp", "192.168.0.2", 30080)
OPTIONS = PlanOptions(cluster_cidrs=(parse_cidr("10.244.0.0/16"),))
ENOUGH = 40


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with private_node() as lab:
        lab.serve(tcp=[8080])
        yield lab


def program(backend: Backend, lab: Lab) -> None:
    """What an agent does that starts on this node."""
    state = ClusterState(OWN_NODE)
    pods = slice_("web-1", service="web").port(8080)
    for pod in lab.pods[1:3]:
        pods.endpoint(pod.ipv4, node=OWN_NODE)
    events = [
        node(OWN_NODE).internal_ip("192.168.0.2").upserted(),
        service("web").cluster_ip(SERVICE.address).port(80).node_port(30080).upserted(),
        service("empty").cluster_ip(EMPTY.address).port(80).upserted(),
        pods.upserted(),
    ]
    backend.stage(Planner(state, OPTIONS).replan(state.apply(events)))
    asyncio.run(backend.commit())


class Modes:
    """Both backends on the lab's node, and the way out of each."""

    def __init__(self, lab: Lab, channel: NetfilterSocket, flavour: Flavour) -> None:
        self._lab = lab
        self._channel = channel
        self._tool = Commands(flavour, ("nsenter", f"--net={lab.node.path}"))

    def enter(self, mode: str) -> None:
        if mode == "nftables":
            program(NftablesBackend(self._channel, FAMILIES), self._lab)
        else:
            program(IptablesBackend(self._tool, FAMILIES), self._lab)

    def leave(self, mode: str) -> None:
        if mode == "nftables":
            with self._lab.node.entered():
                asyncio.run(cleanup_nftables())
        else:
            cleanup(self._tool, FAMILIES)


@pytest.fixture(params=Flavour)
def modes(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Modes]:
    with lab.node.entered():
        channel = NetfilterSocket()
    with channel:
        modes = Modes(lab, channel, request.param)
        yield modes
        modes.leave("nftables")
        modes.leave("iptables")


@pytest.mark.parametrize(
    ("before", "after"), [("nftables", "iptables"), ("iptables", "nftables")], ids=["to", "from"]
)
def test_no_packet_notices_the_other_mode(lab: Lab, modes: Modes, before: str, after: str):
    caller = lab.pods[0].namespace
    modes.enter(before)

    with (
        Conversation(caller, SERVICE) as old,
        Conversation(lab.client, NODE_PORT) as from_outside,
        Stream(lambda: ask(caller, SERVICE), name="new") as new,
        Stream(lambda: ask(lab.client, NODE_PORT), name="outside") as outside,
        Stream(old.say, name="old") as spoken,
    ):
        eventually("packets flow", lambda: len(new.samples) > ENOUGH)
        modes.enter(after)
        modes.leave(before)
        count = len(new.samples)
        eventually("packets still flow", lambda: len(new.samples) > count + ENOUGH)
        last_words = from_outside.say()

    assert not new.failures()
    assert not outside.failures()
    assert not spoken.failures()
    assert isinstance(last_words, Answer)


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_both_modes_at_once_say_the_same(lab: Lab, modes: Modes, mode: str):
    """While one is entered and the other not yet left."""
    modes.enter("nftables")
    modes.enter("iptables")

    found = tally(ask_many(lab.pods[0].namespace, SERVICE, ENOUGH))
    refused = ask(lab.pods[0].namespace, EMPTY)
    masqueraded = ask(lab.client, NODE_PORT)
    modes.leave(mode)
    found_after = tally(ask_many(lab.pods[0].namespace, SERVICE, ENOUGH))

    assert set(found) == set(found_after) == {pod.ipv4 for pod in lab.pods[1:3]}
    assert not isinstance(refused, Answer)
    assert refused.kind == "refused"
    assert isinstance(masqueraded, Answer)
    assert masqueraded.is_masqueraded
