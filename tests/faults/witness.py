"""What really happened, noted where it happened: every frame that a device delivered, every commit that returned."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from bwvd.capture.source import MediaSource
from bwvd.evidence.flash.volume import Volume
from bwvd.media.samples import Batch, Sample
from bwvd.messages import MediaEvent
from bwvd.testing.flash.storage import VirtualStorage, VirtualVolume

if TYPE_CHECKING:
    from bwvd.daemon.daemon import Daemon

T = TypeVar("T")


class Seen(NamedTuple):
    """A frame of either track as the recorder got it."""

    pts_ns: int
    duration_ns: int
    key: bool
    data: bytes


class Witness:
    """Everything that the devices delivered, in order."""

    def __init__(self) -> None:
        self.frames: list[Seen] = []
        self.sounds: list[Seen] = []
        self.batches: list[Batch] = []  # to see that they are wiped in the end
        self.complaints: list[str] = []

    def watch(self, source: MediaSource) -> MediaSource:
        """The same source, with a witness."""
        return _Watched(source, self._note)

    def _note(self, event: MediaEvent) -> None:
        if not isinstance(event, Batch):
            return
        self.batches.append(event)
        seen = self.frames if event.track.kind == "video" else self.sounds
        seen += [self._frame(event, sample) for sample in event.samples]

    def _frame(self, batch: Batch, sample: Sample) -> Seen:
        data = bytes(batch.data[sample.offset : sample.offset + sample.size])
        return Seen(sample.pts_ns, sample.duration_ns, sample.key, data)


class _Watched:
    def __init__(self, source: MediaSource, note: Callable[[MediaEvent], None]) -> None:
        self._source = source
        self._note = note

    def flush_on_cancel(self, flush: bool) -> None:
        self._source.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def noted(event: MediaEvent) -> None:
            self._note(event)
            send(event)

        await self._source.run(noted)


class WitnessedStorage(VirtualStorage):
    """The virtual storage; before each job, and at the end, it is noted what the writer has acknowledged so far."""

    def __init__(self, volume: VirtualVolume) -> None:
        super().__init__(volume)
        self.daemon: Daemon | None = None
        self.acknowledged: dict[str, int] = {}  # segments, by recording

    async def run(self, job: Callable[[Volume], T]) -> T:
        self.note()
        return await super().run(job)

    def note(self) -> None:
        """What `bwvd status` calls committed."""
        writer = getattr(self.daemon, "writer", None)
        if writer is not None and (recording := writer.statistics.recording) is not None:
            known = self.acknowledged.get(recording, 0)
            self.acknowledged[recording] = max(known, writer.statistics.segments)
