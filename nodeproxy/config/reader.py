"""Reads settings from what was given, and collects everything there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from nodeproxy.config.given import Given
from nodeproxy.config.items import WrongItems
from nodeproxy.config.schema import Origin, Remark
from nodeproxy.config.setting import MODE_SECTION, Setting
from nodeproxy.errors import ConfigError

T = TypeVar("T")


class InvalidSettings(ConfigError):
    """What was asked for is not possible as written; all mistakes together."""

    def __init__(self, messages: Sequence[str], remarks: Sequence[Remark] = ()) -> None:
        super().__init__(*messages)
        self.messages = tuple(messages)
        self.remarks = tuple(remarks)
        """What there is to say besides."""

    def __str__(self) -> str:
        return "\n".join(self.messages)


class Reader:
    """Turns what was given into values, setting by setting."""

    # Mutable: what has been read and found so far.
    def __init__(self, givens: Iterable[Given], config_file: str = "") -> None:
        self._givens: dict[str, Given] = {}
        for given in givens:
            known = self._givens.get(given.name)
            self._givens[given.name] = _joined(known, given) if known else given
        self._config_file = config_file
        self._taken: set[str] = set()
        self.sections: tuple[str, ...] = ()
        """Sections that count for settings every proxy mode has of its own, the first first."""
        self.mistakes: list[str] = []
        self.remarks: list[Remark] = []
        self.origins: dict[str, Origin] = {}
        self.unused: list[str] = []
        """Names of settings that were given and set aside."""

    def find(self, name: str) -> Given | None:
        """What was given by that name, as it was written; it counts as looked at."""
        self._taken.add(name)
        return self._givens.get(name)

    def given(self, setting: Setting[T]) -> Given | None:
        """What was given for a setting: by its flag, or in the section that counts."""
        if found := self.find(setting.name):
            return found
        if not setting.name.startswith(MODE_SECTION):
            return None
        names = [setting.name.replace(MODE_SECTION, f"{name}.", 1) for name in self.sections]
        return next(filter(None, map(self.find, names)), None)

    def read(self, setting: Setting[T]) -> T:
        """The value of a setting; its default if it was not given or is wrong."""
        given = self.given(setting)
        if given is None:
            return setting.default
        is_strict = bool(given.origin.path) and setting.parse_in_file is not None
        parse = setting.parse_in_file if is_strict and setting.parse_in_file else setting.parse
        return self.parse(setting, given, parse, setting.default)

    def parse(self, setting: Setting[T], given: Given, parse: Callable[[str], T], default: T) -> T:
        """The value of a text that stands for a setting; the default if it is wrong."""
        try:
            value = parse(given.text)
        except WrongItems as exc:
            self.mistakes.extend(f"{given.item_label(i)}: {text}" for i, text in exc.mistakes)
            return default
        except ValueError as exc:
            self.mistakes.extend(f"{given.label}: {message}" for message in exc.args)
            return default
        self.origins[setting.name] = given.origin
        if setting.idle and value != setting.default:
            self.note_idle(given, setting.idle)
        return value

    def set_aside(self, setting: Setting[T]) -> None:
        """A setting is of no use beside the others: as with kube-proxy it may say what it likes."""
        given = self.given(setting)
        if given and given.text:
            self.unused.append(setting.name)
            self.origins[setting.name] = given.origin

    def demand(self, setting: Setting[T], by: Setting[Any], value: str) -> None:
        """A setting without which another makes no sense."""
        given = self.given(setting)
        if given and given.text:
            return
        asking = self.given(by)
        if asking and asking.origin.path:
            self.mistakes.append(
                f"{self._config_file}: {setting.name}: not set, but {by.name}: {value} on line "
                f"{asking.origin.line} needs it"
            )
        elif setting.flag and by.flag:
            what = f"{by.flag.spelling}={value}"
            self.mistakes.append(f"{setting.flag.spelling}: not set, but {what} needs it")

    def refuse_together(self, one: Setting[T], other: Setting[T], reason: str) -> None:
        """Two settings that exclude each other."""
        given, also = self.given(one), self.given(other)
        if given and given.text and also and also.text:
            self.mistakes.append(f"{given.label}: cannot be combined with {also.label}; {reason}")

    def note_idle(self, given: Given, reason: str) -> None:
        """Something was given that has no effect."""
        self.remarks.append(Remark(f"{given.label}: no effect here: {reason}"))

    def leftovers(self) -> list[Given]:
        """What was given and nobody has looked at, in the order it was given."""
        return [given for name, given in self._givens.items() if name not in self._taken]


def _joined(first: Given, second: Given) -> Given:
    return Given(
        first.name,
        f"{first.text},{second.text}",
        first.origin,
        first.item_lines + second.item_lines,
        first.item_names + second.item_names,
    )
