"""What every backend and every channel promises, asked of all there are.

The same tests run with the kernel in memory and with the real one in a network namespace, so
what the other tests learn from the one in memory holds.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import pytest

from lab.namespace import Namespace
from nodeproxy.backends.base import Backend
from nodeproxy.backends.iptables.objects import Table
from nodeproxy.backends.iptables.tool import Commands, Flavour, Tool
from nodeproxy.backends.nftables.encode import EncodedMessage, encode_batch
from nodeproxy.backends.nftables.objects import (
    AddChain,
    AddElements,
    AddRule,
    AddSet,
    AddTable,
    Chain,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    Drop,
    Field,
    FlushChain,
    InSet,
    Jump,
    Operation,
    RawElement,
    Rule,
    SetSpec,
    ValueKind,
)
from nodeproxy.model.addresses import Family, parse_addr
from nodeproxy.model.events import SourceEvent
from nodeproxy.netlink import messages
from nodeproxy.netlink.channel import Channel, NetfilterSocket
from nodeproxy.netlink.messages import KernelError
from nodeproxy.plan.types import PlanDelta
from tests.support.builders import service, slice_
from tests.support.fake_kernel import FakeKernel
from tests.support.fake_xtables import FakeXtables
from tests.support.iptables_programming import IptablesNode
from tests.support.programming import ProgrammedNode, pools


@pytest.fixture(params=["in memory", pytest.param("real", marks=pytest.mark.kernel)])
def channel(request: pytest.FixtureRequest) -> Iterator[Channel]:
    if request.param == "in memory":
        yield FakeKernel()
        return
    request.getfixturevalue("require_kernel")
    with Namespace("contract") as namespace:
        with namespace.entered():
            socket = NetfilterSocket()
        with socket:
            yield socket


# -- channels ------------------------------------------------------------------------------------

ADDRESSES = SetSpec("addresses", (Field.DESTINATION,), ValueKind.NOTHING, "addresses")
SLOTS = SetSpec("slots", (Field.PROTOCOL, Field.PORT), ValueKind.ENDPOINT, "slots")
USER = Chain("user", ())
IN_SET = Rule((InSet((Field.DESTINATION,), "addresses"), Drop()))
FRAME: tuple[Operation, ...] = (
    AddTable("frame"),
    AddSet(ADDRESSES),
    AddSet(SLOTS),
    AddChain(USER),
    AddChain(Chain("other", ())),
)


def element(text: str) -> RawElement:
    return RawElement(parse_addr(text), None, "", None)


def send(channel: Channel, *operations: Operation, ends: bool = True) -> list[KernelError]:
    encoded = encode_batch(operations, Family.IPV4)
    return channel.transact(framed(encoded, ends=ends), len(encoded) + 1 if ends else 0)


def framed(encoded: list[EncodedMessage], *, ends: bool) -> list[bytes]:
    last = [messages.batch_end(len(encoded) + 1)] if ends else []
    return [messages.batch_begin(), *(message.data for message in encoded), *last]


def addresses(channel: Channel) -> set[str]:
    return set(FakeKernel.from_dumps(channel).listing(Family.IPV4).get("addresses", ()))


def has_table(channel: Channel) -> bool:
    return bool(FakeKernel.from_dumps(channel).tables)


REFUSALS = {
    "element-twice": (AddElements("addresses", (element("1.1.1.1"),)), errno.EEXIST),
    "element-missing": (DeleteElements("addresses", (element("9.9.9.9"),)), errno.ENOENT),
    "element-of-no-set": (AddElements("nothing", (element("1.1.1.1"),)), errno.ENOENT),
    "element-too-long": (AddElements("addresses", (element("::1"),)), errno.EINVAL),
    "chain-twice": (AddChain(USER), errno.EEXIST),
    "chain-missing": (DeleteChain("nothing"), errno.ENOENT),
    "chain-jumped-to": (DeleteChain("other"), errno.EBUSY),
    "set-twice": (AddSet(ADDRESSES), errno.EEXIST),
    "set-missing": (DeleteSet("nothing"), errno.ENOENT),
    "set-in-use": (DeleteSet("addresses"), errno.EBUSY),
    "rule-with-unknown-set": (
        AddRule("other", Rule((InSet((Field.DESTINATION,), "nothing"), Drop()))),
        errno.ENOENT,
    ),
    "rule-with-unknown-chain": (AddRule("other", Rule((Jump("nothing"),))), errno.ENOENT),
    "rule-in-unknown-chain": (AddRule("nothing", IN_SET), errno.ENOENT),
    "flush-of-unknown-chain": (FlushChain("nothing"), errno.ENOENT),
}


@pytest.mark.parametrize(("operation", "number"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_says_why_and_the_whole_batch_is_void(
    channel: Channel, operation: Operation, number: int
):
    send(channel, *FRAME, AddElements("addresses", (element("1.1.1.1"),)))
    send(channel, AddRule("user", IN_SET), AddRule("user", Rule((Jump("other"),))))

    errors = send(channel, AddElements("addresses", (element("2.2.2.2"),)), operation)

    assert [(error.seq, error.errno) for error in errors] == [(2, number)]
    assert addresses(channel) == {"1.1.1.1"}


def test_a_refused_element_is_pointed_at(channel: Channel):
    send(channel, *FRAME, AddElements("addresses", (element("1.1.1.2"),)))
    mixed = AddElements("addresses", tuple(element(f"1.1.1.{n}") for n in (3, 1, 2, 4)))
    (encoded,) = encode_batch([mixed], Family.IPV4)

    (error,) = channel.transact(framed([encoded], ends=True), 2)

    found = encoded.element_at(error.offset)
    assert found is not None
    assert found.key == parse_addr("1.1.1.2")


def test_all_refused_messages_are_told(channel: Channel):
    send(channel, *FRAME)

    errors = send(channel, DeleteChain("a"), AddElements("addresses", ()), DeleteSet("b"))

    assert [error.errno for error in errors] == [errno.ENOENT, errno.ENOENT]


def test_a_batch_without_an_end_is_checked_and_forgotten(channel: Channel):
    accepted = send(channel, *FRAME, ends=False)
    refused = send(channel, *FRAME, DeleteChain("nothing"), ends=False)

    assert accepted == []
    assert [error.errno for error in refused] == [errno.ENOENT]
    assert not has_table(channel)


def test_a_chain_goes_with_its_rules(channel: Channel):
    send(channel, *FRAME, AddRule("user", IN_SET))

    assert send(channel, DeleteChain("user"), DeleteSet("addresses")) == []


def test_an_element_may_be_replaced_within_a_batch(channel: Channel):
    send(channel, *FRAME, AddElements("addresses", (element("1.1.1.1"),)))
    same = (element("1.1.1.1"),)

    assert send(channel, DeleteElements("addresses", same), AddElements("addresses", same)) == []
    assert addresses(channel) == {"1.1.1.1"}


def test_a_table_goes_with_all_it_holds_and_may_come_back_at_once(channel: Channel):
    send(channel, *FRAME, AddElements("addresses", (element("1.1.1.1"),)))

    assert send(channel, DeleteTable(), *FRAME) == []
    assert has_table(channel)
    assert addresses(channel) == set()


# -- backends ------------------------------------------------------------------------------------


class Programmed(Protocol):
    """State, planner and backend on one kernel (see `ProgrammedNode`, `IptablesNode`)."""

    @property
    def backend(self) -> Backend: ...

    def stage(self, *events: SourceEvent) -> None: ...


class Subject(NamedTuple):
    """A backend to ask, and a way to look at what it made of its kernel."""

    node: Programmed
    answers: Callable[[], int]
    """How many endpoints answer for the Service of these tests."""


def nftables_subject(channel: Channel) -> Subject:
    def answers() -> int:
        listing = FakeKernel.from_dumps(channel).listing(Family.IPV4)
        return len(pools(listing)["service"].get("10.96.0.10 tcp 80", ()))

    return Subject(ProgrammedNode(channel=channel), answers)


def iptables_subject(tool: Tool) -> Subject:
    def answers() -> int:
        return tool.save(Family.IPV4, Table.NAT).count("-j DNAT --to")

    return Subject(IptablesNode(tool), answers)


REAL = ["nftables", *(f"iptables-{flavour}" for flavour in Flavour)]


@pytest.fixture(
    params=[
        "nftables in memory",
        "iptables in memory",
        *(pytest.param(name, marks=pytest.mark.kernel) for name in REAL),
    ]
)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "nftables in memory":
        yield nftables_subject(FakeKernel())
    elif request.param == "iptables in memory":
        yield iptables_subject(FakeXtables())
    else:
        request.getfixturevalue("require_kernel")
        with Namespace("contract") as namespace:
            yield from real_subject(request.param, namespace)


def real_subject(name: str, namespace: Namespace) -> Iterator[Subject]:
    if name == "nftables":
        with namespace.entered():
            socket = NetfilterSocket()
        with socket:
            yield nftables_subject(socket)
    else:
        flavour = Flavour(name.removeprefix("iptables-"))
        yield iptables_subject(Commands(flavour, ("nsenter", f"--net={namespace.path}")))


@pytest.fixture
def node(subject: Subject) -> Programmed:
    return subject.node


@pytest.fixture
def backend(node: Programmed) -> Backend:
    return node.backend


def stage_web(node: Programmed, endpoints: int) -> None:
    pods = slice_("w", service="web").port(8080)
    for number in range(1, endpoints + 1):
        pods.endpoint(f"10.0.0.{number}")
    node.stage(service("web").cluster_ip("10.96.0.10").port(80).upserted(), pods.upserted())


async def test_a_backend_that_never_looked_wants_to_commit(backend: Backend):
    assert backend.needs_commit


async def test_after_a_commit_nothing_is_left_to_do(backend: Backend):
    await backend.commit()

    assert not backend.needs_commit
    assert (await backend.commit()).operations == 0


async def test_what_was_staged_is_there_after_the_commit_and_not_before(subject: Subject):
    stage_web(subject.node, 3)
    before = subject.answers()

    report = await subject.node.backend.commit()

    assert before == 0
    assert subject.answers() == 3
    assert report.operations > 0
    assert report.quarantined == {}


async def test_an_empty_delta_is_no_work(node: Programmed):
    await node.backend.commit()

    node.backend.stage(PlanDelta({}, set(), {}))

    assert not node.backend.needs_commit


async def test_a_stale_backend_looks_and_finds_all_well(node: Programmed):
    stage_web(node, 3)
    await node.backend.commit()

    node.backend.mark_stale("somebody was here")
    looks = node.backend.needs_commit
    report = await node.backend.commit()

    assert looks
    assert report.read_backs > 0
    assert report.operations == 0


async def test_rendering_does_not_wait_for_the_commit(node: Programmed):
    stage_web(node, 2)
    before = node.backend.render()

    await node.backend.commit()

    assert "10.96.0.10" in before
    assert node.backend.render() == before
