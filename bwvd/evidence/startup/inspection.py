"""The inspection: all that lies on the card is held against all that is signed, slowly, while the device works.

A start and the look behind it see by names what is gone. Here everything is read: first all of the journal, whether its
files lead to each other and every recording that it knows is there; then of every recording whether each file is there,
as long as it was, and no other beside it; at last what is in the files. The first two are done at every start. The last
goes round: it begins where the run before had come to, which the journal remembers every GiB.

It takes a twentieth of the time, of the processor's and of the card's: the pause behind a step is so many times as long
as the step was. A step reads a MiB or two, which is what a commit may have to wait for. While something is recorded it
rests. Nothing is written but what is found, and the place.

What can't be read is told (the fault `evidence_unread`), keeps nothing else from being inspected, and is tried again,
later and later, until it was read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Protocol, TypeVar

import trio

from bwvd.evidence.flash.steps import Steps
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.file_names import harmless
from bwvd.evidence.format.layout import ARCHIVE, JOURNAL, RECORDINGS, is_litter
from bwvd.evidence.format.recording_id import device_of, serial_of
from bwvd.evidence.journal.journal import Journal
from bwvd.evidence.journal.totals import INSPECTED, Detail
from bwvd.evidence.startup.contents import digested_steps, sized_steps
from bwvd.evidence.startup.known import CHANGED, Finding, Known, known_steps
from bwvd.log import get_logger
from bwvd.messages import Event, Recorded, State, StateChanged
from bwvd.service.backoff import Backoff

T = TypeVar("T")

BEGIN_S = 5.0  # behind the look: a start has enough to do
PAUSE_S = 0.02  # between two steps, at least
LONGEST_PAUSE_S = 10.0  # behind a step that a stalled card has kept waiting
SHARE = 19  # the pause is so many times as long as the step was
KEPT_STEPS = 1024  # of files' content, a MiB each at most, between two entries of the place
ATTEMPTS = 3  # to read a journal whose files get other names meanwhile
AGAIN = Backoff(first_s=60.0, limit_s=3600.0)  # before what could not be read is tried again

_log = get_logger("inspection")

Inspected = Generator[Finding | None, None, None]  # step by step; with what a step has found


class _Told(Protocol):
    def holds(self, where: str) -> bool: ...

    def finding(self, finding: Finding, *, entered: bool = False) -> None: ...

    def unread(self, unread: Mapping[str, str]) -> None: ...


class Inspection:
    """Holds what lies on a storage against what is signed.

    Args:
        volume: only touched in the storage's thread, as the journal is.
        device: this device's id.
        told: who tells what is found, on trio's thread.
        enter: enters the place into the journal.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        storage: Storage,
        volume: Volume,
        journal: Journal,
        device: str,
        told: _Told,
        enter: Callable[[str, Detail], None],
    ) -> None:
        self._storage = storage
        self._volume = volume
        self._journal = journal
        self._device = device
        self._told = told
        self._enter = enter
        self._place = _place(journal.latest(INSPECTED))
        self._aside = journal.set_aside.where if journal.set_aside is not None else ""
        self._content_steps = 0  # since the place was entered
        self._at = ""  # the recording whose files' content is read
        self._file = [""]  # and the file
        self._failed: dict[str, str] = {}  # in this run: why, by recording, or what else can't be read
        self._unread: dict[str, str] = {}  # what is told of that
        self._quiet = trio.Event()
        self._quiet.set()
        self._done = trio.Event()
        self._scope = trio.CancelScope()

    async def wait_done(self) -> None:
        """Return when everything was read once, or the inspection was stopped."""
        await self._done.wait()

    def stop(self) -> None:
        """No more steps. Returns at once."""
        self._scope.cancel()

    def heard(self, event: Event) -> None:
        """Rest while something is recorded."""
        match event:
            case Recorded():
                self._rest(not event.closed)
            case StateChanged():
                self._rest(event.state in (State.RECORDING, State.POST_ROLL))

    def _rest(self, rests: bool) -> None:
        if rests and self._quiet.is_set():
            self._quiet = trio.Event()
        elif not rests:
            self._quiet.set()

    async def run(self, after: Callable[[], Awaitable[None]]) -> None:
        """Read everything once.

        Args:
            after: awaited first.

        **Cancellation:** between two steps.
        """
        try:
            with self._scope:
                await after()
                await trio.sleep(BEGIN_S)
                await self._run(self._steps())
                self._done.set()
                failures = 0
                while self._unread:
                    failures += 1
                    await trio.sleep(AGAIN.delay_s(failures))
                    await self._run(self._steps(frozenset(self._unread)))
        finally:
            self._done.set()

    async def _run(self, steps: Inspected) -> None:
        """One run, and what it could not read. Who writes to a storage that fails as a whole tells of that as well."""
        self._failed.clear()
        try:
            while await self._step(steps):
                if self._failed and not self._unread:
                    self._tell_unread()  # the first of them; how many these are is told at the end
        except OSError as error:
            self._cannot_read(RECORDINGS, error)
        self._tell_unread()

    def _tell_unread(self) -> None:
        self._unread = dict(self._failed)
        self._told.unread(self._unread)

    async def _step(self, steps: Inspected) -> bool:
        """One step and its pause; whether there are more."""
        while not self._quiet.is_set():
            await self._quiet.wait()
        begun_s = trio.current_time()
        more, finding = await self._storage.run(lambda _: _next(steps))
        took_s = trio.current_time() - begun_s
        if finding is not None:
            # Of what it has set aside at this start the journal has an entry.
            self._told.finding(finding, entered=finding.where == self._aside)
        if self._content_steps >= KEPT_STEPS:
            self._content_steps = 0
            self._enter(INSPECTED, {"at": self._at, "file": self._file[0]})
        await trio.sleep(min(max(PAUSE_S, SHARE * took_s), LONGEST_PAUSE_S))
        return more

    # --- in the storage's thread -------------------------------------------------------------------------------------

    def _steps(self, again: frozenset[str] = frozenset()) -> Inspected:
        """again: what an earlier run could not read; if that was recordings alone, only these."""
        try:
            known = yield from self._known_steps()
        except OSError as error:
            self._cannot_read(JOURNAL, error)
            return
        yield from known.findings
        folders = self._volume.names(RECORDINGS)
        recordings = []
        for folder in folders:
            name = folder.rstrip("/")
            if is_litter(name):
                continue
            if name == folder or device_of(name) != self._device:
                yield Finding(f"{RECORDINGS}/{harmless(folder)}", "is no recording of this device", CHANGED)
            else:
                recordings.append(name)
        recordings.sort(key=lambda name: (serial_of(name) or 0, name))
        there = {harmless(name) for name in recordings}
        yield None
        serials = {serial_of(name) or 0 for name in recordings}
        if again and not again & {JOURNAL, RECORDINGS}:
            recordings = [name for name in recordings if name in again]
        for recording in recordings:
            finding = yield from self._guarded(recording, sized_steps(self._volume, recording, known))
            yield self._news(finding)
        yield from self._gone_steps(known, there, serials)
        del known
        yield from self._content_of(recordings)

    def _known_steps(self) -> Steps[Known]:
        for _ in range(ATTEMPTS):
            names = self._files()
            known = yield from known_steps(self._volume)
            if not known.findings or self._files() == names:
                break
        return known

    def _files(self) -> list[str]:
        """The journal's; one that is archived meanwhile gets another name, one that is taken over goes."""
        return [name for name in self._volume.names("") if name == JOURNAL or ARCHIVE.fullmatch(name)]

    def _gone_steps(self, known: Known, there: set[str], serials: set[int]) -> Inspected:
        gone = list(known.gone(there, serials))
        if not gone:
            return
        # One may have been released behind the reading of the journal's end, and be in no list any more.
        try:
            known = yield from self._known_steps()
        except OSError:
            return
        released = {harmless(name) for name in self._journal.released}
        again = set(known.gone(there, serials))
        yield from [finding for finding in gone if finding in again and finding.where not in released]

    def _content_of(self, recordings: list[str]) -> Inspected:
        """Round from the place on where the last run had come to."""
        at, file = self._place
        first = next((number for number, name in enumerate(recordings) if (serial_of(name) or 0) >= at), 0)
        row = [(name, "", "") for name in (*recordings[first:], *recordings[:first])]
        if row and serial_of(row[0][0]) == at and file:
            row = [(row[0][0], file, ""), *row[1:], (row[0][0], "", file)]
        for recording, begin, end in row:
            self._at, self._file = recording, [""]
            steps = digested_steps(self._volume, recording, begin, end, self._file)
            finding = yield from self._guarded(recording, self._counting(steps))
            yield self._news(finding, again=True)

    def _counting(self, steps: Steps[T]) -> Steps[T]:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: T = end.value
                return outcome
            self._content_steps += bool(self._file[0])
            yield

    def _guarded(self, recording: str, steps: Steps[T]) -> Steps[T | None]:
        """A recording that can't be read keeps no other from being inspected; one that was released is gone."""
        try:
            return (yield from steps)
        except OSError as error:
            if recording not in self._journal.released:
                self._cannot_read(recording, error)
            return None

    def _cannot_read(self, where: str, error: OSError) -> None:
        _log.warning("not_inspected", where=where, error=str(error))
        self._failed[where] = error.strerror or str(error)

    def _news(self, finding: Finding | None, *, again: bool = False) -> Finding | None:
        """What is not told yet; again: of the same recording something else may be."""
        if finding is None or finding.where in self._journal.released:
            return None
        return None if self._told.holds(finding.where) and not again else finding


def _next(steps: Inspected) -> tuple[bool, Finding | None]:
    """The next step: whether there was one, and what it has found."""
    try:
        return True, next(steps)
    except StopIteration:
        return False, None


def _place(detail: Detail | None) -> tuple[int, str]:
    """A recording's number and a file's name."""
    at, file = (detail or {}).get("at"), (detail or {}).get("file")
    if not isinstance(at, str) or not isinstance(file, str):
        return 0, ""
    return serial_of(at) or 0, file
