"""The agent itself, from every source: a UDP client keeps its socket while its endpoint goes."""

from __future__ import annotations

import pytest

from lab import nft
from lab.traffic import Answer, Conversation, Outcome
from lab.waiting import eventually
from tests.live.site import LOOK_SECONDS, PacketKind, Site, address, first_answer

pytestmark = pytest.mark.live

FAMILIES = pytest.mark.parametrize(
    "kind", [PacketKind("udp", "IPv4"), PacketKind("udp", "IPv6")], ids=str
)


def server(outcome: Outcome) -> str:
    """Who answered, or how it failed."""
    return outcome.server if isinstance(outcome, Answer) else outcome.kind


@FAMILIES
def test_client_that_keeps_its_socket_follows_the_endpoints(site: Site, kind: PacketKind):
    """Replaced, scaled to zero, back again (CT-6, CT-7)."""
    first, second = site.backends(2)
    web = site.published([first])
    target = web.cluster_ip(kind)

    with Conversation(site.caller, target, timeout=LOOK_SECONDS) as conversation:
        opening = server(conversation.opening)
        for backends, wanted in (
            ([second], address(second, kind)),
            ([], "refused"),
            ([first], address(first, kind)),
        ):
            web.scale_to(backends)
            eventually(
                f"{wanted} from {target}",
                lambda: server(conversation.say()),
                lambda seen, wanted=wanted: seen == wanted,  # type: ignore[misc]
            )

    assert opening == address(first, kind)


def test_flow_begun_while_the_rules_were_flushed_is_translated_in_the_end(site: Site):
    """CT-17: the agent repairs the rules, and then what they missed."""
    kind = PacketKind("udp", "IPv4")
    web = site.published(site.backends(1))
    first_answer(site.caller, web.cluster_ip(kind))

    nft.load(site.node, "flush ruleset")
    with Conversation(site.caller, web.cluster_ip(kind), timeout=LOOK_SECONDS) as conversation:
        eventually(
            "an answer",
            lambda: server(conversation.say()),
            lambda seen: seen == address(site.backends(1)[0], kind),
        )
        served = server(conversation.say())

    assert served == address(site.backends(1)[0], kind)
