"""Invariant 9: somebody sets the wall clock by an hour while it records. No frame and no sound moves."""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
import trio
import trio.testing

from bwvd.capture.address import parse_address
from bwvd.capture.device import demux as reading
from bwvd.capture.device.libav_source import LibavSource
from bwvd.capture.input import Input
from bwvd.capture.source import AudioGate, DeviceLost
from bwvd.clock import NS, Reading, SystemClock
from bwvd.config.schema import Audio, Config, Loop, Video
from bwvd.daemon import peripherals
from bwvd.evidence.format import records
from bwvd.media.samples import Kind
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock
from tests.support.capture_listen import Listener, numbers
from tests.support.rig import Rig, configuration
from tests.support.sound_card import UNIX_NS, Smoothing

HOUR_S = 3_600
RATE = 30


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_step_during_a_recording_changes_its_notes_and_nothing_else(
    step_s: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    """A whole daemon, its camera and microphone; the kernel's alarm is not there, so that comparing must find it."""
    monkeypatch.setattr(peripherals, "open_alarm", lambda: None)
    clock = VirtualClock()
    rig = Rig(
        config=configuration(
            loop={"seconds": 5}, recording={"post_roll_s": 0}, audio={"source": "alsa:default", "pre_event": True}
        ),
        clock=clock,
        has_microphone=True,
        peripherals=[peripherals._clockwatch],
    )
    async with rig.running() as daemon:
        await daemon.camera_up.wait()
        await trio.sleep(8)
        await rig.press()
        await trio.sleep(20)
        stepped_ns = clock.monotonic_ns()
        clock.step(step_s)
        await trio.sleep(20)
        clock.quality, clock.uncertainty_us = "free", None
        await trio.sleep(20)
        await rig.stop()
        with trio.fail_after(60):
            await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)

    frames = rig.frames(recording)
    assert [number for number, _ in frames] == list(range(frames[0][0], frames[0][0] + len(frames)))
    for (_, before), (_, after) in pairwise(frames):
        assert after - before == pytest.approx(1 / RATE, abs=0.0001)
    sound = rig.sound_times(recording)
    assert len(frames) / RATE == pytest.approx(65, abs=1.5)
    assert sound[-1] - sound[0] == pytest.approx(65, abs=1.5)
    for earlier, later in pairwise(sound):
        assert later - earlier == pytest.approx(1024 / 48_000, abs=0.0001)

    opening = next(record for record in manifest if isinstance(record, records.Open))
    segments = [record for record in manifest if isinstance(record, records.Segment)]
    ahead = []
    for segment in segments:
        assert segment.stamp.mono_ns == opening.origin_mono_ns + segment.pts_ns
        ahead.append(round(_unix_ns(segment.stamp.utc) - segment.stamp.mono_ns, -6))
    for one, other in pairwise(segments):
        assert one.pts_ns + one.duration_ns == pytest.approx(other.pts_ns, abs=20_000)
    # Both times are in each, and the second steps once, where the clock did.
    (place,) = [index for index, (before, after) in enumerate(pairwise(ahead)) if before != after]
    assert ahead[place + 1] - ahead[place] == step_s * NS
    assert abs(segments[place + 1].stamp.mono_ns - stepped_ns) <= 2 * NS
    trust = [(segment.stamp.quality, segment.stamp.uncertainty_us) for segment in segments]
    assert trust[0] == ("synchronised", 500)
    assert trust[-1] == ("free", None)
    assert len(set(trust)) == 2

    (step,) = [record for record in manifest if isinstance(record, records.ClockStep)]
    assert step.step_ns == step_s * NS
    assert 0 <= opening.origin_mono_ns + step.at_ns - stepped_ns <= 5 * NS
    journal = rig.volume.read("journal.jsonl")
    told = [one for line in journal.splitlines() if (one := json.loads(line)).get("event") == "clock"]
    assert [one["detail"]["step_ns"] for one in told] == [step_s * NS]


def _unix_ns(utc: str) -> int:
    import datetime

    return round(datetime.datetime.fromisoformat(utc).timestamp() * 1_000) * 1_000_000


class DeviceClock:
    """The clocks of a machine whose device is read packet by packet."""

    def __init__(self, mono_ns: int) -> None:
        self.mono_ns = mono_ns
        self.ahead_ns = UNIX_NS

    def monotonic_ns(self) -> int:
        return self.mono_ns

    def read(self) -> Reading:
        return Reading(self.mono_ns, self.mono_ns + self.ahead_ns, "free", None)


class Device:
    """A container as libav has it for a device: a file's packets with a device's stamps, at a device's times."""

    def __init__(self, path: Path, clock: DeviceClock, step_at: int, step_ns: int) -> None:
        self._path = path
        self._clock = clock
        self._step_at = step_at
        self._step_ns = step_ns
        self.taken: list[int] = []  # CLOCK_MONOTONIC of each packet's beginning

    def opened(self) -> Input:
        self._container = av.open(str(self._path))
        return Input(self._container, self.packets())

    def packets(self) -> Iterator[av.Packet[Any]]:
        stream: Any = self._container.streams[0]
        smoothing: Smoothing | None = None
        base: Fraction = stream.time_base
        begin_ns = self._clock.mono_ns
        samples = 0
        for index, packet in enumerate(packet for packet in self._container.demux(stream) if packet.size):
            if index == self._step_at:
                self._clock.ahead_ns += self._step_ns
            if stream.type == "video":
                # The kernel stamps on CLOCK_MONOTONIC, in µs; the read comes later.
                taken_ns = begin_ns + index * NS // RATE
                self._clock.mono_ns = taken_ns + 9_000_000
                stamp_ns = taken_ns // 1_000 * 1_000
            else:
                rate, period = stream.rate, packet.size // 2
                smoothing = smoothing or Smoothing(rate, period)
                taken_ns = begin_ns + samples * NS // rate
                samples += period
                self._clock.mono_ns = begin_ns + samples * NS // rate + 500_000
                now_us = (self._clock.read().utc_ns - period * NS // rate - 500_000) / 1_000
                stamp_ns = int(smoothing.update(now_us, period)) * 1_000
            self.taken.append(taken_ns)
            packet.pts = packet.dts = round(stamp_ns / NS / base)
            yield packet


async def read_device(
    text: str, device: Device, clock: DeviceClock, config: Config, monkeypatch: pytest.MonkeyPatch
) -> Listener:
    monkeypatch.setattr(reading, "open_input", lambda *_: device.opened())
    gate, listener = AudioGate(), Listener()
    gate.open(0)
    kind: Kind = "audio" if text.startswith("alsa") else "video"
    address = parse_address(text, f"{kind}.source", ("v4l2", "alsa"))
    with pytest.raises(DeviceLost, match="the stream has ended"):
        await LibavSource(address, config, clock, gate, kinds=(kind,)).run(listener.send)
    return listener


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_a_kernel_stamped_camera_does_not_feel_it(
    encoder: str, step_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / ("clip.ts" if encoder == "copy" else "clip.avi")
    numbered_clip(clip, 120, rate=RATE, gop_s=0.5, codec="libx264" if encoder == "copy" else "rawvideo")
    clock = DeviceClock(7_000 * NS)
    device = Device(clip, clock, 50, step_s * NS)
    config = Config(video=Video(encoder=encoder, keyframe_s=0.5, stamp=False), loop=Loop(seconds=5))
    listener = await read_device("v4l2:/dev/video9", device, clock, config, monkeypatch)
    assert numbers(listener.batches()) == list(range(120))
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    assert max(abs(time - taken) for time, taken in zip(times, device.taken, strict=True)) < 50_000
    assert listener.gaps() == []


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_sound_card_stamped_with_the_wall_clock_does_not_feel_it(
    step_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.wav"
    with wave.open(str(clip), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(2 * 48_000 * 40))
    clock = DeviceClock(7_000 * NS)
    device = Device(clip, clock, 200, step_s * NS)
    listener = await read_device("alsa:default", device, clock, Config(audio=Audio()), monkeypatch)
    samples = [sample for batch in listener.batches("audio") for sample in batch.samples]
    assert len(samples) == pytest.approx(40 * 48_000 / 1_024, abs=3)
    assert samples[0].pts_ns == pytest.approx(7_000 * NS, abs=30_000_000)
    for before, after in pairwise(samples):
        assert after.pts_ns == before.pts_ns + before.duration_ns
    assert sum(abs(batch.stretched) for batch in listener.batches("audio")) <= 48  # a millisecond
    assert listener.gaps() == []


def test_the_quality_of_the_wall_clock_is_what_the_kernel_says() -> None:
    """adjtimex(2), through the command that asks the same."""
    import ctypes

    timex = (ctypes.c_long * 64)()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    found = SystemClock().read()
    if state == 5:  # TIME_ERROR: not synchronised
        assert (found.quality, found.uncertainty_us) == ("free", None)
    else:
        assert found.quality == "synchronised"
        assert found.uncertainty_us == pytest.approx(timex[3], abs=10_000)  # maxerror; it grows by 500 ppm


@pytest.mark.parametrize(
    ("state", "year", "expected"),
    [
        (0, 2026, ("synchronised", 1_234)),
        (1, 2026, ("synchronised", 1_234)),  # a leap second will come
        (5, 2026, ("free", None)),
        (-1, 2026, ("free", None)),
        (0, 1970, ("not_set", None)),
        (5, 2020, ("not_set", None)),
    ],
)
def test_each_answer_of_the_kernel_has_its_quality(
    state: int, year: int, expected: tuple[str, int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SystemClock()

    class Kernel:
        @staticmethod
        def adjtimex(pointer: Any) -> int:
            pointer._obj.maxerror = 1_234
            return state

    monkeypatch.setattr(clock, "_libc", Kernel)
    monkeypatch.setattr("time.time_ns", lambda: (year - 1970) * 365 * 86_400 * NS)
    found = clock.read()
    assert (found.quality, found.uncertainty_us) == expected
