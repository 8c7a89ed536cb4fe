"""What must not disturb traffic: the agent's end, its return, and foreign hands in its rules."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from lab import nft
from lab.objects import Backend
from lab.traffic import Answer, Conversation, Stream, ask, ask_many, tally
from lab.waiting import eventually
from tests.live.site import LOOK_SECONDS, PACKET_KINDS, PacketKind, Site, Web, address

pytestmark = pytest.mark.live

MAX_STOP_SECONDS = 5.0
OF_OTHERS = """
table inet of-others {
  set services { type ipv4_addr; elements = { 10.96.0.1 } }
  chain input { type filter hook input priority 10; ip saddr @services counter drop; }
}
"""


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
        wait_for_servers_of(site, web, site.backends(3), kind)

    assert isinstance(established.opening, Answer)
    assert not speaking.failures()
    assert not asking.failures()


def test_stop_leaves_the_rules(site: Site):
    web = site.published(site.backends(2))

    code, seconds = site.agent.stop()
    is_gone = not site.agent.is_running
    servers = {kind: servers_of(site, web, kind) for kind in PACKET_KINDS}
    site.agent.start()

    assert (code, is_gone) == (0, True)
    assert seconds < MAX_STOP_SECONDS
    assert servers == {kind: addresses(site.backends(2), kind) for kind in PACKET_KINDS}


def test_restart_changes_nothing(site: Site):
    """What is installed is adopted: no commit, not even one that writes the same again."""
    site.published(site.backends(3))
    site.agent.stop()
    generation, listing = nft.generation(site.node), nft.list_ruleset(site.node)

    site.agent.start()
    eventually("the agent is ready", site.agent.is_ready)

    assert nft.generation(site.node) == generation
    assert nft.list_ruleset(site.node) == listing


def test_restart_after_scaling_changes_nothing(site: Site):
    """What many endpoints once needed is no reason to touch the rules either."""
    crowd = [Backend(*pair) for pair in site.lab.crowd_addresses(20)]
    web = site.published(crowd)
    web.scale_to(crowd[:1])
    wait_for_servers(site, web, crowd[:1])
    site.agent.kill()
    generation = nft.generation(site.node)

    site.agent.start()
    eventually("the agent is ready", site.agent.is_ready)

    assert nft.generation(site.node) == generation


def test_changes_made_while_it_was_away_are_followed(site: Site):
    web = site.published(site.backends(1))
    site.agent.stop()
    web.scale_to(site.backends(2)[1:])

    site.agent.start()

    wait_for_servers(site, web, site.backends(2)[1:])


def test_cleanup_removes_every_rule_and_a_start_brings_them_back(site: Site):
    web = site.published(site.backends(1))
    site.agent.stop()

    site.agent.command_output("cleanup")
    listing = nft.list_ruleset(site.node)
    site.agent.start()

    assert listing == ""
    wait_for_servers(site, web, site.backends(1))


def test_flushed_ruleset_is_repaired(site: Site):
    web = site.published(site.backends(1))

    site.node.run("nft", "flush", "ruleset")

    wait_for_servers(site, web, site.backends(1))


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize("damage", ["delete table", "flush table"])
def test_damaged_table_is_repaired(site: Site, damage: str, family: str):
    web = site.published(site.backends(1))

    site.node.run("nft", *damage.split(), family, "nodeproxy")

    wait_for_servers(site, web, site.backends(1))


def test_emptied_maps_are_filled_again(site: Site):
    web = site.published(site.backends(1))
    maps = [o["map"] for o in nft.list_ruleset_json(site.node) if "map" in o]

    nft.load(site.node, "\n".join(f"flush map {m['family']} nodeproxy {m['name']}" for m in maps))

    assert maps
    wait_for_servers(site, web, site.backends(1))


def test_tables_of_others_are_left_alone(site: Site):
    nft.load(site.node, OF_OTHERS)
    before = site.node.run("nft", "-a", "list", "table", "inet", "of-others")

    web = site.published(site.backends(2))
    site.agent.stop()
    site.agent.command_output("cleanup")
    site.agent.start()
    wait_for_servers(site, web, site.backends(2))

    assert site.node.run("nft", "-a", "list", "table", "inet", "of-others") == before
    site.node.run("nft", "delete", "table", "inet", "of-others")


def servers_of(site: Site, web: Web, kind: PacketKind) -> set[str]:
    """Who answers at a ClusterIP; the chance to miss one of two is 2e-12."""
    outcomes = ask_many(site.caller, web.cluster_ip(kind), 40, timeout=LOOK_SECONDS)
    return set(tally(outcomes))


def addresses(backends: Sequence[Backend], kind: PacketKind) -> set[str]:
    return {address(b, kind) for b in backends}


def wait_for_servers(site: Site, web: Web, backends: Sequence[Backend]) -> None:
    """Wait until these endpoints and no others answer to every kind of packet."""
    for kind in PACKET_KINDS:
        wait_for_servers_of(site, web, backends, kind)


def wait_for_servers_of(
    site: Site, web: Web, backends: Sequence[Backend], kind: PacketKind
) -> None:
    eventually(
        f"answers to {kind} from {len(backends)} endpoints",
        lambda: servers_of(site, web, kind),
        lambda seen: seen == addresses(backends, kind),
    )
