"""What changes when the settings are read again, and how much of it a running agent takes over.

Values count, not where they stand: moving a setting from a flag into the file is no change.
"""

from __future__ import annotations

from typing import Any

import msgspec

from nodeproxy.config.schema import Config, config_from
from nodeproxy.config.setting import Plain, Setting
from nodeproxy.config.settings import SETTINGS


class Change(msgspec.Struct, frozen=True):
    """One setting that has another value now."""

    field: str
    """Its name in the file, `nftables.syncPeriod`."""
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field}: {self.old} -> {self.new}"


class Reload(msgspec.Struct, frozen=True):
    """All changes."""

    live: tuple[Change, ...] = ()
    """What a running agent takes over."""
    restart: tuple[Change, ...] = ()
    """What stays as it was until the agent starts anew."""

    @property
    def is_empty(self) -> bool:
        """True if nothing has changed."""
        return not self.live and not self.restart


def compare(old: Config, new: Config) -> Reload:
    """What is different in `new`."""
    live: list[Change] = []
    restart: list[Change] = []
    for setting in SETTINGS:
        if setting.value(old) == setting.value(new):
            continue
        field = setting.concrete_name(new.proxy_mode)
        change = Change(field, _told(setting, old), _told(setting, new))
        (live if setting.is_live else restart).append(change)
    return Reload(tuple(live), tuple(restart))


def taken_over(old: Config, new: Config) -> Config:
    """The settings in force after a reload: those of `new` where they are live, else of `old`."""
    values = {s.attribute: s.value(new if s.is_live else old) for s in SETTINGS}
    return msgspec.structs.replace(
        config_from(values),
        config_file=old.config_file,
        flags=old.flags,
        origins=new.origins,
        remarks=new.remarks,
        unused=new.unused,
    )


def _told(setting: Setting[Any], config: Config) -> str:
    """A value on one line, in quotes if it would be hard to see."""
    return plain_text(setting.plain(config))


def plain_text(value: Plain) -> str:
    """A value of a document on one line."""
    match value:
        case dict():
            return ",".join(f"{name}={str(is_on).lower()}" for name, is_on in value.items()) or '""'
        case list():
            return ",".join(value) or '""'
        case bool():
            return str(value).lower()
        case _:
            return str(value) or '""'
