"""More events in one hop than the recorder's queue takes: what is lost is named, and no state is among it."""

from __future__ import annotations

from collections.abc import Callable

import trio
import trio.testing

from bwvd.capture.source import MediaSource
from bwvd.clock import NS
from bwvd.daemon.media_queue import CAUSE, MEDIA_BOUND, MediaQueue
from bwvd.evidence.format import records
from bwvd.messages import FaultChanged, MediaEvent, MediaGap, SourceDown
from bwvd.testing.camera import VirtualCamera
from tests.support.rig import Rig, configuration

RATE = 10


def gap(number: int) -> MediaGap:
    return MediaGap("video", number * NS, number * NS + NS // RATE, "dropped_by_device", 1)


def waiting(queue: MediaQueue) -> list[MediaEvent]:
    found = []
    while queue.receive.statistics().current_buffer_used:
        found.append(queue.receive.receive_nowait())
    return found


def test_states_go_through_a_full_queue_in_their_order() -> None:
    queue = MediaQueue()
    for number in range(3 * MEDIA_BOUND):
        queue.take(gap(number))
    down, fault = SourceDown("camera", 500 * NS, "unplugged"), FaultChanged("encoder_slow", True, 500 * NS)
    queue.take(down)
    queue.take(gap(501))
    queue.take(fault)
    queue.close()
    found = waiting(queue)
    assert found[:MEDIA_BOUND] == [gap(number) for number in range(MEDIA_BOUND)]
    lost_ns = (MEDIA_BOUND * NS, (3 * MEDIA_BOUND - 1) * NS + NS // RATE)
    merged = MediaGap("video", *lost_ns, CAUSE, 2 * MEDIA_BOUND)
    assert found[MEDIA_BOUND : MEDIA_BOUND + 2] == [merged, down]
    assert [type(event) for event in found[MEDIA_BOUND + 2 :]] == [MediaGap, FaultChanged]


def test_what_was_lost_last_is_told_at_the_end() -> None:
    queue = MediaQueue()
    for number in range(MEDIA_BOUND + 2):
        queue.take(gap(number))
    queue.close()
    assert len(waiting(queue)) == MEDIA_BOUND + 1


class Bursts:
    """A camera whose thread is held up: what it made comes in one hop when it is let go."""

    def __init__(self, camera: VirtualCamera) -> None:
        self._camera = camera
        self.held = False
        self._kept: list[MediaEvent] = []

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def take(event: MediaEvent) -> None:
            self._kept.append(event)
            if not self.held:
                kept, self._kept = self._kept, []
                for one in kept:
                    send(one)

        await self._camera.run(take)

    def flush_on_cancel(self, flush: bool) -> None:
        self._camera.flush_on_cancel(flush)


async def test_each_frame_is_there_or_named(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 4: every frame is in the recording, or in a gap record that counts it."""
    rig = Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}))
    rig.camera = VirtualCamera(rig.clock, rate=RATE, gop_frames=1)
    bursts = Bursts(rig.camera)

    def open_camera(_: object) -> MediaSource:
        return bursts

    rig.open_camera = open_camera
    async with rig.running() as daemon:
        await trio.sleep(6)
        await rig.press()
        await trio.sleep(2)
        bursts.held = True
        await trio.sleep(15)
        bursts.held = False
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
        dropped = daemon.media.dropped
    assert dropped > MEDIA_BOUND
    (recording,) = rig.recordings()
    numbers = [number for number, _ in rig.frames(recording)]
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    assert len(missing) == dropped
    gaps = [record for record in rig.manifest(recording) if isinstance(record, records.Gap)]
    assert [(one.cause, one.frames) for one in gaps] == [(CAUSE, dropped)]
