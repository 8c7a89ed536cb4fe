"""The settings of an agent from its command line, and from the file that names (CFG-5).

    flags ----------------------------+-> what counts -> parse.py -> Config
      `--config` -> file.py -> fields -+

With a file, flags that have a field in it do not count, also where the file says nothing about
them; kube-proxy does the same. It does so silently, here it is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from nodeproxy.config import flags as f
from nodeproxy.config.given import Given
from nodeproxy.config.parse import givens_from_flags, parse_givens
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Config, Remark
from nodeproxy.config.settings import SETTINGS
from nodeproxy.errors import ConfigError

if TYPE_CHECKING:
    from nodeproxy.config.file import FileContent


class UnreadableFile(ConfigError):
    """The configuration file cannot be opened, which may pass."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; name a readable file with {f.CONFIG.spelling}"


class Gathered(msgspec.Struct, frozen=True):
    """What counts of flags and file, not yet looked at closely."""

    flags: Mapping[str, str]
    config_file: str = ""
    givens: tuple[Given, ...] = ()
    mistakes: tuple[str, ...] = ()
    """Found in the text of the file."""
    remarks: tuple[Remark, ...] = ()


def load_config(flags: Mapping[str, str], host_name: str) -> Config:
    """Build the settings of the agent; a reload calls it again with `Config.flags`.

    Args:
        flags: value by flag name without dashes; flags that were not given are absent.
        host_name: what the operating system calls this machine.

    Raises:
        InvalidSettings: with every mistake in flags and file, and what there is to say besides.
        UnreadableFile: the file cannot be read.
    """
    return settle(gather(flags), host_name)


def gather(flags: Mapping[str, str]) -> Gathered:
    """Put together what counts of flags and file.

    Raises:
        UnreadableFile: the file cannot be read.
    """
    texts = {name: text for name, text in flags.items() if name not in _NO_SETTINGS}
    givens = givens_from_flags(texts)
    path = flags.get(f.CONFIG.name, "")
    if not path:
        return Gathered(dict(flags), givens=tuple(givens))
    content = _read(path)
    counting = [given for given in givens if given.name in _FLAG_WINS and given.text]
    names = {given.name for given in counting}
    counting += [given for given in content.givens if given.name not in names]
    remarks = (*content.remarks, *_ignored(givens, path))
    return Gathered(dict(flags), path, tuple(counting), content.mistakes, remarks)


def settle(gathered: Gathered, host_name: str) -> Config:
    """Look at what counts.

    Raises:
        InvalidSettings: with every mistake, and what there is to say besides.
    """
    try:
        config = parse_givens(gathered.givens, host_name, gathered.config_file)
    except InvalidSettings as exc:
        messages = (*gathered.mistakes, *exc.messages)
        remarks = (*gathered.remarks, *exc.remarks)
        raise InvalidSettings(sorted(messages, key=_line_in), remarks) from exc
    remarks = (*gathered.remarks, *config.remarks)
    if gathered.mistakes:
        raise InvalidSettings(gathered.mistakes, remarks)
    return msgspec.structs.replace(config, flags=gathered.flags, remarks=remarks)


def _line_in(message: str) -> int:
    """The line of a file a message is about; 0 for flags."""
    found = re.search(r":([0-9]+): ", message)
    return int(found[1]) if found else 0


_NO_SETTINGS = frozenset(flag.name for flag in (f.CONFIG, *f.ACTIONS))


def _read(path: str) -> FileContent:
    from nodeproxy.config.file import read_file  # the YAML parser, for those who have a file

    try:
        with open(path, "rb") as file:
            return read_file(file.read(), path)
    except OSError as exc:
        raise UnreadableFile(path, exc.strerror or str(exc)) from exc


_FLAG_WINS = frozenset(setting.name for setting in SETTINGS if setting.flag_wins)


def _ignored(givens: Sequence[Given], path: str) -> list[Remark]:
    """One line about all flags that do not count because of the file."""
    spellings = [given.origin.flag for given in givens if given.name not in _FLAG_WINS]
    if not spellings:
        return []
    text = f"{', '.join(spellings)}: ignored, because --config is given; set it in {path}"
    return [Remark(text, is_warning=True)]
