"""How log records look: one line each on stderr, facts as key=value.

2026-11-23T12:00:00.123Z INFO nodeproxy.sync plan applied services=3 endpoints=9

The name is that of the part that speaks; what it says is one fact, once, when it changes. With
`--logging-format=json` the same is an object: ts (milliseconds since 1970), level, logger, msg,
and err for an exception.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TextIO

from nodeproxy.verbosity import apply_verbosity, shows_tracebacks


def set_up_logging(verbosity: int, stream: TextIO | None = None, form: str = "text") -> None:
    """Send log records to stderr.

    Args:
        verbosity: that of `-v`, see `nodeproxy.verbosity`.
        stream: what to write to in place of stderr.
        form: `text` or `json`.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    logging.getLogger().handlers[:] = [handler]
    apply_verbosity(verbosity)


class LineFormatter(logging.Formatter):
    """One line a record, UTC with milliseconds; an exception adds its text, or its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line without its end."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        head = f"{moment}.{int(record.msecs):03d}Z {record.levelname} {record.name}"
        line = f"{head} {_one_line(record.getMessage())}"
        error = _error(record)
        if not error:
            return line
        line += f' error="{_one_line(error)}"'
        if shows_tracebacks() and record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a record, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line without its end."""
        facts: dict[str, object] = {
            "ts": round(record.created * 1000, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if error := _error(record):
            facts["err"] = error
        if record.exc_info and shows_tracebacks():
            facts["stacktrace"] = self.formatException(record.exc_info)
        return json.dumps(facts, ensure_ascii=False)


def _error(record: logging.LogRecord) -> str:
    """The exception of a record in words; blank if there is none."""
    exception = record.exc_info[1] if record.exc_info else None
    return "" if exception is None else f"{type(exception).__name__}: {exception}"


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n")
