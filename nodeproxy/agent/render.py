"""What would be programmed, without a kernel: sources and planner, run once."""

from __future__ import annotations

import asyncio
import logging

from nodeproxy import clock
from nodeproxy.agent.gate import StartGate
from nodeproxy.agent.inbox import Inbox
from nodeproxy.agent.sources import open_source
from nodeproxy.backends.nftables.render import render_tables
from nodeproxy.config.schema import Config
from nodeproxy.errors import SourceError
from nodeproxy.model.addresses import FAMILIES
from nodeproxy.plan.planner import Planner
from nodeproxy.plan.settings import plan_options_from
from nodeproxy.plan.text import format_plan
from nodeproxy.sources.base import Source
from nodeproxy.state.cluster import ClusterState

_log = logging.getLogger("nodeproxy.render")

_SYNC_TIMEOUT_SECONDS = 60.0


async def render_once(config: Config, form: str) -> str:
    """The rules this node would get now, as text.

    Args:
        config: names the source; nothing of it needs privileges.
        form: `nft` for a file that `nft -f` loads, `plan` for the plan with its reasons.

    Raises:
        SourceError: the source cannot be read, or did not tell everything within a minute.
    """
    state = ClusterState(config.node_name)
    await _read_everything(open_source(config), state)
    planner = Planner(state, plan_options_from(config))
    delta = planner.replan(state.apply(()))
    for warning in (*delta.remarks, *delta.conflicts):
        _log.warning("%s", warning)
    if form == "plan":
        return format_plan(planner.plans)
    return render_tables(
        (
            planner.settings[family],
            [plan for key, plan in planner.plans.items() if key.family is family],
        )
        for family in FAMILIES
    )


async def _read_everything(source: Source, state: ClusterState) -> None:
    """Let the source tell until `run` would begin to write rules."""
    inbox = Inbox()
    gate = StartGate()
    reading = asyncio.create_task(source.run(inbox), name="source")
    try:
        async with asyncio.timeout(_SYNC_TIMEOUT_SECONDS):
            while not gate.is_open(state.synced, clock.monotonic()):
                seconds = gate.seconds_left(clock.monotonic())
                waiting = asyncio.create_task(inbox.wait(seconds))
                await asyncio.wait((reading, waiting), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if reading.done():
                    await reading
                for problem in state.apply(inbox.take_all()).problems:
                    _log.warning("%s", problem)
    except TimeoutError:
        failures = "; ".join(status.last_error for status in source.statuses() if status.last_error)
        raise SourceError(
            f"the source did not tell everything within {_SYNC_TIMEOUT_SECONDS:.0f} s"
            f"{': ' + failures if failures else ''}; nothing to render"
        ) from None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
