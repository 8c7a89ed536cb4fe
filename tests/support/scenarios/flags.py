"""The agent's flags, in the form `--name=value`, read as the agent reads them."""

from __future__ import annotations

from collections.abc import Iterable

from nodeproxy.config.flags import FLAGS, FlagKind
from nodeproxy.config.parse import parse_flags
from nodeproxy.config.schema import Config

_KIND_BY_NAME = {flag.name: flag.kind for flag in FLAGS}


def flags_by_name(flags: Iterable[str]) -> tuple[str, ...]:
    """The flags in their full form; of one name the last counts.

    Raises:
        ValueError: a flag is not of the form `--name=value`, or not known.
    """
    values = dict(map(_split, flags))
    return tuple(f"--{name}={value}" for name, value in values.items())


def config_from(flags: Iterable[str]) -> Config:
    """The settings of an agent that is started with these flags.

    Raises:
        InvalidSettings: the agent would not start.
    """
    return parse_flags(dict(map(_split, flags)), host_name="not-used")


def check_flags(flags: Iterable[str]) -> None:
    """See that the agent would start.

    Raises:
        ValueError: a flag is not of the form `--name=value`, or not known.
        InvalidSettings: a value is wrong.
    """
    config_from(flags)


def _split(flag: str) -> tuple[str, str]:
    name, equals, value = flag.removeprefix("--").partition("=")
    kind = _KIND_BY_NAME.get(name)
    if not flag.startswith("--") or kind is None:
        raise ValueError(f'"{flag}" is no flag of the agent; write --name=value')
    if not equals and kind is not FlagKind.SWITCH:
        raise ValueError(f"{flag} needs a value; write {flag}=VALUE")
    return name, value if equals else "true"
