"""The daemon's core with a full loop, in virtual time: `python -m tests.bench.growth_core LOOP_S BITRATE`.

Prints one JSON object: CPU per second of video while the loop turns, and how much memory the full loop took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import trio
import trio.testing

from bwvd.clock import NS
from bwvd.log import configure
from bwvd.media.samples import Batch, Sample, Track
from bwvd.messages import MediaEvent, SourceUp
from bwvd.testing.clip import numbered_video
from bwvd.testing.clock import VirtualClock
from tests.bench import accounting
from tests.bench.sources import RATE
from tests.support.rig import Rig, configuration

MEASURED_S = 200  # of virtual time, with a full loop


class SteadyCamera:
    """A `MediaSource` of groups of pictures of one second that hold so many bytes; nobody decodes them."""

    def __init__(self, clock: VirtualClock, bitrate: int) -> None:
        self._clock = clock
        self._sample_bytes = bitrate // 8 // RATE
        self._track = Track("video", "h264", 90_000, numbered_video().init, "steady", "copy", 64, 48, RATE)

    def flush_on_cancel(self, flush: bool) -> None: ...

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        send(SourceUp("camera", self._track))
        size, step_ns = self._sample_bytes, NS // RATE
        while True:
            begin_ns = self._clock.monotonic_ns()
            await trio.sleep(1)
            samples = tuple(
                Sample(index * size, size, begin_ns + index * step_ns, begin_ns + index * step_ns, step_ns, index == 0)
                for index in range(RATE)
            )
            send(Batch(self._track, samples, bytearray(b"\1" * (size * RATE))))


async def _run(loop_s: int, bitrate: int) -> dict[str, float]:
    clock = VirtualClock()
    rig = Rig(
        config=configuration(loop={"seconds": loop_s, "max_bytes": 1 << 34}),
        clock=clock,
        open_camera=lambda _: SteadyCamera(clock, bitrate),
    )
    async with rig.running() as daemon:
        await trio.sleep(2)
        empty_kb, held = accounting.resident_kb(os.getpid()), daemon.recorder.loop.bytes
        await trio.sleep(loop_s + 2)
        grown_mb = (accounting.resident_kb(os.getpid()) - empty_kb) * 1024 / 1e6
        loop_mb = (daemon.recorder.loop.bytes - held) / 1e6
        begun_s = time.thread_time()
        await trio.sleep(MEASURED_S)
        cpu_ms = (time.thread_time() - begun_s) * 1000
    return {"cpu_ms_per_s": cpu_ms / MEASURED_S, "grown_mb": grown_mb, "loop_mb": loop_mb}


def main() -> None:
    configure()  # logs go to stderr
    found = trio.run(_run, int(sys.argv[1]), int(sys.argv[2]), clock=trio.testing.MockClock(autojump_threshold=0))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
