"""Clients that keep their socket while the endpoint behind it goes: real packets, real flows.

The pods that go stay alive and would answer for ever, so an answer from another pod, a refusal or
silence shows that the flow was deleted; while somebody speaks on it the kernel never forgets it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from lab import nft
from lab.conntrack import Entry, add_entries, list_entries
from lab.topology import NODE_ADDRESSES, Lab, private_node
from lab.traffic import Answer, Conversation, Failure, Outcome, Stream, Target
from lab.waiting import eventually
from tests.live.flow_node import FlowNode
from tests.support.builders import ServiceBuilder, SliceBuilder, service, slice_

pytestmark = pytest.mark.live

POD_PORT = 5353
NODE_PORT = 30053
LOOK_SECONDS = 0.1
IPS = ("10.96.0.53", "fd00:10:96::53")
Asking = Callable[[Lab, int], Conversation]
FAMILIES = pytest.mark.parametrize("index", [0, 1], ids=["IPv4", "IPv6"])


@pytest.fixture(scope="module")
def built() -> Iterator[Lab]:
    with private_node() as lab:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        yield lab


@pytest.fixture
def lab(built: Lab) -> Lab:
    """The lab without rules and flows of the test before."""
    built.node.run("nft", "flush", "ruleset")
    built.node.run("conntrack", "-F")
    return built


def dns(port: int = 53) -> ServiceBuilder:
    """A Service of one number over UDP and TCP, as DNS has it."""
    built = service("dns").cluster_ip(*IPS).port(port, "udp", "UDP").node_port(NODE_PORT)
    return built.port(port, "tcp", "TCP").node_port(NODE_PORT)


def empty_slice(index: int) -> SliceBuilder:
    family = ("IPv4", "IPv6")[index]
    built = slice_(f"dns-{index}", service="dns", address_type=family)
    return built.port(POD_PORT, "udp", "UDP").port(POD_PORT, "tcp", "TCP")


def backends(lab: Lab, index: int, *numbers: int) -> SliceBuilder:
    """The slice of a family with these pods."""
    built = empty_slice(index)
    for number in numbers:
        built.endpoint(lab.pods[number].addresses[index])
    return built


def asking(lab: Lab, index: int, protocol: str = "udp") -> Conversation:
    """A pod that keeps one socket to the ClusterIP."""
    target = Target("udp" if protocol == "udp" else "tcp", IPS[index], 53)
    return Conversation(lab.pods[3].namespace, target, timeout=LOOK_SECONDS)


def asking_node_port(lab: Lab, index: int) -> Conversation:
    """Somebody outside who keeps one socket to the NodePort."""
    target = Target("udp", NODE_ADDRESSES[index], NODE_PORT)
    return Conversation(lab.client, target, timeout=LOOK_SECONDS)


def server(outcome: Outcome) -> str:
    """Who answered, or how it failed."""
    return outcome.server if isinstance(outcome, Answer) else outcome.kind


@FAMILIES
@pytest.mark.parametrize("ask", [asking, asking_node_port], ids=["ClusterIP", "NodePort"])
def test_resolver_that_keeps_its_socket_reaches_another_endpoint(lab: Lab, index: int, ask: Asking):
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, index, 0).upserted())
        with ask(lab, index) as conversation:
            first = server(conversation.opening)
            node.take(backends(lab, index, 1).upserted())
            eventually(
                "the other endpoint answers",
                lambda: server(conversation.say()),
                lambda seen: seen == lab.pods[1].addresses[index],
            )

    assert first == lab.pods[0].addresses[index]


@FAMILIES
def test_terminating_endpoint_answers_until_it_is_gone(lab: Lab, index: int):
    """CT-5: in a rollout the flow moves once, at the end."""
    leaving = lab.pods[0].addresses[index]
    rollout = backends(lab, index, 1)
    rollout.endpoint(leaving, ready=False, serving=True, terminating=True)
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, index, 0).upserted())
        with asking(lab, index) as conversation:
            node.take(rollout.upserted())
            during = {server(conversation.say()) for _ in range(50)}
            node.take(backends(lab, index, 1).upserted())
            eventually(
                "the other endpoint answers",
                lambda: server(conversation.say()),
                lambda seen: seen == lab.pods[1].addresses[index],
            )

    assert during == {leaving}


@FAMILIES
def test_service_without_endpoints_refuses_a_client_that_keeps_its_socket(lab: Lab, index: int):
    """CT-6: and serves it again when an endpoint is back."""
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, index, 0).upserted())
        with asking(lab, index) as conversation:
            node.take(empty_slice(index).upserted())
            eventually(
                "a refusal", lambda: server(conversation.say()), lambda seen: seen == "refused"
            )
            node.take(backends(lab, index, 1).upserted())
            eventually(
                "an answer",
                lambda: server(conversation.say()),
                lambda seen: seen == lab.pods[1].addresses[index],
            )


@FAMILIES
@pytest.mark.parametrize("ask", [asking, asking_node_port], ids=["ClusterIP", "NodePort"])
def test_deleted_service_reaches_nobody(lab: Lab, index: int, ask: Asking):
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, index, 0).upserted())
        with ask(lab, index) as conversation:
            answered = isinstance(conversation.opening, Answer)
            node.take(dns().removed(), backends(lab, index).removed())
            eventually(
                "no answer",
                conversation.say,
                lambda outcome: isinstance(outcome, Failure),
            )

    assert answered


def test_former_port_is_refused(lab: Lab):
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        with asking(lab, 0) as conversation:
            answered = isinstance(conversation.opening, Answer)
            node.take(dns(port=54).upserted())
            eventually(
                "a refusal", lambda: server(conversation.say()), lambda seen: seen == "refused"
            )

    assert answered


def test_what_changed_while_nobody_looked_is_found_at_the_start(lab: Lab):
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        conversation = asking(lab, 0)

    with conversation, FlowNode(lab) as node:
        before = server(conversation.say())
        node.take(dns().upserted(), backends(lab, 0, 1).upserted())
        eventually(
            "the other endpoint answers",
            lambda: server(conversation.say()),
            lambda seen: seen == lab.pods[1].ipv4,
        )

    assert before == lab.pods[0].ipv4


def test_flow_begun_while_the_rules_were_gone_is_translated_after_the_repair(lab: Lab):
    """CT-17."""
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        nft.load(lab.node, "flush ruleset")
        with asking(lab, 0) as conversation:
            meanwhile = server(conversation.opening)
            node.note_loss()
            eventually(
                "an answer",
                lambda: server(conversation.say()),
                lambda seen: seen == lab.pods[0].ipv4,
            )

    assert meanwhile in ("timeout", "unreachable")


def test_flows_of_others_stay(lab: Lab):
    """CT-4, CT-9: other hosts on the number of a NodePort, other ports, other protocols."""
    gone = ("10.244.0.99", POD_PORT)
    others = [
        Entry.to(("198.51.100.9", NODE_PORT), ("198.51.100.9", NODE_PORT)),
        Entry.to((IPS[0], 54), gone),
        Entry.to((IPS[0], 53), gone, protocol="tcp"),
        Entry.to((IPS[0], 53), gone, protocol="sctp"),
    ]
    stale = [Entry.to((IPS[0], 53), gone), Entry.to((NODE_ADDRESSES[0], NODE_PORT), gone)]
    add_entries(lab.node, [*others, *stale])

    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        eventually("stale flows are gone", lambda: not set(stale) & set(list_entries(lab.node)))
        left = set(list_entries(lab.node))

    assert set(others) <= left


def test_busy_client_always_ends_at_the_endpoint_that_is_there(lab: Lab):
    """Nothing of the old rules is left in the flow of a client that sends all the time."""
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        with (
            asking(lab, 0) as conversation,
            Stream(conversation.say, name="resolver", pause_seconds=0.0) as stream,
        ):
            for turn in range(1, 31):
                there = lab.pods[turn % 3]
                node.take(backends(lab, 0, turn % 3).upserted())
                eventually(
                    f"answers of {there.name}",
                    lambda: server(stream.samples[-1].outcome),
                    lambda seen, there=there: seen == there.ipv4,  # type: ignore[misc]
                )


def test_tcp_connection_survives_its_endpoint_leaving_the_service(lab: Lab):
    """DP-90, CT-4."""
    with FlowNode(lab) as node:
        node.take(dns().upserted(), backends(lab, 0, 0).upserted())
        with asking(lab, 0) as resolver, asking(lab, 0, "tcp") as connection:
            node.take(backends(lab, 0, 1).upserted())
            eventually(
                "UDP goes elsewhere",
                lambda: server(resolver.say()),
                lambda seen: seen == lab.pods[1].ipv4,
            )
            outcome = connection.say()

    assert server(outcome) == lab.pods[0].ipv4


@FAMILIES
def test_tcp_connection_to_a_gone_endpoint_is_cut_on_request(lab: Lab, index: int):
    with FlowNode(lab, cleans_tcp=True) as node, contextlib.ExitStack() as stack:
        node.take(dns().upserted(), backends(lab, index, 0, 1).upserted())
        connections = [stack.enter_context(asking(lab, index, "tcp")) for _ in range(12)]
        servers = [server(connection.opening) for connection in connections]
        node.take(backends(lab, index, 1).upserted())
        gone, there = (lab.pods[number].addresses[index] for number in (0, 1))
        for connection, former in zip(connections, servers, strict=True):
            wanted = "reset" if former == gone else there
            eventually(
                f"{wanted} on a connection to {former}",
                lambda connection=connection: server(connection.say()),  # type: ignore[misc]
                lambda seen, wanted=wanted: seen == wanted,  # type: ignore[misc]
            )

    assert set(servers) == {gone, there}
