"""Exit codes of every command; `nodeproxy --help` tells them."""

from __future__ import annotations

FAILURE = 1
"""Could not be done: no permission, no such file, the kernel cannot."""
USAGE = 2
"""The command line or the configuration file is wrong; nothing was touched."""
FOUND = 3
"""`cleanup` was only to look, and there is something."""
INTERRUPTED = 130
"""Ended by Ctrl-C, as shells count it (128 + SIGINT)."""
