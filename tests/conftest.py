"""Fixtures for every test: what a test needs of the machine, and what is said when it lacks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

from lab import requirements

KERNEL_MARKERS = ("kernel", "live")


@pytest.fixture(scope="session")
def require_kernel() -> None:
    """Skip, with the reason, what this machine cannot run; in CI that is a failure.

    Tests marked `kernel` or `live` get it by themselves.
    """
    lacks = requirements.missing()
    if not lacks:
        return
    reason = "; ".join(lacks)
    if os.environ.get("CI"):
        pytest.fail(f"CI must run the kernel tests: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _log_levels_stay() -> Iterator[None]:
    """Undo what a test does to the loggers of the process, as a command or a server does."""
    loggers = [logging.getLogger(), logging.getLogger("nodeproxy")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let kernel and live tests ask for `require_kernel` before any other fixture."""
    for item in items:
        if isinstance(item, pytest.Function) and any(
            item.get_closest_marker(marker) for marker in KERNEL_MARKERS
        ):
            item.fixturenames.insert(0, "require_kernel")
