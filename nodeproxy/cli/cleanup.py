"""`nodeproxy cleanup`: remove every rule of ours from this node, or what another left (CFG-10)."""

from __future__ import annotations

from collections.abc import Sequence

import click

from nodeproxy.cli import exits
from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import texts_by_name, with_flags
from nodeproxy.cli.found import Outcome, as_json, listing, summary
from nodeproxy.cli.logs import set_up_logging
from nodeproxy.cli.work import Work
from nodeproxy.config.flags import VERBOSITY
from nodeproxy.config.parse import parse_verbosity
from nodeproxy.errors import NodeproxyError
from nodeproxy.model.leftovers import Leftover, Origin, Search


@click.command("cleanup")
@click.option(
    "--from",
    "origin_text",
    type=click.Choice([str(origin) for origin in Origin]),
    default=str(Origin.NODEPROXY),
    show_default=True,
    help="Whose objects. Those of kube-proxy, in iptables, nftables and IPVS, are only listed "
    "unless --yes is given.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove what was found, whosever it is.")
@click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: every object by name, for programs.",
)
@with_flags(VERBOSITY)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    origin_text: str,
    dry_run: bool,
    yes: bool,
    output: str,
    **values: object,
) -> None:
    """Remove every rule of nodeproxy from this node.

    Tells what was removed. Stop the agent first: a running one puts its rules back. Needs the
    capability CAP_NET_ADMIN and no API server. Looks at the network namespace it is started in.
    """
    if dry_run and yes:
        raise click.UsageError("--dry-run and --yes contradict each other")
    work: Work = ctx.obj
    origin = Origin(origin_text)
    with failures_explained(ctx):
        verbosity = parse_verbosity(texts_by_name(values))
    set_up_logging(verbosity)
    with failures_explained(ctx, verbosity):
        search = work.search(origin)
    removes = yes or (origin is Origin.NODEPROXY and not dry_run)
    outcomes = [_remove(found) if removes else Outcome(found.holding) for found in search.leftovers]
    if output == "json":
        click.echo(as_json(origin, search, outcomes))
    else:
        _tell(ctx, origin, search, outcomes, removes)
    ctx.exit(_exit_code(search, outcomes, removes))


def _remove(found: Leftover) -> Outcome:
    try:
        found.remove()
    except NodeproxyError as exc:
        return Outcome(found.holding, failure=str(exc))
    return Outcome(found.holding, is_removed=True)


def _tell(
    ctx: click.Context,
    origin: Origin,
    search: Search,
    outcomes: Sequence[Outcome],
    removes: bool,
) -> None:
    for outcome in outcomes:
        if outcome.failure:
            place = str(outcome.holding)
            click.echo(f"{ctx.command_path}: {place}: {outcome.failure}", err=True)
        elif removes:
            click.echo(f"removed: {summary(outcome.holding)}")
        else:
            click.echo("\n".join(listing(outcome.holding)))
    for failure in search.failures:
        click.echo(f"{ctx.command_path}: {failure}", err=True)
    for note in search.notes:
        click.echo(f"note: {note}")
    if not outcomes:
        click.echo("nothing to remove" + " was found" * bool(search.failures))
    elif not removes:
        click.echo(f"nothing was removed; do it with: {_removal_command(origin)}")
    for warning in search.warnings:
        click.echo(f"{ctx.command_path}: warning: {warning}", err=True)


def _removal_command(origin: Origin) -> str:
    return "nodeproxy cleanup" + (
        f" --from {origin} --yes" if origin is not Origin.NODEPROXY else ""
    )


def _exit_code(search: Search, outcomes: Sequence[Outcome], removes: bool) -> int:
    if search.failures or any(outcome.failure for outcome in outcomes):
        return exits.FAILURE
    return exits.FOUND if outcomes and not removes else 0
