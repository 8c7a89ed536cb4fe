"""From chunks of any size to complete lines of any length.

A watch is one JSON document per line, and a line holds a whole object: more than 1 MiB for a
large Endpoints. HTTP libraries that read lines limit them; this does not, and touches every byte
a constant number of times.
"""

from __future__ import annotations

from nodeproxy.sources.apiserver.failures import ApiGarbled

MAX_LINE_BYTES = 64 << 20
"""What etcd stores is at most a few MiB; more without a newline is no watch."""


class LineAssembler:
    """Collects the chunks of one stream; mutable, one for each stream."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._parts: list[bytes] = []  # of the line that is not complete yet
        self._pending_bytes = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next chunk.

        Returns:
            All lines that are complete now, as one block that ends with a newline; may be empty.

        Raises:
            ApiGarbled: the line is longer than any object can be.
        """
        end = chunk.rfind(b"\n") + 1
        if end:
            block = b"".join((*self._parts, chunk[:end])) if self._parts else chunk[:end]
            self._parts.clear()
            self._pending_bytes = 0
            chunk = chunk[end:]
        else:
            block = b""
        if chunk:
            self._keep(chunk)
        return block

    def _keep(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes > self._max_line_bytes:
            raise ApiGarbled(
                "watch", f"a line has more than {self._max_line_bytes} bytes", self._parts[0]
            )
