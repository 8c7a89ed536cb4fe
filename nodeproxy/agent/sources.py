"""Which source a configuration asks for."""

from __future__ import annotations

from nodeproxy.config.schema import Config
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
