"""Recordings for tests, made by the real writer's folder on a real file system, of tiny real media."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from bwvd.clock import NS
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.format.records import JournalHead
from bwvd.evidence.keys.age import Sealer
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.evidence.write.row import Row
from bwvd.media.init_segment import MUXER_OPTIONS
from bwvd.media.samples import Batch, Gop, Sample, Track
from bwvd.messages import AudioSwitched, GapSeen, Located, Marked, Note, OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from tests.support.evidence_keys import fixed_signer

PRESS_NS = 1_002 * NS  # the virtual clock begins at 1000 s
START_NS = PRESS_NS - 1_984 * NS // 1000  # of the first frame; not a whole number of anything
RATE = 10


class _Sink:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def writable(self) -> bool:
        return True


@dataclass(frozen=True)
class Media:
    """One GOP a second of numbered pictures, and a tone."""

    video: Track
    audio: Track
    gops: tuple[tuple[tuple[Sample, ...], bytes], ...]  # times relative to the first frame
    sound: tuple[tuple[tuple[Sample, ...], bytes], ...]

    def gop(self, index: int, *, sound: bool, start_ns: int = START_NS, late_ns: int = 0) -> Gop:
        """late_ns: its frames come so much behind the audio."""
        video = _batch(self.video, *self.gops[index], start_ns + late_ns)
        return Gop(video, _batch(self.audio, *self.sound[index], start_ns) if sound else None)


def _batch(track: Track, samples: tuple[Sample, ...], data: bytes, start_ns: int) -> Batch:
    moved = tuple(s._replace(pts_ns=s.pts_ns + start_ns, dts_ns=s.dts_ns + start_ns) for s in samples)
    return Batch(track, moved, bytearray(data))


@functools.cache
def media(seconds: int = 4, size: tuple[int, int] = (96, 64), bframes: int = 0) -> Media:
    """Encoded once a run; the same arguments give the same object."""
    gops, video = _video(seconds, size, bframes)
    sound, audio = _audio(seconds)
    return Media(video, audio, gops, sound)


def _video(
    seconds: int, size: tuple[int, int], bframes: int
) -> tuple[tuple[tuple[tuple[Sample, ...], bytes], ...], Track]:
    sink = _Sink()
    container = av.open(sink, "w", format="mp4", options=MUXER_OPTIONS)
    params = f"annexb=0:scenecut=0:open-gop=0:bframes={bframes}:keyint={RATE}:min-keyint={RATE}:threads=1"
    options = {"preset": "ultrafast", "x264-params": params}
    stream = container.add_stream("libx264", rate=RATE, options=options)
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 90_000)
    stream.codec_context.gop_size = RATE
    container.start_encoding()
    init = bytes(sink.data)
    groups: list[list[tuple[Sample, bytes]]] = []
    graph = f"testsrc2=size={size[0]}x{size[1]}:rate={RATE}:duration={seconds}"
    with av.open(graph, format="lavfi") as source:
        pictures = [picture.reformat(format="yuv420p") for picture in source.decode(video=0)]
    for number, picture in enumerate([*pictures, None]):
        if picture is not None:
            picture.pts, picture.time_base = number * 9000, Fraction(1, 90_000)
            picture.pict_type = PictureType.NONE  # decoded raw pictures all say that they are key frames
        for packet in stream.encode(picture):
            assert packet.pts is not None
            assert packet.dts is not None
            sample = Sample(0, packet.size, _ns(packet.pts), _ns(packet.dts), NS // RATE, packet.is_keyframe)
            if packet.is_keyframe:
                groups.append([])
            groups[-1].append((sample, bytes(packet)))
    container.close()
    track = Track("video", "h264", 90_000, init, "virtual:camera", "libx264", *size, float(RATE))
    return tuple(_packed(group) for group in groups), track


def _audio(seconds: int) -> tuple[tuple[tuple[tuple[Sample, ...], bytes], ...], Track]:
    sink = _Sink()
    container = av.open(sink, "w", format="mp4", options=MUXER_OPTIONS)
    stream = container.add_stream("aac", rate=48_000)
    stream.layout = "mono"
    container.start_encoding()
    init = bytes(sink.data)
    groups: list[list[tuple[Sample, bytes]]] = [[] for _ in range(seconds)]
    resampler = av.AudioResampler("fltp", "mono", 48_000, frame_size=1024)
    with av.open(f"sine=frequency=440:sample_rate=48000:duration={seconds}", format="lavfi") as source:
        tones = [tone for frame in source.decode(audio=0) for tone in resampler.resample(frame)]
    for tone in tones:
        for packet in stream.encode(tone):
            assert packet.pts is not None
            pts_ns = (packet.pts + 1024) * NS // 48_000  # the encoder's priming begins before 0
            sample = Sample(0, packet.size, pts_ns, pts_ns, 1024 * NS // 48_000, key=True)
            if pts_ns < seconds * NS:
                groups[pts_ns // NS].append((sample, bytes(packet)))
    container.close()
    track = Track("audio", "aac", 48_000, init, "virtual:microphone", "aac", rate=48_000.0, channels=1)
    return tuple(_packed(group) for group in groups), track


def _ns(ticks: int) -> int:
    return ticks * NS // 90_000


def _packed(group: list[tuple[Sample, bytes]]) -> tuple[tuple[Sample, ...], bytes]:
    samples, offset = [], 0
    for sample, data in group:
        samples.append(sample._replace(offset=offset))
        offset += len(data)
    return tuple(samples), b"".join(data for _, data in group)


def _gop_of(at_ns: int, gops: int) -> int:
    return min(gops - 1, max(0, (at_ns - START_NS) // NS))


def make_storage(root: Path, signer: KeySigner | None = None, device: str = "BWV-0001") -> Path:
    """An empty storage, with the device's allowed_signers."""
    (root / RECORDINGS).mkdir(parents=True)
    (root / "allowed_signers").write_text((signer or fixed_signer()).allowed_signers(device))
    return root


def make_recording(
    storage: Path,
    serial: int = 1,
    *,
    signer: KeySigner | None = None,
    sealer: Sealer | None = None,
    seconds: int = 4,
    sound_from: int = 2,  # the press: no sound before it
    bframes: int = 0,
    gap_after: int | None = None,  # one second is missing behind this GOP
    other_camera_from: int | None = None,  # this GOP and the later ones have other parameters
    other_camera_late_ns: int = 0,  # and their frames come so much behind the audio
    grouped: int = 1,  # GOPs to the first segment
    label: str = "a door",
    labels: Sequence[str] = (),  # of more markers, a millisecond apart, behind it
    officer: str = "4711",
    muted: tuple[int, int] | None = None,  # from and to the beginning of these GOPs
    close: str = "stop",  # "" leaves it open
    finish: bool = True,
    journal: JournalHead | None = None,
    device: str = "BWV-0001",
    stamped: bool = False,  # the pictures are said to carry a stamp
    quality: str = "synchronised",
    row: Row | None = None,  # which recordings came before it; None = nothing is known
    step_after: int | None = None,  # the wall clock jumps an hour ahead behind this GOP
    located: Sequence[Located] = (),  # where it was, in the order of the records
    press_located: Located | None = None,  # and at the press, in the record of the press
) -> Path:
    """A recording's folder."""
    signer = signer or fixed_signer()
    clip = media(seconds, bframes=bframes)
    if stamped:
        clip = replace(clip, video=replace(clip.video, stamped=True))
    recording = f"20261122T071505Z-{device}-{serial:06d}"
    opening = OpenRecording(
        recording=recording,
        serial=serial,
        press_source="gpio:record",
        press_ns=PRESS_NS,
        handled_ns=PRESS_NS + 3_000_000,
        pre_event=PreEvent(2 * NS, PRESS_NS - START_NS, "started"),
        video=clip.video,
        audio=clip.audio,
        pre_event_audio=False,
        officer=officer,
        located=press_located,
    )
    clock = VirtualClock(seconds=lambda: 2.0, quality=quality)
    with PosixVolume(storage) as volume:
        folder = RecordingFolder(volume, Device(device, "boot-1", 1.0, signer, sealer, row or Row()), opening, clock)
        notes: list[Note] = []
        shift_ns = 0
        pending: list[Gop] = []
        for index in range(seconds):
            other = other_camera_from is not None and index >= other_camera_from
            source = media(seconds, (128, 96)) if other else clip
            late_ns = other_camera_late_ns if other else 0
            gop = source.gop(index, sound=index >= sound_from, start_ns=START_NS + shift_ns, late_ns=late_ns)
            pending.append(gop)
            if index == 0:
                folder.create(gop, journal)
            notes += [one for one in located if _gop_of(one.at_ns, seconds) == index]
            if index == 1 and label:
                notes.append(Marked(gop.start_ns, "gpio:record", label))
                notes += [Marked(gop.start_ns + n * 1_000_000, "gpio:record", text) for n, text in enumerate(labels, 1)]
            if muted and index in muted:
                on = index == muted[1]
                notes.append(AudioSwitched(on, gop.start_ns, "unmute" if on else "mute"))
            if len(pending) == (grouped if folder.segments == 0 else 1):
                folder.commit(pending, notes)
                pending, notes = [], []
            if index == step_after:
                clock.step(3600)
            if index == gap_after:
                shift_ns = NS
                notes = [GapSeen("both", gop.end_ns, gop.end_ns + NS, "camera_lost", RATE)]
        if close:
            folder.close(close)
            if finish:
                finish_recording(volume, f"{RECORDINGS}/{recording}", signer)
        else:
            folder.let_go()
    return storage / RECORDINGS / recording
