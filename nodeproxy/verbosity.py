"""What `-v` means for the loggers of the process; may be changed while it runs."""

from __future__ import annotations

import logging

DETAIL_VERBOSITY = 4
TRACEBACK_VERBOSITY = 5
LIBRARIES_VERBOSITY = 6

TRACEBACK_LEVEL = logging.DEBUG - 1
"""Of our loggers from TRACEBACK_VERBOSITY on; whoever formats a record can tell by it."""


def apply_verbosity(verbosity: int) -> None:
    """Let our records through as `-v` says, and those of libraries from WARNING up.

    From LIBRARIES_VERBOSITY on libraries are heard in full.
    """
    root_level = logging.DEBUG if verbosity >= LIBRARIES_VERBOSITY else logging.WARNING
    logging.getLogger().setLevel(root_level)
    level = logging.INFO
    if verbosity >= DETAIL_VERBOSITY:
        level = logging.DEBUG
    if verbosity >= TRACEBACK_VERBOSITY:
        level = TRACEBACK_LEVEL
    logging.getLogger("nodeproxy").setLevel(level)


def shows_tracebacks() -> bool:
    """True if exceptions are told with the way to them."""
    return logging.getLogger("nodeproxy").isEnabledFor(TRACEBACK_LEVEL)
