"""One setting: its names, how it is read, its default, and how it is told."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from nodeproxy.config.flags import Flag, FlagKind
from nodeproxy.config.schema import Config, ProxyMode

T = TypeVar("T")

Plain = str | int | float | bool | list[str] | dict[str, bool] | None
"""A value as a document holds it."""

MODE_SECTION = "*."
"""Stands for the section of the proxy mode in the name of a setting: `nftables.`."""


class Setting(msgspec.Struct, Generic[T], frozen=True):
    """One setting with two ways in: a flag, and a field of the configuration file.

    Both give text, which one parser turns into the value.
    """

    name: str
    """Its field in the file, `conntrack.min`; with `MODE_SECTION` in front if every proxy mode
    has one of its own."""
    attribute: str
    """Where `Config` holds it, `conntrack.min`."""
    flag: Flag | None
    shape: FlagKind
    """How a file writes it."""
    parse: Callable[[str], T]
    """Raises `ValueError`, one argument a mistake."""
    default: T
    tell: Callable[[T], Plain]
    """The value as a file holds it."""
    parse_in_file: Callable[[str], T] | None = None
    """Where files are read more strictly than flags."""
    keeps_zero: bool = False
    """True if 0, false or blank in a file is a value; else it stands for the default (CFG-21)."""
    is_own: bool = False
    """True if it is not kube-proxy's: its field stands in a NodeproxyConfiguration."""
    flag_wins: bool = False
    """True if the flag counts although there is a file (CFG-5)."""
    is_live: bool = False
    """True if a running agent takes a new value over."""
    idle: str = ""
    """Why it has no effect here; blank for those that have one."""

    def concrete_name(self, mode: ProxyMode) -> str:
        """Its field when this is the proxy mode."""
        return self.name.replace(MODE_SECTION, f"{mode}.", 1)

    def value(self, config: Config) -> T:
        """The value a configuration has."""
        found: Any = functools.reduce(getattr, self.attribute.split("."), config)
        value: T = found
        return value

    def plain(self, config: Config) -> Plain:
        """The value a configuration has, as a file holds it."""
        return self.tell(self.value(config))
