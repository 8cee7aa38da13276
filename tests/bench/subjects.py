"""The two that are compared, each a process of its own: a real `bwvd run`, and an `ffmpeg` command."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import av

from bwvd.capture.video.libav_encoder import encoder_threads
from tests.bench.pairing import Plan
from tests.bench.sources import BITRATE, RATE, Clip
from tests.support.process import Process

END_S = 20  # what a process gets to end in


class Bwvd(Process):
    """The daemon on a clip. `with Bwvd(…) as bwvd:` ends it in order."""

    def __enter__(self) -> Self:
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    def frames(self) -> int:
        """Frames that have reached the loop since the start."""
        frames = self.status()["video"]["frames"]
        assert isinstance(frames, int)
        return frames

    def press(self) -> str:
        """Press; returns the recording's id."""
        answer = self.ask(cmd="press")
        assert answer["ok"], answer
        return str(answer["recording"])

    def stop(self) -> None:
        """Stop, and wait until the recording is closed: its signed sums are the last that is written."""
        recording = self.ask(cmd="stop")["recording"]
        sums = self.folder / "evidence" / "recordings" / recording / "SHA256SUMS.sig"
        wait_for(sums.exists, END_S, f"{recording} was not closed")

    def wait_steady(self, keyframe_s: float) -> None:
        """Until the pre-event part is on flash and each segment is one GOP."""
        self.wait_until(
            lambda status: (
                status["recording"] is not None
                and status["recording"]["segments"] > 0
                and status["recording"]["seconds"] - status["recording"]["committed_s"] < 2 * keyframe_s + 0.5
            )
        )


def configuration(clip: Clip, plan: Plan, *, encoder: str, loop_s: float = 0, stamp: bool = False) -> str:
    """The daemon's configuration for a clip; loop_s: if not the plan's."""
    preset = "" if encoder == "copy" else 'preset = "ultrafast"'
    return f"""\
[video]
source = "file:{clip.path}?loop=1"
encoder = "{encoder}"
bitrate = {BITRATE}
keyframe_s = {plan.keyframe_s:g}
stamp = {str(stamp).lower()}
{preset}
[loop]
seconds = {loop_s or plan.loop_s:g}
[recording]
post_roll_s = 0
segment_s = {plan.keyframe_s:g}
"""


class Ffmpeg:
    """An `ffmpeg` command that runs until it is told to end."""

    def __init__(self, command: list[str], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._progress = folder / "progress"
        self._log_path = folder / "log"
        self._log = self._log_path.open("wb")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            # Told at the end alone: it should not spend time on telling.
            [*command[:1], "-progress", str(self._progress), "-stats_period", "86400", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            cwd=folder,
        )
        self.ran_s = 0.0

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Ffmpeg:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """Let it end in order; returns how many frames it has put out."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(END_S)
            finally:
                self.process.kill()
                self.process.wait()
            self.ran_s = time.monotonic() - self.begun
            self._log.close()
        lines = self._progress.read_text().splitlines() if self._progress.exists() else []
        return max((int(line.removeprefix("frame=")) for line in lines if line.startswith("frame=")), default=0)

    def check_alive(self) -> None:
        assert self.process.poll() is None, self._log_path.read_text(errors="replace")


def decoding(clip: Clip) -> list[str]:
    """Read a clip in real time, for ever, and decode it on one thread, as the daemon does."""
    return ["-threads", "1", *playing(clip)]


def playing(clip: Clip) -> list[str]:
    return ["-re", "-stream_loop", "-1", "-i", str(clip.path)]


def encoding(plan: Plan, filters: str = "") -> list[str]:
    """The daemon's encoder with the daemon's settings, and its way to 4:2:0 (bilinear, one thread)."""
    threads = str(encoder_threads())
    return [
        *("-an", "-filter_threads", "1", "-sws_flags", "bilinear"),
        *(("-vf", filters) if filters else ()),
        *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency"),
        *("-b:v", str(BITRATE), "-maxrate", str(BITRATE), "-bufsize", str(BITRATE * 3 // 2)),
        *("-g", str(round(RATE * plan.keyframe_s)), "-bf", "0", "-threads", threads),
        *("-x264-params", "scenecut=0:open-gop=0"),
    ]


COPYING = ["-an", "-c", "copy"]

NOWHERE = ["-f", "null", "-"]


def segments(plan: Plan) -> list[str]:
    """What the daemon's recordings are too: CMAF segments of one GOP with a playlist."""
    return [
        *("-f", "hls", "-hls_segment_type", "fmp4", "-hls_time", f"{plan.keyframe_s:g}", "-hls_list_size", "0"),
        *("-hls_playlist_type", "event", "-hls_segment_filename", "%06d.m4s", "index.m3u8"),
    ]


def media_in(path: Path) -> tuple[int, int]:
    """Bytes of the samples themselves in a playable file, and how many there are."""
    with av.open(str(path), "r") as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    return sum(sizes), len(sizes)


def shown(command: Sequence[str]) -> str:
    """The command without the paths of one machine."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in command)


def wait_for(true: Callable[[], Any], limit_s: float, what: str) -> float:
    """Look every 5 ms until it is so; returns the time (CLOCK_MONOTONIC, seconds)."""
    until_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < until_s, what
        time.sleep(0.005)
    return time.monotonic()
