"""Failures as the operator meets them: one clear message, no traceback, exit code 1."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from nodeproxy.cli import exits
from nodeproxy.config.reader import InvalidSettings
from nodeproxy.errors import NodeproxyError
from nodeproxy.verbosity import TRACEBACK_VERBOSITY


@contextmanager
def failures_explained(ctx: click.Context, verbosity: int = 0) -> Iterator[None]:
    """Turn what nodeproxy raises on purpose into a message on stderr and an exit code.

    Anything else is a defect of ours and keeps its traceback.
    """
    try:
        yield
    except InvalidSettings as exc:
        _tell(ctx, exc.messages)
        ctx.exit(exits.USAGE)
    except NodeproxyError as exc:
        if verbosity >= TRACEBACK_VERBOSITY:
            traceback.print_exception(exc)
        _tell(ctx, str(exc).splitlines())
        ctx.exit(exits.FAILURE)


def _tell(ctx: click.Context, messages: Sequence[str]) -> None:
    for message in messages:
        click.echo(f"{ctx.command_path}: {message}", err=True)
