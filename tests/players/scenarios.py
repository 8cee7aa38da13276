"""Recordings for players: a daemon on virtual devices, whose frames carry numbers and whose microphone beeps.

Each beep has a pitch of its own, so that a late one is told from an early one.
"""

from __future__ import annotations

import contextlib
import math
import subprocess
from array import array
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest.mock import patch

import av
import trio
import trio.testing
from av.audio.stream import AudioStream

from bwvd.capture.source import AudioGate
from bwvd.evidence.format import records
from bwvd.media.audio_line import AudioLine
from bwvd.media.init_segment import HEVC_TAG, InitSegment
from bwvd.media.samples import Track
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import SOUND_FRAME, numbered_clip
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.picture import frame_number
from tests.players.beeps import BEEP_S, PITCHES, Beep, beeps, pitch
from tests.support.desk import export_mp4
from tests.support.rig import Rig, configuration
from tests.support.stock import need

RATE = 20  # frames a second
WIDTH, HEIGHT = 320, 240
HALF = (160, 120)  # of the camera that comes back with another size
SOUND_RATE = 48_000
HEARD_RATE = 8000  # at which beeps are told apart
PRE_EVENT_S = 2


class BeepingSound:
    """AAC in which a beep begins each second; packets follow each other as a microphone's do."""

    rate, channels = SOUND_RATE, 1

    def __init__(self) -> None:
        self._segment = InitSegment()
        stream = self._segment.container.add_stream("aac", rate=self.rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        self.init = self._segment.finish()
        self._encoded = self._encode(stream)
        self._packets: list[bytes] = []

    def packet(self, number: int) -> bytes:
        """The AAC frame with this number. They go round after as many beeps as there are pitches."""
        number %= len(PITCHES) * self.rate // SOUND_FRAME
        while len(self._packets) <= number:
            self._packets.append(next(self._encoded))
        return self._packets[number]

    def _encode(self, stream: AudioStream) -> Iterator[bytes]:
        beep = round(BEEP_S * self.rate)
        for start in range(0, len(PITCHES) * self.rate + 4 * SOUND_FRAME, SOUND_FRAME):
            heard = array("f")
            for at in range(start, start + SOUND_FRAME):
                second, into = divmod(at, self.rate)
                heard.append(0.5 * math.sin(math.tau * pitch(second) * into / self.rate) if into < beep else 0.0)
            frame = av.AudioFrame("fltp", "mono", SOUND_FRAME)
            frame.planes[0].update(heard.tobytes())
            frame.sample_rate = self.rate
            frame.pts = start
            for packet in stream.encode(frame):
                yield bytes(packet)


@cache
def beeping() -> BeepingSound:
    return BeepingSound()


@dataclass
class _Camera(Rig):
    """Its microphone may be away at first."""

    away: bool = False

    def _microphone(self, gate: AudioGate) -> VirtualMicrophone:
        if self.microphone is None:
            self.microphone = VirtualMicrophone(self.clock, gate)
            self.microphone._maker = beeping()  # type: ignore[assignment]  # what it takes of it is there
            if self.away:
                self.microphone.unplug()
        return self.microphone


async def _plain(rig: _Camera) -> None:
    await trio.sleep(3)


async def _two_mutes(rig: _Camera) -> None:
    await trio.sleep(0.6)
    for _ in range(2):
        await rig.order(Order.MUTE)
        await trio.sleep(1.3)
        await rig.order(Order.UNMUTE)
        await trio.sleep(1.1)


async def _camera_gap(rig: _Camera) -> None:
    assert rig.camera is not None
    await trio.sleep(2)
    rig.camera.unplug()
    await trio.sleep(1.5)
    rig.camera.plug()
    await trio.sleep(3.5)


async def _microphone_late(rig: _Camera) -> None:
    assert rig.microphone is not None
    rig.microphone.plug()  # it is looked for less and less often
    await trio.sleep(7)


async def _change_of_size(rig: _Camera) -> None:
    assert rig.camera is not None
    await trio.sleep(2)
    rig.camera.unplug()
    await trio.sleep(0.2)
    rig.camera.change(width=HALF[0], height=HALF[1])
    rig.camera.plug()
    await trio.sleep(4)


async def _an_hour(rig: _Camera) -> None:
    await trio.sleep(3600 - PRE_EVENT_S)


@dataclass(frozen=True)
class Case:
    """What happens in a recording.

    away: the microphone, until it is plugged in. announced: the configuration says what its audio will be, as it does
    but for copied audio. old: by a device that left holes where it had no audio. size_after: of the camera's frames
    from the middle on. deaf_s: the folder has no audio track up to there.
    """

    act: Callable[[_Camera], Awaitable[None]]
    pre_event_audio: bool = True
    away: bool = False
    announced: bool = True
    rate: int = RATE
    old: bool = False
    size_after: tuple[int, int] | None = None
    deaf_s: float = 0.0
    shape: str = "plain"  # the case whose control stands for this one's


PLAIN = "plain"
HEVC = "HEVC, without audio"
HOUR = "1 h"
OLD = "of an earlier version: no audio before the press, and two mutes"
CASES = {
    PLAIN: Case(_plain),
    "pre-event without audio": Case(_plain, pre_event_audio=False),
    "two mutes": Case(_two_mutes),
    "camera gap": Case(_camera_gap, shape="camera gap"),
    "late microphone": Case(_microphone_late, away=True),
    "late microphone, copied": Case(
        _microphone_late, away=True, announced=False, deaf_s=4.0, shape="late microphone, copied"
    ),
    "change of size": Case(_change_of_size, size_after=HALF, shape="change of size"),
    OLD: Case(_two_mutes, pre_event_audio=False, old=True),
    HOUR: Case(_an_hour, rate=10, shape=HOUR),  # the numbers of frames do not go round
}


@dataclass(frozen=True)
class Truth:
    """What stands in a film, by libav: which frame is shown from when on, and where beeps begin. Seconds."""

    frames: dict[int, float]
    beeps: list[Beep]
    rate: int

    @property
    def length_s(self) -> float:
        return max(self.frames.values()) + 1 / self.rate

    def frame_at(self, at_s: float) -> int:
        """The number of the frame that is to be seen at a moment."""
        return max((from_s, number) for number, from_s in self.frames.items() if from_s <= at_s + 1e-6)[1]

    def later(self, by_s: float) -> Truth:
        """The same film, as it lies behind another."""
        moved = [Beep(at_s + by_s, second) for at_s, second in self.beeps]
        return Truth({number: from_s + by_s for number, from_s in self.frames.items()}, moved, self.rate)


@dataclass(frozen=True)
class Film:
    """Something to play, what stands in it, and where in it the press lies; None where that is in no part of it."""

    path: Path
    truth: Truth
    press_s: float | None


@dataclass(frozen=True)
class Recording:
    """A recording as it lies on the card, and its MP4: more than one where the size changes."""

    case: str
    playlist: Film
    mp4s: list[Film]

    def films(self, form: str) -> list[Film]:
        return [self.playlist] if form == FOLDER else self.mp4s


FOLDER, MP4 = FORMS = ("folder", "MP4")


def recorded(name: str, root: Path) -> Recording:
    """Record the case in virtual time, lay the folder down and export it. Everybody may read it: VLC is no root."""
    if name == HEVC:
        return _hevc(root)
    case = CASES[name]
    with patch.object(AudioLine, "silent", lambda *_: ()) if case.old else contextlib.nullcontext():
        rig, recording = trio.run(_record, case, clock=trio.testing.MockClock(autojump_threshold=0))
    folder = root / recording
    folder.mkdir(parents=True)
    for file in rig.volume.names(f"recordings/{recording}"):
        (folder / file).write_bytes(rig.volume.read(f"recordings/{recording}/{file}"))
    export_mp4(folder, root / "film.mp4")
    for path in root.rglob("*"):
        path.chmod(0o755)
    opened = rig.manifest(recording)[0]
    assert isinstance(opened, records.Open)
    press_s = opened.pre_event.got_s
    parts = [root / "film.mp4", *sorted(root.glob("film-*.mp4"))]
    mp4s = [Film(path, truth_of(path, case.rate), None if n else press_s) for n, path in enumerate(parts)]
    whole = mp4s[0].truth
    for part in mp4s[1:]:
        behind = part.truth.later(whole.length_s)
        whole = Truth(whole.frames | behind.frames, whole.beeps + behind.beeps, case.rate)
    return Recording(name, Film(folder / "index.m3u8", whole, press_s), mp4s)


def _hevc(root: Path) -> Recording:
    """A film as a camera that gives HEVC would fill it; nothing else of it is looked at."""
    made, tagged = root / "made.mp4", root / "film.mp4"
    root.mkdir(parents=True)
    numbered_clip(made, 4 * RATE, rate=RATE, width=WIDTH, height=HEIGHT, codec="libx265")
    command = [need("ffmpeg"), "-v", "error", "-i", str(made), "-c", "copy", "-tag:v", HEVC_TAG, str(tagged)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    film = Film(tagged, truth_of(tagged, RATE), None)
    return Recording(HEVC, film, [film])


async def _record(case: Case) -> tuple[_Camera, str]:
    clock = VirtualClock()
    camera = VirtualCamera(clock, rate=case.rate, gop_frames=case.rate, width=WIDTH, height=HEIGHT)
    config = configuration(
        loop={"seconds": PRE_EVENT_S}, recording={"post_roll_s": 0}, audio={"pre_event": case.pre_event_audio}
    )
    rig = _Camera(config, clock, VirtualVolume(), camera=camera, has_microphone=True, away=case.away)
    sound = beeping()
    track = Track(
        "audio", "aac", SOUND_RATE, sound.init, "virtual:microphone", "aac", rate=float(SOUND_RATE), channels=1
    )
    rig.expect_audio = (lambda: track) if case.announced else None
    async with rig.running():
        await trio.sleep(PRE_EVENT_S + 2.4)  # no player finds the press at a key frame
        await rig.press()
        await case.act(rig)
        await rig.stop()
        await rig.closed()
    (recording,) = rig.recordings()
    return rig, recording


def truth_of(mp4: Path, rate: int) -> Truth:
    """Read an MP4 with libav alone."""
    frames: dict[int, float] = {}
    heard = array("h")
    with av.open(str(mp4)) as container:
        for frame in container.decode(video=0):
            frames[frame_number(frame)] = float(frame.time or 0)
    with av.open(str(mp4)) as container:
        if not container.streams.audio:
            return Truth(frames, [], rate)
        resampler = av.AudioResampler("s16", "mono", HEARD_RATE)
        for sound in container.decode(audio=0):
            if not heard:
                heard.extend([0] * round(float(sound.time or 0) * HEARD_RATE))
            for part in resampler.resample(sound):
                heard.frombytes(bytes(part.planes[0])[: part.samples * 2])
    return Truth(frames, beeps(heard, HEARD_RATE), rate)
