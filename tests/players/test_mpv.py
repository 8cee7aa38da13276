"""A recording in mpv, without a screen or a sound card: the frame at five instants, the chapters, the captions."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import export_mp4
from tests.support.evidence_folder import RATE, make_recording, make_storage
from tests.support.stock import need

pytestmark = [pytest.mark.players, pytest.mark.short]

WIDTH, HEIGHT = 96, 64
_EVERY = 17  # bytes of a picture that are looked at
INSTANTS = (0, 7, 15, 20, 38)  # numbers of frames
CASES: dict[str, dict[str, Any]] = {
    "plain": {"sound_from": 0},
    "audio from the press on": {"sound_from": 2},
    "B-frames": {"sound_from": 0, "bframes": 2},
    "a camera gap": {"gap_after": 1, "sound_from": 0},
    "no audio": {"sound_from": 9},
}


def mpv(path: Path, *options: str) -> str:
    """Run it to its end; what it prints. Nothing may go wrong on the way."""
    command = [need("mpv"), "--no-config", "--ao=null", "--msg-level=all=error", "--hr-seek=yes", *options, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def raw(path: Path) -> list[bytes]:
    """The frames of a file, by stock ffmpeg: RGB."""
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:v", "-vsync", "0"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    size = WIDTH * HEIGHT * 3
    return [data[at : at + size] for at in range(0, len(data), size)]


def nearest(picture: bytes, frames: Sequence[bytes]) -> int:
    """The number of the frame that a picture shows."""
    some = picture[::_EVERY]
    differences = [sum(abs(a - b) for a, b in zip(frame[::_EVERY], some, strict=True)) for frame in frames]
    return differences.index(min(differences))


def shown(path: Path, folder: Path, *options: str) -> list[bytes]:
    """What mpv shows, picture by picture."""
    folder.mkdir()
    mpv(path, "--vo=image", "--vo-image-format=png", f"--vo-image-outdir={folder}", "--sid=no", "--untimed", *options)
    return [picture for name in sorted(folder.iterdir()) for picture in raw(name)]


@functools.cache
def made(case: str, root: Path) -> Path:
    """A recording of the case; its MP4 lies beside it."""
    folder = make_recording(make_storage(root / "storage"), **CASES[case])
    export_mp4(folder, root / "out.mp4")
    return folder


@pytest.mark.parametrize("case", CASES)
def test_the_frame_that_is_asked_for_is_shown(case: str, tmp_path: Path) -> None:
    """Invariant 4: what a player shows of the MP4 at a moment is what was filmed then."""
    folder = made(case, tmp_path)
    frames = raw(folder / "index.m3u8")
    assert len(frames) == 40
    for number in INSTANTS:
        at_s = number / RATE + (1.0 if "gap_after" in CASES[case] and number >= 20 else 0.0)
        start = f"--start={max(0.0, at_s - 0.03):.3f}"
        [picture] = shown(tmp_path / "out.mp4", tmp_path / f"{number}", start, "--frames=1")
        assert nearest(picture, frames) == number, f"at {at_s} s"


@pytest.mark.parametrize("case", CASES)
def test_the_folder_is_shown_frame_by_frame(case: str, tmp_path: Path) -> None:
    """Invariant 4. From its beginning on: in no playlist of MP4 segments, ffmpeg's own included, does an mpv on
    libavformat 5 find its place again after a jump.
    """
    folder = made(case, tmp_path)
    frames = raw(folder / "index.m3u8")
    assert [nearest(one, frames) for one in shown(folder / "index.m3u8", tmp_path / "all")] == list(range(40))


def test_the_press_is_a_chapter_that_can_be_jumped_to(tmp_path: Path) -> None:
    frames = raw(made("plain", tmp_path) / "index.m3u8")
    [picture] = shown(tmp_path / "out.mp4", tmp_path / "shown", "--start=#3", "--frames=1")
    assert nearest(picture, frames) == 20  # the press lies 16 ms before it


def test_captions_are_shown_unasked_and_chapters_are_listed(tmp_path: Path) -> None:
    made("plain", tmp_path)
    said = mpv(
        tmp_path / "out.mp4",
        "--vo=null",
        "--length=0.3",
        "--term-playing-msg=<${current-tracks/sub/codec}> <${chapters}> <${chapter-list/2/title}>",
        "--msg-level=all=info",
    )
    assert "<mov_text> <3> <Press>" in said
