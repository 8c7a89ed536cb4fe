"""Mistakes on the command line, in one line that says what would be right."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nodeproxy.config.peer_flags import ABSENT_FLAGS, REPLACED_FLAGS


def explain_usage_error(error: click.UsageError, where: str) -> str:
    """`nodeproxy run: --proxy-mod: unknown flag; did you mean --proxy-mode? ...`.

    Args:
        error: what click found.
        where: the command as it was typed, `nodeproxy run`.
    """
    if isinstance(error, click.NoSuchOption):
        params = error.ctx.command.params if error.ctx else []
        known = [name for param in params for name in param.opts]
        reason = _explain_flag(error.option_name, known)
    else:
        reason = error.format_message().rstrip(".")
    return f"{where}: {reason} (help: {where} --help)"


def explain_command(name: str, known: Sequence[str]) -> str:
    """What to say about a command that does not exist."""
    return f"{name}: unknown command;{_did_you_mean(name, known)} commands: {', '.join(known)}"


def _explain_flag(spelling: str, known: Sequence[str]) -> str:
    name = spelling.lstrip("-").replace("_", "-")
    if name in REPLACED_FLAGS:
        return f"{spelling}: {REPLACED_FLAGS[name]}"
    if name in ABSENT_FLAGS:
        return f"{spelling}: a flag of kube-proxy that this version does not have; leave it out"
    return f"{spelling}: unknown flag;{_did_you_mean(f'--{name}', known)}".rstrip(";")


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches  # only a mistake pays for the import

    nearest = get_close_matches(word, known, n=1)
    return f" did you mean {nearest[0]}?" if nearest else ""
