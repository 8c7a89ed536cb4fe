"""The gate EndpointSliceProxying changes on a running agent, and no packet is lost by it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from lab import nft
from lab.objects import Backend
from lab.traffic import Answer, Conversation, Stream, ask, ask_many, tally
from lab.waiting import eventually
from tests.live.configured import ConfiguredSite, configured_site
from tests.live.site import LOOK_SECONDS, PACKET_KINDS, PacketKind, Web, address

pytestmark = pytest.mark.live

NAMES = {True: "EndpointSlice", False: "Endpoints"}
TCP4 = PACKET_KINDS[0]


@pytest.fixture(scope="module", params=["manifests", "api"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConfiguredSite]:
    """A node whose cluster tells endpoints in both ways."""
    with configured_site(request.param, tmp_path_factory.mktemp("site")) as site:
        yield site


def switch(site: ConfiguredSite, *, to_slices: bool) -> None:
    """Change the gate and wait until the other objects count."""
    site.config.set_gate(reads_slices=to_slices)
    site.agent.reload()
    site.logged(f"endpoints are read from {NAMES[to_slices]} now")
    site.logged("other endpoints than before")


@contextlib.contextmanager
def churn(site: ConfiguredSite, web: Web) -> Iterator[Callable[[], int]]:
    """Change the endpoints of a Service in both kinds all the time; the first one always stays.

    Gives a function that tells how many changes there were; ends with all three endpoints.
    """
    first, second, third = site.backends(3)
    states = itertools.cycle([[first], [first, second], [third, first], [first, second, third]])
    stopped, counter, seen = threading.Event(), itertools.count(1), [0]

    def change() -> None:
        for state in states:
            if stopped.wait(0.01):
                break
            web.scale_to(state)
            seen[0] = next(counter)

    thread = threading.Thread(target=change, name="churn", daemon=True)
    thread.start()
    try:
        yield lambda: seen[0]
    finally:
        stopped.set()
        thread.join()
        web.scale_to([first, second, third])


def test_no_connection_fails_while_the_source_of_endpoints_changes_to_and_fro(
    site: ConfiguredSite,
):
    """New connections of every kind and one that was there before, under churn."""
    web = site.published(site.backends(3))

    with contextlib.ExitStack() as traffic:
        established = traffic.enter_context(Conversation(site.caller, web.cluster_ip(TCP4)))
        streams = [traffic.enter_context(Stream(established.say, name="established"))]
        streams += [traffic.enter_context(asking(site, web, kind)) for kind in PACKET_KINDS]
        changes = traffic.enter_context(churn(site, web))
        for to_slices in (False, True, False, True):
            switch(site, to_slices=to_slices)
            wait_for_more(changes)

    assert isinstance(established.opening, Answer)
    assert [stream.failures() for stream in streams] == [()] * len(streams)
    assert all(len(stream.samples) > 20 for stream in streams)


def wait_for_more(changes: Callable[[], int]) -> None:
    before = changes()
    eventually("churn goes on", lambda: changes() > before + 10)


def asking(site: ConfiguredSite, web: Web, kind: PacketKind) -> Stream:
    target = web.cluster_ip(kind)
    return Stream(lambda: ask(site.caller, target), name=str(kind))


def test_equal_endpoints_write_nothing(site: ConfiguredSite):
    site.published(site.backends(3))
    generation = nft.generation(site.node)

    switch(site, to_slices=False)
    switch(site, to_slices=True)

    assert nft.generation(site.node) == generation


@pytest.mark.parametrize("to_slices", [False, True], ids=["to-endpoints", "to-slices"])
def test_afterwards_changes_are_followed(site: ConfiguredSite, to_slices: bool):
    web = site.published(site.backends(1))
    switch(site, to_slices=False)
    if to_slices:
        switch(site, to_slices=True)

    web.scale_to(site.backends(3)[1:])

    wait_for_servers(site, web, site.backends(3)[1:])
    if not to_slices:
        switch(site, to_slices=True)


def test_after_a_start_anew_the_same_endpoints_answer(site: ConfiguredSite):
    web = site.published(site.backends(2))
    switch(site, to_slices=False)
    site.agent.kill()
    generation = nft.generation(site.node)

    site.agent.start()
    eventually("the agent is ready", site.agent.is_ready)

    assert nft.generation(site.node) == generation
    wait_for_servers(site, web, site.backends(2))
    switch(site, to_slices=True)


def wait_for_servers(site: ConfiguredSite, web: Web, backends: list[Backend]) -> None:
    """Wait until these endpoints and no others answer."""
    target = web.cluster_ip(TCP4)
    eventually(
        f"answers from {len(backends)} endpoints",
        lambda: set(tally(ask_many(site.caller, target, 40, timeout=LOOK_SECONDS))),
        lambda seen: seen == {address(backend, TCP4) for backend in backends},
    )
