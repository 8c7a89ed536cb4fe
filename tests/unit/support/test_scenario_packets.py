from __future__ import annotations

import pytest

from nodeproxy.model.addresses import format_addr, parse_addr
from nodeproxy.model.keys import Protocol
from nodeproxy.plan.types import Target
from tests.support.scenarios.mistakes import Mistake
from tests.support.scenarios.model import (
    Expectation,
    Place,
    Verdict,
    Wanted,
    WantsBound,
    WantsEndpoints,
)
from tests.support.scenarios.packets import expectation_from


def expect(text: str) -> Expectation:
    return expectation_from(7, text)


def target(addr: str, port: int) -> Target:
    return Target(parse_addr(addr), port)


@pytest.mark.parametrize(
    ("text", "addr", "port", "transport"),
    [
        ("10.96.0.10:80", "10.96.0.10", 80, Protocol.TCP),
        ("10.96.0.10:53/udp", "10.96.0.10", 53, Protocol.UDP),
        ("[fd00:96::10]:53/sctp", "fd00:96::10", 53, Protocol.SCTP),
        ("node:30080", "192.168.0.2", 30080, Protocol.TCP),
        ("node.v6:30080", "2001:db8::2", 30080, Protocol.TCP),
        ("ping 10.96.0.10", "10.96.0.10", 0, None),
        ("ping node-alt.v6", "2001:db8:1::2", 0, None),
    ],
)
def test_destinations(text: str, addr: str, port: int, transport: Protocol | None):
    packet = expect(f"pod-a -> {text} = refused").packet

    assert format_addr(packet.destination) == addr
    assert (packet.port, packet.transport) == (port, transport)


@pytest.mark.parametrize(
    ("source", "to", "addr", "interface"),
    [
        ("pod-a", "10.96.0.10:80", "10.244.0.11", "pod-a"),
        ("pod-a", "[fd00:96::10]:80", "fd00:10:244::11", "pod-a"),
        ("client", "10.96.0.10:80", "192.168.0.9", "eth0"),
        ("far-b", "10.96.0.10:80", "10.244.7.12", "eth0"),
        ("node", "10.96.0.10:80", "192.168.0.2", ""),
        ("node@192.168.1.2", "10.96.0.10:80", "192.168.1.2", ""),
        ("node@1.2.3.4", "1.2.3.4:80", "1.2.3.4", ""),
        ("client@203.0.113.7", "10.96.0.10:80", "203.0.113.7", "eth0"),
    ],
)
def test_sources(source: str, to: str, addr: str, interface: str):
    packet = expect(f"{source} -> {to} = refused").packet

    assert format_addr(packet.source) == addr
    assert packet.sender.interface == interface
    assert packet.is_from_node == (packet.sender.place is Place.NODE) == (interface == "")


def test_endpoints_are_of_the_family_of_the_destination():
    outcome = expect("pod-a -> [fd00:96::10]:80 = {pod-b:8080, far-a.v6:8080}").outcome

    wanted = {Wanted(target("fd00:10:244::12", 8080), None)}
    wanted |= {Wanted(target("fd00:10:244:7::11", 8080), None)}
    assert outcome == WantsEndpoints(frozenset(wanted))


def test_a_flag_holds_for_all_endpoints_and_in_braces_for_one():
    outcome = expect("pod-a -> 10.96.0.10:80 = {pod-a:80 masq, 10.0.0.1:90} no-masq").outcome

    wanted = {Wanted(target("10.244.0.11", 80), True), Wanted(target("10.0.0.1", 90), False)}
    assert outcome == WantsEndpoints(frozenset(wanted))


@pytest.mark.parametrize("verdict", Verdict)
def test_verdicts(verdict: Verdict):
    assert expect(f"pod-a -> 10.96.0.10:80 = {verdict}").outcome is verdict


def test_affinity_flags():
    outcome = expect("client -> 10.96.0.10:80 = {pod-a:80, pod-b:80} sticky as X").outcome

    assert isinstance(outcome, WantsEndpoints)
    assert (outcome.is_sticky, outcome.binds) == (True, "X")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("X", WantsBound("X", is_same=True)),
        ("not X", WantsBound("X", is_same=False)),
        ("X masq", WantsBound("X", is_same=True, is_masqueraded=True)),
        ("not X as Y", WantsBound("X", is_same=False, binds="Y")),
    ],
)
def test_names_of_endpoints(text: str, outcome: WantsBound):
    assert expect(f"client -> 10.96.0.10:80 = {text}").outcome == outcome


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pod-a 10.96.0.10:80 = refused", "write: SOURCE -> DESTINATION"),
        ("pod-a -> 10.96.0.10:80 refused", "write: SOURCE -> DESTINATION"),
        ("pod-z -> 10.96.0.10:80 = refused", '"pod-z" is no host'),
        ("pod-a -> pod-z:80 = refused", '"pod-z" is not an IP address'),
        ("pod-a -> 10.96.0.10 = refused", "is not ADDRESS:PORT"),
        ("pod-a -> 10.96.0.10:0 = refused", "is not ADDRESS:PORT"),
        ("pod-a -> 10.96.0.10:http = refused", "is not ADDRESS:PORT"),
        ("pod-a -> fd00:96::10:80 = refused", "in brackets"),
        ("pod-a -> 10.96.0.10:80/quic = refused", '"quic" is no protocol'),
        ("pod-a -> 10.96.0.10:80 = rejected by it", '"by" is no flag'),
        ("pod-a -> 10.96.0.10:80 = refused!", "is no outcome"),
        ("pod-a -> 10.96.0.10:80 = {}", "is no endpoint"),
        ("pod-a -> 10.96.0.10:80 = {pod-b}", "is not ADDRESS:PORT"),
        ("pod-a -> 10.96.0.10:80 = {pod-b:80 nat}", "is no endpoint"),
        ("pod-a -> 10.96.0.10:80 = {[fd00::1]:80}", "another family"),
        ("pod-a -> 10.96.0.10:80 = {pod-b:80} nat", '"nat" is no flag'),
        ("pod-a -> 10.96.0.10:80 = {pod-b:80} masq no-masq", '"no-masq" is no flag'),
        ("pod-a -> 10.96.0.10:80 = {pod-b:80} as", '"" is no name'),
        ("pod-a -> 10.96.0.10:80 = {pod-b:80} as masq", '"masq" is no name'),
        ("pod-a -> 10.96.0.10:80 = not", "is no outcome"),
        ("pod-a -> 10.96.0.10:80 = X sticky", "leave out sticky"),
        ("node@fd00::1 -> 10.96.0.10:80 = refused", "of another family"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_the_remedy(text: str, message: str):
    with pytest.raises(Mistake, match=message) as raised:
        expect(text)

    assert raised.value.line == 7
