"""Who the agent is to the API server, kept fresh.

A kubeconfig, the service account of a pod, or a bare URL becomes an `Identity`: address, TLS
settings, Authorization header. Everything about it may change while the agent runs, and all
changes are treated alike, by loading the whole identity anew for the next request:

- a file it was made of changed (kubeconfig, token, certificates, CA),
- the token an exec plugin gave is about to expire,
- the API server said 401.

If loading fails, the identity in use stays, unless the API server has refused it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from nodeproxy import clock
from nodeproxy.sources.apiserver.failures import CredentialsError

log = logging.getLogger("nodeproxy.sources.apiserver")

EXPIRY_MARGIN = timedelta(seconds=60)
"""A token is renewed this long before it expires: longer than any request takes to arrive."""
LOAD_TIMEOUT_SECONDS = 60.0
"""An exec plugin that takes longer has hung."""


class Identity:
    """How requests reach the API server, and who they come from; never changes.

    Not a struct, so that no log or traceback prints a token by accident.
    """

    def __init__(
        self,
        base_url: str,
        *,
        authorization: str = "",
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        proxy: str | None = None,
        expires_at: datetime | None = None,
        files: Sequence[str] = (),
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.authorization = authorization
        """Value of the Authorization header; empty means none."""
        self.ssl_context = ssl_context
        """None for plain HTTP."""
        self.server_hostname = server_hostname
        """Name to expect in the server's certificate, None for the name in the URL."""
        self.proxy = proxy
        self.expires_at = expires_at
        """When the token ends, None if it does not say."""
        self.files = tuple(files)
        """What this was read from."""

    def __repr__(self) -> str:
        return f"Identity({self.base_url!r})"


LoadIdentity = Callable[[], Awaitable[Identity]]
_Stamp = tuple[tuple[int, int, int] | None, ...]  # device, inode, mtime of each file


class Credentials:
    """Hands out the current identity; mutable, shared by all requests of a source."""

    def __init__(self, load: LoadIdentity) -> None:
        self._load = load
        self._lock = asyncio.Lock()  # a plugin runs once, however many requests wait for it
        self._current: Identity | None = None
        self._stamp: _Stamp = ()
        self._is_refused = False
        self._has_trouble = False

    async def start(self) -> None:
        """Load the identity for the first time.

        Raises:
            CredentialsError: it cannot be loaded and waiting will not help.
        """
        try:
            await self.identity()
        except CredentialsError as error:
            if not error.may_pass:
                raise
            # Whoever makes the first request meets the same error, reports and retries it.

    async def identity(self) -> Identity:
        """The identity for the next request; reads files or runs a plugin if it must.

        Raises:
            CredentialsError: there is none, or the one there was has been refused.
        """
        async with self._lock:
            current = self._current
            if current is None or self._is_refused or self._is_outdated(current):
                current = await self._reload(current)
            return current

    def refuse(self, identity: Identity) -> None:
        """The API server did not accept this identity: load it anew before the next request."""
        if identity is self._current:
            self._is_refused = True

    def _is_outdated(self, current: Identity) -> bool:
        if current.expires_at and clock.utc_now() >= current.expires_at - EXPIRY_MARGIN:
            return True
        return _stamp(current.files) != self._stamp

    async def _reload(self, current: Identity | None) -> Identity:
        # Taken before reading: a file that changes meanwhile is read again for the next request.
        before = _stamp(current.files) if current else ()
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_SECONDS):
                fresh = await self._load()
        except (CredentialsError, TimeoutError) as exc:
            error = _timed_out() if isinstance(exc, TimeoutError) else exc
            if current is None or self._is_refused:
                raise error from exc
            self._report(error)
            return current
        if self._has_trouble:
            log.info("credentials loaded again url=%s", fresh.base_url)
        self._has_trouble = self._is_refused = False
        is_same = current is not None and fresh.files == current.files
        self._stamp = before if is_same else _stamp(fresh.files)
        self._current = fresh
        return fresh

    def _report(self, error: CredentialsError) -> None:
        if not self._has_trouble:
            log.warning("%s; going on with what was loaded before", error)
        self._has_trouble = True


def _stamp(files: Sequence[str]) -> _Stamp:
    stamps: list[tuple[int, int, int] | None] = []
    for name in files:
        stamps.append(None)
        with contextlib.suppress(OSError):
            found = os.stat(name)
            stamps[-1] = (found.st_dev, found.st_ino, found.st_mtime_ns)
    return tuple(stamps)


def _timed_out() -> CredentialsError:
    return CredentialsError(
        "credentials",
        f"the exec plugin or identity provider took more than {LOAD_TIMEOUT_SECONDS:.0f} s",
        "see why it hangs",
        may_pass=True,
    )
