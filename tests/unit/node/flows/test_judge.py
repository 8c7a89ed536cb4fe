"""Single verdicts, where several Services and addresses meet."""

from __future__ import annotations

import pytest

from nodeproxy.model.addresses import parse_addr, parse_cidr
from nodeproxy.node.flows.judge import ABANDONED, Judge, Vacancies, Verdict, packed
from nodeproxy.plan.types import NodePortAddresses


def at(text: str, port: int) -> bytes:
    return packed(parse_addr(text), port)


ENDPOINT, GONE = at("10.244.0.4", 5353), at("10.244.0.5", 5353)
NODE_PORT = (30053).to_bytes(2, "big")
TO_NODE = at("192.168.0.2", 30053)
ONE = Verdict(frozenset({ENDPOINT}))
OWN = (parse_cidr("192.168.0.2/32"), parse_cidr("192.168.7.0/24"), parse_cidr("127.0.0.0/8"))


def test_without_verdicts_nothing_is_stale():
    """TS-705: an empty filter matches nothing."""
    assert not Judge({}).is_stale(TO_NODE, GONE)


def test_endpoint_on_the_frontends_own_address_is_an_endpoint():
    """A host-network pod behind an external IP of its node: answered by itself, and rightly so."""
    judge = Judge({TO_NODE: Verdict(frozenset({TO_NODE}))})

    assert not judge.is_stale(TO_NODE, TO_NODE)


def test_frontend_of_another_service_goes_before_a_node_port_of_the_same_number():
    judge = Judge({NODE_PORT: ONE}, taken={TO_NODE}, own_networks=OWN)

    assert not judge.is_stale(TO_NODE, GONE)


@pytest.mark.parametrize(
    ("addr", "node_ports", "is_stale"),
    [
        ("192.168.0.2", NodePortAddresses(), True),
        ("192.168.7.99", NodePortAddresses(), True),
        ("127.0.0.1", NodePortAddresses(), False),
        ("192.168.0.3", NodePortAddresses(), False),
        ("192.168.0.2", NodePortAddresses(primary=(parse_addr("192.168.0.2"),)), True),
        ("192.168.7.99", NodePortAddresses(primary=(parse_addr("192.168.0.2"),)), False),
        ("192.168.7.99", NodePortAddresses(cidrs=(parse_cidr("192.168.7.0/24"),)), True),
        ("192.168.0.3", NodePortAddresses(cidrs=(parse_cidr("192.168.0.0/24"),)), False),
    ],
)
def test_node_ports_are_those_of_the_nodes_own_addresses(
    addr: str, node_ports: NodePortAddresses, is_stale: bool
):
    """CT-9, DP-54."""
    judge = Judge({NODE_PORT: ONE}, own_networks=OWN, node_ports=node_ports)

    assert judge.is_stale(at(addr, 30053), GONE) is is_stale
    assert not judge.is_stale(at(addr, 30053), ENDPOINT)


def test_abandoned_destination_keeps_what_was_never_translated():
    judge = Judge({at("10.96.0.10", 53): ABANDONED})

    assert judge.is_stale(at("10.96.0.10", 53), ENDPOINT)
    assert not judge.is_stale(at("10.96.0.10", 53), at("10.96.0.10", 53))


@pytest.mark.parametrize(
    ("destination", "answerer", "is_stale"),
    [
        (at("10.96.3.3", 53), ENDPOINT, True),
        (at("10.96.3.3", 53), at("10.96.3.3", 53), False),
        (at("10.96.0.10", 53), ENDPOINT, False),
        (at("10.97.0.1", 53), ENDPOINT, False),
    ],
    ids=["nobody's", "untranslated", "of a Service", "no address for Services"],
)
def test_vacant_addresses_have_no_translated_flows(
    destination: bytes, answerer: bytes, is_stale: bool
):
    taken = frozenset({parse_addr("10.96.0.10")})
    judge = Judge({}, vacancies=Vacancies((parse_cidr("10.96.0.0/16"),), taken))

    assert judge.is_stale(destination, answerer) is is_stale
