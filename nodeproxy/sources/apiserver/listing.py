"""A list decoded while it arrives, so that its body is never in memory as a whole.

The list of 10,000 EndpointSlices is 30 MB of text and as much again in objects. API servers
write ``{...,"metadata":{...},"items":[{"metadata":{...},...},{"metadata":{...},...}]}``, and the
bytes between two items, ``},{"metadata":{``, can be nowhere else: quotes inside a string are
escaped, and no array inside these kinds holds objects with metadata. So the text is cut there
and decoded in pieces. Text in any other order is collected and decoded at its end.
"""

from __future__ import annotations

from nodeproxy.model.wire import ApiObject
from nodeproxy.sources.apiserver.decode import Codec, ListMeta, Malformed
from nodeproxy.sources.apiserver.failures import ApiGarbled

_ITEMS = b'"items":['
_BETWEEN = b'},{"metadata":{'
_MAX_HEAD_BYTES = 16 << 10
"""kind, apiVersion and metadata of a list; a continue token is some hundred bytes."""


class ListReader:
    """Reads one page of a list; mutable, one for each page."""

    def __init__(self, codec: Codec, *, is_incremental: bool = True) -> None:
        self._codec = codec
        self._is_whole = not is_incremental
        self._metadata: ListMeta | None = None  # once the items have begun
        self._buffer = bytearray()
        self._searched = 0  # bytes at its begin without the end of an item

    def feed(self, chunk: bytes) -> list[ApiObject | Malformed]:
        """Take the next chunk; returns the items that are complete now.

        Raises:
            ApiGarbled: what came is no JSON.
        """
        self._buffer += chunk
        if self._metadata is None and not self._is_whole:
            self._read_head()
        return [] if self._metadata is None else self._complete_items()

    def finish(self) -> tuple[list[ApiObject | Malformed], ListMeta]:
        """The body is complete; returns the items that are left, and what the list says of itself.

        Raises:
            ApiGarbled: it is no list, or was cut off.
        """
        if self._metadata is None:
            page = self._codec.page(self._buffer)
            return page.items, ListMeta(page.resource_version, page.continue_)
        tail = self._buffer.rstrip()
        if not tail.endswith(b"]}"):
            raise ApiGarbled("list", "it does not end like a list", tail[-80:])
        return self._codec.items(b"[" + tail[:-2] + b"]"), self._metadata

    def _read_head(self) -> None:
        end = self._buffer.find(_ITEMS)
        if end < 0:
            self._is_whole = len(self._buffer) > _MAX_HEAD_BYTES
            return
        end += len(_ITEMS)
        self._metadata = self._codec.list_head(self._buffer[:end] + b"]}")
        if self._metadata is None:
            self._is_whole = True
        else:
            del self._buffer[:end]

    def _complete_items(self) -> list[ApiObject | Malformed]:
        start = max(0, self._searched - len(_BETWEEN))
        end = self._buffer.rfind(_BETWEEN, start) + 1
        if end:
            block = b"[" + self._buffer[:end] + b"]"
            del self._buffer[: end + 1]
        self._searched = len(self._buffer)
        return self._codec.items(block) if end else []
