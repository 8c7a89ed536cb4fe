"""`nodeproxy config validate|print|migrate`: settings looked at without starting anything."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from nodeproxy.cli import exits
from nodeproxy.cli.failures import failures_explained
from nodeproxy.cli.flags import texts_by_name, with_all_flags
from nodeproxy.config.doubts import all_remarks
from nodeproxy.config.flags import CONFIG
from nodeproxy.config.load import load_config
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.config.schema import Remark


@click.group("config")
def command() -> None:
    """Look at settings without starting anything.

    The commands take the flags of `run`, with --config FILE or without.
    """


@command.command("validate")
@click.argument("file", required=False, default="")
@with_all_flags
@click.pass_context
def _validate(ctx: click.Context, /, file: str, **values: object) -> None:
    """Check a configuration file, or flags, and tell everything that was found.

    Exit code 0 if `run` would start with it, 1 if not.
    """
    with failures_explained(ctx):
        texts = _texts(values, file)
        try:
            config = load_config(texts, os.uname().nodename)
        except InvalidSettings as exc:
            _tell("error", exc.messages)
            _tell_remarks(exc.remarks)
            ctx.exit(exits.FAILURE)
        _tell_remarks(all_remarks(config))
        click.echo("valid")


def _tell_remarks(remarks: Sequence[Remark]) -> None:
    for remark in remarks:
        _tell("warning" if remark.is_warning else "note", [remark.text])


def _tell(what: str, messages: Sequence[str]) -> None:
    for message in messages:
        click.echo(f"{what}: {message}")


@command.command("print")
@click.argument("file", required=False, default="")
@click.option(
    "--output",
    "form",
    type=click.Choice(["table", "yaml", "json"]),
    default="table",
    show_default=True,
    help="yaml can be used as a configuration file.",
)
@with_all_flags
@click.pass_context
def _print(ctx: click.Context, /, file: str, form: str, **values: object) -> None:
    """Show every setting with its value and where that comes from: default, flag, or file."""
    from nodeproxy.config.effective import format_effective

    with failures_explained(ctx):
        config = load_config(_texts(values, file), os.uname().nodename)
        click.echo(format_effective(config, form), nl=False)


@command.command("migrate")
@click.argument("file", required=False, default="")
@with_all_flags
@click.pass_context
def _migrate(ctx: click.Context, /, file: str, **values: object) -> None:
    """Turn the flags, or the file, of a kube-proxy into a clean file with comments.

    What has its default is left out, and what has no effect here is listed at the end.
    """
    from nodeproxy.config.migrate import migrated

    with failures_explained(ctx):
        click.echo(migrated(_texts(values, file), os.uname().nodename), nl=False)


def _texts(values: dict[str, object], file: str) -> dict[str, str]:
    """The flags, where a file may be given without its flag."""
    texts = texts_by_name(values)
    if not file:
        return texts
    if CONFIG.name in texts:
        raise InvalidSettings([f"{CONFIG.spelling}: a file is named already, {file}; name one"])
    return texts | {CONFIG.name: file}
