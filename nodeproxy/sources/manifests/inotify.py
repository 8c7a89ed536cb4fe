"""Linux inotify through ctypes: the kernel says when a directory's files change.

Written here because the one dependency that has it, pyroute2, costs 13 MB of memory. See
inotify(7); what is read from the descriptor is a row of

```
 0      4      8      12     16          16 + len
 | wd   | mask |cookie| len  | name, NUL padding |
```
"""

from __future__ import annotations

import ctypes
import enum
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


class Mask(enum.IntFlag):
    """What to tell, and what is told (linux/inotify.h)."""

    CLOSE_WRITE = 0x00000008
    MOVED_FROM = 0x00000040
    MOVED_TO = 0x00000080
    CREATE = 0x00000100
    DELETE = 0x00000200
    DELETE_SELF = 0x00000400
    MOVE_SELF = 0x00000800
    Q_OVERFLOW = 0x00004000
    IGNORED = 0x00008000
    ONLYDIR = 0x01000000


class InotifyEvent(NamedTuple):
    """One change, in the directory or of the directory itself."""

    watch: int
    mask: Mask
    name: str
    """The entry that changed; empty for the directory itself."""


class Inotify:
    """One inotify instance; close it with `with` or `close`.

    Raises:
        OSError: the kernel has no inotify, or the user no instance left (EMFILE).
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")

    def __enter__(self) -> Inotify:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back, and all watches with it."""
        os.close(self._fd)

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._fd

    def add(self, directory: Path, mask: Mask) -> int:
        """Watch a directory; returns the number its events carry.

        Raises:
            OSError: no such directory, or no watch left (ENOSPC).
        """
        path = os.fsencode(directory)
        return self._checked(self._libc.inotify_add_watch(self._fd, path, int(mask)), directory)

    def remove(self, watch: int) -> None:
        """Forget a watch; one the kernel has dropped already is no error."""
        self._libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> list[InotifyEvent]:
        """The events waiting right now; none is no error."""
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return []
        events, offset = [], 0
        while offset < len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
            events.append(InotifyEvent(watch, Mask(mask), name))
            offset += length
        return events

    @staticmethod
    def _checked(result: int, subject: object) -> int:
        if result < 0:
            errno = ctypes.get_errno()
            raise OSError(errno, os.strerror(errno), str(subject))
        return result
