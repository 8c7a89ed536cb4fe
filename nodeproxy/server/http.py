"""A few GET paths on one address, served as soon as the address is free.

aiohttp is imported when a server runs, not before: with both servers switched off and no API
server asked, an agent does without its 15 MB.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import msgspec

from nodeproxy.config.schema import ListenAddress

if TYPE_CHECKING:
    from aiohttp import web

_log = logging.getLogger("nodeproxy.server")

BIND_RETRY_SECONDS = 5.0
"""As kube-proxy waits (LIFE-8)."""

SHUTDOWN_SECONDS = 1.0
"""An answer that is being sent when the agent ends has this long."""


class Answer(msgspec.Struct, frozen=True):
    """What one path answers."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[], Answer]
"""Answers one path; called for each request, in the event loop, so it must be quick."""

NOT_FOUND = Answer(404, "text/plain; charset=utf-8", b"404 page not found\n")


class HttpServer:
    """Serves fixed paths until cancelled; other paths get 404."""

    def __init__(
        self,
        name: str,
        address: ListenAddress,
        routes: Mapping[str, Route],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """A server that is not running yet.

        Args:
            name: for the log, `health` or `metrics`.
            address: port 0 takes any free one, which `wait_listening` then tells.
            routes: answers by path.
            pause: waits between attempts to bind.
        """
        self._name = name
        self._address = address
        self._routes = dict(routes)
        self._pause = pause
        self._bound: asyncio.Future[ListenAddress] | None = None

    async def run(self) -> None:
        """Bind, trying again every 5 s for as long as it takes (LIFE-8), and serve.

        Ends by cancellation only.
        """
        with closing(await self._listen()) as listener:
            async with self._serving(listener):
                self._bound_future().set_result(_address_of(listener))
                await asyncio.Event().wait()

    async def wait_listening(self) -> ListenAddress:
        """Wait until requests are answered, and tell where."""
        return await asyncio.shield(self._bound_future())

    def _bound_future(self) -> asyncio.Future[ListenAddress]:
        if self._bound is None:
            self._bound = asyncio.get_running_loop().create_future()
        return self._bound

    async def _listen(self) -> socket.socket:
        failures = 0
        while True:
            try:
                listener = _open_listener(self._address)
            except OSError as exc:
                if not failures:
                    _log.warning(
                        "cannot listen server=%s address=%s error=%s; the agent works without, "
                        "retrying every %g s",
                        self._name,
                        self._address,
                        f'"{os.strerror(exc.errno)}"' if exc.errno else exc,
                        BIND_RETRY_SECONDS,
                    )
                failures += 1
                await self._pause(BIND_RETRY_SECONDS)
            else:
                _log.info(
                    "listening server=%s address=%s failed_attempts=%d",
                    self._name,
                    _address_of(listener),
                    failures,
                )
                return listener

    @asynccontextmanager
    async def _serving(self, listener: socket.socket) -> AsyncIterator[None]:
        from aiohttp import web

        runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), shutdown_timeout=SHUTDOWN_SECONDS
        )
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        route = self._routes.get(request.path)
        answer = route() if route else NOT_FOUND
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={
                "Content-Type": answer.content_type,
                "X-Content-Type-Options": "nosniff",
                "Server": "nodeproxy",
            },
        )


def _open_listener(address: ListenAddress) -> socket.socket:
    is_ipv6 = ":" in address.host
    return socket.create_server(
        (address.host, address.port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        # As Go listens: the unspecified IPv6 address takes IPv4 too.
        dualstack_ipv6=address.host == "::" and socket.has_dualstack_ipv6(),
    )


def _address_of(listener: socket.socket) -> ListenAddress:
    host, port = listener.getsockname()[:2]
    return ListenAddress(host, port)
