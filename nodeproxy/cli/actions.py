"""Flags of `run` that make it do something else, as they do with kube-proxy (CFG-2, CFG-3).

Each has a command of its own here as well, except `--init-only` and `--write-config-to`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import click

from nodeproxy.cli.version import version_line, version_parts
from nodeproxy.cli.work import Work, wait_for
from nodeproxy.config import flags as f
from nodeproxy.config.effective import format_documents
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Config
from nodeproxy.config.values import parse_bool
from nodeproxy.errors import ConfigError

_log = logging.getLogger("nodeproxy.cli")


class UnwritableFile(ConfigError):
    """The settings cannot be written where they were wanted."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        flag = f.WRITE_CONFIG_TO.spelling
        return f"{self.path}: {self.reason}; nothing was written, name another file with {flag}"


def before_logging(texts: Mapping[str, str]) -> bool:
    """Do what `--version` asks for; True if that was all.

    Raises:
        InvalidSettings: it asks for something else.
    """
    text = texts.get(f.VERSION.name, "false")
    if text == "raw":
        click.echo(version_parts())
        return True
    if text.startswith("v"):
        return False  # kube-proxy reports this version from then on; told by `instead_of_running`
    if is_asked := _is_true(f.VERSION, text):
        click.echo(version_line())
    return is_asked


def instead_of_running(work: Work, config: Config) -> bool:
    """Do what the other flags ask for; True if the agent shall not run.

    Raises:
        InvalidSettings: a flag is neither true nor false.
        UnwritableFile: `--write-config-to` names no file that can be written.
        NodeproxyError: what was asked for cannot be done.
    """
    if path := config.flags.get(f.WRITE_CONFIG_TO.name):
        _write(config, path)
        return True
    actions: tuple[tuple[f.Flag, Callable[[], None]], ...] = (
        (f.CLEANUP, lambda: _clean_up(work)),
        (f.INIT_ONLY, lambda: _initialise(work, config)),
    )
    for flag, act in actions:
        if _is_true(flag, config.flags.get(flag.name, "false")):
            act()
            return True
    if text := config.flags.get(f.VERSION.name, "").removeprefix("v"):
        _log.info("--version=v%s: no effect here: the version is told as it is", text)
    return False


def _is_true(flag: f.Flag, text: str) -> bool:
    try:
        return parse_bool(text)
    except ValueError as exc:
        raise InvalidSettings([f"{flag.spelling}: {exc}"]) from exc


def _write(config: Config, path: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(format_documents(config))
    except OSError as exc:
        raise UnwritableFile(path, exc.strerror or str(exc)) from exc
    _log.info("settings written to %s", path)


def _clean_up(work: Work) -> None:
    for line in wait_for(work.cleanup()) or ["nothing to remove"]:
        click.echo(line)


def _initialise(work: Work, config: Config) -> None:
    for line in wait_for(work.initialise(config)):
        click.echo(line)
