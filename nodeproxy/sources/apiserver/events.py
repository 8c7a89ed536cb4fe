"""Posting what operators should see as Events of the cluster (spec 60 section 9).

    anybody: emit(report) --> Outbox --> run(): one at a time --> API server

Events are a courtesy: nothing waits for them, nothing fails because of them, and what the API
server does not take now is posted later, at the pace the Outbox allows, or never.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading

import msgspec

from nodeproxy import clock
from nodeproxy.config.schema import Config
from nodeproxy.model.reports import Report, ServiceEvent
from nodeproxy.sources.apiserver.backoff import Backoff, BackoffLimits
from nodeproxy.sources.apiserver.client import ApiClient
from nodeproxy.sources.apiserver.credentials import Credentials
from nodeproxy.sources.apiserver.events_outbox import Letter, Outbox, OutboxLimits
from nodeproxy.sources.apiserver.events_wire import change_of, path_of
from nodeproxy.sources.apiserver.failures import ApiError, ApiRefused
from nodeproxy.sources.apiserver.identities import identity_loader

log = logging.getLogger("nodeproxy.sources.apiserver")

_TIMEOUT_SECONDS = 30.0
_CONNECT_TIMEOUT_SECONDS = 10.0
_UNWANTED_PAUSE_SECONDS = 600.0
"""How long to wait after Events were not permitted: somebody may grant them meanwhile."""

_DEFAULT_LIMITS = OutboxLimits()
_BUSY = (429, 500, 502, 503, 504)


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Item(msgspec.Struct):
    metadata: _Metadata


class _ItemList(msgspec.Struct):
    items: list[_Item] = []


class EventRecorder:
    """A `Recorder` that posts Events; `run` is a part of the agent."""

    # Mutable: the outbox, and how the last attempts went.
    def __init__(
        self,
        credentials: Credentials,
        node_name: str,
        limits: OutboxLimits = _DEFAULT_LIMITS,
        rng: random.Random | None = None,
    ) -> None:
        """Prepare, in the event loop that will run it.

        Nothing is asked of the API server before there is something to post.

        Args:
            credentials: who we are and where the server is.
            node_name: whose reports these are.
            limits: how much to post.
            rng: for jitter and names.
        """
        rng = rng or random.Random()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._credentials = credentials
        self._node_name = node_name
        self._outbox = Outbox(limits, rng)
        self._backoff = Backoff(BackoffLimits(), rng)
        self._wake = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._is_settled.set()
        self._not_before = 0.0
        self._is_unwanted = False
        self.posted = 0
        """Events created or updated so far."""

    @property
    def dropped(self) -> int:
        """Reports that found no room to wait."""
        return self._outbox.dropped

    def emit(self, report: Report) -> None:
        """Take a report, from any thread."""
        if threading.get_ident() == self._thread:
            self._take(report)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed, so the agent is ending
            self._loop.call_soon_threadsafe(self._take, report)

    def _take(self, report: Report) -> None:
        self._outbox.add(report, clock.monotonic(), clock.utc_now())
        self._is_settled.clear()
        self._wake.set()

    async def settle(self, timeout_seconds: float) -> None:
        """Wait until nothing is left to post, or the time is over: for an agent that must end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._is_settled.wait()

    async def run(self) -> None:
        """Post until cancelled."""
        client = ApiClient(
            self._credentials,
            timeout_seconds=_TIMEOUT_SECONDS,
            connect_timeout_seconds=_CONNECT_TIMEOUT_SECONDS,
        )
        async with client:
            while True:
                letter = await self._next()
                await self._post(client, letter)

    async def _next(self) -> Letter:
        """Wait for something that may be posted."""
        while True:
            self._wake.clear()
            now = clock.monotonic()
            if now >= self._not_before and (letter := self._outbox.next(now)):
                return letter
            seconds = self._outbox.seconds_left(now)
            if seconds is None:
                self._is_settled.set()
            else:
                seconds = max(seconds, self._not_before - now)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    async def _post(self, client: ApiClient, letter: Letter) -> None:
        verb = "patch" if letter.is_update else "create"
        self._backoff.started(clock.monotonic())
        try:
            uid = await self._uid_for(client, letter)
            change = change_of(letter, self._node_name, uid)
            await client.send(
                f"{verb} events.events.k8s.io", path_of(letter, self._node_name), change
            )
        except ApiRefused as refused:
            self._refused(letter, refused)
        except ApiError as error:
            self._failed(error)
        else:
            self._posted(letter)

    async def _uid_for(self, client: ApiClient, letter: Letter) -> str:
        """The uid of the Service a new Event is about, for `kubectl describe`; "" if not told."""
        if letter.is_update or not isinstance(letter.report, ServiceEvent):
            return ""
        namespace, name = letter.report.service
        path = f"/api/v1/namespaces/{namespace}/services"
        query = (("fieldSelector", f"metadata.name={name}"), ("resourceVersion", "0"))
        try:
            body = await client.get("list services", path, query)
            items = msgspec.json.decode(body, type=_ItemList).items
        except (ApiRefused, msgspec.MsgspecError):
            return ""
        return items[0].metadata.uid if items else ""

    def _posted(self, letter: Letter) -> None:
        self._backoff.worked()
        self._outbox.posted(letter, clock.monotonic())
        self.posted += 1
        if self._is_unwanted:
            self._is_unwanted = False
            log.info("Events can be posted now")

    def _failed(self, error: ApiError) -> None:
        """The API server is away or busy, which the source tells the operator."""
        now = clock.monotonic()
        self._not_before = now + self._backoff.failed(now, error.retry_after)
        log.debug("Event not posted yet: %s", error)

    def _refused(self, letter: Letter, refused: ApiRefused) -> None:
        if refused.code == 409:
            # Posted before, and the answer was lost; or by another node in the same words.
            self._posted(letter)
        elif refused.code == 404 and letter.is_update:
            self._outbox.forgotten(letter)
        elif refused.code in _BUSY or refused.code == 401:
            self._failed(refused)
        elif _is_not_wanted(refused):
            self._pause(refused)
        else:
            self._outbox.refused(letter)
            log.debug("Event dropped: %s", refused)

    def _pause(self, refused: ApiRefused) -> None:
        """Leave the server alone for a while; tell it once."""
        self._not_before = clock.monotonic() + _UNWANTED_PAUSE_SECONDS
        if self._is_unwanted:
            return
        self._is_unwanted = True
        remedy = (
            "grant this identity create and patch on events.events.k8s.io, as the ClusterRole "
            "system:node-proxier does"
            if refused.code == 403
            else "Kubernetes has events.k8s.io/v1 from 1.19 on"
        )
        log.warning("%s. Events are not posted, Services are not affected; %s", refused, remedy)


def _is_not_wanted(refused: ApiRefused) -> bool:
    """True if no Event would be taken; a namespace that goes away refuses its own only."""
    if refused.code == 403:
        return "being terminated" not in refused.message
    return refused.code == 404 and "namespaces" not in refused.message


def open_recorder(config: Config) -> EventRecorder:
    """The recorder of an agent that follows an API server.

    Raises:
        CredentialsError: the kubeconfig is not usable, or there is none and this is no pod.
    """
    return EventRecorder(Credentials(identity_loader(config)), config.node_name)
