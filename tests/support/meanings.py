"""Clips whose samples mean something that is not the plain case, made by a stock ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.stock import need

RATE = 30
FRAMES = 8


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg without a word."""
    subprocess.run([need("ffmpeg"), "-v", "error", "-nostdin", "-y", *arguments], check=True)


def told(tool: str, *arguments: str) -> bytes:
    """What ffmpeg or ffprobe writes to its standard output."""
    return subprocess.run([need(tool), *arguments], check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def clip(path: Path, *output: str, size: str = "192x96", frames: int = FRAMES, source: str = "testsrc2") -> Path:
    """`frames` frames of a test pattern. output: ffmpeg's options for what is written."""
    pattern = f"{source}=size={size}:rate={RATE}"
    ffmpeg("-f", "lavfi", "-i", pattern, "-frames:v", str(frames), "-pix_fmt", "yuv420p", *output, str(path))
    return path


def joined(path: Path, parts: list[list[str]], frames: int = FRAMES) -> Path:
    """One raw H.264 stream whose frames change in the middle: one part behind the other, each with ffmpeg's options."""
    with path.open("wb") as whole:
        for number, options in enumerate(parts):
            part = path.with_name(f"{number}-{path.name}")
            size = options[options.index("-s") + 1] if "-s" in options else "192x96"
            clip(part, "-c:v", "libx264", "-g", "10", "-bf", "0", *options, size=size, frames=frames)
            whole.write(part.read_bytes())
            part.unlink()
    return path
