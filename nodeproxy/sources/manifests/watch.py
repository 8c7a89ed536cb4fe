"""Waiting for a directory to change, with inotify where it works and by the clock where not.

A hint only shortens the wait. Whoever waits looks at the whole directory afterwards, at least
once in `tick_seconds`; so a hint that gets lost, a network file system whose changes the
kernel never hears of, and a link out of the directory cost latency, never correctness.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from types import TracebackType

import msgspec

from nodeproxy.sources.manifests.inotify import Inotify, InotifyEvent, Mask

log = logging.getLogger("nodeproxy.manifests")

_FINISHED = Mask.CLOSE_WRITE | Mask.MOVED_TO
_LOST = Mask.IGNORED | Mask.MOVE_SELF
_WATCHED = (
    _FINISHED
    | Mask.CREATE
    | Mask.DELETE
    | Mask.MOVED_FROM
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)

# How a mounted ConfigMap is published: all files are links through `..data`, which is itself a
# link that is replaced by one rename when everything is in place.
_PUBLISHED = "..data"


class Hints(msgspec.Struct, frozen=True):
    """Which files are known to be complete, by their names."""

    finished: frozenset[str] = frozenset()
    """Closed by their writer or renamed into place since the last wait."""
    is_published: bool = False
    """True if all files were replaced at one stroke."""
    is_lost: bool = False
    """True if the directory itself went away; what is there now may be another one."""


class DirectoryWatch:
    """Hints about one directory, which may vanish, return, or become another one.

    Use as `with DirectoryWatch(...) as watch`, in a running event loop. `arm` before looking at
    the directory, `wait` after that.
    """

    def __init__(self, directory: Path, tick_seconds: float) -> None:
        self._directory = directory
        self._tick_seconds = tick_seconds
        self._woken = asyncio.Event()
        # Mutable: what the kernel is watching for us, and what it said since the last wait.
        self._inotify: Inotify | None = None
        self._watch: int | None = None
        self._identity: tuple[int, int] | None = None
        self._finished: set[str] = set()
        self._is_published = False
        self._is_lost = False
        self._how = ""

    def __enter__(self) -> DirectoryWatch:
        try:
            self._inotify = Inotify()
        except OSError as exc:
            self._say(f"polling reason={exc.strerror!r}")
            return self
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()

    def arm(self) -> None:
        """Have the directory watched that is there now, if that is not so already."""
        if self._inotify is None:
            return
        try:
            status = os.stat(self._directory)
            identity = (status.st_dev, status.st_ino)
            if self._watch is not None and identity == self._identity:
                return
            if self._watch is not None:
                self._inotify.remove(self._watch)
            self._watch = self._inotify.add(self._directory, _WATCHED)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as exc:
            self._say(f"polling reason={exc.strerror!r}")
            return
        self._identity = identity
        self._say("inotify")

    def wake(self) -> None:
        """End the wait: there is something else to do."""
        self._woken.set()

    async def wait(self, at_most_seconds: float | None = None) -> Hints:
        """Wait for a hint or for the time to look again, whichever is first."""
        seconds = self._tick_seconds
        if at_most_seconds is not None:
            seconds = min(seconds, at_most_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()
        hints = Hints(frozenset(self._finished), self._is_published, self._is_lost)
        self._finished.clear()
        self._is_published = self._is_lost = False
        return hints

    def _read(self) -> None:
        assert self._inotify is not None
        for event in self._inotify.read():
            self._take(event)
            self._woken.set()

    def _take(self, event: InotifyEvent) -> None:
        if event.watch != self._watch and event.watch != -1:  # -1: overflow, of no watch
            return  # an afterthought of a directory that was replaced
        if event.mask & _LOST:
            if self._watch is not None and self._inotify is not None:
                self._inotify.remove(self._watch)  # a directory that moved is watched still
            self._watch = None
            self._is_lost = True
        if event.mask & _FINISHED:
            self._finished.add(event.name)
            self._is_published |= event.name == _PUBLISHED

    def _say(self, how: str) -> None:
        if how != self._how:
            self._how = how
            log.info(
                "following manifests directory=%s tick_seconds=%g by=%s",
                self._directory,
                self._tick_seconds,
                how,
            )
