"""A node in memory for every test of the backend."""

from __future__ import annotations

import pytest

from tests.support.programming import ProgrammedNode


@pytest.fixture
def node() -> ProgrammedNode:
    return ProgrammedNode()
