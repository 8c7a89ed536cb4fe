"""Hints about a directory: what they say, and that they survive its coming and going."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from pathlib import Path

import pytest

from nodeproxy.sources.manifests import watch as watch_module
from nodeproxy.sources.manifests.watch import DirectoryWatch, Hints

LONG_SECONDS = 30.0
"""A tick that no test lives to see: what comes before it came by inotify."""


@pytest.fixture
def no_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that gives out no inotify instances, as when a user has used up all of them."""

    def refuse() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(watch_module, "Inotify", refuse)


async def hints_of(watch: DirectoryWatch) -> Hints:
    async with asyncio.timeout(5):
        return await watch.wait()


async def test_file_closed_by_its_writer_is_finished(tmp_path: Path):
    with DirectoryWatch(tmp_path, LONG_SECONDS) as watch:
        watch.arm()

        (tmp_path / "web.yaml").write_text("x")

        assert await hints_of(watch) == Hints(frozenset({"web.yaml"}))


async def test_removed_file_ends_the_wait_without_being_finished(tmp_path: Path):
    (tmp_path / "web.yaml").touch()
    with DirectoryWatch(tmp_path, LONG_SECONDS) as watch:
        watch.arm()

        (tmp_path / "web.yaml").unlink()

        assert await hints_of(watch) == Hints()


async def test_exchanged_config_map_is_published(tmp_path: Path):
    with DirectoryWatch(tmp_path, LONG_SECONDS) as watch:
        watch.arm()

        (tmp_path / "..data_tmp").symlink_to("..v2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

        assert (await hints_of(watch)).is_published


async def test_hints_are_given_once(tmp_path: Path):
    with DirectoryWatch(tmp_path, LONG_SECONDS) as watch:
        watch.arm()
        (tmp_path / "web.yaml").write_text("x")
        await hints_of(watch)

        assert await watch.wait(at_most_seconds=0) == Hints()


async def test_directory_that_went_and_returned_is_followed_again(tmp_path: Path):
    directory = tmp_path / "manifests"
    directory.mkdir()
    with DirectoryWatch(directory, LONG_SECONDS) as watch:
        watch.arm()
        directory.rename(tmp_path / "away")
        lost = await hints_of(watch)
        watch.arm()
        directory.mkdir()
        watch.arm()

        (directory / "web.yaml").write_text("x")

        assert lost.is_lost
        assert "web.yaml" in (await hints_of(watch)).finished


async def test_link_that_leads_to_another_directory_is_followed_there(tmp_path: Path):
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
    directory = tmp_path / "manifests"
    directory.symlink_to("v1")
    with DirectoryWatch(directory, LONG_SECONDS) as watch:
        watch.arm()
        directory.unlink()
        directory.symlink_to("v2")
        watch.arm()

        (tmp_path / "v1" / "old.yaml").write_text("x")
        (tmp_path / "v2" / "new.yaml").write_text("x")

        finished: set[str] = set()
        while "new.yaml" not in finished:
            finished |= (await hints_of(watch)).finished
        assert finished == {"new.yaml"}


async def test_way_of_following_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    with DirectoryWatch(tmp_path, LONG_SECONDS) as watch:
        watch.arm()
        watch.arm()

    assert caplog.messages == [
        f"following manifests directory={tmp_path} tick_seconds=30 by=inotify"
    ]


@pytest.mark.usefixtures("no_inotify")
async def test_clock_ends_the_wait_where_inotify_is_not_to_be_had(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)

    with DirectoryWatch(tmp_path, tick_seconds=0.01) as watch:
        watch.arm()
        hints = await hints_of(watch)

    assert hints == Hints()
    assert caplog.messages == [
        f"following manifests directory={tmp_path} tick_seconds=0.01 "
        "by=polling reason='Too many open files'"
    ]
