"""What must not disturb traffic: the agent's end, its return, and foreign hands in its rules."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from lab import nft
from lab.traffic import Answer, Conversation, Stream, ask, ask_many, tally
from lab.waiting import eventually
from tests.live.site import PacketKind, Site, Web, address, first_answer

pytestmark = pytest.mark.live

TCP = PacketKind("tcp", "IPv4")


@contextlib.contextmanager
def churn(site: Site, web: Web) -> Iterator[Callable[[], int]]:
    """Change the endpoints of a Service all the time; the first one always stays.

    Gives a function that tells how many changes there were; ends with all three endpoints.
    """
    first, second, third = site.backends(3)
    states = itertools.cycle([[first], [first, second], [third, first], [first, second, third]])
    stopped, count = threading.Event(), itertools.count()
    changes = 0

    def change() -> None:
        nonlocal changes
        for state in states:
            if stopped.wait(0.005):
                break
            web.scale_to(state)
            changes = next(count)

    thread = threading.Thread(target=change, name="churn", daemon=True)
    thread.start()
    try:
        yield lambda: changes
    finally:
        stopped.set()
        thread.join()
        web.scale_to([first, second, third])


def test_traffic_survives_a_kill_in_the_middle_of_churn(site: Site, kind: PacketKind):
    """DP-92: established connections and new ones, while it is away and when it is back."""
    web = site.published(site.backends(3))
    target = web.cluster_ip(kind)

    with (
        Conversation(site.caller, target) as established,
        Stream(established.say, name="established") as speaking,
        Stream(lambda: ask(site.caller, target), name="new") as asking,
    ):
        with churn(site, web) as changes:
            eventually("churn under way", lambda: changes() > 10)
            site.agent.kill()
            seen = changes()
            eventually("churn goes on without the agent", lambda: changes() > seen + 10)
            site.agent.start()
            eventually("churn under the new agent", lambda: changes() > seen + 20)
        everybody = {address(b, kind) for b in site.backends(3)}
        eventually(
            "all endpoints answer in the end",
            lambda: set(tally(ask_many(site.caller, target, 60))) == everybody,
        )

    assert isinstance(established.opening, Answer)
    assert not speaking.failures()
    assert not asking.failures()


def test_stop_leaves_the_rules(site: Site, kind: PacketKind):
    web = site.published(site.backends(2))

    code, seconds = site.agent.stop()
    counts = tally(ask_many(site.caller, web.cluster_ip(kind), 40))
    site.agent.start()

    assert code == 0
    assert seconds < 5
    assert set(counts) == {address(b, kind) for b in site.backends(2)}


def test_restart_changes_nothing(site: Site):
    """What is installed is adopted: no commit, not even one that writes the same again."""
    site.published(site.backends(3))
    site.agent.stop()
    generation, listing = nft.generation(site.node), nft.list_ruleset(site.node)

    site.agent.start()
    eventually("the agent is ready", site.agent.is_ready)

    assert nft.generation(site.node) == generation
    assert nft.list_ruleset(site.node) == listing


def test_changes_made_while_it_was_away_are_followed(site: Site, kind: PacketKind):
    web = site.published(site.backends(1))
    site.agent.stop()
    web.scale_to(site.backends(2)[1:])

    site.agent.start()

    expected = address(site.backends(2)[1], kind)
    eventually(
        "the endpoint that is there now",
        lambda: set(tally(ask_many(site.caller, web.cluster_ip(kind), 20))) == {expected},
    )


def test_flushed_ruleset_is_repaired(site: Site, kind: PacketKind):
    web = site.published(site.backends(1))

    site.node.run("nft", "flush", "ruleset")

    assert first_answer(site.caller, web.cluster_ip(kind)).server == address(
        site.backends(1)[0], kind
    )


@pytest.mark.parametrize("family", ["ip", "ip6"])
def test_deleted_table_is_repaired(site: Site, family: str):
    web = site.published(site.backends(1))
    kind = PacketKind("tcp", "IPv4" if family == "ip" else "IPv6")

    site.node.run("nft", "delete", "table", family, "nodeproxy")

    first_answer(site.caller, web.cluster_ip(kind))
    first_answer(site.client, web.on_node(kind))
