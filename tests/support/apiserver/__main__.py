"""A stand-in in a process of its own, filled with a generated cluster, for benchmarks and demos.

Prints one line of JSON with its URL when it is ready, and serves until SIGINT or SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal

import msgspec
import uvloop

from tests.support.apiserver.control import Control
from tests.support.apiserver.population import Population
from tests.support.apiserver.server import ApiServerStandIn

_DISCOVERY_BY_MODE: dict[str, tuple[str, ...]] = {
    "slices": ("v1",),
    "v1beta1": ("v1beta1",),
    "endpoints": (),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.apiserver", description="API server stand-in"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--token", help="bearer token clients must present")
    parser.add_argument("--services", type=int, default=1000)
    parser.add_argument("--endpoints", type=int, default=10, help="of every Service")
    parser.add_argument("--pods", action="store_true", help="endpoints with pod, node and zone")
    parser.add_argument("--node", default="node-0", help="name of the Node")
    parser.add_argument(
        "--mode",
        choices=_DISCOVERY_BY_MODE,
        default="slices",
        help="what is served of discovery.k8s.io: v1, v1beta1, or nothing",
    )
    return parser.parse_args(arguments)


async def serve(options: argparse.Namespace) -> None:
    """Fill the store, say where, and serve until told to stop."""
    population = Population(
        options.services, options.endpoints, has_pods=options.pods, node_name=options.node
    )
    server = ApiServerStandIn(
        token=options.token, served_discovery=_DISCOVERY_BY_MODE[options.mode]
    )
    server.control = Control(server, population)
    for obj in population.objects():
        server.put(obj)
    server.compact()
    # Collections of 30,000 long-lived objects would show up as pauses in what is measured.
    gc.collect()
    gc.freeze()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server.running(host=options.host, port=options.port) as url:
        print(msgspec.json.encode({"url": url, "services": options.services}).decode(), flush=True)
        await stop.wait()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(parse_arguments()))
