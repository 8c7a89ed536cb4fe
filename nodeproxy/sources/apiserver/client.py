"""HTTP towards the API server: the one module that knows aiohttp.

Answers come as streams of chunks, because a watch never ends and its lines may have any length.
Every wait for the server has a limit, and every failure becomes an `ApiError`. A proxy is used if
the kubeconfig names one (`proxy-url`), never from the environment: NO_PROXY with networks in it,
as clusters use it, is not understood by Python.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
import yarl

from nodeproxy import __version__
from nodeproxy.sources.apiserver.credentials import Credentials, Identity
from nodeproxy.sources.apiserver.failures import ApiRefused, ApiUnreachable

Query = Iterable[tuple[str, str]]

_MAX_ERROR_BYTES = 64 << 10
"""An error is a Status of some hundred bytes; a proxy's error page may be longer."""

_KEEPALIVE_SECONDS = 60.0

_HEADERS = {
    "User-Agent": f"nodeproxy/{__version__}",
    "Accept": "application/json",
    # API servers compress lists only, and in a cluster's network that takes longer than sending.
    "Accept-Encoding": "identity",
}


class Change(msgspec.Struct, frozen=True):
    """What a request wants changed."""

    method: str
    """`POST` or `PATCH`."""
    body: bytes
    content_type: str = "application/json"


class Stream:
    """The body of one answer, as it arrives. Close it, or read it to its end."""

    def __init__(self, response: aiohttp.ClientResponse, url: str) -> None:
        self._response = response
        self._url = url

    async def read(self) -> bytes:
        """What has arrived since the last call; waits for the first byte.

        Returns:
            A chunk, or b"" at the orderly end of the body.

        Raises:
            ApiUnreachable: the connection broke.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise ApiUnreachable(self._url, f"connection lost: {_text(exc)}") from exc

    def close(self) -> None:
        """Drop the connection unless the body was read to its end."""
        self._response.close()


class ApiClient:
    """A session with one API server; open it with `async with`."""

    def __init__(
        self, credentials: Credentials, *, timeout_seconds: float, connect_timeout_seconds: float
    ) -> None:
        self._credentials = credentials
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # Idle connections wait for the next doubt about a quiet watch.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._connect_timeout_seconds, sock_read=None
            ),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def open(
        self, subject: str, path: str, query: Query = (), timeout_seconds: float | None = None
    ) -> Stream:
        """Ask for something and wait until the answer begins.

        An identity that is not accepted is loaded anew once, as tokens and certificates may have
        been exchanged meanwhile.

        Args:
            subject: what is asked, for messages: `watch services`.
            path: below the API server's base URL.
            query: parameters, not encoded.
            timeout_seconds: how long to wait for the headers; None means the client's limit.

        Raises:
            ApiUnreachable: no answer in time.
            ApiRefused: the status is not 200.
            CredentialsError: there is no identity to ask with.
        """
        patience = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        return await self._ask(subject, path, query, patience)

    async def send(self, subject: str, path: str, change: Change) -> None:
        """Ask for a change; the answer is only that it was done.

        A request whose answer got lost may have been carried out all the same.

        Raises:
            ApiUnreachable: no answer in time.
            ApiRefused: the status is neither 200 nor 201.
            CredentialsError: there is no identity to ask with.
        """
        stream = await self._ask(subject, path, (), self._timeout_seconds, change)
        stream.close()

    async def _ask(
        self, subject: str, path: str, query: Query, patience: float, change: Change | None = None
    ) -> Stream:
        """Make a request, a second time if the first was with an outdated identity."""
        identity = await self._credentials.identity()
        try:
            return await self._open(subject, identity, path, query, patience, change)
        except ApiRefused as refused:
            if refused.code != 401:
                raise
        self._credentials.refuse(identity)
        identity = await self._credentials.identity()
        try:
            return await self._open(subject, identity, path, query, patience, change)
        except ApiRefused as refused:
            if refused.code == 401:
                self._credentials.refuse(identity)
            raise

    async def fetch(
        self, subject: str, path: str, query: Query, take: Callable[[bytes], None]
    ) -> None:
        """Ask for a whole document and hand on its chunks as they arrive.

        Raises:
            ApiUnreachable, ApiRefused, CredentialsError: as `open`; also if the body stalls.
        """
        stream = await self.open(subject, path, query)
        try:
            while chunk := await self._read_in_time(stream, path):
                take(chunk)
        finally:
            stream.close()

    async def get(self, subject: str, path: str, query: Query = ()) -> bytearray:
        """Ask for a whole document.

        Raises:
            ApiUnreachable, ApiRefused, CredentialsError: as `fetch`.
        """
        body = bytearray()
        await self.fetch(subject, path, query, body.extend)
        return body

    async def _read_in_time(self, stream: Stream, path: str) -> bytes:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await stream.read()
        except TimeoutError:
            silence = f"silent for {self._timeout_seconds:g} s in the middle of an answer"
            raise ApiUnreachable(path, silence) from None

    async def _open(
        self,
        subject: str,
        identity: Identity,
        path: str,
        query: Query,
        patience: float,
        change: Change | None,
    ) -> Stream:
        response = await self._request(identity, path, query, patience, change)
        if response.status == 200 or (change and response.status == 201):
            return Stream(response, identity.base_url)
        try:
            raise ApiRefused(
                subject,
                response.status,
                await _error_message(response, patience),
                _retry_after(response),
            )
        finally:
            response.close()

    async def _request(
        self, identity: Identity, path: str, query: Query, patience: float, change: Change | None
    ) -> aiohttp.ClientResponse:
        assert self._session is not None, "the client is not open"
        url = identity.base_url + path
        if query := tuple(query):
            url += "?" + urlencode(query, quote_via=quote)
        headers = {"Authorization": identity.authorization} if identity.authorization else {}
        if change:
            headers["Content-Type"] = change.content_type
        try:
            async with asyncio.timeout(patience):
                return await self._session.request(
                    change.method if change else "GET",
                    yarl.URL(url, encoded=True),
                    data=change.body if change else None,
                    headers=headers,
                    ssl=identity.ssl_context or True,
                    server_hostname=identity.server_hostname,
                    proxy=identity.proxy,
                    # A redirect would carry the token to wherever it points.
                    allow_redirects=False,
                )
        except aiohttp.ClientError as exc:
            raise ApiUnreachable(identity.base_url, _text(exc)) from exc
        except TimeoutError:
            raise ApiUnreachable(identity.base_url, f"no answer within {patience:g} s") from None
        except (OSError, ValueError) as exc:
            raise ApiUnreachable(identity.base_url, _text(exc)) from exc


async def _error_message(response: aiohttp.ClientResponse, patience: float) -> str:
    """What a Status says, or the beginning of whatever it is."""
    try:
        async with asyncio.timeout(patience):
            body = await response.content.read(_MAX_ERROR_BYTES)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return response.reason or "without an explanation"
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace").strip() or response.reason or ""


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds of a Retry-After header; dates are not used by API servers and mean nothing here."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def _text(exc: Exception) -> str:
    """A foreign exception in words; some have none."""
    return str(exc) or type(exc).__name__
