"""The demo as a person runs it: to its end, and interrupted in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.waiting import eventually

pytestmark = pytest.mark.live

CHECKOUT = Path(__file__).parents[2]
DEMO_TIMEOUT_SECONDS = 60.0


def start_demo(scratch: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=os.environ | {"TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_that_mention(text: str) -> list[str]:
    """The command lines of processes, such as an agent that follows files of a directory."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


def test_demo_succeeds_and_leaves_nothing(tmp_path: Path):
    with start_demo(tmp_path) as demo:
        output, _ = demo.communicate(timeout=DEMO_TIMEOUT_SECONDS)

    assert demo.returncode == 0, output
    assert "Everything went as it should" in output
    assert list(tmp_path.iterdir()) == []
    assert processes_that_mention(str(tmp_path)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_demo_leaves_nothing(tmp_path: Path, number: signal.Signals):
    with start_demo(tmp_path) as demo:
        assert demo.stdout is not None
        next(line for line in demo.stdout if "is scaled while" in line)

        demo.send_signal(number)
        demo.communicate(timeout=DEMO_TIMEOUT_SECONDS)

    assert demo.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []
    eventually(
        "the agent is gone",
        lambda: processes_that_mention(str(tmp_path)),
        lambda found: not found,
    )
