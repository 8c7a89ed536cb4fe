"""The exceptions of nodeproxy, one tree.

Exceptions carry data as attributes and build their text in ``__str__``. Foreign exceptions are
mapped once, at the door where they enter. One bad object of the cluster is never an exception:
it becomes a `nodeproxy.model.problems.Problem`, and the rest goes on.
"""

from __future__ import annotations


class NodeproxyError(Exception):
    """Base of everything nodeproxy raises on purpose."""


class ConfigError(NodeproxyError):
    """What the operator asked for cannot be done; the text names the setting and the remedy."""


class SourceError(NodeproxyError):
    """A source of Services or endpoints cannot be read."""


class ListenFailed(NodeproxyError):
    """A server cannot listen, and the operator wants the agent to end then (LIFE-7)."""

    def __init__(self, server: str, address: str, reason: str) -> None:
        super().__init__(server, address, reason)
        self.server = server
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the {self.server} server cannot listen on {self.address}: {self.reason}. "
            "Free the address or choose another one; without --bind-address-hard-fail the agent "
            "works on and tries again"
        )


class BackendError(NodeproxyError):
    """The rules could not be brought into the kernel."""


class KernelUnsupported(BackendError):
    """The kernel lacks a feature the backend cannot do without."""

    def __init__(self, feature: str, remedy: str) -> None:
        super().__init__(feature, remedy)
        self.feature = feature
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.feature}; {self.remedy}"


class PermissionMissing(BackendError):
    """The process may not program netfilter (CAP_NET_ADMIN in this network namespace)."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return (
            f"{self.action}: not permitted; nothing was programmed. "
            "Run as root, or grant the capability CAP_NET_ADMIN"
        )


class NetlinkError(BackendError):
    """The kernel refused a netlink request or the socket failed."""

    def __init__(self, subject: str, errno: int, detail: str = "") -> None:
        super().__init__(subject, errno, detail)
        self.subject = subject
        self.errno = errno
        self.detail = detail

    def __str__(self) -> str:
        import os

        text = f"{self.subject}: kernel said {os.strerror(self.errno)} (errno {self.errno})"
        return f"{text}: {self.detail}" if self.detail else text
