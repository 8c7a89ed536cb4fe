"""Answering one request: who may ask, what goes wrong, what is sent.

::

    request -> faults that replace the answer -> authentication -> fixed document
                                                                -> one object | list | watch
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from tests.support.apiserver.behaviour import Behaviour
from tests.support.apiserver.events import EventBook
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
)
from tests.support.apiserver.http import INLINE_LIMIT, Connection, RecordedRequest, Response
from tests.support.apiserver.lists import list_page
from tests.support.apiserver.resources import ENDPOINTS
from tests.support.apiserver.routes import (
    Target,
    document_for,
    selection_of,
    target_for,
    verb_of,
)
from tests.support.apiserver.selectors import Selection
from tests.support.apiserver.statuses import ApiError, status_body
from tests.support.apiserver.store import Store
from tests.support.apiserver.stored import object_key, typed_body
from tests.support.apiserver.waiting import Bell
from tests.support.apiserver.watches import Watch, check_watch_list, parse_watch_query

Headers = Mapping[str, str]

_COMMON_HEADERS: Headers = {
    "Cache-Control": "no-cache, private",
    "Content-Type": "application/json",
}
_FLOW_HEADERS: Headers = {
    "X-Kubernetes-Pf-Flowschema-Uid": "00000000-5eed-4000-8000-00000000f10a",
    "X-Kubernetes-Pf-Prioritylevel-Uid": "00000000-5eed-4000-8000-00000000f10b",
}
_ENDPOINTS_WARNING = (
    '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
)
_TEXT: Headers = {"Content-Type": "text/plain; charset=utf-8"}
_HEALTH_PATHS = ("/healthz", "/livez", "/readyz")


class Answerer:
    """Answers requests from the store, as `behaviour` and `faults` say."""

    def __init__(
        self, behaviour: Behaviour, store: Store, book: EventBook, faults: Faults, bell: Bell
    ) -> None:
        self.watches: set[Watch] = set()
        """Those open now."""
        self.bytes_sent: Counter[str] = Counter()
        """Bytes written to clients, headers and framing included, by path."""
        self._behaviour = behaviour
        self._store = store
        self._book = book
        self._faults = faults
        self._bell = bell

    async def respond(self, request: RecordedRequest, connection: Connection) -> bool:
        """Answer one request; True if the connection can take another."""
        struck = self._faults.strike(request.path, verb_of(request))
        if struck.first(Reset):
            connection.reset()
            return False
        if struck.first(Hang):
            await connection.wait_closed_by_client()
            return False
        response = self._response(connection, request.path, struck)
        try:
            return await self._route(request, response, struck)
        except ApiError as refused:
            return await _send_status(response, refused.code, refused.body())
        finally:
            response.close()

    def _response(self, connection: Connection, path: str, struck: Struck) -> Response:
        def count(size: int) -> None:
            self.bytes_sent[path] += size

        return Response(connection, count, struck.first(Drip), struck.first(Truncate))

    async def _route(self, request: RecordedRequest, response: Response, struck: Struck) -> bool:
        if request.path in _HEALTH_PATHS:
            return await send_body(response, 200, _TEXT, b"ok")
        self._authenticate(request)
        failure = struck.first(Fail)
        if failure is not None:
            return await _send_failure(response, failure)
        document = document_for(request.path, self._behaviour)
        if document is not None:
            return await send_body(response, 200, _FLOW_HEADERS, document)
        if self._behaviour.serves_events and (posted := self._book.answer(request)):
            self._bell.ring()
            return await send_body(response, posted[0], _FLOW_HEADERS, posted[1] + b"\n")
        target = target_for(request.path, self._behaviour)
        if target is None:
            return await send_body(response, 404, _TEXT, b"404 page not found\n")
        if request.method != "GET":
            raise ApiError(405, "the server does not allow this method on the requested resource")
        return await self._read(request, response, struck, target)

    def _authenticate(self, request: RecordedRequest) -> None:
        token = self._behaviour.token
        if token is not None and request.headers.get("authorization") != f"Bearer {token}":
            raise ApiError(401, "Unauthorized")

    async def _read(
        self, request: RecordedRequest, response: Response, struck: Struck, target: Target
    ) -> bool:
        if target.name:
            return await self._get(response, target)
        selection = selection_of(request, target)
        if request.is_watch:
            return await self._watch(request, response, struck, target, selection)
        return await self._list(request, response, struck, target, selection)

    async def _get(self, response: Response, target: Target) -> bool:
        collection = self._store.collection(target.resource)
        stored = collection.get(object_key(target.namespace, target.name))
        if stored is None:
            raise _not_found(target)
        body = typed_body(stored, target.version) + b"\n"
        return await send_body(response, 200, _resource_headers(target), body)

    async def _list(
        self,
        request: RecordedRequest,
        response: Response,
        struck: Struck,
        target: Target,
        selection: Selection,
    ) -> bool:
        page = list_page(
            self._store.collection(target.resource),
            self._store.version,
            target.version,
            selection,
            request.query,
            ignores_limit_at_rv0=self._behaviour.ignores_limit_at_rv0,
        )
        extra = struck.first(ExtraItem)
        pieces = page.pieces((extra.item,) if extra is not None else ())
        return await _send_pieces(response, _resource_headers(target), pieces)

    async def _watch(
        self,
        request: RecordedRequest,
        response: Response,
        struck: Struck,
        target: Target,
        selection: Selection,
    ) -> bool:
        query = parse_watch_query(request.query)
        if self._behaviour.knows_watch_list:
            check_watch_list(query, self._store.version)
        response.start(200, {**_COMMON_HEADERS, **_resource_headers(target)}, None)
        if struck.first(EndAtOnce):
            return await finish(response)
        watch = Watch(
            response, self._store, target.resource, target.version, selection, query, struck
        )
        injected = struck.first(SendLine)
        if injected is not None:
            watch.send_line(injected.line)
        last_line = watch.begin(self._behaviour)
        if last_line:
            watch.send_line(last_line)
            return await finish(response)
        return await self._follow(watch)

    async def _follow(self, watch: Watch) -> bool:
        """Keep a watch open; no await may come between its beginning and the first line here."""
        watch.collection.listeners.append(watch.on_event)
        self.watches.add(watch)
        self._bell.ring()
        try:
            is_usable = await watch.run(self._behaviour.bookmark_interval)
        finally:
            watch.collection.listeners.remove(watch.on_event)
            self.watches.remove(watch)
            self._bell.ring()
        return is_usable and await finish(watch.response)


def _resource_headers(target: Target) -> Headers:
    if target.resource is ENDPOINTS:
        return {"Warning": _ENDPOINTS_WARNING, **_FLOW_HEADERS}  # EPS-14
    return _FLOW_HEADERS


def _not_found(target: Target) -> ApiError:
    details = {"name": target.name, "kind": target.resource.plural}
    return ApiError(404, f'{target.resource.plural} "{target.name}" not found', details)


async def _send_failure(response: Response, failure: Fail) -> bool:
    body = status_body(failure.status, failure.message)
    if failure.retry_after is None:
        return await _send_status(response, failure.status, body)
    headers = {"Retry-After": str(failure.retry_after)}
    return await _send_status(response, failure.status, body, headers)


async def _send_status(
    response: Response, code: int, body: bytes, headers: Headers | None = None
) -> bool:
    # A request that was not let in has not reached flow control either.
    flow = {} if code == 401 else _FLOW_HEADERS
    return await send_body(response, code, {**flow, **(headers or {})}, body + b"\n")


async def send_body(response: Response, code: int, headers: Headers, body: bytes) -> bool:
    """Send a complete answer; True if the connection can take another request."""
    length = len(body) if len(body) <= INLINE_LIMIT else None
    response.start(code, {**_COMMON_HEADERS, **headers}, length)
    response.send(body)
    return await finish(response)


async def _send_pieces(response: Response, headers: Headers, pieces: Iterator[bytes]) -> bool:
    """Send a body as it is made, unless it turns out to be short enough to know its length."""
    begin = b""
    for piece in pieces:
        begin += piece
        if len(begin) > INLINE_LIMIT:
            break
    else:
        return await send_body(response, 200, headers, begin)
    response.start(200, {**_COMMON_HEADERS, **headers}, None)
    response.send(begin)
    for piece in pieces:
        if response.is_cut:
            break
        await response.drain()
        response.send(piece)
    return await finish(response)


async def finish(response: Response) -> bool:
    """End an answer as its faults allow; True if the connection can take another request."""
    if response.is_breaking:
        await response.drain()
        return False
    await response.finish()
    return True
