"""Fixtures for every test: what a test needs of the machine, and what is said when it lacks."""

from __future__ import annotations

import os

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let kernel and live tests ask for `require_kernel` before any other fixture."""
    for item in items:
        if isinstance(item, pytest.Function) and any(
            item.get_closest_marker(marker) for marker in KERNEL_MARKERS
        ):
            item.fixturenames.insert(0, "require_kernel")
