"""Pages about the process itself: /statusz, /flagz, /configz (spec 60 section 8).

Text for people; /flagz and /statusz also as JSON for whoever accepts nothing else.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from nodeproxy import __version__
from nodeproxy.server.http1 import PLAIN, Answer, Request, Route

CONFIGZ_KEY = "kubeproxy.config.k8s.io"
_JSON = "application/json"


def configz(document: Callable[[], object]) -> Route:
    """The effective configuration as an object of kube-proxy's kind (TS-1314).

    Args:
        document: KubeProxyConfiguration v1alpha1 with apiVersion and kind, as JSON types.
    """
    return lambda _: _json({CONFIGZ_KEY: document()})


def flagz(flags: Mapping[str, str]) -> Route:
    """The flags that were given, as they were typed."""

    def answer(request: Request) -> Answer:
        return _page(request, "flagz", {"flags": dict(sorted(flags.items()))})

    return answer


def statusz(paths: Callable[[], Sequence[str]], now: Callable[[], float] = time.time) -> Route:
    """What runs, since when, and what is served."""
    started_at = now()

    def answer(request: Request) -> Answer:
        started = datetime.fromtimestamp(started_at, UTC)
        facts: dict[str, object] = {
            "started": f"{started:%Y-%m-%dT%H:%M:%SZ}",
            "upSeconds": int(now() - started_at),
            "version": __version__,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "paths": list(paths()),
        }
        return _page(request, "statusz", facts)

    return answer


def _page(request: Request, title: str, facts: Mapping[str, object]) -> Answer:
    if _wants_json(request.headers.get("accept", "")):
        return _json({"kind": title, **facts})
    lines = [f"nodeproxy {title}", "The format of this page may change.", ""]
    for name, value in facts.items():
        match value:
            case dict():
                lines += [f"{key}={text}" for key, text in value.items()]
            case list():
                lines += [name, *(f"  {item}" for item in value)]
            case _:
                lines.append(f"{name}: {value}")
    return Answer(200, PLAIN, "\n".join([*lines, ""]).encode())


def _wants_json(accept: str) -> bool:
    """True if JSON is accepted and text is not."""
    types = {part.partition(";")[0].strip() for part in accept.split(",")}
    return _JSON in types and not types & {"*/*", "text/*", "text/plain"}


def _json(value: object) -> Answer:
    return Answer(200, _JSON, msgspec.json.encode(value))
