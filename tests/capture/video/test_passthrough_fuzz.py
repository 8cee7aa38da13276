"""Damaged packets of a camera that is copied: counted, recorded, never a crash, never a recording that won't play.

`pytest -s` prints what was done. `-m complete` adds the other mixtures.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
import trio
import trio.testing

from bwvd.capture.address import parse_address
from bwvd.capture.source import DeviceLost
from bwvd.capture.timestamps import FrameTimes, KernelStamps, Moment, TimeBase
from bwvd.capture.video.frame_loss import Losses
from bwvd.capture.video.passthrough import CopiedVideo
from bwvd.clock import NS, Clock
from bwvd.config.schema import VIDEO_SCHEMES, Config, Loop, Video
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent
from bwvd.testing.clock import VirtualClock
from tests.support.capture_listen import Listener, numbers
from tests.support.desk import export_mp4
from tests.support.fuzzed_packets import GOP, RATE, STEP_US, Fuzzed, clips, fuzzed
from tests.support.rig import Rig, configuration
from tests.support.stock import need

BEGIN_US = 5_000_000_000
BASE = TimeBase.of(Fraction(1, 1_000_000))
PACKETS = 10_000


def open_path(container: av.container.InputContainer, clip: Path) -> CopiedVideo:
    """As `Reading` does for a V4L2 camera."""
    address = parse_address(f"file:{clip}", "video.source", VIDEO_SCHEMES)
    step_ns = NS // RATE
    return CopiedVideo(
        container.streams.video[0],
        Config(video=Video(encoder="copy"), loop=Loop(seconds=30)),
        address,
        Fraction(RATE),
        FrameTimes(KernelStamps(), step_ns, live=True),
        Losses(step_ns, live=True),
    )


@dataclass
class Given:
    """Packets that went into a path, and in which groups nothing was harmed."""

    packets: list[Fuzzed] = field(default_factory=list)
    openings: int = 1

    def whole_groups(self) -> list[list[int]]:
        """The numbers of the groups of which no packet was harmed, nor the key frame behind them."""
        groups = [self.packets[at : at + GOP] for at in range(0, len(self.packets) - GOP, GOP)]
        return [[one.number for one in group] for group in groups if not any(one.harmed for one in group)]


def run_path(clip: Path, packets: Iterator[Fuzzed]) -> tuple[Listener, Given]:
    listener, given = Listener(), Given()
    with av.open(str(clip)) as container:
        path = open_path(container, clip)
        for index, one in enumerate(packets):
            given.packets.append(one)
            arrival_ns = (BEGIN_US + index * STEP_US) * 1_000 + 5_000_000
            try:
                path.feed(one.packet, BASE, Moment(arrival_ns, arrival_ns + 10**18), listener.send)
            except DeviceLost:
                path.finish(listener.send, False)
                path.close()
                path = open_path(container, clip)
                given.openings += 1
        path.finish(listener.send, True)
        path.close()
    return listener, given


def decoded(batch: Batch) -> list[int]:
    try:
        return numbers([batch])
    except (av.FFmpegError, ValueError):
        return []


@pytest.mark.parametrize(
    ("suffix", "share"),
    [
        ("ts", 0.5),
        ("mp4", 0.02),
        pytest.param("ts", 0.02, marks=pytest.mark.complete),
        pytest.param("mp4", 0.5, marks=pytest.mark.complete),
    ],
)
def test_each_of_ten_thousand_damaged_packets_is_kept_or_counted(tmp_path: Path, suffix: str, share: float) -> None:
    """Invariant 4: nothing is missing, doubled or reordered without a gap that says so."""
    first, second = clips(tmp_path, suffix)
    listener, given = run_path(first, fuzzed(first, second, BEGIN_US, PACKETS, seed=1, share=share))
    batches, gaps = listener.batches(), listener.gaps()
    kept = sum(len(batch.samples) for batch in batches)
    lost = Counter[str]()
    for gap in gaps:
        lost[gap.cause] += gap.frames
    harmed = sum(one.harmed for one in given.packets)
    print(
        f"\n{suffix}: {PACKETS} packets, {harmed} of them harmed: {kept} kept in {len(batches)} groups, gaps "
        f"{dict(lost)} in {len(gaps)} records, {len(listener.ups())} tracks, {given.openings} openings"
    )
    # Every packet is in a group or in the count of a gap, but for those between an opening and its first key frame,
    # and those without any picture: nothing can be said of a lone parameter set.
    counted = kept + lost["corrupt"] + lost["no_key_frame"]
    assert PACKETS - counted <= harmed // 20 + given.openings * GOP
    assert counted <= PACKETS
    assert lost["corrupt"] >= harmed // 4
    # Times rise, groups do not overlap, and begin with their only key frame.
    for batch in batches:
        assert [sample.key for sample in batch.samples] == [True] + [False] * (len(batch.samples) - 1)
        assert all(sample.duration_ns > 0 for sample in batch.samples)
    times = [sample.dts_ns for batch in batches for sample in batch.samples]
    assert all(a < b for a, b in pairwise(times))
    assert times[-1] - times[0] <= PACKETS * NS // RATE + NS
    # What was not touched came through, picture by picture.
    found = Counter(tuple(decoded(batch)) for batch in batches)
    wanted = Counter(tuple(group) for group in given.whole_groups())
    missing = wanted - found
    assert sum(missing.values()) <= sum(wanted.values()) // 20 + 2 * given.openings


class FuzzedCamera:
    """A `MediaSource` in virtual time over the real copying path."""

    def __init__(self, clock: Clock, clip: Path, packets: Iterator[Fuzzed]) -> None:
        self._clock = clock
        self._clip = clip
        self._packets = packets
        self._flush = False
        self.openings = 0
        self.fed = 0
        self.done = trio.Event()

    def flush_on_cancel(self, flush: bool) -> None:
        self._flush = flush

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        self.openings += 1
        with av.open(str(self._clip)) as container:
            path = open_path(container, self._clip)
            try:
                for one in self._packets:
                    reading = self._clock.read()
                    path.feed(one.packet, BASE, Moment(reading.mono_ns, reading.utc_ns), send)
                    self.fed += 1
                    await trio.sleep(1 / RATE)
                self.done.set()
                await trio.sleep_forever()
            finally:
                path.finish(send, False)
                path.close()


def dump(volume: Volume, path: str, to: Path) -> None:
    """A recording's folder on the virtual flash as a real one."""
    to.mkdir(parents=True)
    for name in volume.names(path):
        (to / name).write_bytes(volume.read(f"{path}/{name}"))


def played(path: str) -> tuple[int, int]:
    """Frames that stock ffmpeg shows of a file, and frames in it. It must end well."""
    command = [need("ffmpeg"), "-v", "error", "-nostdin", "-i", path, "-map", "0:v", "-f", "rawvideo", "-"]
    shown = subprocess.run(
        [*command[:-3], "-vf", "scale=8:8", "-pix_fmt", "gray", "-fps_mode", "passthrough", *command[-3:]],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    probe = [need("ffprobe"), "-v", "error", "-select_streams", "v", "-count_packets", "-show_entries"]
    counted = subprocess.run(
        [*probe, "stream=nb_read_packets", "-of", "csv=p=0", path], check=True, capture_output=True, text=True
    ).stdout
    return len(shown) // 64, int(counted.strip().rstrip(","))


@pytest.mark.parametrize(
    ("suffix", "count"),
    [("ts", PACKETS), pytest.param("mp4", PACKETS, marks=pytest.mark.complete)],
)  # fmt: skip
async def test_a_recording_of_damaged_packets_verifies_and_plays(
    tmp_path: Path, suffix: str, count: int, autojump_clock: trio.testing.MockClock
) -> None:
    """A whole daemon records them; the recording is authentic, and stock ffmpeg plays the export."""
    first, second = clips(tmp_path, suffix)
    clock = VirtualClock()
    rig = Rig(config=configuration(loop={"seconds": 10}, recording={"post_roll_s": 0}), clock=clock)
    begin_us = clock.monotonic_ns() // 1_000
    camera = FuzzedCamera(clock, first, fuzzed(first, second, begin_us, count, seed=2, share=0.1))
    rig.open_camera = lambda _: camera
    async with rig.running() as daemon:
        await daemon.camera_up.wait()
        await trio.sleep(2)
        await rig.press()
        await camera.done.wait()
        status = daemon.status()
        await rig.stop()
        with trio.fail_after(60):
            await rig.closed()
    assert camera.fed == count
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    segments = [record for record in manifest if isinstance(record, records.Segment)]
    gaps = [record for record in manifest if isinstance(record, records.Gap)]
    assert isinstance(manifest[-1], records.Close)
    assert gaps
    assert status["video"]["dropped"] > 0
    folder = tmp_path / "recordings" / recording
    dump(rig.volume, f"recordings/{recording}", folder)
    exported = export_mp4(folder, tmp_path / "out.mp4")
    assert exported.report.verdict == "authentic"
    shown = packets = 0
    for file in exported.files:
        frames, inside = played(str(file.path))
        shown, packets = shown + frames, packets + inside
    recorded = sum(segment.frames for segment in segments)
    print(
        f"\n{suffix}: {count} packets, {recorded} frames in {len(segments)} segments, {len(gaps)} gap records, "
        f"{len(exported.files)} files; {packets} packets exported, {shown} frames shown, {camera.openings} openings"
    )
    assert packets == recorded
    assert shown >= 0.97 * recorded  # what a decoder can't make out of a damaged picture, it leaves out
