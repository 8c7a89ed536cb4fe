"""Conntrack settings in a network namespace, where the table's size is not ours to set."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.namespace import Namespace
from nodeproxy.config.schema import Config, ConntrackConfig
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.node.sysctls import MAX, ForwardingCheck, Outcome, Result, apply

pytestmark = pytest.mark.kernel

LOAD_CONNTRACK = """
add table ip loads-conntrack
add chain ip loads-conntrack input { type filter hook input priority 0; }
add rule ip loads-conntrack input ct state new accept
"""
SIZE_FILE = Path("/proc/sys/net/netfilter/nf_conntrack_max")


@pytest.fixture
def tracking(namespace: Namespace) -> Namespace:
    """A namespace whose kernel has connection tracking."""
    namespace.run("nft", "-f", "-", stdin=LOAD_CONNTRACK)
    return namespace


def applied(namespace: Namespace, conntrack: ConntrackConfig) -> dict[str, Outcome]:
    with namespace.entered():
        outcomes = apply(Config(node_name="lab-node", conntrack=conntrack), cpus=2)
    return {outcome.name: outcome for outcome in outcomes}


def test_read_only_size_is_a_warning_and_timeouts_are_set(tracking: Namespace):
    size = int(SIZE_FILE.read_text())
    config = ConntrackConfig(min=size + 1, udp_seconds=31, tcp_be_liberal=True)

    outcomes = applied(tracking, config)

    assert outcomes.pop(MAX).result is Result.REFUSED
    assert {outcome.result for outcome in outcomes.values()} == {Result.DONE}
    assert int(SIZE_FILE.read_text()) == size
    with tracking.entered():
        found = Path("/proc/sys/net/netfilter/nf_conntrack_udp_timeout").read_text()
    assert found == "31\n"


def test_read_only_size_that_is_larger_is_no_reason_to_worry(tracking: Namespace):
    size = int(SIZE_FILE.read_text())

    outcome = applied(tracking, ConntrackConfig(max_per_core=1, min=size - 1))[MAX]

    assert outcome.result is Result.ENOUGH
    assert not outcome.is_failure
    assert f"is not set to {size - 1} instead of {size}: Permission denied" in str(outcome)


def test_second_start_finds_everything_as_it_should_be(tracking: Namespace):
    config = ConntrackConfig(max_per_core=None, udp_seconds=31, udp_stream_seconds=61)
    applied(tracking, config)

    outcomes = applied(tracking, config)

    assert len(outcomes) == 4
    assert {outcome.result for outcome in outcomes.values()} == {Result.UNCHANGED}


def test_forwarding_is_looked_at_in_the_own_namespace(namespace: Namespace):
    namespace.set_sysctls({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "0"})

    with namespace.entered():
        remarks = ForwardingCheck().remarks(FAMILIES)

    assert [remark.split()[0] for remark in remarks] == ["net.ipv6.conf.all.forwarding"]
