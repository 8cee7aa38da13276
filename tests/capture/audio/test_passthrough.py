"""Sound that a camera encodes by itself: it can't be stretched, only left open or left out by packets, and counted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from bwvd.capture.audio.drift_statistics import Corrections
from bwvd.capture.audio.passthrough import TOLERANCE_NS, CopiedAudio
from bwvd.capture.source import AudioGate
from bwvd.capture.timestamps import MS, Moment, OwnClock, Stamps, TimeBase, WithoutJumps
from bwvd.clock import NS
from bwvd.media.samples import Sample
from bwvd.messages import MediaEvent
from bwvd.testing.clip import numbered_clip
from tests.support.capture_listen import Listener

BEGIN_NS = 3_000 * NS
BASE = TimeBase.of(Fraction(1, NS))
RATE = 48_000
PERIOD_NS = 1_024 * NS // RATE


class Exact:
    """Stamps that are CLOCK_MONOTONIC."""

    def monotonic(self, stamp_ns: int | None, arrival_ns: int, unix_ns: int) -> int | None:  # noqa: ARG002 - of Stamps
        return stamp_ns


class Camera:
    """AAC packets of a file, handed over with other stamps."""

    def __init__(self, folder: Path, stamps: Stamps) -> None:
        clip = folder / "clip.mp4"
        numbered_clip(clip, 30, audio=True)
        gate = AudioGate()
        gate.open(0)
        self.listener, self.corrections = Listener(), Corrections()
        with av.open(str(clip)) as container:
            stream = container.streams.audio[0]
            assert stream.codec_context.sample_rate == RATE
            self._packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
            self._sound = CopiedAudio(stream, "test", gate)
        self._stamps = stamps
        self._given = 0

    def give(self, stamp_ns: int | None, arrival_ns: int, *, corrupt: bool = False) -> None:
        # Nobody decodes it on the way: its first bytes may say which it is.
        data = self._given.to_bytes(4, "big") + self._packets[self._given % len(self._packets)][4:]
        packet: av.Packet[Any] = av.Packet(data)
        self._given += 1
        packet.pts = packet.dts = stamp_ns
        packet.duration = PERIOD_NS
        packet.is_corrupt = corrupt
        self._sound.feed(packet, BASE, self._stamps, Moment(arrival_ns, 0), self._send)

    def end(self) -> list[Sample]:
        self._sound.finish(self._send)
        self._sound.close()
        return [sample for batch in self.listener.batches("audio") for sample in batch.samples]

    def numbers(self) -> list[int]:
        """Which packets were kept."""
        return [
            int.from_bytes(batch.data[sample.offset : sample.offset + 4], "big")
            for batch in self.listener.batches("audio")
            for sample in batch.samples
        ]

    def _send(self, event: MediaEvent) -> None:
        self.listener.send(event)
        self.corrections.take(event)


def drifting(ppm: int, minutes: int) -> Iterator[tuple[int, int]]:
    """When each packet was taken, and what counting says."""
    number = 0
    while number * PERIOD_NS < minutes * 60 * NS:
        counted_ns = number * 1_024 * NS // RATE
        yield BEGIN_NS + counted_ns * 1_000_000 // (1_000_000 + ppm), counted_ns
        number += 1


@pytest.mark.parametrize("minutes", [5, pytest.param(30, marks=pytest.mark.complete)])
@pytest.mark.parametrize("ppm", [200, -200])
def test_a_crystal_that_runs_off_stays_within_20_ms_and_is_counted(tmp_path: Path, ppm: int, minutes: int) -> None:
    camera = Camera(tmp_path, Exact())
    taken = [taken_ns for taken_ns, _ in drifting(ppm, minutes)]
    for taken_ns in taken:
        camera.give(taken_ns, taken_ns + 20 * MS)
    samples = camera.end()
    for before, after in pairwise(samples):
        assert after.dts_ns >= before.dts_ns + before.duration_ns - 1  # nothing lies over another
    counted = camera.corrections
    # A camera that runs fast gives too many packets: one in 5,000 is left out. Of a slow one nothing is missing.
    left_out = len(taken) - len(samples)
    assert counted.left_out == left_out * 1_024
    demanded = -minutes * 60 * RATE * ppm // 1_000_000
    assert counted.put_in - counted.left_out == pytest.approx(demanded, abs=1_024 + TOLERANCE_NS * RATE // NS)
    assert counted.gaps == 0
    offsets = [sample.pts_ns - taken[number] for number, sample in zip(camera.numbers(), samples, strict=True)]
    print(f"\n{ppm:+} ppm: {min(offsets) / MS:+.1f} to {max(offsets) / MS:+.1f} ms, {left_out} packets left out")
    assert max(map(abs, offsets)) <= 20 * MS


def test_lost_packets_leave_a_hole_with_a_name(tmp_path: Path) -> None:
    camera = Camera(tmp_path, Exact())
    for number in range(200):
        if not 100 <= number < 115:
            camera.give(BEGIN_NS + number * PERIOD_NS, BEGIN_NS + number * PERIOD_NS + MS)
    samples = camera.end()
    assert len(samples) == 185
    (gap,) = camera.listener.gaps()
    assert (gap.kind, gap.cause) == ("audio", "dropped_by_device")
    assert gap.to_ns - gap.from_ns == pytest.approx(15 * PERIOD_NS, abs=MS)


@pytest.mark.parametrize("jump_s", [-3, 3, 7_200])
def test_a_jump_of_the_cameras_clock_costs_no_packet(tmp_path: Path, jump_s: int) -> None:
    camera = Camera(tmp_path, WithoutJumps(OwnClock()))
    for number in range(300):
        at_ns = BEGIN_NS + number * PERIOD_NS
        camera.give(number * PERIOD_NS + (jump_s * NS if number >= 150 else 0), at_ns + 2 * MS)
    samples = camera.end()
    assert len(samples) == 300
    assert samples[-1].pts_ns - samples[0].pts_ns == pytest.approx(299 * PERIOD_NS, abs=20 * MS)


def test_sound_that_claims_to_be_from_before_is_left_out_and_told_as_a_whole(tmp_path: Path) -> None:
    camera = Camera(tmp_path, Exact())
    for number in range(300):
        at_ns = BEGIN_NS + number * PERIOD_NS
        camera.give(at_ns - (NS if number >= 100 else 0), at_ns + MS)
    samples = camera.end()
    (gap,) = camera.listener.gaps()
    assert gap.cause == "timestamps"
    left_out = 300 - len(samples)
    assert gap.to_ns - gap.from_ns == pytest.approx(left_out * PERIOD_NS, abs=MS)
    assert camera.corrections.left_out == left_out * 1_024
    assert left_out == pytest.approx(NS / PERIOD_NS, abs=2)


def test_packets_that_lost_something_on_their_way_are_left_out_and_named(tmp_path: Path) -> None:
    """Invariant 4: even one is, which a drift would not explain either."""
    camera = Camera(tmp_path, Exact())
    for index in range(20):
        camera.give(BEGIN_NS + index * PERIOD_NS, BEGIN_NS, corrupt=index == 7)
    camera.end()
    assert camera.numbers() == [index for index in range(20) if index != 7]
    (gap,) = camera.listener.gaps()
    assert (gap.kind, gap.cause) == ("audio", "corrupt")
    assert gap.to_ns - gap.from_ns == pytest.approx(PERIOD_NS, abs=MS)
