"""A directory followed live: what is told of saves, mistakes, and a directory that vanishes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeproxy.config.gates import FeatureGates
from nodeproxy.config.schema import Config
from nodeproxy.model.events import Kind, Synced, Upserted
from nodeproxy.sources.manifests import ManifestSource, Timing, open_source
from nodeproxy.sources.manifests import watch as watch_module
from nodeproxy.sources.manifests.folder import DirectoryUnreadable
from tests.unit.sources.manifests.recorder import DEADLINE_SECONDS, Recorder, running
from tests.unit.sources.manifests.texts import documents, endpoints_text, service_text, slice_text

TIMING = Timing(tick_seconds=0.05, settle_seconds=0.02, patience_seconds=0.1)


class WithoutInotify:
    """A kernel that has no inotify."""

    def __init__(self) -> None:
        raise OSError(38, os.strerror(38))


@pytest.fixture(params=["inotify", "polling"], autouse=True)
def _followed_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything here holds whether the kernel gives hints or not."""
    if request.param == "polling":
        monkeypatch.setattr(watch_module, "Inotify", WithoutInotify)


def source_of(directory: Path, endpoints_kind: Kind | None = None) -> ManifestSource:
    return ManifestSource(directory, "node-1", endpoints_kind, TIMING)


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until a text is in the log."""

    class Found(logging.Handler):
        def __init__(self, found: asyncio.Event) -> None:
            super().__init__()
            self.found = found

        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                self.found.set()

    handler = Found(asyncio.Event())
    logger = logging.getLogger("nodeproxy.manifests")
    logger.addHandler(handler)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            if text not in caplog.text:
                await handler.found.wait()
    finally:
        logger.removeHandler(handler)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


async def test_everything_is_told_and_synced_in_one_batch(tmp_path: Path):
    (tmp_path / "web.yaml").write_text(documents(service_text(), slice_text()))
    (tmp_path / "dns.json").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "dns", "namespace": "kube-system"},
                "spec": {"clusterIP": "10.96.0.53", "ports": [{"port": 53, "protocol": "UDP"}]},
            }
        )
    )

    async with running(source_of(tmp_path)) as told:
        (batch,) = told.batches

    assert [(e.kind, e.name) for e in batch if isinstance(e, Upserted)] == [
        (Kind.ENDPOINT_SLICE, "web-1"),
        (Kind.SERVICE, "web"),
        (Kind.SERVICE, "dns"),
    ]
    assert batch[3:] == [Synced(kind) for kind in Kind]


async def test_empty_directory_is_synced_too(tmp_path: Path):
    source = source_of(tmp_path)

    async with running(source) as told:
        statuses = source.statuses()

    assert told.batches == [[Synced(kind) for kind in Kind]]
    assert all(s.is_synced and s.is_connected and not s.last_error for s in statuses)
    assert [s.kind for s in statuses] == list(Kind)


async def test_missing_directory_at_the_start_is_an_error(tmp_path: Path):
    with pytest.raises(DirectoryUnreadable, match="No such file or directory"):
        await source_of(tmp_path / "nowhere").run(Recorder())


async def test_file_in_the_place_of_the_directory_is_an_error(tmp_path: Path):
    (tmp_path / "web.yaml").touch()

    with pytest.raises(DirectoryUnreadable, match="Not a directory"):
        await source_of(tmp_path / "web.yaml").run(Recorder())


def _save_by_rename(file: Path, text: str) -> None:
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text)
    beside.rename(file)


def _save_in_place(file: Path, text: str) -> None:
    file.write_text(text)


def _save_after_moving_away(file: Path, text: str) -> None:
    file.rename(file.with_name(f"{file.name}~"))
    file.write_text(text)


@pytest.mark.parametrize("save", [_save_by_rename, _save_in_place, _save_after_moving_away])
async def test_save_is_one_batch_however_the_editor_does_it(
    tmp_path: Path, save: Callable[[Path, str], None]
):
    file = tmp_path / "web.yaml"
    file.write_text(documents(service_text(), service_text("dns"), service_text("same")))

    async with running(source_of(tmp_path)) as told:
        changed = [service_text(n, "10.96.0.99") for n in ("web", "dns")]
        save(file, documents(*changed, service_text("same")))
        await told.has_address("web", "10.96.0.99")

        _, *batches = told.batches

    names = [[e.name for e in batch if isinstance(e, Upserted)] for batch in batches]
    assert names == [["dns", "web"]]
    assert told.removals == []


async def test_files_come_go_and_are_moved_in(tmp_path: Path):
    directory = tmp_path / "manifests"
    directory.mkdir()
    (tmp_path / "dns.yaml").write_text(service_text("dns"))

    async with running(source_of(directory)) as told:
        (directory / "web.yaml").write_text(service_text())
        await told.has("web")
        (tmp_path / "dns.yaml").rename(directory / "dns.yaml")
        await told.has("dns", "web")
        (directory / "web.yaml").unlink()
        await told.has("dns")


@pytest.mark.parametrize("value", ["other", '""', ""], ids=["a name", "empty text", "nothing"])
async def test_a_service_given_to_another_proxy_goes_and_comes_back(tmp_path: Path, value: str):
    """EP-4: as if its watch did not select it any more; the label's value does not count."""
    file = tmp_path / "web.yaml"
    file.write_text(documents(service_text(), service_text("same")))
    label = f"service.kubernetes.io/service-proxy-name: {value}"
    others = service_text().replace("name: web", f"name: web\n  labels:\n    {label}")

    async with running(source_of(tmp_path)) as told:
        file.write_text(documents(others, service_text("same")))
        await told.has("same")
        file.write_text(documents(service_text(), service_text("same")))
        await told.has("same", "web")

    assert told.removals == ["web"]


async def test_renamed_file_tells_nothing(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(service_text())

    async with running(source_of(tmp_path)) as told:
        (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
        (tmp_path / "c.yaml").write_text(service_text("later"))
        await told.has("later", "web")
        (tmp_path / "b.yaml").unlink()
        await told.has("later")

    assert told.removals == ["web"]


async def test_config_map_is_followed_through_its_links(tmp_path: Path):
    def publish(version: str, cluster_ip: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "web.yaml").write_text(service_text(cluster_ip=cluster_ip))
        (tmp_path / "..data_tmp").symlink_to(version)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    publish("..v1", "10.96.0.1")
    (tmp_path / "web.yaml").symlink_to("..data/web.yaml")

    async with running(source_of(tmp_path)) as told:
        publish("..v2", "10.96.0.2")
        await told.has_address("web", "10.96.0.2")

    assert told.removals == []


async def test_file_changed_behind_a_link_is_noticed(tmp_path: Path):
    directory = tmp_path / "manifests"
    directory.mkdir()
    (tmp_path / "web.yaml").write_text(service_text())
    (directory / "web.yaml").symlink_to("../web.yaml")

    async with running(source_of(directory)) as told:
        (tmp_path / "web.yaml").write_text(service_text(cluster_ip="10.96.0.99"))
        await told.has_address("web", "10.96.0.99")


async def test_broken_file_is_told_with_its_line_once_and_once_when_mended(
    tmp_path: Path, log: pytest.LogCaptureFixture
):
    file = tmp_path / "web.yaml"
    file.write_text(service_text())
    source = source_of(tmp_path)

    async with running(source) as told:
        file.write_text("apiVersion: v1\nkind: [\n")
        await logged(log, "its last content stays in force")
        during = source.statuses()[0]
        (tmp_path / "dns.yaml").write_text(service_text("dns"))
        await told.has("dns", "web")
        file.write_text(service_text(cluster_ip="10.96.0.99"))
        await told.has_address("web", "10.96.0.99")
        after = source.statuses()[0]

    assert during.last_error.startswith(f"{file}:3: did not find expected node content")
    assert during.is_connected
    assert after.last_error == ""
    about_file = [message for message in log.messages if str(file) in message]
    assert len(about_file) == 2
    assert about_file[1] == f"{file}: can be read again and is in force"


async def test_file_broken_from_the_start_does_not_delay_the_others(
    tmp_path: Path, log: pytest.LogCaptureFixture
):
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "web.yaml").write_text(service_text())

    async with running(source_of(tmp_path)) as told:
        assert told.services == ["web"]

    assert "nothing of it is used" in log.text


async def test_half_written_file_is_nobodys_business(tmp_path: Path, log: pytest.LogCaptureFixture):
    file = tmp_path / "web.yaml"
    file.write_text(service_text())
    whole = service_text(cluster_ip="10.96.0.99")
    patient = Timing(tick_seconds=0.05, settle_seconds=0.02, patience_seconds=DEADLINE_SECONDS)

    async with running(ManifestSource(tmp_path, "node-1", None, patient)) as told:
        file.write_text(whole[:40] + ' "')
        (tmp_path / "sentinel.yaml").write_text(service_text("sentinel"))
        await told.has("sentinel", "web")
        file.write_text(whole)
        await told.has_address("web", "10.96.0.99")

    assert told.removals == []
    assert [record for record in log.records if record.levelno > logging.INFO] == []


async def test_file_truncated_for_good_loses_its_objects(tmp_path: Path):
    (tmp_path / "web.yaml").write_text(service_text())

    async with running(source_of(tmp_path)) as told:
        (tmp_path / "web.yaml").write_text("")
        await told.has()


async def test_file_that_is_broken_and_removed_is_gone(
    tmp_path: Path, log: pytest.LogCaptureFixture
):
    file = tmp_path / "web.yaml"
    file.write_text(service_text())
    source = source_of(tmp_path)

    async with running(source) as told:
        file.write_text("a: [")
        await logged(log, "its last content stays in force")
        file.unlink()
        await told.has()

    assert source.problems() == ()


async def test_error_that_passes_without_the_file_changing_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
):
    # A network file system that cannot be reached for a while: root may read everything else.
    source, fails = source_of(tmp_path), [True]
    read = source._folder.read

    def failing_read(name: str) -> bytes:
        if fails[0]:
            raise OSError(5, "Input/output error")
        return read(name)

    monkeypatch.setattr(source._folder, "read", failing_read)
    (tmp_path / "web.yaml").write_text(service_text())

    async with running(source) as told:
        await logged(log, "web.yaml: Input/output error; nothing of it is used")
        fails[0] = False
        await told.has("web")


async def test_refused_object_is_rejected_and_keeps_its_version(tmp_path: Path):
    file = tmp_path / "web.yaml"
    file.write_text(service_text())
    source = source_of(tmp_path)

    async with running(source) as told:
        file.write_text(documents(service_text(port="http"), service_text("dns")))
        await told.has("dns", "web")

    assert [str(rejected.problem) for rejected in told.rejected] == [
        f'{file}:8: Service default/web: spec.ports[0].port: must be a whole number, not "http"; '
        "the object (it starts on line 1) keeps its last usable version"
    ]
    assert source.problems() == (told.rejected[0].problem,)


async def test_duplicate_is_logged_when_it_begins_and_when_it_is_over(
    tmp_path: Path, log: pytest.LogCaptureFixture
):
    (tmp_path / "a.yaml").write_text(service_text(cluster_ip="10.96.0.1"))

    async with running(source_of(tmp_path)) as told:
        (tmp_path / "b.yaml").write_text(service_text(cluster_ip="10.96.0.2"))
        await logged(
            log, f"{tmp_path}/b.yaml:1: Service default/web: stands at {tmp_path}/a.yaml:1"
        )
        (tmp_path / "a.yaml").unlink()
        await told.has_address("web", "10.96.0.2")
        await logged(log, "over: ")


async def test_flood_of_remarks_is_cut(tmp_path: Path, log: pytest.LogCaptureFixture):
    text = documents(*(service_text(f"web-{i}") for i in range(30)))
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text)

    async with running(source_of(tmp_path)) as told:
        await logged(log, "manifests: 10 more remarks like these")
        (tmp_path / "b.yaml").unlink()
        await logged(log, "over: 10 more remarks like these")

    assert len(told.services) == 30


async def test_directory_that_vanishes_leaves_its_objects_in_force(
    tmp_path: Path, log: pytest.LogCaptureFixture
):
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "web.yaml").write_text(service_text())
    source = source_of(directory)

    async with running(source) as told:
        directory.rename(tmp_path / "away")
        await logged(log, "the 1 objects read from it stay in force until it is back")
        gone = source.statuses()[0]
        (tmp_path / "away" / "dns.yaml").write_text(service_text("dns"))
        (tmp_path / "away").rename(directory)
        await told.has("dns", "web")
        back = source.statuses()[0]

    assert (gone.is_connected, gone.last_error) == (
        False,
        f"manifests directory {directory}: No such file or directory",
    )
    assert (back.is_connected, back.last_error, back.relists) == (True, "", 2)
    assert told.removals == []


async def test_large_files_are_read_beside_the_event_loop(tmp_path: Path):
    count = 600
    text = documents(*(service_text(f"web-{i}") for i in range(count)))
    (tmp_path / "large.yaml").write_text(text)

    async with running(source_of(tmp_path)) as told:
        assert len(told.services) == count


async def test_many_files_are_looked_at_beside_the_event_loop(tmp_path: Path):
    for i in range(600):
        (tmp_path / f"{i}.yaml").touch()

    async with running(source_of(tmp_path)) as told:
        (tmp_path / "web.yaml").write_text(service_text())
        await told.has("web")


@pytest.mark.parametrize(
    ("gates", "delivered"),
    [
        ({}, {"web": Kind.ENDPOINT_SLICE, "classic": Kind.ENDPOINTS}),
        ({"EndpointSliceProxying": True}, {"web": Kind.ENDPOINT_SLICE}),
        ({"EndpointSliceProxying": False}, {"web": Kind.ENDPOINTS, "classic": Kind.ENDPOINTS}),
    ],
)
async def test_feature_gate_chooses_between_slices_and_endpoints(
    tmp_path: Path, gates: dict[str, bool], delivered: dict[str, Kind]
):
    (tmp_path / "web.yaml").write_text(
        documents(slice_text("web"), endpoints_text("web"), endpoints_text("classic"))
    )
    config = Config(node_name="node-1", manifests=str(tmp_path), feature_gates=FeatureGates(gates))

    async with running(open_source(config)) as told:
        found = {name: kind for kind, _, name in told.objects}

    assert found == delivered
