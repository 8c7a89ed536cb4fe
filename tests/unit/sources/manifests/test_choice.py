"""The gate EndpointSliceProxying changes while a directory is followed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodeproxy.config.gates import FeatureGates, parse_feature_gates
from nodeproxy.model.events import Kind
from nodeproxy.sources.manifests import ManifestSource, Timing
from tests.support.known import Known
from tests.unit.sources.manifests.texts import documents, endpoints_text, service_text, slice_text

TIMING = Timing(tick_seconds=0.05, settle_seconds=0.02, patience_seconds=0.1, switch_seconds=1000.0)
NO_PATIENCE = Timing(
    tick_seconds=0.05, settle_seconds=0.02, patience_seconds=0.1, switch_seconds=0.0
)
SLICES = parse_feature_gates("EndpointSliceProxying=true")
ENDPOINTS = parse_feature_gates("EndpointSliceProxying=false")
UNSET = FeatureGates()


@contextlib.asynccontextmanager
async def knowing(source: ManifestSource) -> AsyncIterator[Known]:
    """Run a source that has told everything."""
    known = Known()
    task = asyncio.create_task(source.run(known))
    await known.until(lambda: bool(known.state.synced))
    yield known
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


def write_both(directory: Path) -> None:
    """A Service with endpoints of both kinds, which differ."""
    (directory / "web.yaml").write_text(service_text())
    (directory / "slices.yaml").write_text(slice_text(addresses=["10.0.0.1"]))
    (directory / "endpoints.yaml").write_text(endpoints_text(address="10.0.0.2"))


@pytest.mark.parametrize(
    ("before", "after", "addresses"),
    [
        (None, ENDPOINTS, ["10.0.0.2"]),
        (None, SLICES, ["10.0.0.1"]),
        (Kind.ENDPOINT_SLICE, ENDPOINTS, ["10.0.0.2"]),
        (Kind.ENDPOINTS, SLICES, ["10.0.0.1"]),
        (Kind.ENDPOINTS, UNSET, ["10.0.0.1"]),
        (Kind.ENDPOINT_SLICE, UNSET, ["10.0.0.1"]),
    ],
    ids=str,
)
async def test_the_chosen_kind_counts_at_once(
    tmp_path: Path, before: Kind | None, after: FeatureGates, addresses: list[str]
):
    write_both(tmp_path)
    source = ManifestSource(tmp_path, "node-1", before, TIMING)
    async with knowing(source) as known:
        count = len(known.seen)

        source.choose_endpoints(after)
        await known.until(lambda: len(known.seen) > count)

    assert known.addresses("web") == addresses
    assert len(known.seen) == count + 1


async def test_what_was_chosen_is_followed(tmp_path: Path):
    write_both(tmp_path)
    source = ManifestSource(tmp_path, "node-1", Kind.ENDPOINT_SLICE, TIMING)
    async with knowing(source) as known:
        source.choose_endpoints(ENDPOINTS)
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINTS)

        (tmp_path / "endpoints.yaml").write_text(endpoints_text(address="10.0.0.9"))
        await known.until(lambda: known.addresses("web") == ["10.0.0.9"])

    assert {s.kind for s in source.statuses()} == {*Kind} - {Kind.ENDPOINT_SLICE}


async def test_a_broken_file_with_content_in_force_holds_the_choice_up(tmp_path: Path):
    """Its endpoints of the other kind cannot be known, and those in force must not get lost."""
    write_both(tmp_path)
    source = ManifestSource(tmp_path, "node-1", Kind.ENDPOINT_SLICE, TIMING)
    async with knowing(source) as known:
        (tmp_path / "endpoints.yaml").write_text("kind: [")
        source.choose_endpoints(ENDPOINTS)

        (tmp_path / "more.yaml").write_text(service_text("more", "10.96.0.11"))
        await known.until(lambda: len(known.state.services) == 2)
        held = known.addresses("web")
        (tmp_path / "endpoints.yaml").write_text(endpoints_text(address="10.0.0.2"))
        await known.until(lambda: known.state.endpoints_kind is Kind.ENDPOINTS)

    assert (held, known.addresses("web")) == (["10.0.0.1"], ["10.0.0.2"])


async def test_a_file_that_stays_broken_ends_the_attempt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    write_both(tmp_path)
    source = ManifestSource(tmp_path, "node-1", Kind.ENDPOINT_SLICE, NO_PATIENCE)
    async with knowing(source) as known:
        (tmp_path / "web.yaml").write_text("kind: [")
        source.choose_endpoints(ENDPOINTS)
        (tmp_path / "more.yaml").write_text(service_text("more", "10.96.0.11"))
        await known.until(lambda: len(known.state.services) == 2)

        (tmp_path / "web.yaml").write_text(service_text())
        source.choose_endpoints(ENDPOINTS)
        await known.until(lambda: known.addresses("web") == ["10.0.0.2"])

    assert f"still read from EndpointSlice: {tmp_path}/web.yaml cannot be read" in caplog.text


async def test_a_file_that_never_could_be_read_holds_nothing_up(tmp_path: Path):
    write_both(tmp_path)
    (tmp_path / "never.yaml").write_text("kind: [")
    source = ManifestSource(tmp_path, "node-1", Kind.ENDPOINT_SLICE, TIMING)
    async with knowing(source) as known:
        source.choose_endpoints(ENDPOINTS)
        await known.until(lambda: known.addresses("web") == ["10.0.0.2"])

    assert known.state.endpoints_kind is Kind.ENDPOINTS


async def test_objects_of_the_other_kind_have_no_last_usable_version(tmp_path: Path):
    """A file with an object nobody can name keeps what it held, but not of a kind left unread."""
    stranger = "apiVersion: v1\nkind: Service\nmetadata: {}\n"
    (tmp_path / "web.yaml").write_text(
        documents(service_text(), slice_text(addresses=["10.0.0.1"]), stranger)
    )
    (tmp_path / "endpoints.yaml").write_text(endpoints_text(address="10.0.0.2"))
    source = ManifestSource(tmp_path, "node-1", None, TIMING)
    async with knowing(source) as known:
        source.choose_endpoints(ENDPOINTS)
        await known.until(lambda: known.addresses("web") == ["10.0.0.2"])

    assert known.state.endpoints_kind is Kind.ENDPOINTS
