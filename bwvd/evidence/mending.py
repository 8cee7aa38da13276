"""What storage errors left behind: recordings without an end, and numbers that were given and never used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bwvd.evidence.broken import BrokenOff
from bwvd.evidence.layout import RECORDINGS
from bwvd.evidence.recording import RecordingFolder
from bwvd.evidence.records import JournalHead
from bwvd.evidence.storage import Storage, Volume
from bwvd.evidence.unwritten import Unwritten
from bwvd.evidence.writer_ports import Mender, Numbers, Room
from bwvd.log import get_logger
from bwvd.messages import Gop, Note, OpenRecording

_log = get_logger("mending")


@dataclass(frozen=True, slots=True)
class Unused:
    """A recording that was asked for and never reached the flash: nothing of it could be written."""

    opening: OpenRecording
    reason: str  # of its end
    continues: str = ""
    notes: Sequence[Note] = ()  # what there is to say of what could not be written


@dataclass(frozen=True, slots=True)
class FullEnd:
    """A recording that a full flash ends; it is kept until the reserve, or room that somebody makes, takes its end."""

    folder: RecordingFolder
    reason: str
    unwritten: Unwritten
    room: Room

    @property
    def recording(self) -> str:
        return self.folder.recording

    def settle(self, volume: Volume) -> None:
        """Close it on the reserve. Blocking; may raise OSError, and be called again after that."""
        self.room.spend(volume)
        self.folder.close_full(self.reason, self.unwritten)


class Mending:
    """Brings recordings to their end when the storage takes again, without a restart.

    Args:
        folder: makes the folder of a recording.
        numbers: who gives them.
        journal_head: where the journal stands, for the `open` record.
        closed: told of a recording that got its end in order, and why it ended.

    **Synchronization:** trio's thread; `settle_unused`, and what the writer's jobs add, inside jobs of the storage.
    """

    def __init__(
        self,
        storage: Storage,
        mender: Mender,
        folder: Callable[[Volume, OpenRecording], RecordingFolder],
        numbers: Numbers,
        journal_head: Callable[[], JournalHead | None],
        closed: Callable[[RecordingFolder, str], None],
    ) -> None:
        self._storage = storage
        self._mender = mender
        self._folder = folder
        self._numbers = numbers
        self._journal_head = journal_head
        self._closed = closed
        self._broken: list[BrokenOff | FullEnd] = []
        self._unused: list[Unused] = []

    @property
    def waits(self) -> bool:
        """Something has no end yet, or a folder holds a place that may be given back."""
        return bool(self._broken or self._unused or self._numbers.holds)

    def add(self, broken: BrokenOff | FullEnd) -> None:
        self._broken.append(broken)

    def add_unused(self, unused: Unused) -> None:
        self._unused.append(unused)

    def make(self, volume: Volume, folder: RecordingFolder, first: Gop | None, continues: str) -> None:
        """Make a recording's folder and manifest, behind those of every smaller number. In a storage's job.

        Raises OSError; `folder.created` then says whether the number is used up.
        """
        serial = folder.opening.serial
        for smaller, recording in self._numbers.before(serial):
            with suppress(FileExistsError):  # an attempt that failed behind it
                volume.make_dir(f"{RECORDINGS}/{recording}")
            # Durable before the next one is made: names may reach the medium in any order.
            volume.sync_dir(RECORDINGS)
            self._numbers.hold(smaller)
        try:
            folder.create(first, self._journal_head(), continues)
        finally:
            if folder.created:
                self._numbers.begun(serial)

    def settle_unused(self, volume: Volume) -> None:
        """Give numbers that were never used an empty, closed recording: the count stays gapless. In a storage's job."""
        while self._unused:
            unused = self._unused[0]
            folder = self._folder(volume, unused.opening)
            try:
                self.make(volume, folder, None, unused.continues)
                folder.close(unused.reason, unused.notes)
            except OSError:
                # Half-made, it is brought to its end like one that broke off; made again it can't be.
                if folder.created:
                    self._broken.append(folder.broken_off())
                    self._unused.pop(0)
                raise
            self._unused.pop(0)
            self._broken.append(BrokenOff(unused.opening.recording, (), 0, closed=True))

    async def mend(self) -> bool:
        """Try once. Returns whether everything that had none has its end now."""
        self._broken += [BrokenOff(recording, (), 0) for recording in self._numbers.deserted()]
        if not self._broken and not self._unused:
            return True
        settled: list[BrokenOff | FullEnd] = []

        def mend(volume: Volume) -> list[str]:
            self.settle_unused(volume)
            for one in self._broken:
                one.settle(volume)
                settled.append(one)
            return self._mender.mend(volume, [one.recording for one in settled])

        try:
            done = await self._storage.run(mend)
        except OSError as error:
            _log.warning("not_mended", recordings=[one.recording for one in self._broken], error=str(error))
            done = []
        else:
            self._mender.mended()
        for one in settled:
            self._tell(one)
        self._broken = [one for one in self._broken if one.recording not in done]
        return not self._broken and not self._unused

    def _tell(self, settled: BrokenOff | FullEnd) -> None:
        """One that was closed in order has its end; what is made from the manifest may still be missing."""
        if isinstance(settled, FullEnd):
            self._closed(settled.folder, settled.reason)
            self._broken.remove(settled)
            self._broken.append(BrokenOff(settled.recording, (), 0, closed=True))
