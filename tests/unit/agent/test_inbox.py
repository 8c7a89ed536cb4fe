from __future__ import annotations

import asyncio

from nodeproxy.agent.inbox import Inbox
from nodeproxy.model.events import EndpointsChosen, Kind, Rejected, Synced
from nodeproxy.model.problems import Problem
from tests.support.builders import endpoints, service, slice_

REJECTED = Rejected(Kind.SERVICE, "default", "web", Problem("Service default/web", "", "broken"))


def test_of_one_object_the_last_event_counts():
    inbox = Inbox()
    old, new = service("web").port(80).upserted(), service("web").port(81).upserted()

    inbox.put([old])
    inbox.put([new])

    assert inbox.take_all() == [new]


def test_an_object_that_came_and_went_is_removed():
    inbox = Inbox()
    gone = service("web").removed()

    inbox.put([service("web").port(80).upserted(), gone])

    assert inbox.take_all() == [gone]


def test_objects_of_different_names_do_not_push_each_other_out():
    inbox = Inbox()
    events = [service("a").port(80).upserted(), service("b").port(80).upserted()]

    inbox.put(events)

    assert inbox.take_all() == events


def test_a_rejected_version_does_not_push_out_the_good_one_before_it():
    inbox = Inbox()
    good = service("web").port(80).upserted()

    inbox.put([good, REJECTED])

    assert inbox.take_all() == [good, REJECTED]


def test_a_good_version_makes_the_rejected_one_before_it_pointless():
    inbox = Inbox()
    good = service("web").port(80).upserted()

    inbox.put([REJECTED, good])

    assert inbox.take_all() == [good]


def test_synced_comes_after_the_objects_it_speaks_of():
    inbox = Inbox()
    event = service("web").port(80).upserted()

    inbox.put([event, Synced(Kind.SERVICE)])
    inbox.put([service("other").port(80).upserted()])

    assert inbox.take_all()[-1] == Synced(Kind.SERVICE)


def test_what_was_taken_does_not_come_again():
    inbox = Inbox()
    inbox.put([service("web").port(80).upserted(), Synced(Kind.SERVICE), REJECTED])

    inbox.take_all()

    assert inbox.take_all() == []


async def test_an_event_wakes_whoever_waits():
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)

    inbox.put([Synced(Kind.NODE)])

    async with asyncio.timeout(5):
        await waiting


async def test_a_poke_wakes_whoever_waits():
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.wait())
    await asyncio.sleep(0)

    inbox.poke()

    async with asyncio.timeout(5):
        await waiting


async def test_waiting_ends_after_the_time_given():
    inbox = Inbox()

    async with asyncio.timeout(5):
        await inbox.wait(0.001)

    assert inbox.take_all() == []


def test_what_a_choice_makes_obsolete_is_thrown_away():
    inbox = Inbox()
    kept = slice_("web-1", service="web").port(80).upserted()

    inbox.put([endpoints("web").subset().port(80).upserted(), kept])
    inbox.put([EndpointsChosen(Kind.ENDPOINT_SLICE)])

    assert inbox.take_all() == [EndpointsChosen(Kind.ENDPOINT_SLICE), kept]


def test_what_comes_after_a_choice_is_kept_beside():
    inbox = Inbox()
    beside = endpoints("web").subset().port(80).upserted()

    inbox.put([EndpointsChosen(Kind.ENDPOINT_SLICE)])
    inbox.put([beside])

    assert inbox.take_all() == [EndpointsChosen(Kind.ENDPOINT_SLICE), beside]


def test_of_several_choices_each_comes_once_and_the_last_one_last():
    """All of them make something obsolete, the last one says what counts."""
    inbox = Inbox()
    slices, listed = EndpointsChosen(Kind.ENDPOINT_SLICE), EndpointsChosen(Kind.ENDPOINTS)

    inbox.put([slices, listed])
    inbox.put([slices, listed, listed, slices])

    assert inbox.take_all() == [listed, slices]
    assert inbox.take_all() == []
