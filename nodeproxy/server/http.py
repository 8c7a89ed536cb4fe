"""A few paths on one address, served as soon as the address is free."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing

from nodeproxy.config.schema import ListenAddress
from nodeproxy.errors import ListenFailed
from nodeproxy.server.http1 import NOT_FOUND, Answer, Connection, Connections, Request, Route

_log = logging.getLogger("nodeproxy.server")

BIND_RETRY_SECONDS = 5.0
"""As kube-proxy waits (LIFE-8)."""


class HttpServer:
    """Serves fixed paths until cancelled; other paths get 404, as do methods a path has not."""

    def __init__(
        self,
        name: str,
        address: ListenAddress,
        routes: Mapping[str, Route],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_bind_failure_fatal: bool = False,
    ) -> None:
        """A server that is not running yet.

        Args:
            name: for the log, `health` or `metrics`.
            address: port 0 takes any free one, which `wait_listening` then tells.
            routes: answers by path; a path that ends with / answers all below it too.
            pause: waits between attempts to bind.
            is_bind_failure_fatal: end if the address is not free, instead of trying again
                (LIFE-7).
        """
        self.name = name
        self._address = address
        self._routes = dict(routes)
        self._pause = pause
        self._is_bind_failure_fatal = is_bind_failure_fatal
        self._bound: asyncio.Future[ListenAddress] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """What is served, sorted."""
        return tuple(sorted(self._routes))

    async def run(self) -> None:
        """Bind, trying again every 5 s for as long as it takes (LIFE-8), and serve.

        Ends by cancellation.

        Raises:
            ListenFailed: the address is not free, and that is fatal.
        """
        connections = Connections()
        with closing(await self._listen()) as listener:
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self.answer, connections), sock=listener
            )
            try:
                self._bound_future().set_result(_address_of(listener))
                await asyncio.Event().wait()
            finally:
                server.close()
                connections.close_all()

    async def wait_listening(self) -> ListenAddress:
        """Wait until requests are answered, and tell where."""
        return await asyncio.shield(self._bound_future())

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """What the server answers."""
        route = self._routes.get(request.path) or self._routes.get(_folder(request.path))
        return route(request) if route else NOT_FOUND

    def _bound_future(self) -> asyncio.Future[ListenAddress]:
        if self._bound is None:
            self._bound = asyncio.get_running_loop().create_future()
        return self._bound

    async def _listen(self) -> socket.socket:
        failures = 0
        while True:
            try:
                listener = open_listener(self._address)
            except OSError as exc:
                failure = ListenFailed(self.name, str(self._address), _reason(exc))
                if self._is_bind_failure_fatal:
                    raise failure from exc
                if not failures:
                    _log.warning(
                        "cannot listen server=%s address=%s error=%s; the agent works without, "
                        "retrying every %g s",
                        self.name,
                        self._address,
                        f'"{failure.reason}"',
                        BIND_RETRY_SECONDS,
                    )
                failures += 1
                await self._pause(BIND_RETRY_SECONDS)
            else:
                _log.info(
                    "listening server=%s address=%s failed_attempts=%d",
                    self.name,
                    _address_of(listener),
                    failures,
                )
                return listener


def open_listener(
    address: ListenAddress, *, is_v6_only: bool = False, backlog: int = 128
) -> socket.socket:
    """A listening socket; the unspecified IPv6 address takes IPv4 too, as Go listens.

    Args:
        address: where.
        is_v6_only: leave the same port of IPv4 to another listener (HZ-20a).
        backlog: connections the kernel keeps until they are taken.

    Raises:
        OSError: the address is taken, or is none of this machine.
    """
    is_ipv6 = ":" in address.host
    return socket.create_server(
        (address.host, address.port),
        family=socket.AF_INET6 if is_ipv6 else socket.AF_INET,
        backlog=backlog,
        dualstack_ipv6=address.host == "::" and not is_v6_only and socket.has_dualstack_ipv6(),
    )


def _address_of(listener: socket.socket) -> ListenAddress:
    host, port = listener.getsockname()[:2]
    return ListenAddress(host, port)


def _reason(exc: OSError) -> str:
    return os.strerror(exc.errno) if exc.errno else str(exc)


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]
