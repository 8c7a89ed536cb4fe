"""Clients that keep their socket while the agent moves them to endpoints that are there."""

from __future__ import annotations

import pytest

from lab.traffic import Answer, Conversation
from lab.waiting import eventually
from tests.live.site import LOOK_SECONDS, PACKET_KINDS, PacketKind, Site, address

pytestmark = pytest.mark.live

UDP = [kind for kind in PACKET_KINDS if kind.protocol == "udp"]


@pytest.mark.parametrize("kind", UDP, ids=str)
def test_a_client_leaves_an_endpoint_that_is_gone(site: Site, kind: PacketKind):
    """CT-1: the pod would answer for ever, only the cluster says that it is gone."""
    web = site.published(site.backends(1))
    left = site.backends(2)[1]

    with Conversation(site.caller, web.cluster_ip(kind), timeout=LOOK_SECONDS) as talk:
        web.scale_to([left])
        seen = eventually(
            "an answer from the endpoint that is left",
            talk.say,
            lambda seen: isinstance(seen, Answer) and seen.server == address(left, kind),
        )

    assert isinstance(talk.opening, Answer)
    assert talk.opening.server == address(site.backends(1)[0], kind)
    assert isinstance(seen, Answer)
