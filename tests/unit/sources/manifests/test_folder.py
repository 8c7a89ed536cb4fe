"""Which files count, and when a changed one is fit to be read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproxy.sources.manifests.folder import DirectoryUnreadable, Folder, Look, Signature, Timing
from nodeproxy.sources.manifests.watch import Hints

TIMING = Timing(tick_seconds=1.0, settle_seconds=0.25, patience_seconds=1.0)
NO_HINTS = Hints()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "manifests"
    directory.mkdir()
    for name in ("a.yaml", "b.yaml"):
        (directory / name).write_text(f"name: {name}\n")
    return directory


@pytest.fixture
def folder(directory: Path) -> Folder:
    """A folder that has been looked at once, at second 10."""
    folder = Folder(directory, TIMING)
    folder.look(NO_HINTS, now=10.0, is_first=True)
    return folder


def finished(*names: str) -> Hints:
    return Hints(finished=frozenset(names))


def test_first_look_takes_everything_at_once(directory: Path):
    (directory / "empty.yml").touch()

    look = Folder(directory, TIMING).look(NO_HINTS, now=10.0, is_first=True)

    assert look == Look(("a.yaml", "b.yaml", "empty.yml"), total_bytes=26)


def test_file_that_one_listing_leaves_out_is_not_overlooked_at_first(
    directory: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = Folder(directory, TIMING)
    listings: list[Callable[[float], dict[str, Signature]]] = [folder._list, lambda now: {}]
    monkeypatch.setattr(folder, "_list", lambda now: listings.pop()(now))

    look = folder.look(NO_HINTS, now=10.0, is_first=True)

    assert look.to_read == ("a.yaml", "b.yaml")


def test_only_visible_manifests_that_are_regular_files_count(tmp_path: Path):
    for name in ("web.yaml~", "#web.yaml#", ".web.yaml.swp", ".hidden.yaml", "notes.txt", "x.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "sub.yaml").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "link.yml").symlink_to("x.json")

    look = Folder(tmp_path, TIMING).look(NO_HINTS, now=10.0, is_first=True)

    assert look.to_read == ("link.yml", "x.json")


def test_unchanged_files_are_left_alone(folder: Folder):
    assert folder.look(NO_HINTS, now=11.0) == Look()


def test_file_its_writer_closed_is_read_at_once(folder: Folder, directory: Path):
    (directory / "a.yaml").write_text("changed: true\n")

    look = folder.look(finished("a.yaml"), now=11.0)

    assert look == Look(("a.yaml",), total_bytes=14)


def test_file_its_writer_closed_is_read_even_if_it_looks_the_same(folder: Folder):
    # Two writes of the same length within one tick of the file system's clock.
    look = folder.look(finished("a.yaml"), now=11.0)

    assert look.to_read == ("a.yaml",)


def test_file_changed_without_a_hint_is_read_when_it_stays_the_same(
    folder: Folder, directory: Path
):
    (directory / "a.yaml").write_text("half")
    seen = folder.look(NO_HINTS, now=11.0)
    (directory / "a.yaml").write_text("half and more")
    still_changing = folder.look(NO_HINTS, now=11.25)

    settled = folder.look(NO_HINTS, now=11.5)

    assert seen == Look(again_in_seconds=0.25)
    assert still_changing == Look(again_in_seconds=0.25)
    assert settled.to_read == ("a.yaml",)


def test_truncated_file_is_given_time_even_if_its_writer_closed_it(folder: Folder, directory: Path):
    (directory / "a.yaml").write_text("")

    truncated = folder.look(finished("a.yaml"), now=11.0)
    for_good = folder.look(NO_HINTS, now=12.0)

    assert truncated == Look(again_in_seconds=1.0)
    assert for_good.to_read == ("a.yaml",)


def test_truncated_file_that_is_written_again_was_never_empty(folder: Folder, directory: Path):
    (directory / "a.yaml").write_text("")
    folder.look(finished("a.yaml"), now=11.0)
    (directory / "a.yaml").write_text("again: true\n")

    look = folder.look(finished("a.yaml"), now=11.5)

    assert look == Look(("a.yaml",), total_bytes=12)


def test_removed_file_is_gone_when_it_stays_away(folder: Folder, directory: Path):
    (directory / "a.yaml").unlink()

    missed = folder.look(NO_HINTS, now=11.0)
    gone = folder.look(NO_HINTS, now=11.25)
    after = folder.look(NO_HINTS, now=12.0)

    assert missed == Look(again_in_seconds=0.25)
    assert gone == Look(gone=("a.yaml",))
    assert after == Look()
    assert len(folder) == 1


def test_editor_that_moves_the_old_file_away_first_removes_nothing(folder: Folder, directory: Path):
    (directory / "a.yaml").rename(directory / "a.yaml~")
    missed = folder.look(NO_HINTS, now=11.0)
    (directory / "a.yaml").write_text("saved: true\n")

    saved = folder.look(finished("a.yaml"), now=11.1)

    assert (missed.gone, missed.to_read) == ((), ())
    assert saved == Look(("a.yaml",), total_bytes=12)
    assert folder.look(NO_HINTS, now=12.0) == Look()


def test_renamed_file_comes_and_goes_at_one_stroke(folder: Folder, directory: Path):
    (directory / "a.yaml").rename(directory / "z.yaml")

    told = folder.look(finished("z.yaml"), now=11.0)
    settled = folder.look(NO_HINTS, now=11.25)

    assert told == Look(again_in_seconds=0.25)
    assert (settled.to_read, settled.gone) == (("z.yaml",), ("a.yaml",))


def test_known_file_is_read_although_another_is_going(folder: Folder, directory: Path):
    (directory / "a.yaml").unlink()
    (directory / "b.yaml").write_text("changed: true\n")

    look = folder.look(finished("b.yaml"), now=11.0)

    assert look.to_read == ("b.yaml",)


def test_published_files_are_read_at_once(tmp_path: Path):
    # A mounted ConfigMap: links through `..data`, which is exchanged by one rename.
    for version in ("..v1", "..v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "web.yaml").write_text(f"version: {version}\n")
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")
    folder = Folder(tmp_path, TIMING)
    folder.look(NO_HINTS, now=10.0, is_first=True)
    (tmp_path / "..data_tmp").symlink_to("..v2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    look = folder.look(Hints(is_published=True), now=11.0)

    assert look.to_read == ("web.yaml",)
    assert folder.read("web.yaml") == b"version: ..v2\n"


def test_directory_that_is_gone_takes_no_file_with_it(folder: Folder, directory: Path):
    directory.rename(directory.with_name("away"))

    with pytest.raises(FileNotFoundError):
        folder.look(NO_HINTS, now=11.0)

    assert len(folder) == 2


def test_files_missing_from_a_directory_that_returned_are_given_more_time(
    folder: Folder, directory: Path
):
    away = directory.rename(directory.with_name("away"))
    folder.directory_is_gone()
    directory.mkdir()
    (away / "a.yaml").rename(directory / "a.yaml")

    returned = folder.look(NO_HINTS, now=20.0)
    later = folder.look(NO_HINTS, now=20.5)
    last = folder.look(NO_HINTS, now=21.0)

    assert (returned.gone, later.gone) == ((), ())
    assert later.again_in_seconds == 0.5
    assert last.gone == ("b.yaml",)


def test_directory_lost_and_returned_between_two_looks_is_given_more_time(
    folder: Folder, directory: Path
):
    (directory / "b.yaml").unlink()

    look = folder.look(Hints(is_lost=True), now=20.0)

    assert look.again_in_seconds == 1.0


def test_file_is_read_again_after_an_error_that_may_pass(folder: Folder):
    folder.forget_version("a.yaml")
    folder.forget_version("unknown.yaml")

    look = folder.look(NO_HINTS, now=11.0)

    assert look.to_read == ("a.yaml",)


def test_pipe_in_the_place_of_a_file_keeps_nobody_waiting(folder: Folder, directory: Path):
    (directory / "a.yaml").unlink()
    os.mkfifo(directory / "a.yaml")

    assert folder.read("a.yaml") == b""


def test_unreadable_directory_is_explained_with_the_remedy():
    error = DirectoryUnreadable(Path("/etc/manifests"), "No such file or directory")

    assert str(error) == (
        "manifests directory /etc/manifests: No such file or directory; there is nothing to "
        "program. Name a directory that exists and may be listed with --manifests"
    )
