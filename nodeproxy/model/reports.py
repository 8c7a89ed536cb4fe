"""What operators are told as Events of the cluster (spec 60 section 9).

The log of an agent is read by whoever is already looking at its node; an Event is seen beside the
Service or the Node it is about. So only what an operator should act on, or will want to find
later, is reported. Reasons and actions that kube-proxy has too are spelled as there.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from nodeproxy.model.keys import ServiceKey, ServicePortKey

_START = "StartKubeProxy"
_PROGRAM = "ProgramRules"


class NodeEvent(msgspec.Struct, frozen=True):
    """Something about the own Node."""

    reason: str
    """Why, one word for machines: `Starting`."""
    action: str
    """What was done or tried, one word for machines."""
    note: str
    """For people; cut after 1024 bytes."""
    is_warning: bool = False


class ServiceEvent(msgspec.Struct, frozen=True):
    """Something about one Service, as it is on this node."""

    service: ServiceKey
    reason: str
    action: str
    note: str
    is_warning: bool = True
    is_same_everywhere: bool = False
    """True if every node reports it in the same words: the cluster gets one Event."""


Report = NodeEvent | ServiceEvent
"""Equal reports are one Event with a count, so `note` has no times and no counters."""


class Recorder(Protocol):
    """Takes reports; one that posts Events, or one that does nothing."""

    def emit(self, report: Report) -> None:
        """Take a report, from any thread.

        Never waits, never fails, and never promises that it arrives.
        """

    async def settle(self, timeout_seconds: float) -> None:
        """Wait until everything has arrived or the time is over, before the agent ends."""


class NoRecorder:
    """A `Recorder` for an agent without an API server: the log says the same."""

    def emit(self, report: Report) -> None:
        """Do nothing."""

    async def settle(self, timeout_seconds: float) -> None:
        """There is nothing to wait for."""


def starting() -> NodeEvent:
    """The agent has started."""
    return NodeEvent("Starting", _START, "")


def health_server_failed(note: str) -> NodeEvent:
    """The health server cannot listen, and the operator wants that to be fatal (LIFE-7)."""
    return NodeEvent("FailedToStartProxierHealthcheck", _START, note, is_warning=True)


def metrics_server_failed(note: str) -> NodeEvent:
    """The metrics server cannot listen, and the operator wants that to be fatal (LIFE-7)."""
    return NodeEvent("FailedToStartMetricServer", _START, note, is_warning=True)


def service_health_server_failed(
    node_name: str, service: ServiceKey, port: int, cause: str
) -> ServiceEvent:
    """The health check port of a Service cannot be opened here (HZ-22)."""
    note = f'node {node_name} failed to start healthcheck "{service}" on port {port}: {cause}'
    return ServiceEvent(service, "FailedToStartServiceHealthcheck", "Listen", note)


def quarantined(node_name: str, key: ServicePortKey, cause: str) -> ServiceEvent:
    """The kernel refused the rules of a service port; not in kube-proxy."""
    note = (
        f"node {node_name} could not program port {key.port_name or '(without a name)'} "
        f"({key.protocol.name}): {cause}; what was in force before stays"
    )
    return ServiceEvent(key.service, "ServiceNotProgrammed", _PROGRAM, note)


def in_conflict(service: ServiceKey, conflict: str) -> ServiceEvent:
    """Two Services claim one address and port, and this one lost (SVC-60); not in kube-proxy.

    Every node says the same, so the note does not name the node.
    """
    return ServiceEvent(service, "AddressConflict", _PROGRAM, conflict, is_same_everywhere=True)


def rules_repaired(what: str) -> NodeEvent:
    """Somebody else changed the rules, and they have been put right; not in kube-proxy."""
    note = f"the rules of nodeproxy were changed by somebody else and repaired: {what}"
    return NodeEvent("RulesRepaired", "RepairRules", note, is_warning=True)


def source_switched(before: str, after: str) -> NodeEvent:
    """Endpoints are read from another kind of object now; not in kube-proxy."""
    note = f"endpoints are read from {after} now instead of {before}"
    return NodeEvent("EndpointSourceSwitched", "SwitchSource", note)
