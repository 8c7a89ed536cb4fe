"""/healthz of the metrics server, and /metrics/slis, which counts what it said.

Everything here says that the process answers, nothing more; the proxy's own health is told by the
health server.
"""

from __future__ import annotations

from nodeproxy.server.exposition import CONTENT_TYPE, Counter, Gauge
from nodeproxy.server.http1 import PLAIN, Answer, Request, Route

_CHECK = "ping"


class AliveChecks:
    """The one check there is, and its numbers; mutable, used on the servers' thread."""

    def __init__(self) -> None:
        self.status = Gauge("kubernetes_healthcheck", "1 if the check succeeded.", ["name", "type"])
        self.total = Counter(
            "kubernetes_healthchecks_total", "Results of checks.", ["name", "status", "type"]
        )

    def routes(self) -> dict[str, Route]:
        """What is served."""
        return {
            "/healthz": self._healthz,
            "/healthz/ping": self._ping,
            "/metrics/slis": self._slis,
        }

    def _healthz(self, request: Request) -> Answer:
        self._count()
        if "verbose" in request.query:
            return Answer(200, PLAIN, f"[+]{_CHECK} ok\nhealthz check passed\n".encode())
        return Answer(200, PLAIN, b"ok")

    def _ping(self, request: Request) -> Answer:
        del request
        self._count()
        return Answer(200, PLAIN, b"ok")

    def _count(self) -> None:
        self.status.set(1, _CHECK, "healthz")
        self.total.add(1, _CHECK, "success", "healthz")

    def _slis(self, request: Request) -> Answer:
        """The numbers; DELETE begins anew."""
        if request.method == "DELETE":
            self.status.reset()
            self.total.reset()
            return Answer(200, PLAIN, b"metrics reset\n")
        lines = [*self.status.lines(), *self.total.lines(), ""]
        return Answer(200, CONTENT_TYPE, "\n".join(lines).encode())
