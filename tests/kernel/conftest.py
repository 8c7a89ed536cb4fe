"""A real nf_tables in a network namespace of its own, for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.namespace import Namespace
from nodeproxy.netlink.channel import NetfilterSocket
from tests.support.programming import ProgrammedNode


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with Namespace("kernel-test") as namespace:
        yield namespace


@pytest.fixture
def channel(namespace: Namespace) -> Iterator[NetfilterSocket]:
    with namespace.entered():
        channel = NetfilterSocket()
    with channel:
        yield channel


@pytest.fixture
def node(channel: NetfilterSocket) -> ProgrammedNode:
    return ProgrammedNode(channel=channel)
