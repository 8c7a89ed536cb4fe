"""Which source a configuration asks for, and where reports to operators go."""

from __future__ import annotations

from typing import Protocol

from nodeproxy.config.schema import Config
from nodeproxy.model.reports import NoRecorder, Recorder
from nodeproxy.sources.base import Source


def open_source(config: Config) -> Source:
    """Manifests if a directory is given, the API server otherwise.

    Each is imported only when it is the one: a bare-metal agent needs no HTTP client.

    Raises:
        SourceError: it can never work as configured.
    """
    if config.manifests:
        from nodeproxy.sources.manifests.source import open_source as open_manifests

        return open_manifests(config)
    from nodeproxy.sources.apiserver.source import open_source as open_apiserver

    return open_apiserver(config)


class RecorderPart(Recorder, Protocol):
    """A `Recorder` that is a part of the agent."""

    async def run(self) -> None:
        """Pass on what was taken, until cancelled or for good."""


class NoRecorderPart(NoRecorder):
    """There is nobody to tell."""

    async def run(self) -> None:
        """End at once."""


def open_recorder(config: Config) -> RecorderPart:
    """Events of the API server; nothing where there is none.

    Raises:
        SourceError: it can never work as configured.
    """
    if config.manifests:
        return NoRecorderPart()
    from nodeproxy.sources.apiserver.events import open_recorder as open_events

    return open_events(config)
