"""When to read the configuration again: a signal, or a file that is another one now (CFG-23).

The file is looked at once a second. That sees every way in which it may change, also the exchange
of a symbolic link above it, by which kubelet publishes a ConfigMap and of which inotify on the
file tells nothing; and one `stat` a second costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import NamedTuple

LOOK_SECONDS = 1.0


class Version(NamedTuple):
    """What tells one version of a file from another without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def version_of(path: str) -> Version | None:
    """The version of what a path leads to; None if that is nothing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Version(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


class ConfigTrigger:
    """Says when to read the configuration, and why."""

    # Mutable: what was asked for, and the versions that were seen and read.
    def __init__(self, path: str, look_seconds: float = LOOK_SECONDS) -> None:
        """Take the file as it is for read.

        Args:
            path: of the configuration file; empty if there is none.
            look_seconds: how long to wait between two looks.
        """
        self._path = path
        self._look_seconds = look_seconds if path else None
        self._asked = asyncio.Event()
        self._read = self._seen = version_of(path) if path else None

    def ask(self) -> None:
        """Have it read now; what SIGHUP does."""
        self._asked.set()

    async def wait(self) -> str:
        """Wait until the configuration should be read; returns why."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._asked.wait()
            cause = self._cause()
            if cause:
                self._asked.clear()
                return cause

    def _cause(self) -> str:
        """Why to read it now; empty if there is no reason, or it may be half-written."""
        before, self._seen = self._seen, version_of(self._path) if self._path else None
        if self._asked.is_set():
            self._read = self._seen
            return "SIGHUP"
        # Twice the same: whoever writes it is done. A file that is gone may be on its way back.
        if self._seen is None or self._seen == self._read or self._seen != before:
            return ""
        self._read = self._seen
        return f"{self._path} has changed"
