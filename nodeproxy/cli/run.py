"""`nodeproxy run`: be the agent of this node."""

from __future__ import annotations

import logging
import os
import sys

import click

from nodeproxy import __version__
from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import read_config, texts_by_name, with_all_flags
from nodeproxy.cli.logs import set_up_logging
from nodeproxy.cli.work import Work, wait_for
from nodeproxy.config.doubts import doubts_about, notes_on

_log = logging.getLogger("nodeproxy.cli")


@click.command("run")
@with_all_flags
@click.pass_context
def command(ctx: click.Context, /, **values: object) -> None:
    """Program this node's rules and keep them current until ended.

    Needs the capability CAP_NET_ADMIN. SIGTERM and SIGINT end it at once and leave the rules in
    place; `nodeproxy cleanup` removes them.
    """
    work: Work = ctx.obj
    with failures_explained(ctx):
        config = read_config(values)
    set_up_logging(config.verbosity)
    _log.info(
        "starting version=%s python=%d.%d.%d kernel=%s node=%s flags=%s",
        __version__,
        *sys.version_info[:3],
        os.uname().release,
        config.node_name,
        _flags_line(texts_by_name(values)),
    )
    for doubt in doubts_about(config):
        _log.warning("%s", doubt)
    for note in notes_on(config):
        _log.info("%s", note)
    with failures_explained(ctx, config.verbosity):
        wait_for(work.run(config))


def _flags_line(texts: dict[str, str]) -> str:
    """The flags that were given, as one quoted fact (CFG-2)."""
    given = " ".join(f"--{name}={text}" for name, text in texts.items())
    return f'"{given}"'
