"""One connection to an API server: JSON requests, sent and answered one after the other."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

JsonObject = dict[str, Any]
OpenSocket = Callable[[], socket.socket]
"""Opens a connected socket, TLS done."""
TIMEOUT_SECONDS = 30.0


class RequestRefused(Exception):
    """The server answered with an error."""

    def __init__(self, method: str, path: str, code: int, text: str) -> None:
        super().__init__(method, path, code, text)
        self.method = method
        self.path = path
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.method} {self.path}: the API server answered {self.code}: {self.text}"


class ApiConnection:
    """Keeps one connection open; for one thread."""

    def __init__(self, open_socket: OpenSocket, authorization: str = "") -> None:
        self._http = http.client.HTTPConnection("localhost", timeout=TIMEOUT_SECONDS)
        # A socket given so is used as it is; the host name above never is.
        self._http.sock = open_socket()
        self._headers = {"Content-Type": "application/json"}
        if authorization:
            self._headers["Authorization"] = authorization
        self._sent = ("", "")

    def request(self, method: str, path: str, body: object = None) -> JsonObject:
        """Send and wait for the answer.

        Raises:
            RequestRefused: the server answered with an error.
        """
        self.send(method, path, body)
        return self.answer()

    def send(self, method: str, path: str, body: object = None) -> None:
        """Send only; `answer` must be called before the next one."""
        encoded = None if body is None else msgspec.json.encode(body)
        self._http.request(method, path, encoded, self._headers)
        self._sent = (method, path)

    def answer(self) -> JsonObject:
        """Wait for the answer to what was sent.

        Raises:
            RequestRefused: the server answered with an error.
        """
        response = self._http.getresponse()
        text = response.read()
        if response.status >= 400:
            raise RequestRefused(*self._sent, response.status, text[:300].decode(errors="replace"))
        decoded: JsonObject = msgspec.json.decode(text)
        return decoded

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def without(obj: Mapping[str, Any], *names: str) -> JsonObject:
    """The object without some of its fields."""
    return {name: value for name, value in obj.items() if name not in names}
