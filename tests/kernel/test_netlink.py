"""The socket, the listener and the probe, against the real kernel."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

from lab import nft
from lab.namespace import Namespace
from nodeproxy.backends.nftables.foreign import ForeignChangeWatcher
from nodeproxy.backends.nftables.probe import probe
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.netlink.channel import NetfilterListener, NetfilterSocket
from tests.kernel.reading import a_bit_of_everything
from tests.support.builders import service
from tests.support.programming import ProgrammedNode

pytestmark = pytest.mark.kernel

_PROJECT = Path(__file__).parents[2]
_WITHOUT_CAPABILITY = """
from nodeproxy.backends.nftables.probe import probe
from nodeproxy.errors import PermissionMissing
from nodeproxy.model.addresses import Family
from nodeproxy.netlink.channel import NetfilterSocket

try:
    probe(NetfilterSocket(), Family.IPV4)
except PermissionMissing as exc:
    print("refused:", exc)
"""


def test_the_probe_succeeds_and_leaves_nothing(
    namespace: Namespace, channel: NetfilterSocket
) -> None:
    before = nft.generation(namespace)

    for family in FAMILIES:
        probe(channel, family)

    assert nft.list_ruleset(namespace) == ""
    assert nft.generation(namespace) == before


def test_without_the_capability_the_remedy_is_told(namespace: Namespace) -> None:
    said = namespace.run(
        "setpriv",
        "--bounding-set=-net_admin",
        "--inh-caps=-net_admin",
        "env",
        f"PYTHONPATH={_PROJECT}",
        sys.executable,
        "-c",
        _WITHOUT_CAPABILITY,
    )

    assert said.startswith("refused:")
    assert "CAP_NET_ADMIN" in said


async def test_own_changes_are_not_heard_and_others_are(
    namespace: Namespace, node: ProgrammedNode, channel: NetfilterSocket
) -> None:
    with namespace.entered():
        listener = NetfilterListener(channel.portid)
    with closing(listener):
        await node.take(*a_bit_of_everything())
        own = listener.receive()
        nft.load(namespace, "add element ip nodeproxy cluster-ips { 10.96.9.9 }")
        others = listener.receive()

    assert own == []
    assert others


@pytest.mark.parametrize(
    ("commands", "what"),
    [
        ("flush ruleset", "table deleted"),
        ("flush set ip nodeproxy cluster-ips", "elements deleted"),
        ("add rule ip nodeproxy services counter", "rule added"),
        ("add chain ip nodeproxy theirs", "chain added"),
    ],
)
async def test_the_watcher_names_who_changed_what(
    namespace: Namespace, node: ProgrammedNode, channel: NetfilterSocket, commands: str, what: str
) -> None:
    await node.take(service("web").cluster_ip("10.96.0.10").port(80).upserted())
    heard: asyncio.Queue[str] = asyncio.Queue()
    watcher = ForeignChangeWatcher(channel.portid, heard.put_nowait)
    with namespace.entered():
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0)

    await asyncio.to_thread(nft.load, namespace, commands)
    async with asyncio.timeout(5):
        reason = await heard.get()
    task.cancel()
    await asyncio.wait([task])

    assert re.fullmatch(rf"{what} by nft \(pid \d+\)", reason)


async def test_the_watcher_is_silent_about_other_tables(
    namespace: Namespace, node: ProgrammedNode, channel: NetfilterSocket
) -> None:
    await node.take()
    heard: asyncio.Queue[str] = asyncio.Queue()
    watcher = ForeignChangeWatcher(channel.portid, heard.put_nowait)
    with namespace.entered():
        task = asyncio.create_task(watcher.run())
        await asyncio.sleep(0)

    await asyncio.to_thread(nft.load, namespace, "table ip theirs {\nchain c {\naccept\n}\n}")
    await asyncio.to_thread(nft.load, namespace, "add chain ip nodeproxy theirs")
    async with asyncio.timeout(5):
        first = await heard.get()
    task.cancel()
    await asyncio.wait([task])

    assert first.startswith("chain added by nft")


def test_a_dump_of_what_does_not_exist_is_empty(channel: NetfilterSocket) -> None:
    assert channel.dump(13, 2, b"\x0e\0\1\0nodeproxy\0\0\0\x06\0\2\0x\0\0\0") == []
