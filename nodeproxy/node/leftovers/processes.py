"""Whether a program still runs that would write again what is removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_COMMAND_BYTES = 15
"""The kernel cuts names of commands to this length."""


def running_here(name: str, proc: Path = Path("/proc")) -> list[int]:
    """Process ids of a command in our network namespace, as far as /proc shows them.

    A container without the host's process ids sees its own processes only.

    Args:
        name: of the command, `kube-proxy`.
        proc: where the kernel tells of processes.
    """
    ours = _namespace(proc / "thread-self")
    return sorted(
        int(entry.name)
        for entry in proc.iterdir()
        if entry.name.isdecimal() and name in set(_names(entry)) and _namespace(entry) == ours
    )


def _names(process: Path) -> Iterator[str]:
    """The kernel's name of the process, and the first word of its command line."""
    try:
        command = (process / "comm").read_text(errors="replace").strip()
        first = (process / "cmdline").read_bytes().split(b"\0", 1)[0]
    except OSError:
        return
    if len(command) < _COMMAND_BYTES:
        yield command
    yield os.path.basename(first.decode(errors="replace"))


def _namespace(process: Path) -> str:
    try:
        return os.readlink(process / "ns" / "net")
    except OSError:
        return ""
