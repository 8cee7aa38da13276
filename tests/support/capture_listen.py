"""What the tests of capture share: a listener for a source's events, and a reader of numbered frames."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field

import av
import trio

from bwvd.capture.source import MediaSource
from bwvd.media.samples import Batch, Track
from bwvd.messages import MediaEvent, MediaGap, SourceUp
from bwvd.testing.picture import frame_number


@dataclass
class Listener:
    """Takes a source's events and lets a test wait for them."""

    events: list[MediaEvent] = field(default_factory=list)
    _more: trio.Event = field(default_factory=trio.Event)

    def send(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._more.set()
        self._more = trio.Event()

    def batches(self, kind: str = "video") -> list[Batch]:
        return [event for event in self.events if isinstance(event, Batch) and event.track.kind == kind]

    def gaps(self) -> list[MediaGap]:
        return [event for event in self.events if isinstance(event, MediaGap)]

    def ups(self) -> list[SourceUp]:
        return [event for event in self.events if isinstance(event, SourceUp)]

    async def wait(self, reached: Callable[[], object]) -> None:
        """Return when that is so; it is asked after each event."""
        while not reached():
            await self._more.wait()

    async def wait_up(self) -> None:
        while not self.ups():
            await self._more.wait()

    async def wait_batches(self, count: int, kind: str = "video") -> None:
        while len(self.batches(kind)) < count:
            await self._more.wait()

    async def run(self, source: MediaSource, batches: int, kind: str = "video", *, flush: bool = False) -> None:
        """Run a source until it has delivered so many batches, then cancel it."""
        source.flush_on_cancel(flush)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(source.run, self.send)
                await self.wait_batches(batches, kind)
                nursery.cancel_scope.cancel()


def extradata(track: Track) -> bytes:
    """The decoder's configuration in a track's init segment."""
    with av.open(io.BytesIO(track.init)) as container:
        return bytes(container.streams[0].codec_context.extradata or b"")


def decode_video(batches: list[Batch]) -> list[tuple[int, av.VideoFrame]]:
    """Frames with their presentation time in ns, in the order of presentation; every batch on its own decoder."""
    found = []
    for batch in batches:
        context = av.CodecContext.create(batch.track.codec, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = extradata(batch.track)
        context.thread_count = 1
        for sample in batch.samples:
            packet = av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))
            packet.pts, packet.dts = sample.pts_ns, sample.dts_ns
            found += [(frame.pts or 0, frame) for frame in context.decode(packet)]
        found += [(frame.pts or 0, frame) for frame in context.decode(None)]
    return found


def numbers(batches: list[Batch]) -> list[int]:
    """The numbers that the decoded frames carry, in the order of presentation."""
    return [frame_number(frame) for _, frame in decode_video(batches)]


def decode_sound(batches: list[Batch]) -> list[tuple[int, av.AudioFrame]]:
    """Frames of sound with their time in ns."""
    if not batches:
        return []
    context = av.CodecContext.create("aac", "r")
    assert isinstance(context, av.AudioCodecContext)
    context.extradata = extradata(batches[0].track)
    found = []
    for batch in batches:
        for sample in batch.samples:
            packet = av.Packet(bytes(batch.data[sample.offset : sample.offset + sample.size]))
            packet.pts = packet.dts = sample.pts_ns
            found += [(sample.pts_ns, frame) for frame in context.decode(packet)]
    return found
