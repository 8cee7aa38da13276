"""What a player sees of the audio: one track from the first frame to the last, whatever was muted, away or changed."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.capture.source import AudioGate
from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.verify.recording import verify_recording
from bwvd.media.samples import Track
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_sound
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.microphone import VirtualMicrophone
from tests.support.rig import SILENCE, Rig, configuration
from tests.support.stock import need

RATE = 10
FRAME_S = 1024 / 48_000


class Microphones(Rig):
    """A microphone that may be away at first."""

    away = False

    def _microphone(self, gate: AudioGate) -> VirtualMicrophone:
        new = self.microphone is None
        microphone = super()._microphone(gate)
        if new and self.away:
            microphone.unplug()
        return microphone


PERIOD_S = 4 * FRAME_S  # the microphone is read so often: what it holds when it is muted goes no further


def rig_with(**sections: dict[str, object]) -> Microphones:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=RATE, gop_frames=RATE)
    config = configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}, **sections)
    return Microphones(config, clock, VirtualVolume(), camera=camera, has_microphone=True)


def copied(rig: Rig, recording: str, to: Path) -> Path:
    """The recording as it lies there, on a real file system."""
    folder = to / recording
    folder.mkdir()
    for name in rig.volume.names(f"recordings/{recording}"):
        (folder / name).write_bytes(rig.volume.read(f"recordings/{recording}/{name}"))
    return folder


@dataclass(frozen=True)
class _Packet:
    at_s: float
    length_s: float


def packets(path: Path, kind: str) -> list[_Packet]:
    """As stock ffprobe sees them."""
    command = [need("ffprobe"), "-v", "error", "-select_streams", kind, "-of", "json"]
    command += ["-show_entries", "packet=pts_time,duration_time", str(path)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [_Packet(float(one["pts_time"]), float(one["duration_time"])) for one in found["packets"]]


def is_whole(path: Path, from_s: float = 0.0) -> None:
    audio, video = packets(path, "a:0"), packets(path, "v:0")
    assert audio[0].at_s <= from_s + FRAME_S
    holes = [(a, b) for a, b in itertools.pairwise(audio) if b.at_s - a.at_s - a.length_s > FRAME_S]
    assert holes == []
    assert all(later.at_s > earlier.at_s for earlier, later in itertools.pairwise(audio))
    end_s = max(packet.at_s + packet.length_s for packet in video)
    assert audio[-1].at_s + audio[-1].length_s >= end_s - FRAME_S


def _counted(rig: Rig, recording: str) -> tuple[int, int]:
    """Frames of silence that the manifest counts, and that are there."""
    manifest = rig.manifest(recording)
    close = manifest[-1]
    assert isinstance(close, records.Close)
    segments = [record for record in manifest if isinstance(record, records.Segment)]
    assert close.silent_frames == sum(segment.silent_frames for segment in segments)
    epochs = {segment.epoch for segment in segments if segment.audio_frames}
    return close.silent_frames, sum(data == SILENCE for epoch in epochs for _, data in rig.audio(recording, epoch))


async def plain(rig: Microphones) -> None:
    await trio.sleep(7)
    await rig.press()
    await trio.sleep(5)


async def two_mutes(rig: Microphones) -> None:
    await plain(rig)
    for _ in range(2):
        await rig.order(Order.MUTE)
        await trio.sleep(2.3)
        await rig.order(Order.UNMUTE)
        await trio.sleep(3)


async def _muted_for_good(rig: Microphones) -> None:
    await plain(rig)
    await rig.order(Order.MUTE)
    await trio.sleep(4)


async def camera_gap(rig: Microphones) -> None:
    await plain(rig)
    assert rig.camera is not None
    rig.camera.unplug()
    await trio.sleep(3)
    rig.camera.plug()
    await trio.sleep(6)


async def _microphone_goes(rig: Microphones) -> None:
    await plain(rig)
    assert rig.microphone is not None
    rig.microphone.unplug()
    await trio.sleep(5)


async def _microphone_stalls(rig: Microphones) -> None:
    await plain(rig)
    assert rig.microphone is not None
    rig.microphone.stall(4)
    await trio.sleep(9)


async def _microphone_stalls_at_the_end(rig: Microphones) -> None:
    """It is not yet held for lost when the recording ends."""
    await plain(rig)
    assert rig.microphone is not None
    rig.microphone.stall(4)
    await trio.sleep(1.3)


async def _microphone_back(rig: Microphones) -> None:
    await _microphone_goes(rig)
    assert rig.microphone is not None
    rig.microphone.plug()
    await trio.sleep(12)


async def _away_at_the_press(rig: Microphones) -> None:
    """It was there before, so its form is known: the track is announced, and goes on with it when it is back."""
    await trio.sleep(3)
    assert rig.microphone is not None
    rig.microphone.unplug()
    await plain(rig)
    rig.microphone.plug()
    await trio.sleep(12)


SHIFTS = [
    plain, two_mutes, _muted_for_good, camera_gap, _microphone_goes, _microphone_stalls,
    _microphone_stalls_at_the_end, _microphone_back, _away_at_the_press,
]  # fmt: skip


@pytest.mark.parametrize("pre_event", [False, True])
@pytest.mark.parametrize("shift", SHIFTS, ids=lambda shift: shift.__name__.strip("_"))
async def test_the_folder_has_one_track(
    shift: Callable[[Microphones], Awaitable[None]],
    pre_event: bool,
    tmp_path: Path,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Invariant 15: stock ffprobe finds no hole of a frame, and the manifest counts what is silence."""
    rig = rig_with(audio={"pre_event": pre_event})
    async with rig.running():
        await shift(rig)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    said, there = _counted(rig, recording)
    assert said == there
    assert (said > 0) or pre_event
    folder = copied(rig, recording, tmp_path)
    is_whole(folder / "index.m3u8")
    assert verify_recording(folder, decode=True).verdict == "unvouched"


async def test_every_span_of_silence_is_named(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 15: by the `audio` records before and behind it."""
    rig = rig_with()
    async with rig.running():
        await two_mutes(rig)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    switches = [record for record in rig.manifest(recording) if isinstance(record, records.Audio)]
    assert [(one.on, one.reason) for one in switches] == [
        (False, "pre-event"), (True, "press"), (False, "mute"), (True, "unmute"), (False, "mute"), (True, "unmute"),
    ]  # fmt: skip
    off = [(a.at_ns / NS, b.at_ns / NS) for a, b in itertools.pairwise(switches) if not a.on]
    silent = [at_s for at_s, data in rig.audio(recording) if data == SILENCE]
    assert not [at_s for at_s in silent if not any(a - PERIOD_S <= at_s <= b for a, b in off)]


async def test_a_microphone_that_comes_late(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Its form is known to nobody before: an epoch begins, and from there on the track is whole."""
    rig = rig_with()
    rig.away = True
    async with rig.running():
        await plain(rig)
        assert rig.microphone is not None
        rig.microphone.plug()
        await trio.sleep(12)
        await rig.order(Order.MUTE)
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    assert [one.reason for one in rig.manifest(recording) if isinstance(one, records.Init)] == ["microphone"]
    said, there = _counted(rig, recording)
    assert said == there > 0


async def test_a_form_that_the_configuration_says_is_announced(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Invariant 15: a microphone that has never delivered yet makes no second epoch when it comes."""
    rig = rig_with()
    rig.away = True
    init = numbered_sound().init
    rig.expect_audio = lambda: Track("audio", "aac", 48_000, init, "virtual", "aac", rate=48_000.0, channels=1)
    async with rig.running():
        await plain(rig)
        assert rig.microphone is not None
        rig.microphone.plug()
        await trio.sleep(12)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    manifest = rig.manifest(recording)
    assert [one for one in manifest if isinstance(one, records.Init)] == []
    switches = [(one.on, one.reason) for one in manifest if isinstance(one, records.Audio)]
    assert switches == [(False, "no microphone"), (True, "microphone delivers")]
    is_whole(copied(rig, recording, tmp_path) / "index.m3u8")


async def test_a_change_of_size(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 15: the audio goes on from epoch to epoch."""
    rig = rig_with()
    async with rig.running():
        await plain(rig)
        assert rig.camera is not None
        rig.camera.unplug()
        await trio.sleep(1)
        rig.camera.change(width=96, height=64)
        rig.camera.plug()
        await trio.sleep(8)
        await rig.order(Order.MUTE)
        await trio.sleep(3)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    assert [one.reason for one in rig.manifest(recording) if isinstance(one, records.Init)] == ["parameters"]
    said, there = _counted(rig, recording)
    assert said == there > 0
    is_whole(copied(rig, recording, tmp_path) / "index.m3u8")
