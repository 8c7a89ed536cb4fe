from __future__ import annotations

from pathlib import Path

import pytest

from nodeproxy.agent.render import render_once
from nodeproxy.config.schema import Config
from nodeproxy.errors import NodeproxyError

EXAMPLES = Path(__file__).parents[3] / "examples"


def config(manifests: Path) -> Config:
    return Config(node_name="demo-node", manifests=str(manifests))


async def test_nft_text_names_services_and_their_endpoints():
    text = await render_once(config(EXAMPLES), "nft")

    assert text.startswith("table ip nodeproxy {")
    assert "table ip6 nodeproxy {" in text
    assert "10.96.0.10 . tcp . 80 . 0 : 10.244.0.11 . 8080" in text


async def test_plan_text_says_why_a_pool_holds_what_it_holds():
    text = await render_once(config(EXAMPLES), "plan")

    assert "ClusterIP 10.96.0.10:80/tcp: forward to cluster" in text
    assert "cluster: ready" in text


async def test_the_same_manifests_give_the_same_text():
    first = await render_once(config(EXAMPLES), "nft")
    second = await render_once(config(EXAMPLES), "nft")

    assert first == second


async def test_a_missing_directory_is_an_error_that_names_it(tmp_path: Path):
    missing = tmp_path / "nowhere"

    with pytest.raises(NodeproxyError, match="nowhere"):
        await render_once(config(missing), "nft")
