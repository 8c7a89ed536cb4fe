"""`nodeproxy version`."""

from __future__ import annotations

import os
import sys

import click

from nodeproxy import __version__


def version_line() -> str:
    """`nodeproxy 0.1.0 (Python 3.11.2, Linux 6.1.0)`: what a report of a defect needs first."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"nodeproxy {__version__} (Python {python}, Linux {os.uname().release})"


def version_parts() -> str:
    """The same for programs, one fact a line."""
    system = os.uname()
    return "\n".join(
        [
            f"version: {__version__}",
            f"python: {sys.version.split()[0]}",
            f"kernel: {system.release}",
            f"machine: {system.machine}",
        ]
    )


@click.command("version")
def command() -> None:
    """Tell the version."""
    click.echo(version_line())
