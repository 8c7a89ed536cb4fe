"""What was given and is of no use here: told, so that nobody believes that it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nodeproxy.config import settings as s
from nodeproxy.config import values
from nodeproxy.config.durations import parse_duration
from nodeproxy.config.flags import FlagKind
from nodeproxy.config.gates import idle_gates
from nodeproxy.config.given import Given
from nodeproxy.config.idle import IDLE_SETTINGS
from nodeproxy.config.reader import Reader
from nodeproxy.config.schema import Config, Remark
from nodeproxy.config.setting import MODE_SECTION, Setting


def note_what_is_idle(reader: Reader, config: Config) -> None:
    """Everything that was given and does nothing: checked for its form, and told."""
    if gates := reader.given(s.FEATURE_GATES):
        for name in idle_gates(gates.text):
            reader.remarks.append(
                Remark(f"{gates.label}: {name}: no effect here: nothing depends on this gate")
            )
    reasons = {setting.name: setting for setting in IDLE_SETTINGS}
    for given in reader.leftovers():
        if idle := reasons.get(given.name):
            _check_form(reader, given, idle.shape)
            reader.note_idle(given, idle.reason)
        elif setting := _setting_of_other_mode(given.name):
            _note_other_mode(reader, given, setting, config)


def _check_form(reader: Reader, given: Given, shape: FlagKind) -> None:
    checks: Mapping[FlagKind, Callable[[str], object]] = {
        FlagKind.SWITCH: values.parse_bool,
        FlagKind.DURATION: parse_duration,
    }
    check = checks.get(shape)
    if check and not given.origin.path:  # files were checked when they were read
        try:
            check(given.text)
        except ValueError as exc:
            reader.mistakes.append(f"{given.label}: {exc}")


def _setting_of_other_mode(name: str) -> Setting[Any] | None:
    section, _, field = name.partition(".")
    wanted = MODE_SECTION + field
    return next((found for found in s.SETTINGS if found.name == wanted), None) if section else None


def _note_other_mode(reader: Reader, given: Given, setting: Setting[Any], config: Config) -> None:
    """A value in the section of another mode: no matter if it says the same."""
    try:
        value = setting.parse(given.text)
    except ValueError as exc:
        reader.mistakes.extend(f"{given.label}: {message}" for message in exc.args)
        return
    if value != setting.value(config):
        field = setting.concrete_name(config.proxy_mode)
        reader.remarks.append(
            Remark(
                f"{given.label}: no effect here: the mode is {config.proxy_mode}, where {field} "
                "counts",
                is_warning=True,
            )
        )
