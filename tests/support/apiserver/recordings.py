"""The recorded answers of a real API server, read from `tests/recordings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

RECORDINGS = Path(__file__).parents[2] / "recordings"


class Recording(msgspec.Struct, frozen=True):
    """One request and the real server's answer to it."""

    target: str
    """Path and query of the request; the method is GET."""
    status: int
    headers: dict[str, str]
    """Names as they were sent."""
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body of a single JSON document."""
        return msgspec.json.decode(self.body, type=dict[str, Any])

    def events(self) -> list[dict[str, Any]]:
        """The events of a watch."""
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in self.body.splitlines()]

    def objects(self) -> list[dict[str, Any]]:
        """The items of a list, with kind and apiVersion put back."""
        document = self.document()
        kind = document["kind"].removesuffix("List")
        types = {"kind": kind, "apiVersion": document["apiVersion"]}
        return [{**types, **item} for item in document["items"]]


def recording(name: str) -> Recording:
    """Read `tests/recordings/{name}.http`."""
    request, head, body = (RECORDINGS / f"{name}.http").read_bytes().split(b"\n\n", 2)
    status, *lines = head.decode().split("\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Recording(request.decode().split(" ")[1], int(status.split(" ")[1]), headers, body)
