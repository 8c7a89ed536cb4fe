"""The flag table of `nodeproxy.config.flags` as options of a command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from nodeproxy.config.flags import ACTIONS, FLAGS, Flag, FlagKind
from nodeproxy.config.idle import IDLE_FLAGS
from nodeproxy.config.load import load_config
from nodeproxy.config.schema import Config

_Command = TypeVar("_Command", bound=Callable[..., Any])


def with_flags(*flags: Flag) -> Callable[[_Command], _Command]:
    """Give a command these flags; their texts arrive as keyword arguments, None if not given."""

    def decorate(command: _Command) -> _Command:
        for flag in reversed(flags):
            command = click.option(*_spellings(flag), **_attributes(flag))(command)
        return command

    return decorate


def with_all_flags(command: _Command) -> _Command:
    """Give a command every flag that stands for a setting."""
    return with_flags(*FLAGS, *IDLE_FLAGS)(command)


def texts_by_name(values: Mapping[str, Any]) -> dict[str, str]:
    """What was given, by flag name: values of repeated list flags are joined by commas."""
    texts = {}
    for flag in (*FLAGS, *IDLE_FLAGS, *ACTIONS):
        value = values.get(_argument(flag))
        if isinstance(value, tuple):
            value = ",".join(value) if value else None
        if value is not None:
            # A short form with an equals sign, -v=2, reaches us with the sign.
            texts[flag.name] = value.removeprefix("=") if flag.short else value
    return texts


def read_config(values: Mapping[str, Any]) -> Config:
    """The settings that a command was started with.

    Raises:
        InvalidSettings: with every mistake.
        UnreadableFile: the file of `--config` cannot be read.
    """
    return load_config(texts_by_name(values), os.uname().nodename)


def _spellings(flag: Flag) -> list[str]:
    short = [f"-{flag.short}"] if flag.short else []
    return [*short, flag.spelling, _argument(flag)]


def _argument(flag: Flag) -> str:
    return f"{flag.name.replace('-', '_')}_text"


def _attributes(flag: Flag) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "metavar": flag.value_name,
        "help": flag.help,
        "hidden": flag.is_hidden,
    }
    if flag.kind in (FlagKind.LIST, FlagKind.GATES):
        attributes["multiple"] = True
    if flag.kind is FlagKind.SWITCH:
        attributes |= {"is_flag": False, "flag_value": "true"}
    return attributes
