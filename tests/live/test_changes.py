"""What changes mean for packets: endpoints and Services come, change and go."""

from __future__ import annotations

import pytest

from lab.traffic import Answer, Conversation, Failure, ask, ask_many, tally
from lab.waiting import eventually
from tests.live.site import (
    OTHER_POD_PORT,
    PacketKind,
    Site,
    Web,
    address,
    first_answer,
    first_failure,
)

pytestmark = pytest.mark.live

ENOUGH = 40
"""Questions after which an endpoint of two would have answered: the chance to miss is 2e-12."""


def servers_of(site: Site, web: Web, kind: PacketKind) -> set[str]:
    return set(tally(ask_many(site.caller, web.cluster_ip(kind), ENOUGH)))


def test_added_endpoint_gets_traffic(site: Site, kind: PacketKind):
    web = site.publish(site.backends(1))
    first_answer(site.caller, web.cluster_ip(kind))

    web.scale_to(site.backends(2))

    added = address(site.backends(2)[1], kind)
    eventually("the added endpoint answers", lambda: added in servers_of(site, web, kind))


def test_removed_endpoint_gets_no_new_traffic(site: Site, kind: PacketKind):
    first, second = site.backends(2)
    web = site.publish([first, second])
    first_answer(site.caller, web.cluster_ip(kind))

    web.scale_to([second])

    eventually(
        "the other endpoint alone answers",
        lambda: servers_of(site, web, kind) == {address(second, kind)},
    )


def test_connection_to_a_removed_endpoint_goes_on(site: Site):
    """DP-90."""
    kind = PacketKind("tcp", "IPv4")
    first, second = site.backends(2)
    web = site.publish([first])
    first_answer(site.caller, web.cluster_ip(kind))

    with Conversation(site.caller, web.cluster_ip(kind)) as conversation:
        web.scale_to([second])
        eventually(
            "new connections go elsewhere",
            lambda: servers_of(site, web, kind) == {address(second, kind)},
        )
        outcome = conversation.say()

    assert isinstance(outcome, Answer)
    assert outcome.server == first.ipv4


def test_connections_are_refused_while_no_endpoint_is_left(site: Site, kind: PacketKind):
    """DP-2, DP-3: refused, not a hang; and back to work when endpoints return."""
    web = site.published(site.backends(2))

    web.scale_to([])
    first_failure(site.caller, web.cluster_ip(kind), "refused")
    first_failure(site.client, web.on_node(kind), "refused")
    web.scale_to(site.backends(1))

    assert first_answer(site.caller, web.cluster_ip(kind)).server == address(
        site.backends(1)[0], kind
    )
    first_answer(site.client, web.on_node(kind))


def test_changed_port_answers_and_the_old_one_refuses(site: Site, kind: PacketKind):
    """DP-10."""
    web = site.publish(site.backends(1))
    old = web.cluster_ip(kind)
    first_answer(site.caller, old)

    web.put(port=8000)

    assert first_answer(site.caller, web.cluster_ip(kind)).server == address(
        site.backends(1)[0], kind
    )
    first_failure(site.caller, old, "refused")


def test_changed_target_port_is_used(site: Site, kind: PacketKind):
    web = site.publish(site.backends(1))
    first_answer(site.caller, web.cluster_ip(kind))

    web.put(target_port=OTHER_POD_PORT)
    web.scale_to(site.backends(1))

    eventually(
        "the new target port answers",
        lambda: ask(site.caller, web.cluster_ip(kind)),
        lambda o: isinstance(o, Answer) and o.server_port == OTHER_POD_PORT,
    )


def test_deleted_service_is_left_to_the_routes(site: Site, kind: PacketKind):
    """DP-12: neither answered nor refused; its NodePort is the host's again."""
    web = site.published(site.backends(1))

    web.delete()

    first_failure(site.client, web.on_node(kind), "refused")
    first_failure(site.caller, web.cluster_ip(kind), "unreachable", "timeout")


def test_service_that_comes_back_works_again(site: Site, kind: PacketKind):
    web = site.published(site.backends(1))
    web.delete()
    first_failure(site.caller, web.cluster_ip(kind), "unreachable", "timeout")

    web.put()
    web.scale_to(site.backends(2)[1:])

    # The end of the former endpoints may come by another watch, and later than the Service.
    there = {address(site.backends(2)[1], kind)}
    eventually("its new endpoint alone answers", lambda: servers_of(site, web, kind) == there)


def test_other_services_do_not_notice_a_change(site: Site, kind: PacketKind):
    steady, changing = site.published(site.backends(3)), site.published(site.backends(3))
    target = steady.cluster_ip(kind)
    failures: list[Failure] = []

    for count in (1, 3, 0, 2, 0, 3):
        changing.scale_to(site.backends(count))
        outcomes = ask_many(site.caller, target, ENOUGH)
        failures += [o for o in outcomes if isinstance(o, Failure)]

    assert not failures
