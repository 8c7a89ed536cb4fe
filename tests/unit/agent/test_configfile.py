"""When the configuration is read again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproxy.agent.configfile import ConfigTrigger

SOON = 0.005


async def cause_after(trigger: ConfigTrigger, change: Callable[[], object]) -> str:
    """Change something while the trigger waits; why it ended the wait."""
    waiting = asyncio.create_task(trigger.wait())
    await asyncio.sleep(0)
    change()
    async with asyncio.timeout(20):
        return await waiting


def rewrite(file: Path) -> None:
    file.write_text("changed, and longer")


def replace(file: Path) -> None:
    beside = file.with_name("new")
    beside.write_text("same?")
    os.replace(beside, file)


@pytest.mark.parametrize("change", [rewrite, replace])
async def test_a_file_that_is_another_one_is_read(tmp_path: Path, change: Callable[[Path], None]):
    """CFG-23."""
    file = tmp_path / "config.yaml"
    file.write_text("first")
    trigger = ConfigTrigger(str(file), SOON)

    cause = await cause_after(trigger, lambda: change(file))

    assert cause == f"{file} has changed"


async def test_a_configmap_that_was_published_anew_is_read(tmp_path: Path):
    """The link ..data is exchanged, which no event on the file tells (CFG-23)."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "config.conf").write_text(version)
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "config.conf").symlink_to("..data/config.conf")
    trigger = ConfigTrigger(str(tmp_path / "config.conf"), SOON)

    def publish() -> None:
        (tmp_path / "..data_tmp").symlink_to("two")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")

    cause = await cause_after(trigger, publish)

    assert cause.endswith("config.conf has changed")


async def test_a_file_that_was_gone_is_read_when_it_is_back(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("first")
    trigger = ConfigTrigger(str(file), SOON)

    def go_and_return() -> None:
        file.unlink()
        asyncio.get_running_loop().call_later(5 * SOON, file.write_text, "back again")

    cause = await cause_after(trigger, go_and_return)

    assert (cause, file.read_text()) == (f"{file} has changed", "back again")


async def test_a_signal_has_it_read_at_once_also_without_a_file():
    trigger = ConfigTrigger("", 1000.0)

    cause = await cause_after(trigger, trigger.ask)

    assert cause == "SIGHUP"


async def test_what_was_read_by_signal_is_not_read_again(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("first")
    trigger = ConfigTrigger(str(file), SOON)
    rewrite(file)
    trigger.ask()
    first = await trigger.wait()

    second = await cause_after(trigger, lambda: file.write_text("changed for the second time"))

    assert (first, second) == ("SIGHUP", f"{file} has changed")
