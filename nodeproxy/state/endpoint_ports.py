"""The ports of an EndpointSlice and of an Endpoints subset: one shape, read once."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern

from nodeproxy.model.endpoints import EndpointPort
from nodeproxy.model.wire import SlicePort
from nodeproxy.state.report import Report, port_number_from, protocol_from


def endpoint_ports_from(
    wires: Sequence[SlicePort], report: Report, field: str, *, needs_name: bool
) -> tuple[EndpointPort, ...]:
    """The usable ports in their order.

    Args:
        wires: ports as the object lists them.
        report: takes what had to be ignored.
        field: path of the list inside the object.
        needs_name: an absent name makes a port unusable (EP-18) instead of meaning "" (EPS-3).
    """
    ports = []
    for index, wire in enumerate(wires):
        where = f"{field}[{index}]"
        if needs_name and wire.name is None:
            report.add(f"{where}.name", "not set; port ignored")
            continue
        protocol = protocol_from(wire.protocol, report, f"{where}.protocol")
        number = port_number_from(wire.port, report, f"{where}.port")
        if protocol is not None and number is not None:
            ports.append(EndpointPort(intern(wire.name or ""), protocol, number))
    return tuple(ports)
