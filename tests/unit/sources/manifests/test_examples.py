"""The examples that come with the program are right, and show what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy.model.events import Kind
from nodeproxy.sources.manifests import ManifestSource
from tests.unit.sources.manifests.recorder import running

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


async def test_examples_are_read_without_a_remark(caplog: pytest.LogCaptureFixture):
    source = ManifestSource(EXAMPLES, "demo-node")

    async with running(source) as told:
        found = {(kind, name) for kind, _, name in told.objects}

    assert source.problems() == ()
    assert caplog.records == []
    assert {name for kind, name in found if kind == Kind.SERVICE} == {
        "classic",
        "dns",
        "shop",
        "web",
        "web-ipv6-only",
    }
    assert (Kind.ENDPOINTS, "classic") in found
    assert (Kind.SERVICE_CIDR, "kubernetes") in found
