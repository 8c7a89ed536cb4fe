"""Who gets how much: every endpoint the same share (DP-60), however many there are."""

from __future__ import annotations

import pytest

from lab.objects import MAX_ENDPOINTS_PER_SLICE, Backend
from lab.traffic import ask_many, tally
from lab.waiting import eventually
from tests.live.site import PacketKind, Site, address, first_answer
from tests.live.statistics import FALSE_ALARM, evenness

pytestmark = pytest.mark.live

QUESTIONS_PER_ENDPOINT = 20
"""Enough for every endpoint to be asked: the chance to miss one of 250 is 5e-7."""


def test_three_endpoints_share_evenly(site: Site, kind: PacketKind):
    web = site.publish(site.backends(3))
    first_answer(site.caller, web.cluster_ip(kind))

    counts = tally(ask_many(site.caller, web.cluster_ip(kind), 600))

    assert set(counts) == {address(b, kind) for b in site.backends(3)}
    assert evenness(counts, choices=3) > FALSE_ALARM


def test_node_port_shares_evenly(site: Site, kind: PacketKind):
    web = site.publish(site.backends(3))
    first_answer(site.client, web.on_node(kind))

    counts = tally(ask_many(site.client, web.on_node(kind), 600))

    assert set(counts) == {address(b, kind) for b in site.backends(3)}
    assert evenness(counts, choices=3) > FALSE_ALARM


@pytest.mark.parametrize("count", [101, 250])
def test_every_one_of_many_endpoints_gets_its_share(site: Site, count: int):
    """More than fit into one slice; the last one is alone in its slice with 101."""
    assert count > MAX_ENDPOINTS_PER_SLICE
    kind = PacketKind("tcp", "IPv4")
    crowd = [Backend(*pair) for pair in site.lab.crowd_addresses(count)]
    web = site.publish(crowd)
    first_answer(site.caller, web.cluster_ip(kind))

    counts = tally(ask_many(site.caller, web.cluster_ip(kind), count * QUESTIONS_PER_ENDPOINT))

    assert set(counts) == {address(b, kind) for b in crowd}
    assert evenness(counts, choices=count) > FALSE_ALARM


def test_scaling_down_from_many_leaves_the_rest_with_even_shares(site: Site):
    """Slots of endpoints that went are filled or gone: none leads nowhere."""
    kind = PacketKind("udp", "IPv6")
    crowd = [Backend(*pair) for pair in site.lab.crowd_addresses(150)]
    web = site.publish(crowd)
    first_answer(site.caller, web.cluster_ip(kind))

    web.scale_to(crowd[140:])
    remaining = {address(b, kind) for b in crowd[140:]}
    eventually(
        "only endpoints that remain answer",
        lambda: set(tally(ask_many(site.caller, web.cluster_ip(kind), 100))),
        lambda servers: servers <= remaining,
    )
    counts = tally(ask_many(site.caller, web.cluster_ip(kind), 1000))

    assert set(counts) == remaining
    assert evenness(counts, choices=10) > FALSE_ALARM
