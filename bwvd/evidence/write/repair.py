"""Repair of what storage errors left: recordings without an end, and numbers that were given and never used."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from bwvd.clock import NS, Clock
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.flash.volume import Storage, Volume
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.write.interrupted import Interrupted
from bwvd.evidence.write.lost_media import Unwritten
from bwvd.evidence.write.numbering import RecordingNumbers
from bwvd.evidence.write.ports import Mender
from bwvd.evidence.write.recording_folder import RecordingFolder
from bwvd.log import get_logger
from bwvd.media.samples import Gop
from bwvd.messages import Event, FaultChanged, Note, OpenRecording
from bwvd.service.backoff import Backoff

# A storage that has failed for a moment takes again soon; what lies on a bad sector may never be readable again.
BACKOFF = Backoff(first_s=5.0, limit_s=300.0)

_log = get_logger("mending")


@dataclass(frozen=True, slots=True)
class Unused:
    """A recording that was asked for and never reached the flash; an empty, closed one keeps the count gapless."""

    opening: OpenRecording
    reason: str  # of its end
    continues: str = ""
    notes: Sequence[Note] = ()  # what there is to say of what could not be written
    room: Reserve | None = None  # spent on it where it is the want of room that has kept it off the flash

    @property
    def recording(self) -> str:
        return self.opening.recording


@dataclass(frozen=True, slots=True)
class FullEnd:
    """A recording that a full flash ends; it is kept until the reserve, or room that somebody makes, takes its end."""

    folder: RecordingFolder
    reason: str
    unwritten: Unwritten
    room: Reserve

    @property
    def recording(self) -> str:
        return self.folder.recording

    def close(self, volume: Volume) -> None:
        """Close it on the reserve. Blocking; may raise OSError, and be called again after that."""
        self.room.spend(volume)
        self.folder.close_full(self.reason, self.unwritten)


@dataclass(slots=True)
class _Case:
    """What has to be brought to an end, and when that is tried next."""

    one: Interrupted | FullEnd | Unused
    closed: FullEnd | None = None  # it has its end now, of which nobody was told yet
    due_ns: int = 0
    failures: int = 0
    why: str = ""  # it failed the last time

    def failed(self, why: str, now_ns: int) -> None:
        """Try again later. Logged when the reason is another than the last time."""
        self.failures += 1
        self.due_ns = now_ns + round(BACKOFF.delay_s(self.failures) * NS)
        if why != self.why:
            _log.warning("not_mended", recording=self.one.recording, error=why)
        self.why = why


@dataclass(slots=True, eq=False)
class Mending:
    """Brings recordings to their end when the storage takes again, without a restart.

    Publishes the fault `recovery`, which lasts while something is left that could not be brought to its end.

    **Synchronization:** trio's thread; `make` inside jobs of the storage.
    """

    _storage: Storage
    _mender: Mender
    _clock: Clock
    _folder: Callable[[Volume, OpenRecording], RecordingFolder]  # makes the folder of a recording
    _numbers: RecordingNumbers
    _journal_head: Callable[[], JournalHead | None]  # where the journal stands, for the `open` record
    _closed: Callable[[RecordingFolder, str], None]  # told of a recording that got its end in order, and why it ended
    _publish: Callable[[Event], None]
    _cases: list[_Case] = field(default_factory=list)

    def add(self, one: Interrupted | FullEnd | Unused, *, later: bool = False) -> None:
        """Something that lacks its end; `later`: which was just tried. Also inside jobs that the writer waits for."""
        due_ns = self._clock.monotonic_ns() + round(BACKOFF.first_s * NS) if later else 0
        self._cases.append(_Case(one, due_ns=due_ns))

    def wait_s(self) -> float:
        """In how many seconds there is something to try; for ever if nothing lacks its end."""
        due_ns = min((case.due_ns for case in self._cases), default=None)
        left_s = math.inf if due_ns is None else max(0, due_ns - self._clock.monotonic_ns()) / NS
        # A number whose place is held may be given back at any time, and nobody tells.
        return min(left_s, BACKOFF.first_s) if self._numbers.has_placeholders else left_s

    def make(self, volume: Volume, folder: RecordingFolder, first: Gop | None, continues: str) -> None:
        """Make a recording's folder and manifest, behind those of every smaller number. In a storage's job.

        Raises OSError; `folder.created` then says whether the number is used up.
        """
        serial = folder.opening.serial
        for smaller, recording in self._numbers.without_folder_before(serial):
            with suppress(FileExistsError):  # an attempt that failed behind it
                volume.make_dir(f"{RECORDINGS}/{recording}")
            # Durable before the next one is made: names may reach the medium in any order.
            volume.sync_dir(RECORDINGS)
            folder.row.began(recording)
            self._numbers.placeholder_made(smaller)
        try:
            folder.create(first, self._journal_head(), continues)
        finally:
            if folder.created:
                self._numbers.recording_begun(serial)

    async def mend(self, *, at_once: bool = False) -> bool:
        """Try those whose time has come, or all of them, each by itself. Returns whether the storage takes again.

        Raises what is no OSError; nothing is lost by that, and it may be tried again.
        """
        for recording in self._numbers.abandoned():
            self.add(Interrupted(recording, (), 0))
        now_ns = self._clock.monotonic_ns()
        due = [case for case in self._cases if at_once or case.due_ns <= now_ns]
        if not due:
            return not self._cases
        try:
            outcomes = await self._storage.run(lambda volume: self._try(volume, due))
        except Exception as error:  # no OSError: a defect
            for case in due:
                case.failed(str(error), self._clock.monotonic_ns())
            raise
        self._mender.mended()
        for case, why in zip(due, outcomes, strict=True):
            if case.closed is not None:
                self._closed(case.closed.folder, case.closed.reason)
                case.closed = None
            if why:
                case.failed(why, self._clock.monotonic_ns())
            else:
                self._cases.remove(case)
        self._tell()
        return "" in outcomes

    def _try(self, volume: Volume, cases: Sequence[_Case]) -> list[str]:
        """In a storage's job: why each is not at its end, "" if it is."""
        why: dict[str, str] = {}
        for case in cases:
            try:
                self._settle(volume, case)
            except OSError as error:
                why[case.one.recording] = str(error)
        settled = [case.one.recording for case in cases if case.one.recording not in why]
        try:
            why |= self._mender.mend(volume, settled) if settled else {}
        except OSError as error:
            why |= dict.fromkeys(settled, str(error))
        return [why.get(case.one.recording, "") for case in cases]

    def _settle(self, volume: Volume, case: _Case) -> None:
        """Leave nothing but what recovery can go on from. Raises OSError."""
        match case.one:
            case Interrupted() as broken:
                broken.make_recoverable(volume)
            case FullEnd() as full:
                full.close(volume)
                case.closed = full
                case.one = Interrupted(full.recording, (), 0, closed=True)
            case Unused() as unused:
                self._make_empty(volume, case, unused)

    def _make_empty(self, volume: Volume, case: _Case, unused: Unused) -> None:
        if unused.room is not None:
            unused.room.spend(volume)
        folder = self._folder(volume, unused.opening)
        try:
            self.make(volume, folder, None, unused.continues)
            folder.close(unused.reason, unused.notes)
        except Exception:
            # Half-made, it is brought to its end like one that broke off; made again it can't be.
            if folder.created:
                case.one = folder.interrupted()
            raise
        case.one = Interrupted(unused.recording, (), 0, closed=True)

    def _tell(self) -> None:
        left = [case for case in self._cases if case.why]
        detail = ""
        if left:
            others = f", and {len(left) - 1} more" if len(left) > 1 else ""
            detail = f"{left[0].one.recording}{others} not brought to an end yet: {left[0].why}"
        self._publish(FaultChanged("recovery", active=bool(left), at_ns=self._clock.monotonic_ns(), detail=detail))
