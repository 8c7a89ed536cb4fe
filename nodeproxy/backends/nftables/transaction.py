"""One transaction: operations sent as a batch, and what the kernel's refusal means."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from nodeproxy.backends.nftables.encode import EncodedMessage, encode_batch
from nodeproxy.backends.nftables.objects import AddElements, ElementId, Operation, RawElement
from nodeproxy.errors import NetlinkError
from nodeproxy.model.addresses import Family
from nodeproxy.netlink import messages
from nodeproxy.netlink.channel import Channel
from nodeproxy.netlink.messages import KernelError

_THREAD_BYTES = 200_000
"""Batches above this are sent from a thread, so that the event loop goes on answering."""


class Answer(msgspec.Struct, frozen=True):
    """How the kernel took a transaction; without errors it is committed."""

    errors: Sequence[KernelError]
    encoded: Sequence[EncodedMessage]
    """The messages the errors speak of."""

    @property
    def count(self) -> int:
        """Operations sent, every element counted."""
        return sum(max(1, len(message.element_offsets)) for message in self.encoded)

    def refused_element(self, error: KernelError) -> tuple[ElementId, RawElement] | None:
        """The element an error is about, if it was to be added; None if that is open."""
        if not 1 <= error.seq <= len(self.encoded):
            return None
        message = self.encoded[error.seq - 1]
        element = message.element_at(error.offset)
        if element is None or not isinstance(message.operation, AddElements):
            return None
        return ElementId(message.operation.set_name, element.key), element


async def send(channel: Channel, family: Family, operations: Sequence[Operation]) -> Answer:
    """Send operations as one transaction; all of it happens or nothing.

    Raises:
        NetlinkError: the answer was lost; what the kernel holds is in doubt.
    """
    answer = await _transact(channel, encode_batch(operations, family))
    if any(answer.refused_element(error) is None for error in answer.errors):
        # The kernel did not say which element: one element a message tells.
        alone = encode_batch(operations, family, elements_per_message=1)
        answer = await _transact(channel, alone)
    return answer


async def _transact(channel: Channel, encoded: list[EncodedMessage]) -> Answer:
    last = len(encoded) + 1
    batch = [messages.batch_begin(), *(m.data for m in encoded), messages.batch_end(last)]
    if sum(map(len, batch)) < _THREAD_BYTES:
        return Answer(channel.transact(batch, last), encoded)
    return Answer(await asyncio.to_thread(channel.transact, batch, last), encoded)


def describe(error: KernelError, encoded: Sequence[EncodedMessage]) -> str:
    """An error with the operation it belongs to, for logs and status."""
    subject = "batch"
    if 1 <= error.seq <= len(encoded):
        message = encoded[error.seq - 1]
        name = type(message.operation).__name__
        target = getattr(message.operation, "set_name", "") or getattr(
            message.operation, "name", ""
        )
        element = message.element_at(error.offset)
        subject = " ".join(filter(None, (name, target, str(element.owner) if element else "")))
    return str(NetlinkError(subject, error.errno, error.text))
