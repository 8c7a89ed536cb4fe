"""The files of the manifests directory: which there are, and which are fit to be read again.

A file counts if its name ends in .yaml, .yml or .json, does not begin with a dot, and leads,
perhaps through links, to a regular file. Thereby editors' backups (`web.yaml~`, `#web.yaml#`,
`.web.yaml.swp`), the inner directories of a mounted ConfigMap (`..data`) and subdirectories are
left out.

Editors and copying programs leave files half-written, empty or absent for a moment. Hence:

| What is seen                                 | When it counts                               |
|----------------------------------------------|----------------------------------------------|
| changed, and its writer closed or renamed it | at once                                      |
| changed, for any other reason                | when it stayed the same for `settle_seconds` |
| empty now                                    | when it stayed so for `patience_seconds`     |
| gone                                         | when it stayed so for `settle_seconds`; for  |
|                                              | `patience_seconds` if the directory itself   |
|                                              | was gone or was replaced                     |
| new, while others are going                  | together with them: it may be one renamed    |
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import msgspec

from nodeproxy.documents.text import BrokenText
from nodeproxy.errors import SourceError
from nodeproxy.sources.manifests.watch import Hints

SUFFIXES = (".yaml", ".yml", ".json")

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A hundred thousand Services with ten endpoints each fit; a disk image does not."""


class DirectoryUnreadable(SourceError):
    """There is no directory to follow."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(directory, reason)
        self.directory = directory
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"manifests directory {self.directory}: {self.reason}; there is nothing to program. "
            "Name a directory that exists and may be listed with --manifests"
        )


class Timing(msgspec.Struct, frozen=True):
    """How long to wait for what, in seconds."""

    tick_seconds: float = 1.0
    """Between two looks at the directory when nothing hints at a change."""
    settle_seconds: float = 0.2
    patience_seconds: float = 1.0
    """How long a file may be broken before anybody is told."""
    switch_seconds: float = 10.0
    """How long a broken file may hold up that another kind of endpoints is read."""


class Signature(NamedTuple):
    """What tells one version of a file from another without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class _File:
    """What is known of one name; mutable, owned by the Folder."""

    __slots__ = ("loaded", "missing_since", "seen", "seen_since")

    def __init__(self, seen: Signature, now: float) -> None:
        self.seen = seen
        self.seen_since = now
        self.loaded: Signature | None = None
        """The version that was read last; None before the first."""
        self.missing_since: float | None = None


class Look(msgspec.Struct, frozen=True):
    """What has to be done after looking at the directory, and when to look again."""

    to_read: tuple[str, ...] = ()
    """Names in sorted order."""
    gone: tuple[str, ...] = ()
    total_bytes: int = 0
    """Of the files to read."""
    again_in_seconds: float | None = None
    """Something is about to settle; None if nothing is."""


class Folder:
    """The directory as it was last looked at; the one owner of what is known of its files."""

    def __init__(self, directory: Path, timing: Timing) -> None:
        self._directory = directory
        self._timing = timing
        self._files: dict[str, _File] = {}
        self._identity: tuple[int, int] | None = None
        self._patient_until = 0.0

    def __len__(self) -> int:
        return len(self._files)

    def names(self) -> tuple[str, ...]:
        """Every file that has been seen and has not gone for good, sorted."""
        return tuple(sorted(self._files))

    def forget_version(self, name: str) -> None:
        """Have a file read again at the next look, as after an error that may pass."""
        if name in self._files:
            self._files[name].loaded = None

    def look(self, hints: Hints, now: float, *, is_first: bool = False) -> Look:
        """Compare the directory with what was seen before.

        The files to read count as read when this returns.

        Args:
            hints: what the kernel told about files since the last look.
            now: monotonic seconds.
            is_first: take everything as it is, without waiting for anything to settle.

        Raises:
            OSError: the directory cannot be listed; what is known of its files is kept.
        """
        if hints.is_lost:
            self.directory_is_gone()
        found = self._list(now)
        if is_first:
            # Some file systems (btrfs) leave out of a listing what is renamed meanwhile. Later a
            # file gets time to come back; the first look has the last word on what to program.
            found |= self._list(now)
        going, gone, waits = self._missing(found, now)
        to_read = []
        for name in sorted(found):
            file = self._seen(name, found[name], now)
            is_told = name in hints.finished or hints.is_published
            if file.seen == file.loaded and not is_told:
                continue
            wait = 0.0 if is_first else self._wait(file, is_told=is_told, now=now)
            if wait > 0:
                waits.append(wait)
            elif not (going and file.loaded is None):
                file.loaded = file.seen
                to_read.append(name)
        total_bytes = sum(found[name].size for name in to_read)
        return Look(tuple(to_read), gone, total_bytes, min(waits, default=None))

    def read(self, name: str) -> bytes:
        """All of a file.

        Raises:
            OSError: it may not be read, or is gone by now.
            BrokenText: it is too large.
        """
        # Should the name lead to a pipe by now, opening it must not wait for a writer.
        with open(os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise BrokenText(0, f"larger than {MAX_FILE_BYTES >> 20} MiB; split it")
        return data

    def _list(self, now: float) -> dict[str, Signature]:
        status = os.stat(self._directory)
        identity = (status.st_dev, status.st_ino)
        found = {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                if _counts(entry.name) and (signature := _signature(entry)) is not None:
                    found[entry.name] = signature
        if self._identity is not None and self._identity != identity:
            self._patient_until = now + self._timing.patience_seconds
        self._identity = identity
        return found

    def directory_is_gone(self) -> None:
        """Remember that whatever comes next under this path is another directory."""
        self._identity = (-1, -1)

    def _missing(
        self, found: dict[str, Signature], now: float
    ) -> tuple[bool, tuple[str, ...], list[float]]:
        """Whether names are on their way out, which have gone for good, and the waits left."""
        gone, waits = [], []
        for name in self._files.keys() - found.keys():
            file = self._files[name]
            if file.missing_since is None:
                file.missing_since = now
            until = max(file.missing_since + self._timing.settle_seconds, self._patient_until)
            if until > now:
                waits.append(until - now)
            else:
                gone.append(name)
                del self._files[name]
        return bool(waits), tuple(sorted(gone)), waits

    def _seen(self, name: str, signature: Signature, now: float) -> _File:
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _File(signature, now)
        elif file.seen != signature:
            file.seen, file.seen_since = signature, now
        file.missing_since = None
        return file

    def _wait(self, file: _File, *, is_told: bool, now: float) -> float:
        """Seconds until a changed file may be read."""
        if file.seen.size == 0 and file.loaded is not None:
            needed = self._timing.patience_seconds
        else:
            needed = 0.0 if is_told else self._timing.settle_seconds
        return file.seen_since + needed - now


def _counts(name: str) -> bool:
    return name.endswith(SUFFIXES) and not name.startswith(".")


def _signature(entry: os.DirEntry[str]) -> Signature | None:
    """The version of what an entry leads to; None if that is no regular file."""
    try:
        status = entry.stat()
    except OSError:
        return None  # gone meanwhile, or a link that leads nowhere
    if not stat.S_ISREG(status.st_mode):
        return None
    return Signature(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )
