"""The long-running agent: its parts, in one TaskGroup, until a signal ends it.

    source ----> inbox ----> sync loop ----> backend ----> kernel
                   ^                                          |
                   +------------- foreign changes <-----------+
    health server, metrics server <---- observer of the sync loop

Ending never touches the rules: traffic goes on, and the next start adopts what it finds (DP-92).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine
from typing import Any

import msgspec

from nodeproxy import __version__
from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.observer import AgentObserver
from nodeproxy.agent.sources import open_source
from nodeproxy.agent.sync import SyncLoop
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.backends.nftables.foreign import ForeignChangeWatcher
from nodeproxy.backends.nftables.probe import probe, usable_families
from nodeproxy.config.schema import Config
from nodeproxy.errors import NodeproxyError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import plan_options_from
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.servers import Servers, health_state_from
from nodeproxy.state.cluster import ClusterState

_log = logging.getLogger("nodeproxy.agent")


class Part(msgspec.Struct, frozen=True):
    """One concurrent activity of the agent."""

    name: str
    work: Coroutine[Any, Any, None]


async def run_agent(config: Config) -> None:
    """Be the agent until SIGTERM or SIGINT.

    Raises:
        NodeproxyError: it cannot work as configured, or not on this machine.
    """
    # Until the first sync nearly everything that is allocated stays; collecting finds nothing.
    gc.disable()
    with NetfilterSocket() as channel, NetfilterSocket() as second_channel:
        families = usable_families()
        for family in families:
            probe(channel, family)
        parts = _parts(config, channel, second_channel, families)
        _log.info(
            "agent started version=%s node=%s mode=%s families=%s",
            __version__,
            config.node_name,
            config.proxy_mode,
            ",".join(families),
        )
        await _run_until_signal(parts)
    _log.info("agent stopped; the rules stay in place")


def _parts(
    config: Config,
    channel: NetfilterSocket,
    second_channel: NetfilterSocket,
    families: tuple[Family, ...],
) -> list[Part]:
    """Everything the agent consists of, wired together."""
    source = open_source(config)
    inbox = Inbox()
    state = ClusterState(config.node_name)
    planner = Planner(state, plan_options_from(config))
    backend = NftablesBackend(channel, families)
    health = health_state_from(config)
    metrics = AgentMetrics(config.feature_gates, source.statuses)
    observer = AgentObserver(families, state, health, metrics)
    servers = Servers(config, health, metrics, source_statuses=source.statuses, families=families)

    def look_after_rules(reason: str) -> None:
        backend.mark_stale(reason)
        inbox.poke()

    watcher = ForeignChangeWatcher(channel.portid, look_after_rules)
    loop = SyncLoop(inbox, state, planner, backend, observer)
    return [
        Part("sync", loop.run()),
        Part("foreign-changes", _watch(watcher, observer)),
        Part("affinity-records", backend.keep_records(second_channel)),
        Part("source", source.run(inbox)),
        Part("servers", servers.run()),
    ]


async def _watch(watcher: ForeignChangeWatcher, observer: AgentObserver) -> None:
    """Listen for foreign changes once the rules are there.

    While anybody listens the kernel writes a notification for every element: 0.6 s on top of
    0.6 s for a first load of 10,000 Services with ten endpoints.
    """
    await observer.wait_first_sync()
    await watcher.run()


async def _run_until_signal(parts: list[Part]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part.work, name=part.name) for part in parts]
            await stop.wait()
            for task in tasks:
                task.cancel()
    except* NodeproxyError as failures:
        raise failures.exceptions[0] from None
