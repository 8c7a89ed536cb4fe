"""The API server stand-in as the cluster: a process of its own on the node's loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.api import ApiConnection
from benchmarks.cluster import NODE_NAME, Changes, probe_endpoints, probe_service
from benchmarks.figures import Size
from lab.namespace import Namespace
from lab.waiting import eventually
from tests.support.apiserver.population import cluster_ip

_PORT = 16443
_TOKEN = "benchmark"
_ROOT = Path(__file__).parents[1]
_PROBE_IP = "10.111.255.1"  # above the population's addresses
_FILLED_SECONDS = 60.0


@contextlib.contextmanager
def open_standin(node: Namespace, directory: Path, size: Size) -> Iterator[StandInCluster]:
    """Fill a stand-in and serve it until the block ends.

    Args:
        node: where it listens.
        directory: an empty one, for its kubeconfig and its output.
        size: what it holds, beside the Service `default/kubernetes` and the probe.
    """
    command = [sys.executable, "-m", "tests.support.apiserver", f"--port={_PORT}"]
    command += [f"--token={_TOKEN}", f"--services={size.services}", f"--endpoints={size.endpoints}"]
    command += ["--pods", f"--node={NODE_NAME}"]
    output = directory / "standin.log"
    with output.open("wb") as log:
        process = node.spawn("env", "-C", str(_ROOT), *command, output=log)
    try:
        eventually(
            "the stand-in is filled",
            lambda: _said(process, output),
            deadline_seconds=_FILLED_SECONDS,
        )
        yield StandInCluster(node, directory, size)
    finally:
        process.kill()
        process.wait()


def _said(process: subprocess.Popen[bytes], output: Path) -> str:
    text = output.read_text()
    if process.poll() is not None:
        raise RuntimeError(f"the stand-in ended by itself: {text}")
    return text


class StandInCluster:
    """See benchmarks.cluster.Cluster."""

    def __init__(self, node: Namespace, directory: Path, size: Size) -> None:
        self._node = node
        self.node_name = NODE_NAME
        self.cluster_ips: Sequence[str] = [cluster_ip(index) for index in range(size.services)]
        self.probe_ip = _PROBE_IP
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_bytes(msgspec.json.encode(_kubeconfig()))
        connection = self._connect()
        connection.request("POST", "/_control/put", [probe_service(_PROBE_IP)])
        connection.close()

    def open_changes(self) -> Changes:
        """Another hand, with a connection of its own."""
        return StandInChanges(self._connect())

    def bytes_received(self) -> int:
        """Everything the server has sent to agents so far."""
        connection = self._connect()
        sent: dict[str, int] = connection.request("GET", "/_control/stats")["bytes_sent"]
        connection.close()
        return sum(sent.values())

    def _connect(self) -> ApiConnection:
        return ApiConnection(self._open_socket)

    def _open_socket(self) -> socket.socket:
        sock = self._node.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect(("127.0.0.1", _PORT))
        return sock


class StandInChanges:
    """See benchmarks.cluster.Changes."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def replace_endpoint(self, index: int, slot: int) -> None:
        """Exchange one endpoint for a fresh one."""
        order = {"service": index, "slot": slot}
        self._connection.request("POST", "/_control/replace-endpoint", order)

    def begin_move(self, address: str) -> None:
        """Send the order to move the probe."""
        self._connection.send("POST", "/_control/put", probe_endpoints(address))

    def finish_move(self) -> int:
        """Wait for the answer; tells when the change was made."""
        at_ns: int = self._connection.answer()["at_monotonic_ns"]
        return at_ns

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _kubeconfig() -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{_PORT}"}}],
        "users": [{"name": "bench", "user": {"token": _TOKEN}}],
    }
