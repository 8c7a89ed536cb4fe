"""One look at the connection tracking table: read, judge, delete, slice by slice.

Flows are judged while they arrive, and stale ones deleted at once, so that memory holds one
datagram of 32 KB whatever the size of the table. The kernel limits what it tells to what was asked
for; but each dump makes it walk the whole table, which takes as long as telling and judging some
thousand flows. So few questions are asked one by one and many as one.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from nodeproxy.model.addresses import Addr, Family
from nodeproxy.model.keys import Protocol
from nodeproxy.netlink.conntrack import FlowFilter, FlowReader, identity_of
from nodeproxy.netlink.conntrack_channel import ConntrackChannel
from nodeproxy.node.flows.judge import Judge

_DUMPS_AT_MOST = 3
"""Ports asked for one by one; more are looked for among all flows of the protocol."""
_ATTEMPTS = 5
"""Dumps that the kernel calls inconsistent are repeated so often (CT-11)."""


def filters_for(
    family: Family, protocol: Protocol, destinations: Collection[bytes], *, wants_all: bool = False
) -> tuple[FlowFilter, ...]:
    """The dumps that tell every flow to one of these destinations, and as little else as possible.

    Args:
        family: of the flows.
        protocol: of the flows.
        destinations: address and port, or port alone for a NodePort.
        wants_all: flows to other destinations are looked for too.
    """
    addrs_by_port: dict[bytes, set[Addr]] = {}
    for destination in destinations:
        addrs_by_port.setdefault(destination[-2:], set()).add(Addr(destination[:-2]))
    if wants_all or len(addrs_by_port) > _DUMPS_AT_MOST:
        return (FlowFilter(family, protocol),)
    return tuple(
        FlowFilter(
            family,
            protocol,
            next(iter(addrs)) if len(addrs) == 1 else Addr(b""),
            int.from_bytes(port, "big"),
        )
        for port, addrs in sorted(addrs_by_port.items())
    )


class Sweep:
    """Deletes the stale flows that a few dumps tell. It blocks: use it in a thread."""

    # Mutable state: how far it is. One thread at a time.
    def __init__(
        self,
        channel: ConntrackChannel,
        family: Family,
        protocol: Protocol,
        filters: Sequence[FlowFilter],
        judge: Judge,
    ) -> None:
        self.deleted = 0
        self._channel = channel
        self._family = family
        self._protocol = protocol
        self._filters = list(filters)
        self._judge = judge
        self._reader: FlowReader | None = None
        self._attempts = 0

    def step(self, seconds: float) -> bool:
        """Work for about so long; the kernel may take longer to find the next flow.

        Returns:
            True if there is more to do.

        Raises:
            NetlinkError: the table could not be read; the channel is to be closed.
            PermissionMissing: CAP_NET_ADMIN is missing.
        """
        deadline = time.perf_counter() + seconds
        while self._filters:
            self._take_datagram()
            if time.perf_counter() >= deadline:
                break
        return bool(self._filters)

    def _take_datagram(self) -> None:
        reader = self._reader
        if reader is None:
            self._channel.start_dump(self._filters[0])
            reader = self._reader = FlowReader(self._family, self._protocol)
            self._attempts += 1
        is_stale = self._judge.is_stale
        datagram = self._channel.receive()
        stale = [
            identity_of(datagram, offset, size)
            for destination, answerer, offset, size in reader.read(datagram)
            if is_stale(destination, answerer)
        ]
        if identities := [identity for identity in stale if identity]:
            self.deleted += self._channel.delete(self._family, identities)
        if reader.is_done:
            self._end_dump(reader)

    def _end_dump(self, reader: FlowReader) -> None:
        """Go on to the next question, or ask again if flows may have been left out."""
        self._reader = None
        if not reader.is_interrupted or self._attempts == _ATTEMPTS:
            self._filters.pop(0)
            self._attempts = 0
