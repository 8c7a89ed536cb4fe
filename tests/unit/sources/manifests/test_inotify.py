"""The kernel's own words about changes in a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nodeproxy.sources.manifests.inotify import Inotify, InotifyEvent, Mask


def test_written_and_renamed_files_are_told_by_name(tmp_path: Path):
    with Inotify() as inotify:
        watch = inotify.add(tmp_path, Mask.CLOSE_WRITE | Mask.MOVED_TO)

        (tmp_path / "ä.yaml").write_text("x")
        (tmp_path / "ä.yaml").rename(tmp_path / "b.yaml")

        assert inotify.read() == [
            InotifyEvent(watch, Mask.CLOSE_WRITE, "ä.yaml"),
            InotifyEvent(watch, Mask.MOVED_TO, "b.yaml"),
        ]


def test_nothing_to_read_is_no_error(tmp_path: Path):
    with Inotify() as inotify:
        inotify.add(tmp_path, Mask.CREATE)

        assert inotify.read() == []


def test_removed_directory_takes_its_watch_along(tmp_path: Path):
    directory = tmp_path / "manifests"
    directory.mkdir()
    with Inotify() as inotify:
        watch = inotify.add(directory, Mask.DELETE_SELF)

        directory.rmdir()

        events = inotify.read()
        inotify.remove(watch)
        assert [(event.mask, event.name) for event in events] == [
            (Mask.DELETE_SELF, ""),
            (Mask.IGNORED, ""),
        ]


def test_missing_directory_is_an_error_that_names_it(tmp_path: Path):
    with Inotify() as inotify, pytest.raises(FileNotFoundError, match="manifests"):
        inotify.add(tmp_path / "manifests", Mask.CREATE)


def test_descriptor_is_given_back(tmp_path: Path):
    with Inotify() as inotify:
        descriptor = inotify.fileno()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
