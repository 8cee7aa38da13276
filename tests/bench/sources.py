"""The pictures that both sides read: files made once for a run, played in real time and from the beginning again."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

RATE = 30  # frames per second
BITRATE = 4_000_000  # bits per second
# Of what lies over the pictures, by ffmpeg's filter. A JPEG is as large as its noise: the much is 115 kB a frame
# of 720p, as from a camera in the dark or set to its best; the little is about 60 kB, what many USB cameras deliver.
LITTLE_NOISE, MUCH_NOISE = 4, 8


@dataclass(frozen=True, slots=True)
class Clip:
    """One file."""

    path: Path
    size: str
    seconds: int

    @property
    def frame_kb(self) -> float:
        """kB of a coded frame, in the mean, its container included."""
        return self.path.stat().st_size / (self.seconds * RATE) / 1000


class Clips:
    """Makes each clip when it is first asked for. Needs the ffmpeg command."""

    def __init__(self, folder: Path, ffmpeg: str, keyframe_s: float) -> None:
        """keyframe_s: between two key frames of H.264."""
        self._folder = folder
        self._ffmpeg = ffmpeg
        self._keyframe_s = keyframe_s
        self._made: dict[str, Clip] = {}

    def mjpeg(self, size: str, seconds: int, noise: int = MUCH_NOISE) -> Clip:
        """What most USB cameras deliver: each side has to decode it, to bring it to 4:2:0 and to encode it."""
        options = ["-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj422p"]
        return self._make(f"mjpeg-{size}-{noise}.mov", size, seconds, options, noise)

    def h264(self, size: str, seconds: int, bitrate: int = BITRATE) -> Clip:
        """What a camera that encodes by itself delivers."""
        options = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
        rate = ["-b:v", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(bitrate // 2)]
        # The noise fills the bit rate that is asked for, as a scene does.
        return self._make(
            f"h264-{size}-{bitrate}.mp4",
            size,
            seconds,
            [
                *options,
                *rate,
                "-g",
                str(round(RATE * self._keyframe_s)),
                "-x264-params",
                "scenecut=0:open-gop=0:nal-hrd=cbr",
            ],
        )

    def repeated(self, clip: Clip, times: int) -> Clip:
        """The same again and again in one file: to begin a file anew costs what no camera does."""
        path = clip.path.with_stem(f"{clip.path.stem}-{times}")
        if path.name not in self._made:
            command = [self._ffmpeg, "-v", "error", "-nostdin", "-stream_loop", str(times - 1), "-i", str(clip.path)]
            subprocess.run([*command, "-c", "copy", str(path)], check=True)
            self._made[path.name] = Clip(path, clip.size, times * clip.seconds)
        return self._made[path.name]

    def _make(self, name: str, size: str, seconds: int, options: list[str], noise: int = MUCH_NOISE) -> Clip:
        if name not in self._made:
            path = self._folder / name
            graph = f"testsrc2=size={size}:rate={RATE},noise=alls={noise}:allf=t"
            command = [self._ffmpeg, "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", graph, "-t", str(seconds)]
            subprocess.run([*command, *options, str(path)], check=True)
            self._made[name] = Clip(path, size, seconds)
        return self._made[name]
