"""`nodeproxy cleanup`: remove every rule of ours from this node (CFG-10)."""

from __future__ import annotations

import click

from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import texts_by_name, with_flags
from nodeproxy.cli.logs import set_up_logging
from nodeproxy.cli.work import Work, wait_for
from nodeproxy.config.flags import VERBOSITY
from nodeproxy.config.parse import parse_verbosity


@click.command("cleanup")
@with_flags(VERBOSITY)
@click.pass_context
def command(ctx: click.Context, /, **values: object) -> None:
    """Remove every rule of nodeproxy from this node.

    Tells what was removed. Stop the agent first: a running one puts its rules back. Needs the
    capability CAP_NET_ADMIN and no API server.
    """
    work: Work = ctx.obj
    with failures_explained(ctx):
        verbosity = parse_verbosity(texts_by_name(values))
    set_up_logging(verbosity)
    with failures_explained(ctx, verbosity):
        removed = wait_for(work.cleanup())
        for line in removed or ["nothing to remove"]:
            click.echo(line)
