"""Single rules in the language of iptables; tests/kernel shows that both flavours print them so."""

from __future__ import annotations

import pytest

from nodeproxy.backends.iptables.objects import (
    Chance,
    FromInterface,
    FromNetwork,
    Goto,
    InState,
    Known,
    Match,
    Rule,
    ToItself,
)
from nodeproxy.backends.iptables.text import comment_for, probability_text, rule_text
from nodeproxy.model.addresses import parse_cidr


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (FromNetwork(parse_cidr("10.0.0.0/8"), negate=True), "! -s 10.0.0.0/8"),
        (FromInterface("cni0", negate=True), "! -i cni0"),
        (FromInterface("veth", is_prefix=True), "-i veth+"),
        (InState("RELATED,DNAT", negate=True), "-m conntrack ! --ctstate RELATED,DNAT"),
        (Chance(3), "-m statistic --mode random --probability 0.33333333349"),
        (
            Known("L", 60, is_ipv6=False),
            "-m recent --rcheck --seconds 60 --reap --name L --mask 255.255.255.255 --rsource",
        ),
    ],
)
def test_a_match_is_written_as_iptables_prints_it(match: Match, text: str):
    assert rule_text(Rule((match,), Goto("NP-A"))) == f" {text} -g NP-A"


def test_probabilities_grow_as_fewer_endpoints_are_left():
    """IPT-27: also beyond what a Service has."""
    texts = [probability_text(number) for number in range(2000, 0, -1)]

    assert texts == sorted(set(texts))
    assert texts[-1] == "1.00000000000"


def test_ipv6_addresses_are_compared_word_by_word():
    text = rule_text(Rule((ToItself(is_ipv6=True),), Goto("NP-A")))

    program = text.split('"')[1].split(",")
    assert program[0] == "18"
    assert len(program) == 19
    assert [line for line in program if line.startswith("29 ")] == [
        "29 0 13 0",
        "29 0 9 0",
        "29 0 5 0",
        "29 0 1 0",
    ]


def test_comments_hold_nothing_that_would_be_escaped():
    comment = comment_for('a/"b\\c\nd' + "x" * 300)

    assert comment.text.startswith("a/'b/c?d")
    assert len(comment.text) == 255
