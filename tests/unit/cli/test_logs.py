from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from nodeproxy.cli.logs import JsonFormatter, LineFormatter, set_up_logging
from nodeproxy.verbosity import apply_verbosity


def record(message: str, *args: object, exc_info: object = None) -> logging.LogRecord:
    made = logging.LogRecord("nodeproxy.sync", logging.INFO, "x.py", 1, message, args, None)
    made.created = 1795435200.1234
    made.msecs = 123.4
    made.exc_info = exc_info  # type: ignore[assignment]
    return made


def raised(error: Exception) -> object:
    try:
        raise error
    except Exception:
        return sys.exc_info()


def test_a_record_is_one_line_with_utc_time_level_and_part() -> None:
    formatter = LineFormatter()

    line = formatter.format(record("plan applied services=%d", 3))

    assert line == "2026-11-23T12:00:00.123Z INFO nodeproxy.sync plan applied services=3"


def test_a_message_of_several_lines_stays_one_line() -> None:
    line = LineFormatter().format(record("first\nsecond"))

    assert line.endswith("nodeproxy.sync first\\nsecond")


def test_an_exception_is_told_by_its_text() -> None:
    formatter = LineFormatter()

    line = formatter.format(record("sync failed", exc_info=raised(ValueError("a\nb"))))

    assert line.endswith('sync failed error="ValueError: a\\nb"')


def test_a_traceback_follows_where_it_is_asked_for() -> None:
    formatter = LineFormatter()
    apply_verbosity(5)

    text = formatter.format(record("sync failed", exc_info=raised(ValueError("x"))))

    assert "Traceback (most recent call last)" in text


@pytest.mark.parametrize(
    ("verbosity", "heard"),
    [
        (0, ["ours INFO", "theirs WARNING"]),
        (4, ["ours INFO", "ours DEBUG", "theirs WARNING"]),
        (6, ["ours INFO", "ours DEBUG", "theirs WARNING", "theirs DEBUG"]),
    ],
)
def test_libraries_are_heard_in_full_at_level_6_only(verbosity: int, heard: list[str]) -> None:
    stream = io.StringIO()
    set_up_logging(verbosity, stream)

    logging.getLogger("nodeproxy.x").info("ours INFO")
    logging.getLogger("nodeproxy.x").debug("ours DEBUG")
    logging.getLogger("aiohttp").warning("theirs WARNING")
    logging.getLogger("aiohttp").debug("theirs DEBUG")

    assert [" ".join(line.split()[-2:]) for line in stream.getvalue().splitlines()] == heard


def test_a_record_may_be_an_object() -> None:
    line = JsonFormatter().format(record("sync failed", exc_info=raised(ValueError("a\nb"))))

    assert json.loads(line) == {
        "ts": 1795435200123.4,
        "level": "info",
        "logger": "nodeproxy.sync",
        "msg": "sync failed",
        "err": "ValueError: a\nb",
    }


def test_the_log_level_may_change_while_records_are_written() -> None:
    stream = io.StringIO()
    set_up_logging(0, stream)

    logging.getLogger("nodeproxy.x").debug("before")
    apply_verbosity(4)
    logging.getLogger("nodeproxy.x").debug("after")

    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["after"]
