"""`nodeproxy`: finds the command, runs it, turns failures into messages and exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from nodeproxy.cli import exits
from nodeproxy.cli.work import AgentWork, Work

_COMMANDS = {
    "run": "nodeproxy.cli.run",
    "render": "nodeproxy.cli.render",
    "cleanup": "nodeproxy.cli.cleanup",
    "config": "nodeproxy.cli.config",
    "version": "nodeproxy.cli.version",
}
"""Module by command; each defines `command`."""

_EPILOG = """\b
Exit codes:
    0  done; for `run`, ended by SIGTERM or SIGINT with the rules left in place
    1  could not be done; the message says why and what helps
    2  the command line or the configuration file is wrong; nothing was touched
    3  `cleanup` has only looked, and there is something to remove
  130  interrupted
"""


def command_names() -> list[str]:
    """Every command there is."""
    return list(_COMMANDS)


class _Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return command_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS:
            from nodeproxy.cli.usage import explain_command

            ctx.fail(explain_command(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, is_wanted: bool) -> None:
    if is_wanted:
        from nodeproxy.cli.version import version_line

        click.echo(version_line())
        ctx.exit()


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        # kube-proxy takes --proxy_mode for --proxy-mode.
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 100,
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Tell the version and exit.",
)
@click.pass_context
def _nodeproxy(ctx: click.Context) -> None:
    """Turn Kubernetes Services into netfilter rules on this node.

    `nodeproxy COMMAND --help` tells the flags of a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(exits.USAGE)


def main(arguments: Sequence[str] | None = None, work: Work | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: without the program's name; those of the process if None.
        work: what the commands do; the real thing if None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _nodeproxy.main(
            args=words,
            prog_name="nodeproxy",
            standalone_mode=False,
            obj=work or AgentWork(),
        )
    except click.UsageError as exc:
        from nodeproxy.cli.usage import explain_usage_error

        # Not every error of click's parser knows which command it was parsing.
        where = " ".join(["nodeproxy", *(word for word in words[:1] if word in _COMMANDS)])
        click.echo(explain_usage_error(exc, where), err=True)
        return exits.USAGE
    except click.Abort:
        return exits.INTERRUPTED
    return code if isinstance(code, int) else 0
