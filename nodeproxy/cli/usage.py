"""Mistakes on the command line, in one line that says what would be right."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nodeproxy.config.nearest import did_you_mean

_REMOVED_FLAGS = frozenset(
    {
        "add-dir-header",
        "alsologtostderr",
        "cleanup-ipvs",
        "log-backtrace-at",
        "log-dir",
        "log-file",
        "log-file-max-size",
        "logtostderr",
        "one-output",
        "proxy-port-range",
        "resource-container",
        "skip-headers",
        "skip-log-headers",
        "stderrthreshold",
        "udp-timeout",
    }
)
"""What still stands in old DaemonSets and units; kube-proxy 1.36 refuses it as well."""


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
    meant = did_you_mean(name, known)
    return f"{name}: unknown command; {meant}{' ' * bool(meant)}commands: {', '.join(known)}"


def _explain_flag(spelling: str, known: Sequence[str]) -> str:
    name = spelling.lstrip("-").replace("_", "-")
    if name in _REMOVED_FLAGS:
        return f"{spelling}: a flag of older kube-proxies without a successor; leave it out"
    return f"{spelling}: unknown flag; {did_you_mean(f'--{name}', known)}".rstrip("; ")
