"""Names of things: which Service, which of its ports, over which protocol."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Protocol(enum.IntEnum):
    """Transport protocols a Service port may have; the value is the IANA protocol number."""

    TCP = 6
    UDP = 17
    SCTP = 132


PROTOCOLS_BY_NAME: dict[str, Protocol] = {p.name: p for p in Protocol}


class ServiceKey(NamedTuple):
    """Namespace and name of a Service."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class ServicePortKey(NamedTuple):
    """One port of one Service; the protocol is part of the key (spec 10 section 1)."""

    namespace: str
    name: str
    port_name: str
    """May be empty."""
    protocol: Protocol

    @property
    def service(self) -> ServiceKey:
        """The Service this port belongs to."""
        return ServiceKey(self.namespace, self.name)

    def __str__(self) -> str:
        text = f"{self.namespace}/{self.name}"
        return f"{text}:{self.port_name}" if self.port_name else text
