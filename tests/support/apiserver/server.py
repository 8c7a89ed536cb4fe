"""The API server stand-in: real HTTP, the real protocol, and faults on demand."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from tests.support.apiserver.faults import (
    Drip,
    EndAtOnce,
    ExtraItem,
    Fail,
    Faults,
    Hang,
    Reset,
    SendLine,
    Struck,
    Truncate,
    Verb,
)
from tests.support.apiserver.http import INLINE_LIMIT, Connection, RecordedRequest, Response
from tests.support.apiserver.lists import Page, list_page
from tests.support.apiserver.resources import (
    ENDPOINT_SLICE,
    ENDPOINTS,
    RESOURCE_BY_PLURAL,
    SERVICE_CIDR,
    Resource,
)
from tests.support.apiserver.selectors import (
    Selection,
    SelectorError,
    parse_field_selector,
    parse_label_selector,
)
from tests.support.apiserver.statuses import (
    NOT_SERVED,
    ApiError,
    discovery_group_body,
    discovery_version_body,
    status_body,
    version_body,
)
from tests.support.apiserver.store import DEFAULT_HISTORY_LIMIT, Store, object_key, typed_body
from tests.support.apiserver.watches import Watch, check_watch_list, parse_watch_query

_COMMON_HEADERS = {"Cache-Control": "no-cache, private", "Content-Type": "application/json"}
_FLOW_HEADERS = {
    "X-Kubernetes-Pf-Flowschema-Uid": "00000000-5eed-4000-8000-00000000f10a",
    "X-Kubernetes-Pf-Prioritylevel-Uid": "00000000-5eed-4000-8000-00000000f10b",
}
_ENDPOINTS_WARNING = (
    '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
)
_OPEN_PATHS = ("/healthz", "/livez", "/readyz")
_RESOURCE_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?"
)


class Target:
    """The resource a request is about."""

    def __init__(self, resource: Resource, version: str, namespace: str, name: str) -> None:
        self.resource = resource
        self.version = version
        self.namespace = namespace
        self.name = name


class ApiServerStandIn:
    """Serves Services, Endpoints, EndpointSlices, Nodes and ServiceCIDRs over real HTTP.

    Objects are put and deleted by the test, in the same event loop::

        server = ApiServerStandIn()
        async with server.running() as url:
            server.put(service("web"))

    What the server can do is set by attributes, which may change while it runs; what goes wrong,
    by `faults` and by the methods that strike open watches.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        served_discovery: Collection[str] = ("v1",),
        serves_service_cidrs: bool = True,
        supports_watch_list: bool = True,
        knows_watch_list: bool = True,
        ignores_limit_at_rv0: bool = True,
        bookmark_interval: float = 60.0,
        minor_version: int = 36,
        resource_version: int = 1000,
        history_limit: int = DEFAULT_HISTORY_LIMIT,
    ) -> None:
        self.token = token
        """The bearer token clients must present; None lets everybody in."""
        self.served_discovery = set(served_discovery)
        """Versions of discovery.k8s.io that are served: any of v1 and v1beta1."""
        self.serves_service_cidrs = serves_service_cidrs
        self.supports_watch_list = supports_watch_list
        """False refuses streaming lists with an ERROR event (code 500)."""
        self.knows_watch_list = knows_watch_list
        """False takes a streaming list for a plain watch, as servers before 1.27 do."""
        self.ignores_limit_at_rv0 = ignores_limit_at_rv0
        self.bookmark_interval = bookmark_interval
        """Seconds between bookmarks; the real server takes about 60."""
        self.minor_version = minor_version
        self.faults = Faults()
        self.requests: list[RecordedRequest] = []
        """Every request so far, in order of arrival."""
        self.bytes_sent: Counter[str] = Counter()
        """Bytes written to clients, headers and framing included, by path."""
        self.control: Callable[[RecordedRequest], bytes] | None = None
        """Answers requests below /_control/ when set."""
        self.store = Store(resource_version, history_limit)
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._watches: set[Watch] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._listener: asyncio.Server | None = None
        self._ssl_context: ssl.SSLContext | None = None

    # Running

    @asynccontextmanager
    async def running(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        sock: socket.socket | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> AsyncIterator[str]:
        """Listen, and give the URL; ends every connection afterwards.

        Args:
            host: address to listen on.
            port: 0 takes a free one.
            sock: a bound socket to listen on instead, for example of another network namespace.
            ssl_context: serve HTTPS with it.
        """
        self._ssl_context = ssl_context
        sock = sock or socket.create_server((host, port))
        address = sock.getsockname()
        await self._listen(sock)
        try:
            yield f"{'https' if ssl_context else 'http'}://{address[0]}:{address[1]}"
        finally:
            await self._stop()

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Be away meanwhile: connections are dropped and new ones refused. Same port after."""
        assert self._listener is not None
        address = self._listener.sockets[0].getsockname()
        await self._stop()
        try:
            yield
        finally:
            await self._listen(socket.create_server(address[:2]))

    async def _listen(self, sock: socket.socket) -> None:
        self._listener = await asyncio.start_server(
            self._serve_connection, sock=sock, ssl=self._ssl_context, backlog=256
        )

    async def _stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        tasks = list(self._connections.values())
        for connection, task in self._connections.items():
            connection.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._listener.wait_closed()

    # Objects

    def put(self, obj: Mapping[str, Any]) -> int:
        """Create or replace an object; returns its resourceVersion, already sent to watches.

        The server adds uid, resourceVersion, creationTimestamp and a missing namespace
        ("default"). Anything but kind, name and namespace may be malformed.
        """
        return self.store.put(obj)

    def delete(self, kind: str, namespace: str, name: str) -> int:
        """Remove an object; returns the resourceVersion of the removal.

        Raises:
            KeyError: there is no such object.
        """
        return self.store.delete(kind, namespace, name)

    def compact(self) -> None:
        """Forget the history: older resourceVersions and continue tokens are told 410."""
        self.store.compact()

    def restart(self, *, resource_version: int | None = None) -> None:
        """Drop every connection and all history; go on at another resourceVersion if given."""
        self.store.rewind(self.store.version if resource_version is None else resource_version)
        for connection in self._connections:
            connection.abort()

    # Open watches

    def watches(self, kind: str | None = None) -> list[Watch]:
        """The open watches, of one kind or all."""
        return [w for w in self._watches if kind is None or w.resource.kind == kind]

    def bookmark(self, kind: str | None = None) -> None:
        """Send a bookmark now to every watch that allows them."""
        for watch in self.watches(kind):
            watch.send_bookmark()

    def send_line(self, line: bytes, kind: str | None = None) -> None:
        """Send a line of any content to open watches: garbage, malformed objects."""
        for watch in self.watches(kind):
            watch.send_line(line)

    def end_watches(self, kind: str | None = None) -> None:
        """End open watches in the orderly way, as a timeout does."""
        for watch in self.watches(kind):
            watch.response.ended.set()

    def reset_watches(self, kind: str | None = None) -> None:
        """End open watches with a TCP reset."""
        for watch in self.watches(kind):
            watch.response.connection.reset()

    def silence_watches(self, kind: str | None = None) -> None:
        """Let open watches stay open and never say anything again (a half-open connection)."""
        for watch in self.watches(kind):
            watch.is_silent = True

    # Waiting

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on requests or open watches, looked at whenever those change."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    async def wait_watched(self, *kinds: str) -> None:
        """Wait until every one of these kinds has an open watch."""
        await self.wait_until(lambda: all(self.watches(kind) for kind in kinds))

    def _notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # Connections

    async def _serve_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        connection = Connection(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._connections[connection] = task
        try:
            while (request := await connection.read_request()) is not None:
                if not await self._respond(request, connection):
                    break
        except ConnectionError:
            pass  # the client left in the middle of an answer
        except asyncio.CancelledError:
            pass  # the server stops; nobody awaits this task but _stop
        finally:
            del self._connections[connection]
            with suppress(asyncio.CancelledError):
                await connection.close()

    async def _respond(self, request: RecordedRequest, connection: Connection) -> bool:
        """Answer one request; True if the connection can take another."""
        if request.path.startswith("/_control/") and self.control is not None:
            response = Response(connection, lambda _: None)
            return await self._send_body(response, 200, {}, self.control(request))
        self.requests.append(request)
        self._notify()
        verb = _verb(request)
        struck = self.faults.strike(request.path, verb)
        if struck.first(Reset):
            connection.reset()
            return False
        if struck.first(Hang):
            await connection.wait_closed_by_client()
            return False
        response = self._response(connection, request, struck)
        try:
            return await self._route(request, response, struck)
        except ApiError as refused:
            return await self._send_error(response, refused.code, refused.body())
        finally:
            response.close()

    def _response(
        self, connection: Connection, request: RecordedRequest, struck: Struck
    ) -> Response:
        def count(size: int) -> None:
            self.bytes_sent[request.path] += size

        return Response(connection, count, struck.first(Drip), struck.first(Truncate))

    async def _route(self, request: RecordedRequest, response: Response, struck: Struck) -> bool:
        path = request.path
        if path in _OPEN_PATHS:
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            return await self._send_body(response, 200, headers, b"ok")
        if self.token is not None:
            self._authenticate(request)
        if (failure := struck.first(Fail)) is not None:
            return await self._fail(response, failure)
        document = self._document(path)
        if document is not None:
            return await self._send_body(response, 200, _FLOW_HEADERS, document)
        target = self._target(path)
        if target is None:
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            return await self._send_body(response, 404, headers, b"404 page not found\n")
        if request.method != "GET":
            raise ApiError(405, "the server does not allow this method on the requested resource")
        return await self._read(request, response, struck, target)

    def _authenticate(self, request: RecordedRequest) -> None:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            raise ApiError(401, "Unauthorized")

    async def _fail(self, response: Response, failure: Fail) -> bool:
        headers = {}
        if failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
        body = status_body(failure.status, failure.message)
        return await self._send_error(response, failure.status, body, headers)

    def _document(self, path: str) -> bytes | None:
        if path == "/version":
            return version_body(self.minor_version)
        group = f"/apis/{ENDPOINT_SLICE.group}"
        if path == group and self.served_discovery:
            return discovery_group_body(self.served_discovery)
        version = path.removeprefix(f"{group}/")
        return discovery_version_body(version) if version in self.served_discovery else None

    # Resources

    def _target(self, path: str) -> Target | None:
        """The resource a path names; None if not even its API group is known.

        Raises:
            ApiError: 404, the group is served but not this version or resource.
        """
        found = _RESOURCE_PATH.fullmatch(path)
        group = (found and found["group"]) or ""
        if found is None or not self._serves_group(group):
            return None
        resource = RESOURCE_BY_PLURAL.get((group, found["plural"]))
        if resource is None or found["version"] not in self._served_versions(resource):
            raise ApiError(404, NOT_SERVED, {})
        return Target(resource, found["version"], found["namespace"] or "", found["name"] or "")

    def _serves_group(self, group: str) -> bool:
        if group == ENDPOINT_SLICE.group:
            return bool(self.served_discovery)
        return group in ("", SERVICE_CIDR.group)

    def _served_versions(self, resource: Resource) -> Collection[str]:
        if resource is ENDPOINT_SLICE:
            return self.served_discovery
        if resource is SERVICE_CIDR and not self.serves_service_cidrs:
            return ()
        return resource.versions

    async def _read(
        self, request: RecordedRequest, response: Response, struck: Struck, target: Target
    ) -> bool:
        collection = self.store.collection(target.resource)
        headers = dict(_FLOW_HEADERS)
        if target.resource is ENDPOINTS:
            headers["Warning"] = _ENDPOINTS_WARNING  # EPS-14
        if target.name:
            stored = collection.get(object_key(target.namespace, target.name))
            if stored is None:
                raise _not_found(target)
            return await self._send_body(
                response, 200, headers, typed_body(stored, target.version) + b"\n"
            )
        selection = _selection(request, target)
        if request.is_watch:
            return await self._watch(request, response, struck, target, selection, headers)
        page = list_page(
            collection,
            self.store.version,
            target.version,
            selection,
            request.query,
            ignores_limit_at_rv0=self.ignores_limit_at_rv0,
        )
        return await self._send_page(response, headers, page, struck)

    async def _watch(
        self,
        request: RecordedRequest,
        response: Response,
        struck: Struck,
        target: Target,
        selection: Selection,
        headers: Mapping[str, str],
    ) -> bool:
        query = parse_watch_query(request.query)
        if self.knows_watch_list:
            check_watch_list(query, self.store.version)
        response.start(200, {**_COMMON_HEADERS, **headers}, None)
        if struck.first(EndAtOnce):
            return await _finish(response)
        collection = self.store.collection(target.resource)
        watch = Watch(response, collection, target.version, selection, query, struck)
        if (injected := struck.first(SendLine)) is not None:
            watch.send_line(injected.line)
        last_line = watch.begin(
            self.store.version,
            knows_watch_list=self.knows_watch_list,
            supports_watch_list=self.supports_watch_list,
        )
        if last_line:
            watch.send_line(last_line)
            return await _finish(response)
        return await self._follow(watch)

    async def _follow(self, watch: Watch) -> bool:
        self._watches.add(watch)
        watch.collection.listeners.append(watch.on_event)
        self._notify()
        try:
            is_usable = await watch.run(self.bookmark_interval)
        finally:
            watch.collection.listeners.remove(watch.on_event)
            self._watches.remove(watch)
            self._notify()
        return is_usable and await _finish(watch.response)

    # Sending

    async def _send_page(
        self, response: Response, headers: Mapping[str, str], page: Page, struck: Struck
    ) -> bool:
        extra = struck.first(ExtraItem)
        pieces = page.pieces((extra.item,) if extra else ())
        if len(page.items) <= _FEW_ITEMS:
            body = b"".join(pieces)
            return await self._send_body(response, 200, headers, body)
        response.start(200, {**_COMMON_HEADERS, **headers}, None)
        for piece in pieces:
            response.send(piece)
            if response.is_cut:
                break
            await response.drain()
        return await _finish(response)

    async def _send_error(
        self,
        response: Response,
        code: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
    ) -> bool:
        flow = {} if code == 401 else _FLOW_HEADERS
        return await self._send_body(response, code, {**flow, **(headers or {})}, body + b"\n")

    async def _send_body(
        self, response: Response, code: int, headers: Mapping[str, str], body: bytes
    ) -> bool:
        length = len(body) if len(body) <= INLINE_LIMIT else None
        response.start(code, {**_COMMON_HEADERS, **headers}, length)
        response.send(body)
        return await _finish(response)


_FEW_ITEMS = 8
"""Lists up to here are put together first, to see whether they are short enough to be inline."""


async def _finish(response: Response) -> bool:
    """End an answer as its faults allow; True if the connection can take another request."""
    if response.is_breaking:
        await response.drain()
        return False
    await response.finish()
    return True


def _verb(request: RecordedRequest) -> Verb:
    if request.is_watch:
        return "watch"
    found = _RESOURCE_PATH.fullmatch(request.path)
    return "list" if found is not None and not found["name"] else "get"


def _selection(request: RecordedRequest, target: Target) -> Selection:
    query = request.query
    try:
        return Selection(
            namespace=target.namespace,
            labels=parse_label_selector(query.get("labelSelector", "")),
            fields=parse_field_selector(
                query.get("fieldSelector", ""), target.resource.selectable_fields
            ),
        )
    except SelectorError as exc:
        raise ApiError(400, str(exc)) from exc


def _not_found(target: Target) -> ApiError:
    details = {"name": target.name, "kind": target.resource.plural}
    return ApiError(404, f'{target.resource.plural} "{target.name}" not found', details)
