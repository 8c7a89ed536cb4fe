"""The long-running agent: its parts, in one TaskGroup, until a signal ends it.

    source ----> inbox ----> sync loop ----> backend ----> kernel
       ^           ^             ^                            |
       |           +-------------|---- foreign changes <------+
       +---- configuration ------+
    servers, flow cleaner, Events <---- observer of the sync loop

Ending never touches the rules: traffic goes on, and the next start adopts what it finds (DP-92).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Coroutine
from typing import Any

import msgspec

from nodeproxy import __version__
from nodeproxy.agent.configfile import ConfigTrigger
from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.kernel import KernelSettings
from nodeproxy.agent.observer import AgentObserver
from nodeproxy.agent.reload import Reloader
from nodeproxy.agent.repairs import Repairs
from nodeproxy.agent.reporter import Reporter
from nodeproxy.agent.sources import RecorderPart, open_recorder, open_source
from nodeproxy.agent.sync import Pacing, SyncLoop
from nodeproxy.backends.nftables.backend import NftablesBackend
from nodeproxy.backends.nftables.foreign import ForeignChangeWatcher
from nodeproxy.backends.nftables.probe import probe, usable_families
from nodeproxy.config.document import peer_document
from nodeproxy.config.schema import Config
from nodeproxy.errors import ListenFailed, NodeproxyError
from nodeproxy.model.addresses import Family
from nodeproxy.model.reports import starting
from nodeproxy.netlink.channel import NetfilterSocket
from nodeproxy.netlink.conntrack_channel import ConntrackSockets
from nodeproxy.node.flows.cleaner import FlowCleaner
from nodeproxy.node.oom import set_oom_score
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import plan_options_from
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.servers import Servers, health_state_from
from nodeproxy.state.cluster import ClusterState
from nodeproxy.verbosity import apply_verbosity

_log = logging.getLogger("nodeproxy.agent")

_LAST_WORDS_SECONDS = 2.0
"""How long an agent that must end waits for its Events to be taken."""


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
    # First of all: until somebody listens to SIGHUP it ends the process.
    trigger = ConfigTrigger(config.config_file)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, trigger.ask)
    set_oom_score(config.oom_score_adj)
    with NetfilterSocket() as channel, NetfilterSocket() as second_channel:
        families = usable_families()
        for family in families:
            probe(channel, family)
        parts = _parts(config, channel, second_channel, families, trigger)
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
    trigger: ConfigTrigger,
) -> list[Part]:
    """Everything the agent consists of, wired together."""
    source = open_source(config)
    recorder = open_recorder(config)
    inbox = Inbox()
    state = ClusterState(config.node_name, since=time.time())
    planner = Planner(state, plan_options_from(config))
    backend = NftablesBackend(channel, families)
    health = health_state_from(config)
    metrics = AgentMetrics(config.feature_gates, source.statuses)
    servers = Servers(
        config,
        health,
        metrics,
        source_statuses=source.statuses,
        families=families,
        document=lambda: peer_document(reloader.config),
        set_verbosity=apply_verbosity,
        emit=recorder.emit,
    )
    kernel = KernelSettings(config)
    flows = FlowCleaner(
        ConntrackSockets,
        families,
        cleans_tcp=config.conntrack.cleans_tcp,
        endpoints=state.endpoints,
    )
    flows.on_pass = metrics.observe_flows
    reporter = Reporter(recorder, state)
    observer = AgentObserver(
        families, state, planner, health, metrics, servers, reporter, (kernel, flows)
    )

    def look_after_rules(reason: str) -> None:
        reporter.rules_changed(reason)
        backend.mark_stale(reason)
        flows.rules_were_lost()
        inbox.poke()

    repairs = Repairs(look_after_rules, asyncio.get_running_loop().call_later)
    watcher = ForeignChangeWatcher(channel.portid, repairs.changed)
    loop = SyncLoop(inbox, state, planner, backend, observer, pacing=_pacing(config))

    def take_over(new: Config) -> None:
        apply_verbosity(new.verbosity)
        health.set_timeout(2 * new.sync_period_seconds)
        metrics.set_gates(new.feature_gates)
        kernel.reconfigure(new)
        loop.reconfigure(plan_options_from(new), _pacing(new))
        source.choose_endpoints(new.feature_gates)

    reloader = Reloader(config, take_over)
    kernel.apply()
    return [
        Part("sync", loop.run()),
        Part("foreign-changes", _watch(watcher, observer)),
        Part("affinity-records", backend.keep_records(second_channel)),
        Part("source", source.run(inbox)),
        Part("servers", _serve(servers, recorder)),
        Part("flows", flows.run()),
        Part("events", _report(recorder, observer)),
        Part("configuration", reloader.run(trigger)),
    ]


def _pacing(config: Config) -> Pacing:
    return Pacing(config.min_sync_period_seconds, config.sync_period_seconds)


async def _serve(servers: Servers, recorder: RecorderPart) -> None:
    """Serve; an agent that ends because it cannot listen says so first (LIFE-7)."""
    try:
        await servers.run()
    except ListenFailed:
        await recorder.settle(_LAST_WORDS_SECONDS)
        raise


async def _report(recorder: RecorderPart, observer: AgentObserver) -> None:
    """Pass reports on; the first is that the agent has started, when it really has (LIFE-1)."""

    async def say_so() -> None:
        await observer.wait_first_sync()
        recorder.emit(starting())

    async with asyncio.TaskGroup() as group:
        group.create_task(say_so(), name="starting")
        await recorder.run()


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
        raise _first_of(failures) from None


def _first_of(failures: BaseExceptionGroup[NodeproxyError]) -> NodeproxyError:
    """One failure out of a group of groups."""
    first = failures.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
