"""How long `bwvd export` takes for a whole recording, beside ffmpeg's copy of the same playlist."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import av

from bwvd.clock import NS
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.layout import RECORDINGS
from bwvd.evidence.write.finalize import finish_recording
from bwvd.evidence.write.recording_folder import Device, RecordingFolder
from bwvd.media.init_segment import VIDEO_TIMESCALE, init_of_stream
from bwvd.media.samples import Batch, Gop, Sample, Track
from bwvd.messages import OpenRecording, PreEvent
from bwvd.testing.clock import VirtualClock
from tests.bench import accounting
from tests.bench.figures import Findings, Row, Spread, at_least, at_most, times_ffmpeg
from tests.bench.pairing import Plan
from tests.bench.sources import RATE, Clips
from tests.bench.subjects import shown
from tests.support.evidence_folder import media
from tests.support.evidence_keys import fixed_signer

RATIO_GOAL = 2.0
MEMORY_GOAL_MB = 120.0
VERIFIED_MB_S = 400.0  # twelve hours at 4 Mbit/s in a minute
DEVICE = "BENCH"
SECONDS = 4  # of the clip that is repeated


@dataclass(frozen=True, slots=True)
class Size:
    """One recording to export."""

    what: str
    seconds: int
    bitrate: int  # bits per second of video


SIZES = (Size("66 s, 510 MB", 66, 61_500_000), Size("an hour, 3.3 GB", 3600, 7_200_000))
QUICK_SIZES = (Size("66 s, 510 MB", 4, 400_000), Size("an hour, 3.3 GB", 8, 100_000))


def measure(group: str, clips: Clips, plan: Plan, ffmpeg: str, folder: Path) -> Findings:
    """Both in turn, again and again; each reads what is in the page cache and writes a new file."""
    folder.mkdir()
    signers = folder / "signers"
    signers.write_text(fixed_signer().allowed_signers(DEVICE))
    found = Findings()
    sizes = QUICK_SIZES if plan.quick else SIZES
    for number, size in enumerate(sizes):
        storage = folder / str(number)
        recording = _record(storage, clips, size, "96x64" if plan.quick else "1280x720")
        command = [ffmpeg, "-v", "error", "-nostdin", "-i", str(recording / "index.m3u8"), "-c", "copy"]
        command += ["-movflags", "+faststart", str(storage / "ffmpeg.mp4")]
        export = [sys.executable, "-m", "bwvd", "export", str(recording), "-o", str(storage / "bwvd.mp4")]
        export += ["--signers", str(signers)]
        ours, theirs = [], []
        for _ in range(plan.exports):
            theirs.append(_timed(command, storage))
            (storage / "ffmpeg.mp4").unlink()
            ours.append(_timed(export, storage))
            (storage / "bwvd.mp4").unlink()
        goal = times_ffmpeg(RATIO_GOAL)
        note = "verified while it is written, and durable (fsync) at the end; ffmpeg's is neither"
        took_s = [Spread.of([run.took_s for run in runs]) for runs in (ours, theirs)]
        cpu_s = [Spread.of([run.cpu_s for run in runs]) for runs in (ours, theirs)]
        peak = Spread.of([run.peak_mb for run in ours])
        found.rows += [
            Row(group, size.what, "s", took_s[0], took_s[1], paired=True, goal=goal, note=note, headline=True),
            Row(group, f"{size.what}: CPU", "s", cpu_s[0], cpu_s[1], paired=True),
            Row(group, f"{size.what}: memory", "MB", peak, goal=at_most(MEMORY_GOAL_MB, "MB"), digits=0),
        ]
        found.compared.append(f"{group}: {shown(command)}")
        verify = [sys.executable, "-m", "bwvd", "verify", str(recording), "--signers", str(signers)]
        bytes_mb = sum(path.stat().st_size for path in recording.iterdir()) / 1e6
        speeds = [bytes_mb / _timed(verify, storage).took_s for _ in range(plan.exports)]
        found.rows.append(
            Row(
                group,
                f"{size.what}: verified",
                "MB/s",
                Spread.of(speeds),
                goal=at_least(VERIFIED_MB_S, "MB/s"),
                digits=0,
                note="`bwvd verify`, its start included; what is read is in the page cache",
                headline=size is sizes[-1],
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Run:
    took_s: float
    cpu_s: float  # user and system
    peak_mb: float


def _timed(command: list[str], storage: Path) -> _Run:
    """Run it to its end. Nothing that was written before is on its way to the disk meanwhile.

    Raises: AssertionError if it fails.
    """
    subprocess.run(["sync", "--file-system", str(storage)], check=True)
    begun_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak_kb = 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        # Of the process alone: what the kernel says at its end counts the benchmark's memory too, which it began with.
        with suppress(KeyError, OSError):
            peak_kb = max(peak_kb, accounting.peak_kb(process.pid))
        time.sleep(0.01)
    took_s = time.monotonic() - begun_s
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"exit code {process.returncode}: {shown(command)}"
    return _Run(took_s, usage.ru_utime + usage.ru_stime, peak_kb / 1024)


def _record(storage: Path, clips: Clips, size: Size, frame_size: str) -> Path:
    """A closed recording of the clip over and over, one key frame a second, with sound all the way. Its folder."""
    gops = _gops(clips, frame_size, size.bitrate)
    (storage / RECORDINGS).mkdir(parents=True)
    recording = f"20261122T071505Z-{DEVICE}-000001"
    video, audio = gops[0].batches[0].track, gops[0].batches[1].track
    press_ns = 1002 * NS
    opening = OpenRecording(
        recording=recording,
        serial=1,
        press_source="gpio:record",
        press_ns=press_ns,
        handled_ns=press_ns,
        pre_event=PreEvent(2 * NS, 2 * NS, ""),
        video=video,
        audio=audio,
        pre_event_audio=True,
        officer="",
    )
    signer = fixed_signer()
    with PosixVolume(storage) as volume:
        device = Device(DEVICE, "boot-1", 1.0, signer, None)
        folder = RecordingFolder(volume, device, opening, VirtualClock(seconds=lambda: 2.0))
        for number in range(size.seconds):
            turn, index = divmod(number, len(gops))
            gop = _moved(gops[index], 1000 * NS + turn * SECONDS * NS)
            if number == 0:
                folder.create(gop, None)
            folder.commit([gop], [])
        folder.close("stop")
        finish_recording(volume, f"{RECORDINGS}/{recording}", signer)
    return storage / RECORDINGS / recording


def _gops(clips: Clips, frame_size: str, bitrate: int) -> list[Gop]:
    """The clip's, one a second, with a tone; times from 0."""
    clip = clips.h264(frame_size, SECONDS, bitrate)
    width, height = map(int, frame_size.split("x"))
    groups: list[list[Sample]] = []
    data: list[bytearray] = []
    with av.open(str(clip.path)) as container:
        stream = container.streams.video[0]
        init = init_of_stream(stream, VIDEO_TIMESCALE)
        for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size):
            if number % RATE == 0:
                groups.append([])
                data.append(bytearray())
            at_ns = number * NS // RATE
            sample = Sample(len(data[-1]), packet.size, at_ns, at_ns, NS // RATE, packet.is_keyframe)
            groups[-1].append(sample)
            data[-1] += bytes(packet)
    video = Track("video", "h264", VIDEO_TIMESCALE, init, "virtual:camera", "copy", width, height, float(RATE))
    tone = media(SECONDS)
    sound = [Batch(tone.audio, samples, bytearray(coded)) for samples, coded in tone.sound]
    frames = [Batch(video, tuple(group), coded) for group, coded in zip(groups, data, strict=True)]
    return [Gop(*both) for both in zip(frames, sound, strict=True)]


def _moved(gop: Gop, by_ns: int) -> Gop:
    video, audio = (_batch_moved(batch, by_ns) if batch else None for batch in (gop.video, gop.audio))
    return Gop(video, audio)


def _batch_moved(batch: Batch, by_ns: int) -> Batch:
    samples = (s._replace(pts_ns=s.pts_ns + by_ns, dts_ns=s.dts_ns + by_ns) for s in batch.samples)
    return Batch(batch.track, tuple(samples), batch.data)
