"""`nodeproxy render`: what would be programmed on this node, as text."""

from __future__ import annotations

import click

from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import read_config, with_all_flags
from nodeproxy.cli.logs import set_up_logging
from nodeproxy.cli.work import Work, wait_for


@click.command("render")
@click.option(
    "--format",
    "form",
    type=click.Choice(["nft", "plan"]),
    default="nft",
    show_default=True,
    help="nft: a ruleset in nft's language. plan: one line a frontend, with the reason.",
)
@with_all_flags
@click.pass_context
def command(ctx: click.Context, /, form: str, **values: object) -> None:
    """Print what `run` with the same flags would program on this node.

    Reads the manifests or the cluster once. Needs no privileges and changes nothing.
    """
    work: Work = ctx.obj
    with failures_explained(ctx):
        config = read_config(values)
    set_up_logging(config.verbosity, form=config.log_format)
    with failures_explained(ctx, config.verbosity):
        click.echo(wait_for(work.render(config, form)).rstrip("\n"))
