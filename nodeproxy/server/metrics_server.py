"""/metrics and what else operators ask (spec 60 section 8)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from nodeproxy import clock
from nodeproxy.config.schema import ListenAddress, ProxyMode
from nodeproxy.server.alive import AliveChecks
from nodeproxy.server.exposition import CONTENT_TYPE
from nodeproxy.server.http import HttpServer
from nodeproxy.server.http1 import PLAIN, Answer, Request, Route
from nodeproxy.server.metrics import AgentMetrics
from nodeproxy.server.pages import configz, flagz, statusz
from nodeproxy.server.profiling import profiling_routes


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the metrics server tells beside numbers."""

    mode: ProxyMode = ProxyMode.NFTABLES
    flags: Mapping[str, str] = {}
    document: Callable[[], object] | None = None
    """KubeProxyConfiguration v1alpha1 as JSON types; asked for each answer of /configz."""
    set_verbosity: Callable[[int], object] | None = None
    """Changes the log level; with `has_profiling` only."""
    tasks: Callable[[], list[asyncio.Task[object]]] = list
    """The tasks of the agent's own loop."""
    has_profiling: bool = False
    """Serve /debug/ (flag --profiling)."""


class MetricsServer(HttpServer):
    """Answers scrapers and operators."""

    def __init__(
        self,
        address: ListenAddress,
        metrics: AgentMetrics,
        facts: Facts = Facts(),  # noqa: B008 - frozen
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_bind_failure_fatal: bool = False,
    ) -> None:
        """A server over the agent's metrics."""

        def numbers(request: Request) -> Answer:
            del request
            return Answer(200, CONTENT_TYPE, metrics.exposition(clock.monotonic()).encode())

        super().__init__(
            "metrics",
            address,
            {
                "/metrics": numbers,
                "/proxyMode": lambda _: Answer(200, PLAIN, facts.mode.value.encode()),
                "/flagz": flagz(facts.flags),
                "/statusz": statusz(lambda: self.paths),
                **AliveChecks().routes(),
                **({"/configz": configz(facts.document)} if facts.document else {}),
                **(_debug_routes(facts) if facts.has_profiling else {}),
            },
            pause=pause,
            is_bind_failure_fatal=is_bind_failure_fatal,
        )


def _debug_routes(facts: Facts) -> dict[str, Route]:
    routes = profiling_routes(facts.tasks)
    if facts.set_verbosity:
        routes["/debug/flags/v"] = _verbosity(facts.set_verbosity)
    return routes


def _verbosity(set_verbosity: Callable[[int], object]) -> Route:
    """PUT of a number changes the log level until the agent ends or reads its configuration."""

    def answer(request: Request) -> Answer:
        if request.method != "PUT":
            return Answer(406, PLAIN, b"the log level is set by PUT of a number\n")
        text = request.body.decode("latin-1").strip()
        if not text.isascii() or not text.isdigit() or len(text) > 4:
            return Answer(400, PLAIN, b"not a log level; PUT a number such as 4\n")
        set_verbosity(int(text))
        return Answer(200, PLAIN, f"log level is {text} now\n".encode())

    return answer
