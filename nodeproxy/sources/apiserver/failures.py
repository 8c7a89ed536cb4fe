"""What can go wrong between the agent and an API server.

Foreign exceptions (aiohttp, ssl, OSError, the loaders of kubernetes_asyncio) become one of these
in `client` and `credentials`. All but a `CredentialsError` that cannot pass are retried.
"""

from __future__ import annotations

from http import HTTPStatus

from nodeproxy.errors import SourceError

TOO_LARGE_VERSION = "Too large resource version"
"""How an API server says that it has not reached a resourceVersion (status 504)."""
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
_NOT_UNDERSTOOD = (400, 405, 406, 422, 500, 501)


class ApiError(SourceError):
    """Something keeps the agent from reading the API server, for now or for good."""

    retry_after: float | None = None
    """Seconds the server wants to be left alone; None if it did not say."""

    @property
    def needs_list(self) -> bool:
        """True if a watch cannot go on from where it was: list again."""
        return False

    @property
    def is_no_streaming(self) -> bool:
        """True if this is how a server says that it cannot stream lists."""
        return False

    @property
    def is_of_open_watch(self) -> bool:
        """True if a watch opened and then disappointed: that the next opens proves nothing."""
        return False


class ApiUnreachable(ApiError):
    """No answer, or the connection broke before the answer was complete."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(url, cause)
        self.url = url
        self.cause = cause

    def __str__(self) -> str:
        return f"API server {self.url}: {self.cause}"


class ApiRefused(ApiError):
    """The API server answered with an error, as an HTTP status or as an ERROR event."""

    def __init__(
        self,
        subject: str,
        code: int,
        message: str,
        retry_after: float | None = None,
        *,
        is_event: bool = False,
    ) -> None:
        super().__init__(subject, code, message)
        self.subject = subject
        """What was asked, `list /api/v1/services`."""
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self.is_event = is_event
        """True if a watch was open and this ended it."""

    @property
    def is_expired(self) -> bool:
        """True if the resourceVersion is too old to go on from."""
        return self.code == HTTPStatus.GONE

    @property
    def is_version_too_large(self) -> bool:
        """True if the server has not reached our resourceVersion: it went back in time."""
        return self.code == HTTPStatus.GATEWAY_TIMEOUT and TOO_LARGE_VERSION in self.message

    @property
    def needs_list(self) -> bool:
        """True for versions out of the server's reach, and for whatever else ended an open watch.

        An overloaded server (429, 503, 504) only wants to be asked again later.
        """
        if self.is_expired or self.is_version_too_large:
            return True
        return self.is_event and self.code not in _BUSY

    @property
    def is_no_streaming(self) -> bool:
        """True for 400 and 422 of servers that forbid the parameters, for the ERROR event with
        500 of one whose etcd is too old, and for what proxies say to requests they don't know.
        """
        return self.code in _NOT_UNDERSTOOD

    @property
    def is_of_open_watch(self) -> bool:
        """True for ERROR events."""
        return self.is_event

    def __str__(self) -> str:
        return f"{self.subject}: API server said {self.code} {_phrase(self.code)}: {self.message}"


class ApiGarbled(ApiError):
    """The answer is not what an API server sends."""

    @property
    def needs_list(self) -> bool:
        """True: nobody knows what was in the part that could not be read."""
        return True

    @property
    def is_of_open_watch(self) -> bool:
        """True: it was an answer, only not a good one."""
        return True

    def __init__(self, subject: str, what: str, data: bytes | bytearray = b"") -> None:
        super().__init__(subject, what)
        self.subject = subject
        self.what = what
        self.excerpt = bytes(data[:80]).decode(errors="replace")

    def __str__(self) -> str:
        excerpt = f" ({self.excerpt!r})" if self.excerpt else ""
        return f"{self.subject}: not an answer of an API server: {self.what}{excerpt}"


class WatchTooShort(ApiError):
    """The API server ends watches as soon as they begin."""

    def __init__(self, subject: str, seconds: float) -> None:
        super().__init__(subject, seconds)
        self.subject = subject
        self.seconds = seconds

    @property
    def is_of_open_watch(self) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return f"{self.subject}: the API server ended the watch after {self.seconds:.1f} s"


class ListNotStreamed(ApiError):
    """A streaming list was asked for and its end never came."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    @property
    def is_no_streaming(self) -> bool:
        """True."""
        return True

    def __str__(self) -> str:
        return f"{self.path}: the API server took a streaming list for a plain watch"


class SlicesNotServed(ApiError):
    """EndpointSlices were demanded and the API server has none."""

    def __str__(self) -> str:
        return (
            "the API server does not serve discovery.k8s.io, which EndpointSliceProxying=true "
            "demands; no endpoints are known. "
            "Run with --feature-gates=EndpointSliceProxying=false to read Endpoints instead"
        )


class CredentialsError(ApiError):
    """The identity of the agent cannot be loaded."""

    def __init__(self, subject: str, what: str, remedy: str, *, may_pass: bool = False) -> None:
        super().__init__(subject, what, remedy)
        self.subject = subject
        self.what = what
        self.remedy = remedy
        self.may_pass = may_pass
        """True if trying again later makes sense (an exec plugin that needs the network)."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}; {self.remedy}"


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "(unknown status)"
