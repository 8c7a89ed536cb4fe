"""The agent under measurement: any command line, and what /proc tells about it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.agent import agent_command
from lab.namespace import Namespace

_STOP_SECONDS = 10.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_LOG_TAIL_LINES = 20

# An installed agent has its bytecode; compiling it anew at each start takes 0.2 s.
_WITH_BYTECODE = ("env", "-u", "PYTHONDONTWRITEBYTECODE")
OWN_AGENT = (
    "run --kubeconfig {kubeconfig} --hostname-override {node} --cluster-cidr 10.128.0.0/9 "
    "--healthz-bind-address 127.0.0.1:10256 --metrics-bind-address 127.0.0.1:10249"
)
ENDPOINTS_MODE = " --feature-gates EndpointSliceProxying=false"


def own_agent() -> str:
    """The command line of this project's agent, with `{kubeconfig}` and `{node}` to fill in."""
    return f"{shlex.quote(agent_command())} {OWN_AGENT}"


def filled(command_line: str, kubeconfig: Path, node_name: str) -> list[str]:
    """Split a command line and fill in where the cluster is and who the node is."""
    return [
        word.replace("{kubeconfig}", str(kubeconfig)).replace("{node}", node_name)
        for word in shlex.split(command_line)
    ]


class MeasuredAgent:
    """One agent process on the node; may be started again after `kill`."""

    def __init__(self, node: Namespace, command: Sequence[str], log: Path) -> None:
        self._node = node
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; the few milliseconds of entering the namespace count as its own."""
        with self._log.open("ab") as log:
            self._process = self._node.spawn(*_WITH_BYTECODE, *self._command, output=log)

    @property
    def is_running(self) -> bool:
        """False before `start` and after its end, whoever ended it."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)

    def cpu_seconds(self) -> float:
        """User and system time so far, its ended children (such as `nft`) included."""
        after_name = self._proc("stat").rpartition(")")[2].split()
        # utime, stime, cutime, cstime: fields 14 to 17 of proc(5), the third one is first here.
        return sum(map(int, after_name[11:15])) / _TICKS_PER_SECOND

    def peak_memory_mb(self) -> float:
        """Largest resident set so far, in 10^6 bytes."""
        return _kilobytes(self._proc("status"), "VmHWM") * 1024 / 1e6

    def memory_mb(self) -> tuple[float, float]:
        """Resident and proportional set at present, in 10^6 bytes."""
        rollup = self._proc("smaps_rollup")
        return (_kilobytes(rollup, "Rss") * 1024 / 1e6, _kilobytes(rollup, "Pss") * 1024 / 1e6)

    def log_tail(self) -> str:
        """The last lines it printed."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_LOG_TAIL_LINES:])

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}", name).read_text()


def _kilobytes(text: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"/proc says nothing about {name}")
    return int(found[1])
