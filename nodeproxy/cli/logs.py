"""How log records look: one line each on stderr, facts as key=value.

2026-11-23T12:00:00.123Z INFO nodeproxy.sync plan applied services=3 endpoints=9

The name is that of the part that speaks; what it says is one fact, once, when it changes.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TextIO

from nodeproxy.cli.failures import TRACEBACK_VERBOSITY

DETAIL_VERBOSITY = 4
LIBRARIES_VERBOSITY = 6


def set_up_logging(verbosity: int, stream: TextIO | None = None) -> None:
    """Send log records to stderr; the verbosity is that of `-v`.

    Libraries are heard from WARNING up, and in full from -v=6.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(with_traceback=verbosity >= TRACEBACK_VERBOSITY))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbosity >= LIBRARIES_VERBOSITY else logging.WARNING)
    detail = verbosity >= DETAIL_VERBOSITY
    logging.getLogger("nodeproxy").setLevel(logging.DEBUG if detail else logging.INFO)


class LineFormatter(logging.Formatter):
    """One line a record, UTC with milliseconds; an exception adds its text, or its traceback."""

    def __init__(self, *, with_traceback: bool) -> None:
        super().__init__()
        self._with_traceback = with_traceback

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line without its end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{moment}.{int(record.msecs):03d}Z {record.levelname} {record.name}"
        line = f"{head} {_one_line(record.getMessage())}"
        exception = record.exc_info[1] if record.exc_info else None
        if exception is None:
            return line
        line += f' error="{type(exception).__name__}: {_one_line(str(exception))}"'
        if self._with_traceback and record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
