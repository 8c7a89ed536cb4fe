"""`nodeproxy run`: be the agent of this node."""

from __future__ import annotations

import logging
import os
import sys

import click

from nodeproxy import __version__
from nodeproxy.cli.actions import before_logging, instead_of_running
from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import read_config, texts_by_name, with_all_flags, with_flags
from nodeproxy.cli.logs import set_up_logging
from nodeproxy.cli.work import Work, wait_for
from nodeproxy.config.doubts import all_remarks
from nodeproxy.config.flags import ACTIONS
from nodeproxy.config.schema import Config

_log = logging.getLogger("nodeproxy.cli")


@click.command("run")
@with_all_flags
@with_flags(*ACTIONS)
@click.pass_context
def command(ctx: click.Context, /, **values: object) -> None:
    """Program this node's rules and keep them current until ended.

    Needs the capability CAP_NET_ADMIN. SIGTERM and SIGINT end it at once and leave the rules in
    place; `nodeproxy cleanup` removes them.
    """
    work: Work = ctx.obj
    texts = texts_by_name(values)
    with failures_explained(ctx):
        if before_logging(texts):
            return
        config = read_config(values)
    set_up_logging(config.verbosity, form=config.log_format)
    with failures_explained(ctx, config.verbosity):
        if instead_of_running(work, config):
            return
        _say_how_it_starts(config)
        wait_for(work.run(config))


def _say_how_it_starts(config: Config) -> None:
    _log.info(
        "starting version=%s python=%d.%d.%d kernel=%s node=%s flags=%s",
        __version__,
        *sys.version_info[:3],
        os.uname().release,
        config.node_name,
        _flags_line(config),
    )
    for remark in all_remarks(config):
        _log.log(logging.WARNING if remark.is_warning else logging.INFO, "%s", remark.text)


def _flags_line(config: Config) -> str:
    """The flags that were given, as one quoted fact (CFG-2)."""
    given = " ".join(f"--{name}={text}" for name, text in config.flags.items())
    return f'"{given}"'
