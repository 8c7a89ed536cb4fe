"""The lab itself, without an agent: what works must work before anything is programmed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import nft
from lab.flows import FlowLog
from lab.topology import (
    CLIENT_ADDRESSES,
    NODE_ADDRESSES,
    STRANGER_ADDRESSES,
    Lab,
    private_node,
)
from lab.traffic import Answer, Conversation, Failure, Stream, Target, ask, ask_many, tally
from lab.waiting import eventually
from tests.live.site import PacketKind

pytestmark = pytest.mark.live

# The rules of one Service, written by hand: what the live tests see is the agent's doing only if
# the lab shows the same with rules from another hand.
HAND_WRITTEN = """
table inet by-hand {
  chain prerouting { type nat hook prerouting priority dstnat
    ip daddr 10.96.0.1 tcp dport 80 dnat ip to numgen random mod 2 map {
      0 : 10.244.0.11 . 8080, 1 : 10.244.0.12 . 8080 }
    ip6 daddr fd00:10:96::1 udp dport 80 dnat ip6 to [fd00:10:244::11]:8080
  }
  chain postrouting { type nat hook postrouting priority srcnat
    ct status dnat ip saddr 192.168.0.0/24 masquerade
  }
  chain forward { type filter hook forward priority filter
    ip daddr 10.96.0.9 reject
    ip6 daddr fd00:10:96::9 reject
  }
}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with private_node() as built:
        built.serve(tcp=[8080], udp=[8080])
        yield built


def pick(addresses: tuple[str, str], kind: PacketKind) -> str:
    return addresses[0 if kind.family == "IPv4" else 1]


def test_pods_reach_each_other_unchanged(lab: Lab, kind: PacketKind):
    target = Target(kind.protocol, pick(lab.pods[1].addresses, kind), 8080)

    answer = ask(lab.pods[0].namespace, target)

    assert isinstance(answer, Answer)
    assert answer.server == target.address
    assert answer.seen_as == pick(lab.pods[0].addresses, kind)


def test_client_and_node_reach_pods_as_themselves(lab: Lab, kind: PacketKind):
    target = Target(kind.protocol, pick(lab.pods[1].addresses, kind), 8080)

    answers = [ask(lab.client, target), ask(lab.node, target)]

    assert all(isinstance(a, Answer) and not a.is_masqueraded for a in answers)


def test_every_address_of_the_crowd_answers_for_itself(lab: Lab, kind: PacketKind):
    addresses = [pick(pair, kind) for pair in lab.crowd_addresses(250)]

    answers = [ask(lab.client, Target(kind.protocol, a, 8080)) for a in addresses]

    assert [a.server for a in answers if isinstance(a, Answer)] == addresses


def test_pods_of_another_node_answer_everybody_unchanged(lab: Lab, kind: PacketKind):
    targets = [Target(kind.protocol, pick(pod.addresses, kind), 8080) for pod in lab.far_pods]
    callers = (lab.client, lab.node, lab.pods[0].namespace)

    answers = [ask(caller, target) for caller in callers for target in targets]

    assert all(isinstance(a, Answer) and not a.is_masqueraded for a in answers)
    assert [a.server for a in answers if isinstance(a, Answer)] == 3 * [t.address for t in targets]


def test_pods_are_reached_from_another_node_and_from_strangers(lab: Lab, kind: PacketKind):
    target = Target(kind.protocol, pick(lab.pods[0].addresses, kind), 8080)
    far_pod, stranger = lab.far_pods[1], pick(STRANGER_ADDRESSES, kind)

    answers = [ask(far_pod.namespace, target), ask(lab.client, target, source=stranger)]

    seen_as = [a.seen_as for a in answers if isinstance(a, Answer)]
    assert seen_as == [pick(far_pod.addresses, kind), stranger]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_hosts_answer_pings_and_nobody_else_does(lab: Lab, family: str):
    index = 0 if family == "IPv4" else 1
    addresses = (lab.pods[1].addresses[index], ("1.2.3.4", "2001:db8:f::4")[index])

    answered, lost = (ask(lab.pods[0].namespace, Target("ping", a, 0)) for a in addresses)

    assert isinstance(answered, Answer)
    assert answered.server == addresses[0]
    assert isinstance(lost, Failure)
    assert lost.kind == "unreachable"


def test_closed_port_refuses_at_once(lab: Lab, kind: PacketKind):
    target = Target(kind.protocol, pick(NODE_ADDRESSES, kind), 81)

    outcome = ask(lab.client, target)

    assert isinstance(outcome, Failure)
    assert outcome.kind == "refused"


@pytest.mark.parametrize("address", ["10.96.0.5", "fd00:10:96::5", "1.2.3.4", "2001:db8:f::4"])
def test_nobody_answers_for_a_service_address(lab: Lab, address: str):
    callers = (lab.client, lab.node, lab.pods[0].namespace, lab.far_pods[0].namespace)

    outcomes = [ask(caller, Target("tcp", address, 80)) for caller in callers]

    assert [o.kind for o in outcomes if isinstance(o, Failure)] == ["unreachable"] * 4


@pytest.mark.parametrize("address", ["1.2.3.4", "2001:db8:f::4"])
def test_everybody_is_told_at_once_that_nobody_is_there(lab: Lab, address: str):
    outcomes = ask_many(lab.client, Target("udp", address, 80), 100)

    assert tally(outcomes) == {"unreachable": 100}


def test_hand_written_rules_are_seen_as_what_they_do(lab: Lab):
    caller = lab.pods[2].namespace
    nft.load(lab.node, HAND_WRITTEN)

    spread = tally(ask_many(caller, Target("tcp", "10.96.0.1", 80), 200))
    translated = ask(caller, Target("udp", "fd00:10:96::1", 80))
    lab.client.ip("route add 10.96.0.1 via 192.168.0.2")
    masqueraded = ask(lab.client, Target("tcp", "10.96.0.1", 80))
    rejected = [ask(caller, Target("udp", a, 80)) for a in ("10.96.0.9", "fd00:10:96::9")]

    assert set(spread) == {"10.244.0.11", "10.244.0.12"}
    assert isinstance(translated, Answer)
    assert translated.server == "fd00:10:244::11"
    assert isinstance(masqueraded, Answer)
    assert (masqueraded.caller, masqueraded.seen_as) == (CLIENT_ADDRESSES[0], NODE_ADDRESSES[0])
    assert [o.kind for o in rejected if isinstance(o, Failure)] == ["refused", "refused"]


def test_flows_tell_what_the_rules_did(lab: Lab):
    """Whom nothing refused is in the log, with its translation; whom a rule refused is not."""
    nft.load(lab.node, HAND_WRITTEN.replace("by-hand", "by-hand-too"))
    caller = lab.pods[2]
    targets = [
        Target("tcp", lab.pods[1].ipv4, 8080),
        Target("udp", "fd00:10:96::1", 80),
        Target("tcp", "10.96.0.9", 80),
    ]

    with FlowLog(lab.node) as log:
        ports = []
        for target in targets:
            with Conversation(caller.namespace, target) as conversation:
                ports.append(conversation.port)
        flows = log.new_flows()

    direct, redirected = flows
    assert direct.original == (caller.ipv4, ports[0], lab.pods[1].ipv4, 8080)
    assert not direct.is_redirected
    assert redirected.is_redirected
    assert redirected.reply == (lab.pods[0].ipv6, 8080, caller.ipv6, ports[1])
    assert not redirected.is_masqueraded


def test_forgotten_flows_are_gone(lab: Lab):
    nft.load(
        lab.node,
        "table ip lab-track { chain c { type filter hook forward priority 0; "
        "ct state new accept; }; }",
    )
    target = Target("udp", lab.pods[1].ipv4, 8080)

    with FlowLog(lab.node) as log, Conversation(lab.pods[0].namespace, target) as conversation:
        first = log.new_flows()
        conversation.say()
        continued = log.new_flows()
        log.forget_flows()
        conversation.say()
        begun_again = log.new_flows()

    assert (len(first), len(continued), len(begun_again)) == (1, 0, 1)


def test_generation_counts_commits_that_changed_something(lab: Lab):
    before = nft.generation(lab.node)

    nft.load(lab.node, "add table ip lab-count")
    after_change = nft.generation(lab.node)
    nft.load(lab.node, "add table ip lab-count")

    assert after_change == before + 1
    assert nft.generation(lab.node) == after_change


def test_stream_records_every_outcome(lab: Lab):
    target = Target("tcp", lab.pods[1].ipv4, 8080)

    with Stream(lambda: ask(lab.client, target), name="test") as stream:
        eventually("ten samples", lambda: len(stream.samples) >= 10)

    assert not stream.failures()


KILLED_RUN = """
import sys, time
from lab.topology import private_node
with private_node() as lab:
    # It says its number itself: from then on it is bound to end with this process.
    lab.node.spawn("sh", "-c", "echo $$; exec sleep 60", output=sys.stdout.buffer)
    time.sleep(60)
"""


def test_killed_run_leaves_no_process_and_so_no_namespace():
    command = [sys.executable, "-c", KILLED_RUN]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as run:
        assert run.stdout is not None
        child = Path("/proc", run.stdout.readline().strip())
        was_there = child.exists()

        run.kill()

    assert was_there
    eventually("the process in the node has ended", lambda: _has_ended(child))


def _has_ended(process: Path) -> bool:
    """Gone, or a zombie: it left its namespaces, but whoever inherited it has not reaped it yet."""
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
