"""What storage errors left behind: recordings without an end, and numbers that were given and never used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bwvd.evidence.broken import BrokenOff
from bwvd.evidence.recording import RecordingFolder
from bwvd.evidence.records import JournalHead
from bwvd.evidence.storage import Storage, Volume
from bwvd.evidence.writer_ports import Mender
from bwvd.log import get_logger
from bwvd.messages import OpenRecording

_log = get_logger("mending")


@dataclass(frozen=True, slots=True)
class Unused:
    """A recording that was asked for and never reached the flash: nothing of it could be written."""

    opening: OpenRecording
    reason: str  # of its end


class Mending:
    """Brings recordings to their end when the storage takes again, without a restart.

    Args:
        folder: makes the folder of a recording.
        journal_head: where the journal stands, for the `open` record.

    **Synchronization:** trio's thread; `settle_unused`, and what the writer's jobs add, inside jobs of the storage.
    """

    def __init__(
        self,
        storage: Storage,
        mender: Mender,
        folder: Callable[[Volume, OpenRecording], RecordingFolder],
        journal_head: Callable[[], JournalHead | None],
    ) -> None:
        self._storage = storage
        self._mender = mender
        self._folder = folder
        self._journal_head = journal_head
        self._broken: list[BrokenOff] = []
        self._unused: list[Unused] = []

    @property
    def waits(self) -> bool:
        """Something has no end yet."""
        return bool(self._broken or self._unused)

    def add(self, broken: BrokenOff) -> None:
        self._broken.append(broken)

    def add_unused(self, unused: Unused) -> None:
        self._unused.append(unused)

    def settle_unused(self, volume: Volume) -> None:
        """Give numbers that were never used an empty, closed recording: the count stays gapless. In a storage's job."""
        while self._unused:
            unused = self._unused[0]
            folder = self._folder(volume, unused.opening)
            try:
                folder.create(None, self._journal_head())
                folder.close(unused.reason)
            except OSError:
                # Half-made, it is brought to its end like one that broke off; made again it can't be.
                if folder.created:
                    self._broken.append(folder.broken_off())
                    self._unused.pop(0)
                raise
            self._unused.pop(0)

    async def mend(self) -> bool:
        """Try once. Returns whether everything that had none has its end now."""
        if not self.waits:
            return True
        broken = list(self._broken)

        def mend(volume: Volume) -> list[str]:
            self.settle_unused(volume)
            for one in broken:
                one.settle(volume)
            return self._mender.mend(volume, [one.recording for one in broken])

        try:
            done = await self._storage.run(mend)
        except OSError as error:
            _log.warning("not_mended", recordings=[one.recording for one in broken], error=str(error))
            return False
        self._broken = [one for one in self._broken if one.recording not in done]
        self._mender.mended()
        return not self.waits
