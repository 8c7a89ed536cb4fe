"""The listening sockets for health checks of Services; everything here runs in one event loop.

A thousand Services of two families are two thousand sockets. Each costs a socket and an entry of
the selector, and they are opened a few at a time, so that other answers do not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from nodeproxy.config.schema import ListenAddress
from nodeproxy.model.addresses import Family
from nodeproxy.model.keys import ServiceKey
from nodeproxy.model.reports import ServiceEvent, service_health_server_failed
from nodeproxy.plan.types import NodePortAddresses
from nodeproxy.server.http import open_listener
from nodeproxy.server.http1 import Answer, Connection, Connections, Request
from nodeproxy.server.service_addresses import LocalAddresses, hosts_for

_log = logging.getLogger("nodeproxy.server")

_AT_ONCE = 16
"""Services whose sockets are opened or closed without a pause: below a millisecond."""
_BACKLOG = 16
_RECHECK_SECONDS = 30.0
"""What cannot be listened on is tried again so often, even if nothing is synced meanwhile, and the
addresses of the node are looked at."""
_ACCEPT_PAUSE_SECONDS = 1.0
"""When files run out, so that the listener does not spin."""


class CheckKey(NamedTuple):
    """One Service in one family: each family answers for itself on the same port number."""

    family: Family
    service: ServiceKey


class Update(NamedTuple):
    """What changed since the last one."""

    ports: dict[CheckKey, int]
    """0 for a Service without a check from now on."""
    node_ports: dict[Family, NodePortAddresses]


class _Listener:
    """The open sockets of one Service, all of its addresses or none."""

    def __init__(self, port: int, hosts: tuple[str, ...]) -> None:
        self.port = port
        self.hosts = hosts
        self.sockets: list[socket.socket] = []

    def open(self) -> None:
        """Raises OSError: one address is not free; nothing is open then."""
        try:
            for host in self.hosts:
                address = ListenAddress(host, self.port)
                listener = open_listener(address, is_v6_only=True, backlog=_BACKLOG)
                self.sockets.append(listener)
                listener.setblocking(False)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        while self.sockets:
            self.sockets.pop().close()


class ServiceListeners:
    """Opens and closes sockets until they are what updates say; mutable."""

    def __init__(
        self,
        node_name: str,
        answer: Callable[[CheckKey, Request], Answer],
        updates: deque[Update],
        local_addresses: LocalAddresses,
        emit: Callable[[ServiceEvent], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.failures = 0
        """Ports that could not be listened on the last time it was tried."""
        self.open_count = 0
        self._node_name = node_name
        self._answer = answer
        self._updates = updates
        self._local_addresses = local_addresses
        self._emit = emit
        self._pause = pause
        self._ports: dict[CheckKey, int] = {}
        self._node_ports: dict[Family, NodePortAddresses] = {}
        self._hosts: dict[Family, tuple[str, ...]] = {}
        self._open: dict[CheckKey, _Listener] = {}
        self._failed: dict[CheckKey, ServiceEvent] = {}
        self._due: dict[CheckKey, None] = {}
        self._connections = Connections()
        self._accepting: set[asyncio.Task[object]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_working = False

    async def run(self) -> None:
        """Listen until cancelled."""
        _allow_many_files()
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self.proceed()
                await self._pause(_RECHECK_SECONDS)
        finally:
            self._loop = None
            for key in tuple(self._open):
                self._close(key)
            self._connections.close_all()

    def proceed(self) -> None:
        """Take what has been told, and try again what failed."""
        self._due.update(dict.fromkeys(self._failed))
        while self._updates:
            self._take(self._updates.popleft())
        self._look_for_addresses()
        if not self._is_working:
            self._work()

    def _take(self, update: Update) -> None:
        for key, port in update.ports.items():
            if port:
                self._ports[key] = port
            else:
                self._ports.pop(key, None)
        self._due.update(dict.fromkeys(update.ports))
        self._node_ports.update(update.node_ports)

    def _look_for_addresses(self) -> None:
        """Which addresses to listen on; if they changed, every Service is looked at."""
        for family, node_ports in self._node_ports.items():
            if self._ports:
                hosts = hosts_for(node_ports, family, self._local_addresses)
                if hosts != self._hosts.get(family):
                    self._hosts[family] = hosts
                    self._due.update((key, None) for key in self._ports if key.family is family)

    def _work(self) -> None:
        """Do some of what is due, closing first: a port may go from one Service to another."""
        self._is_working = False
        if self._loop is None:
            return
        if not self._is_closing_done():
            self._continue()
            return
        for key in list(self._due)[:_AT_ONCE]:
            del self._due[key]
            self._bring_up(key)
        self.failures = len(self._failed)
        if self._due:
            self._continue()

    def _continue(self) -> None:
        assert self._loop is not None
        self._is_working = True
        self._loop.call_soon(self._work)

    def _is_closing_done(self) -> bool:
        wrong = [key for key in self._due if key in self._open and not self._is_right(key)]
        for key in wrong[:_AT_ONCE]:
            self._close(key)
        return len(wrong) <= _AT_ONCE

    def _is_right(self, key: CheckKey) -> bool:
        listener = self._open[key]
        return listener.port == self._ports.get(key) and listener.hosts == self._hosts_of(key)

    def _hosts_of(self, key: CheckKey) -> tuple[str, ...]:
        return self._hosts.get(key.family, ())

    def _bring_up(self, key: CheckKey) -> None:
        port = self._ports.get(key)
        if port is None:
            self._failed.pop(key, None)
            return
        if key in self._open:
            return
        listener = _Listener(port, self._hosts_of(key))
        try:
            listener.open()
        except OSError as exc:
            self._note_failure(key, port, os.strerror(exc.errno) if exc.errno else str(exc))
            return
        if self._failed.pop(key, None) is not None:
            _log.info("health checks answered after all service=%s port=%d", key.service, port)
        self._open[key] = listener
        for one in listener.sockets:
            self._attend(key, one)
        self.open_count += len(listener.sockets)

    def _close(self, key: CheckKey) -> None:
        listener = self._open.pop(key)
        self.open_count -= len(listener.sockets)
        for one in listener.sockets:
            asyncio.get_running_loop().remove_reader(one)
        listener.close()
        # A client that keeps its connection would go on to be told about this Service.
        self._connections.close_of(key)

    def _note_failure(self, key: CheckKey, port: int, cause: str) -> None:
        """Told once for as long as it is the same (HZ-22)."""
        event = service_health_server_failed(self._node_name, key.service, port, cause)
        if self._failed.get(key) != event:
            self._failed[key] = event
            _log.warning("%s; load balancers will not send to this node, retrying", event.note)
            self._emit(event)

    def _attend(self, key: CheckKey, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, key, listener)

    def _accept(self, key: CheckKey, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            _log.warning("connections not accepted error=%s", exc)
            loop.remove_reader(listener)
            loop.call_later(_ACCEPT_PAUSE_SECONDS, self._attend_again, key, listener)
            return
        accepted.setblocking(False)

        def new_connection() -> Connection:
            return Connection(lambda request: self._answer(key, request), self._connections, key)

        task = loop.create_task(loop.connect_accepted_socket(new_connection, accepted))
        # The loop keeps only a weak reference to a task.
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _attend_again(self, key: CheckKey, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._attend(key, listener)


def _allow_many_files() -> None:
    """As many open files as this process may have; the usual 1024 are too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
