"""The agent's process, run on the private node as an operator runs it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from lab.namespace import Namespace
from lab.topology import CLUSTER_CIDRS, NODE_ADDRESSES, NODE_NAME

STOP_TIMEOUT_SECONDS = 10.0
HEALTH_ADDRESS = ("127.0.0.1", 10256)
"""Where the agent tells its health, inside the node."""
HEALTH_TIMEOUT_SECONDS = 2.0
_LOG_TAIL_LINES = 40


def agent_command() -> str:
    """Return the installed `nodeproxy` command, the one beside this Python first.

    Raises:
        FileNotFoundError: it is not installed.
    """
    beside = Path(sys.executable).with_name("nodeproxy")
    found = str(beside) if beside.exists() else shutil.which("nodeproxy")
    if found is None:
        raise FileNotFoundError("the command nodeproxy is not installed; pip install -e .")
    return found


def node_arguments(node_name: str) -> list[str]:
    """Return the flags that tell the agent about the private node.

    NodePorts are open on the first address pair only, so that the other one shows the difference.
    """
    first_pair = ",".join(f"{a}/{128 if ':' in a else 32}" for a in NODE_ADDRESSES)
    return [
        f"--hostname-override={node_name}",
        f"--cluster-cidr={','.join(CLUSTER_CIDRS)}",
        f"--nodeport-addresses={first_pair}",
        "--healthz-bind-address={}:{}".format(*HEALTH_ADDRESS),
        "--metrics-bind-address=127.0.0.1:10249",
    ]


class AgentProcess:
    """`nodeproxy run` on the node: start, stop, kill, start again."""

    def __init__(
        self, node: Namespace, source: Sequence[str], log: Path, node_name: str = NODE_NAME
    ) -> None:
        """Prepare, without starting.

        Args:
            node: where it runs.
            source: the flags that name its source of Services, such as `--manifests=DIR`; any
                other takes the place of the node's own.
            log: a file that takes what it prints; restarts append.
            node_name: what the cluster calls the node.
        """
        self._node = node
        given = {flag.partition("=")[0] for flag in source}
        own = [f for f in node_arguments(node_name) if f.partition("=")[0] not in given]
        self._command = [agent_command(), "run", *own, *source]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """True between start and end, whoever ended it."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; returns at once, before it has programmed anything."""
        assert not self.is_running
        with self._log.open("ab") as log:
            self._process = self._node.spawn(*self._command, output=log)

    def stop(self) -> tuple[int, float]:
        """Ask it to stop (SIGTERM) and wait.

        Returns:
            The exit code, and the seconds it took.

        Raises:
            subprocess.TimeoutExpired: it went on for ten seconds; it is killed then.
        """
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with SIGKILL, in whatever it is doing."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Have it read its configuration again (SIGHUP); returns at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def is_ready(self) -> bool:
        """Ask /readyz whether the rules of this process are in force."""
        request = b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n"
        with self._node.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.settimeout(HEALTH_TIMEOUT_SECONDS)
            try:
                sock.connect(HEALTH_ADDRESS)
                sock.sendall(request)
                status_line = sock.recv(4096).partition(b"\r\n")[0]
            except OSError:
                return False
        return b" 200 " in status_line

    def command_output(self, *arguments: str) -> str:
        """Run another command of the agent, such as `cleanup`, on the node to its end."""
        return self._node.run(agent_command(), *arguments)

    def log_tail(self) -> str:
        """Return the last lines it printed, for people who ask what went wrong."""
        if not self._log.exists():
            return ""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_running:
            self.kill()

    def _end(self, number: signal.Signals) -> tuple[int, float]:
        process = self._process
        assert process is not None
        started = time.monotonic()
        process.send_signal(number)
        try:
            code = process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return code, time.monotonic() - started
