"""The seam between the commands and what they start, so that a test can stand in for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nodeproxy.errors import NodeproxyError

if TYPE_CHECKING:
    # `nodeproxy version` passes here too, and needs neither.
    from asyncio import AbstractEventLoop

    from nodeproxy.config.schema import Config
    from nodeproxy.model.leftovers import Origin, Search

_T = TypeVar("_T")


class SysctlsRefused(NodeproxyError):
    """Some sysctls cannot be set; for who wants nothing else that is a failure."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(*lines)
        self.lines = tuple(lines)
        """What came of each, one line."""

    def __str__(self) -> str:
        return "\n".join(self.lines)


class Work(Protocol):
    """What the commands set in motion.

    Every method raises `NodeproxyError` if it cannot do what it is for.
    """

    async def run(self, config: Config) -> None:
        """Be the agent, until a signal ends it."""

    async def render(self, config: Config, form: str) -> str:
        """What would be programmed on this node, as text; `form` is `nft` or `plan`."""

    async def initialise(self, config: Config) -> Sequence[str]:
        """Set the sysctls and tell what was done, one line each (CFG-11)."""

    def search(self, origin: Origin) -> Search:
        """What the origin left in this network namespace; nothing is changed."""

    async def cleanup(self) -> Sequence[str]:
        """Remove every rule of ours and tell what was removed, one line each."""


class AgentWork:
    """The real thing. Each method imports what it needs when it is called."""

    async def run(self, config: Config) -> None:
        """See `Work.run`."""
        from nodeproxy.agent.agent import run_agent

        await run_agent(config)

    async def render(self, config: Config, form: str) -> str:
        """See `Work.render`."""
        from nodeproxy.agent.render import render_once

        return await render_once(config, form)

    async def initialise(self, config: Config) -> Sequence[str]:
        """See `Work.initialise`."""
        from nodeproxy.node import sysctls

        outcomes = sysctls.apply(config)
        lines = [str(outcome) for outcome in outcomes]
        if any(outcome.is_failure for outcome in outcomes):
            raise SysctlsRefused(lines)
        return lines

    def search(self, origin: Origin) -> Search:
        """See `Work.search`."""
        from nodeproxy.model.leftovers import Origin

        if origin is Origin.NODEPROXY:
            from nodeproxy.backends.nftables.cleanup import search

            return search()
        from nodeproxy.node.leftovers.search import search_leftovers

        return search_leftovers(origin)

    async def cleanup(self) -> Sequence[str]:
        """See `Work.cleanup`."""
        from nodeproxy.backends.nftables.cleanup import cleanup

        return await cleanup()


def wait_for(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end in an event loop of its own."""
    import asyncio

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], AbstractEventLoop] | None:
    """The loop of uvloop where that is installed; it is not to be had on every machine."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop
