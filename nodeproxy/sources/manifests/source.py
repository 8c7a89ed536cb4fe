"""Services and endpoints from a directory of files, for nodes without a cluster.

```
 inotify or clock -> DirectoryWatch -> Folder -> FileDecoder -> Catalog -> sink
   "look now"          hints           which      contents      events, remarks
                                      files are
                                      fit to read
```

One loop: wait for a hint, look, read what changed, tell. What cannot be read keeps its last
content in force; a file is called broken only when it stayed so for `patience_seconds`, because
most broken files are half-written ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from nodeproxy import clock
from nodeproxy.config.gates import ENDPOINT_SLICE_PROXYING, FeatureGates
from nodeproxy.config.schema import Config
from nodeproxy.documents.text import BrokenText
from nodeproxy.model.events import (
    EndpointsChosen,
    Kind,
    SourceEvent,
    Synced,
    other_endpoints_kind,
)
from nodeproxy.model.problems import Problem
from nodeproxy.sources.base import EventSink, SourceStatus
from nodeproxy.sources.manifests.broken import BrokenFiles
from nodeproxy.sources.manifests.catalog import Catalog, Outcome
from nodeproxy.sources.manifests.content import Content
from nodeproxy.sources.manifests.decode import FileDecoder
from nodeproxy.sources.manifests.folder import DirectoryUnreadable, Folder, Look, Timing
from nodeproxy.sources.manifests.watch import DirectoryWatch, Hints

log = logging.getLogger("nodeproxy.manifests")

# Reading 16 KiB of YAML takes about 5 ms; more than that may not hold up the event loop.
_INLINE_BYTES = 16 * 1024
_INLINE_FILES = 500

_MAX_LINES = 20  # of the log, for one save: a copied file may bring 10,000 duplicates


def open_source(config: Config) -> ManifestSource:
    """The source for `--manifests`, with the kinds that the feature gate chooses."""
    kind = endpoints_kind_of(config.feature_gates)
    return ManifestSource(Path(config.manifests), config.node_name, kind)


def endpoints_kind_of(gates: FeatureGates) -> Kind | None:
    """The kind that the gate EndpointSliceProxying chooses; None if nobody has set it."""
    if not gates.is_explicit(ENDPOINT_SLICE_PROXYING):
        return None
    is_sliced = gates.is_enabled(ENDPOINT_SLICE_PROXYING)
    return Kind.ENDPOINT_SLICE if is_sliced else Kind.ENDPOINTS


class _Choice(msgspec.Struct, frozen=True):
    """A kind of endpoints that somebody asked for while the source was running."""

    kind: Kind | None
    until: float
    """Monotonic seconds at which it is given up."""


def _unread(endpoints_kind: Kind | None) -> frozenset[Kind]:
    return frozenset({other_endpoints_kind(endpoints_kind)} if endpoints_kind else ())


class ManifestSource:
    """Follows one directory; see `nodeproxy.sources.base.Source`.

    Every usable file is read once before the first event is told, then all kinds are
    synced at once. `problems` lists what an operator should mend.
    """

    def __init__(
        self,
        directory: Path,
        node_name: str,
        endpoints_kind: Kind | None = None,
        timing: Timing = Timing(),  # noqa: B008 (frozen)
    ) -> None:
        """Prepare to follow a directory; nothing is read before `run`.

        Args:
            directory: where the files are; problems name it as it is written here.
            node_name: whose Node object is delivered.
            endpoints_kind: the only kind to use for endpoints; None leaves the choice to what
                is found for each Service (see `catalog`).
            timing: how patient to be.
        """
        self._directory = directory
        self._timing = timing
        self._endpoints_kind = endpoints_kind
        self._choice: _Choice | None = None
        self._decoder = FileDecoder(node_name, _unread(endpoints_kind))
        self._folder = Folder(directory, timing)
        self._catalog = Catalog()
        self._broken = BrokenFiles(timing.patience_seconds)
        # What others may ask for at any time; frozen, because the rest may be in a thread.
        self._problems: tuple[Problem, ...] = ()
        self._directory_error = ""
        self._is_synced = False
        self._lists = 0
        self._last_look: float | None = None
        self._watch: DirectoryWatch | None = None

    def choose_endpoints(self, gates: FeatureGates) -> None:
        """See `Source.choose_endpoints`: every file is read anew, and the outcome told at once."""
        until = clock.monotonic() + self._timing.switch_seconds
        self._choice = _Choice(endpoints_kind_of(gates), until)
        if self._watch:
            self._watch.wake()

    def statuses(self) -> Sequence[SourceStatus]:
        """The same for every kind: there is one directory."""
        return [
            SourceStatus(
                kind=kind,
                is_synced=self._is_synced,
                is_connected=self._is_synced and not self._directory_error,
                last_event=self._last_look,
                last_error=self._directory_error or next(map(str, self._problems), ""),
                relists=self._lists,
            )
            for kind in Kind
            if kind not in self._decoder.unread
        ]

    def problems(self) -> Sequence[Problem]:
        """Everything that is wrong with the files now; harmless remarks are left out."""
        return self._problems

    async def run(self, sink: EventSink) -> None:
        """Tell what the files hold, then every change, until cancelled.

        Raises:
            DirectoryUnreadable: there is no such directory at the start, or it may not be
                listed. Later the same is waited out.
        """
        started_at = clock.monotonic()
        with DirectoryWatch(self._directory, self._timing.tick_seconds) as watch:
            self._watch = watch
            watch.arm()
            again = await self._first_pass(sink)
            log.info(
                "source synced directory=%s files=%d objects=%d seconds=%.3f",
                self._directory,
                len(self._folder),
                len(self._catalog),
                clock.monotonic() - started_at,
            )
            while True:
                hints = await watch.wait(again)
                watch.arm()
                again = await self._pass(sink, hints)
                if self._choice:
                    again = await self._choose(self._choice, sink, again)

    async def _first_pass(self, sink: EventSink) -> float | None:
        try:
            look = await self._look(Hints(), is_first=True)
        except OSError as exc:
            raise DirectoryUnreadable(self._directory, exc.strerror or str(exc)) from exc
        events = await self._take(look, is_first=True)
        self._is_synced = True
        sink.put([*events, *(Synced(kind) for kind in Kind)])
        return self._next_look(look)

    async def _pass(self, sink: EventSink, hints: Hints) -> float | None:
        """Look once and tell what changed; returns in how many seconds to look again."""
        try:
            look = await self._look(hints)
        except OSError as exc:
            self._note_lost(exc)
            return None
        if events := await self._take(look):
            sink.put(events)
        return self._next_look(look)

    async def _choose(self, choice: _Choice, sink: EventSink, again: float | None) -> float | None:
        """Read everything with another kind of endpoints; returns seconds until the next look."""
        if choice.kind is self._endpoints_kind:
            self._choice = None
            return again
        decoder = msgspec.structs.replace(self._decoder, unread=_unread(choice.kind))
        names = self._folder.names()
        readings = await asyncio.to_thread(self._read_all, names, decoder)
        contents = {self._path(n): r for n, r in readings.items() if isinstance(r, Content)}
        unfit = [p for p in map(self._path, names) if p not in contents and self._catalog.knows(p)]
        if unfit:
            return self._choose_later(choice, unfit[0])
        outcome = await asyncio.to_thread(self._catalog.apply, contents, decoder.unread)
        self._decoder, self._endpoints_kind = decoder, choice.kind
        if self._choice is choice:
            self._choice = None
        _report(outcome)
        self._problems = (*self._broken.problems(), *self._catalog.problems())
        sink.put([*outcome.events, EndpointsChosen(choice.kind)])
        log.info("endpoints are read from %s now", choice.kind or "what each Service has")
        return again

    def _choose_later(self, choice: _Choice, path: str) -> float | None:
        """A file cannot be read, and its objects must not get lost. Most are half-written."""
        if clock.monotonic() < choice.until:
            return self._timing.settle_seconds
        self._choice = None
        log.warning(
            "endpoints are still read from %s: %s cannot be read, and what its last content says "
            "would get lost. Mend it and reload the configuration to try again",
            self._endpoints_kind or "what each Service has",
            path,
        )
        return None

    async def _look(self, hints: Hints, *, is_first: bool = False) -> Look:
        now = clock.monotonic()
        if len(self._folder) > _INLINE_FILES:
            look = await asyncio.to_thread(self._folder.look, hints, now, is_first=is_first)
        else:
            look = self._folder.look(hints, now, is_first=is_first)
        self._last_look = now
        self._note_found()
        return look

    def _note_lost(self, exc: OSError) -> None:
        self._folder.directory_is_gone()
        if not self._directory_error:
            self._directory_error = f"manifests directory {self._directory}: {exc.strerror}"
            log.warning(
                "%s; the %d objects read from it stay in force until it is back",
                self._directory_error,
                len(self._catalog),
            )

    def _note_found(self) -> None:
        """Count a directory that appeared, and say so if it had been missed."""
        if self._directory_error or not self._lists:
            self._lists += 1
        if self._directory_error:
            self._directory_error = ""
            log.info("manifests directory %s: is back and followed again", self._directory)

    def _next_look(self, look: Look) -> float | None:
        """Seconds until something settles or becomes due; None leaves it to the tick."""
        waits = (look.again_in_seconds, self._broken.next_due_in(clock.monotonic()))
        return min((seconds for seconds in waits if seconds is not None), default=None)

    async def _take(self, look: Look, *, is_first: bool = False) -> Sequence[SourceEvent]:
        """Read, merge and report what changed; returns what the sink should hear."""
        if not (look.to_read or look.gone):
            outcome = Outcome(())
        elif look.total_bytes > _INLINE_BYTES:
            outcome = await asyncio.to_thread(self._merge, look)
        else:
            outcome = self._merge(look)
        _report(outcome)
        due = self._broken.due(clock.monotonic(), is_first=is_first)
        for problem in due:
            log.warning("%s", problem)
        if due or look.to_read or look.gone:
            self._problems = (*self._broken.problems(), *self._catalog.problems())
        return outcome.events

    def _merge(self, look: Look) -> Outcome:
        """The part of the work that may be long; nobody else touches what it changes."""
        updates: dict[str, Content | None] = dict.fromkeys(map(self._path, look.gone))
        for path in updates:
            self._broken.mend(path)
        for name, reading in self._read_all(look.to_read, self._decoder).items():
            self._sort(name, reading, updates)
        return self._catalog.apply(updates)

    def _read_all(
        self, names: Iterable[str], decoder: FileDecoder
    ) -> dict[str, Content | BrokenText | OSError]:
        """Read and decode files; the only part of the work that may be long."""
        readings: dict[str, Content | BrokenText | OSError] = {}
        for name in names:
            try:
                readings[name] = decoder.decode(self._path(name), self._folder.read(name))
            except FileNotFoundError:
                continue  # the next look will miss it
            except (BrokenText, OSError) as exc:
                readings[name] = exc
        return readings

    def _sort(
        self,
        name: str,
        reading: Content | BrokenText | OSError,
        updates: dict[str, Content | None],
    ) -> None:
        """Put a reading where it belongs: among the updates or the broken files."""
        path = self._path(name)
        if isinstance(reading, Content):
            updates[path] = reading
            if self._broken.mend(path):
                log.info("%s: can be read again and is in force", path)
            return
        if isinstance(reading, OSError):
            self._folder.forget_version(name)  # it may pass without the file changing
            reading = BrokenText(0, reading.strerror or str(reading))
        self._broken.fail(path, self._broken_problem(path, reading), clock.monotonic())

    def _broken_problem(self, path: str, broken: BrokenText) -> Problem:
        has_content = self._catalog.knows(path)
        consequence = "its last content stays in force" if has_content else "nothing of it is used"
        subject = f"{path}:{broken.line}" if broken.line else path
        return Problem(subject, "", f"{broken.reason}; {consequence}")

    def _path(self, name: str) -> str:
        return str(self._directory / name)


def _report(outcome: Outcome) -> None:
    """Log remarks when they begin, and mistakes when they are over."""
    begun, mended = outcome.begun, [r for r in outcome.ended if not r.is_harmless]
    for remark in begun[:_MAX_LINES]:
        level = logging.INFO if remark.is_harmless else logging.WARNING
        log.log(level, "%s", remark.problem)
    if len(begun) > _MAX_LINES:
        log.warning("manifests: %d more remarks like these", len(begun) - _MAX_LINES)
    for remark in mended[:_MAX_LINES]:
        log.info("over: %s", remark.problem)
    if len(mended) > _MAX_LINES:
        log.info("over: %d more remarks like these", len(mended) - _MAX_LINES)
