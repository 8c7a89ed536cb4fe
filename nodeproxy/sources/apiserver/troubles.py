"""Telling the operator about trouble with the API server: once when it begins, once when it ends.

All kinds meet the same outage within a second. It is one line in the log for all of them, and so
is its end; trouble of one kind alone, such as a missing permission, has its own pair of lines.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from nodeproxy.model.events import Kind
from nodeproxy.sources.apiserver.failures import (
    ApiError,
    ApiRefused,
    ApiUnreachable,
    CredentialsError,
)
from nodeproxy.sources.apiserver.resources import Resource

log = logging.getLogger("nodeproxy.sources.apiserver")


class Troubles:
    """What is wrong at the moment; mutable, shared by the kinds of one source."""

    def __init__(self) -> None:
        self._topics: dict[Kind, str] = {}  # what each troubled kind suffers from
        self._began_at: dict[str, float] = {}  # by topic, while somebody suffers from it

    def begin(self, kind: Kind, error: ApiError, message: str, now: float) -> None:
        """A kind cannot be read; log it unless this is known."""
        topic = _topic(kind, error)
        if self._topics.get(kind) == topic:
            return
        self._leave(kind)
        self._topics[kind] = topic
        if topic not in self._began_at:
            self._began_at[topic] = now
            log.warning("%s; retrying, what is known stays in force", message)

    def end(self, kind: Kind, now: float) -> None:
        """A kind is read again; log it if it was the last one of this trouble."""
        topic = self._topics.get(kind)
        began_at = self._leave(kind)
        if topic is not None and began_at is not None:
            whom = f" kind={kind}" if topic.startswith(kind) else ""
            log.info("API server answers again%s seconds=%.1f", whom, now - began_at)

    def forget(self, kind: Kind) -> None:
        """A kind is not read any more; nothing is over by that."""
        self._leave(kind)

    def _leave(self, kind: Kind) -> float | None:
        """Take a kind out of its trouble; when that began, if nobody else is left in it."""
        topic = self._topics.pop(kind, None)
        if topic is None or topic in self._topics.values():
            return None
        return self._began_at.pop(topic)


def _topic(kind: Kind, error: ApiError) -> str:
    """Equal for what is one trouble; begins with the kind if it is that kind's alone.

    While a server is down or overloaded the errors vary from one attempt to the next.
    """
    if isinstance(error, CredentialsError):
        return "credentials"
    if isinstance(error, ApiRefused) and error.code == HTTPStatus.UNAUTHORIZED:
        return "identity"
    if isinstance(error, ApiUnreachable) or (
        isinstance(error, ApiRefused)
        and (error.code >= 500 or error.code == HTTPStatus.TOO_MANY_REQUESTS)
    ):
        return "outage"
    # Not the text, which may have another number in it each time.
    return f"{kind} {type(error).__name__} {error.code if isinstance(error, ApiRefused) else ''}"


_WITHOUT = {
    Kind.NODE: " Topology hints and the addresses of the Node are not used.",
    Kind.SERVICE_CIDR: " Packets to addresses in them that no Service has are not dropped.",
}
"""What follows when a kind cannot be read, where the agent works without it."""


def explain(error: ApiError, resource: Resource | None) -> str:
    """The error with its consequence and what the operator can do about it."""
    if isinstance(error, ApiRefused) and error.code == 403 and resource is not None:
        return (
            f"{error}.{_WITHOUT.get(resource.kind, '')} Grant this identity list and watch on "
            f"{resource.permission}, as the ClusterRole system:node-proxier does"
        )
    if isinstance(error, ApiRefused) and error.code == 404 and _is_of(resource, Kind.SERVICE_CIDR):
        return (
            f"{error}. Kubernetes has ServiceCIDRs from 1.33 on."
            f"{_WITHOUT[Kind.SERVICE_CIDR].rstrip('.')}"
        )
    if isinstance(error, ApiRefused) and error.code == 401:
        return (
            f"{error}. The token or client certificate is not accepted: renew it in the "
            "kubeconfig, or check that it belongs to this cluster"
        )
    return str(error)


def _is_of(resource: Resource | None, kind: Kind) -> bool:
    return resource is not None and resource.kind is kind
