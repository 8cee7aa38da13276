"""Sound that begins at the press, as stock ffmpeg hears it: silence up to there, and nothing shifted behind it."""

from __future__ import annotations

import array
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.stock import need

RATE = 48_000
AAC_FRAME_S = 1024 / RATE
LOUD = 1000  # of 32,768; the tone's amplitude is 4,096 and more


def heard(path: Path, *before: str) -> array.array[int]:
    """What a player lets one hear from its time 0 on: mono, with silence where there is no sound."""
    fill = "aresample=async=1:min_hard_comp=0.01:first_pts=0"
    sound = ["-map", "0:a", "-af", fill, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    command = [need("ffmpeg"), "-v", "error", *before, "-i", str(path), *sound]
    samples = array.array("h")
    samples.frombytes(subprocess.run(command, check=True, capture_output=True).stdout)
    return samples


def begins_s(samples: array.array[int], behind_s: float = 0.0) -> float:
    """When it is first loud at or behind `behind_s`."""
    first = round(behind_s * RATE)
    return next(index for index in range(first, len(samples)) if abs(samples[index]) > LOUD) / RATE


def shown_from_s(path: Path) -> float:
    command = [need("ffprobe"), "-v", "error", "-select_streams", "v", "-show_entries", "frame=pts_time"]
    command += ["-read_intervals", "%+#1", "-of", "json", str(path)]
    frames = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["frames"]
    return float(frames[0]["pts_time"])


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


@pytest.mark.parametrize("sound_from", [0, 1, 2, 3])
@pytest.mark.parametrize("bframes", [0, 2])
def test_the_first_sound_is_heard_where_the_recording_has_it(
    storage: Path, tmp_path: Path, sound_from: int, bframes: int
) -> None:
    """The tone runs from the first moment on: what is heard first is where the audio begins, not where it is loud.

    ffmpeg counts samples while timestamps are off by less than 10 ms, and silence comes in whole frames.
    """
    export_mp4(make_recording(storage, sound_from=sound_from, bframes=bframes), tmp_path / "out.mp4")
    samples = heard(tmp_path / "out.mp4")
    assert shown_from_s(tmp_path / "out.mp4") == 0
    assert (
        sound_from - AAC_FRAME_S / 2 <= begins_s(samples) < sound_from + 2.5 * AAC_FRAME_S
    )  # a decoder's first frame fades in
    assert len(samples) / RATE == pytest.approx(4, abs=2 * AAC_FRAME_S)


def test_a_gap_behind_it_moves_no_sound(storage: Path, tmp_path: Path) -> None:
    export_mp4(make_recording(storage, sound_from=1, gap_after=1), tmp_path / "out.mp4")
    samples = heard(tmp_path / "out.mp4")
    assert 1 <= begins_s(samples) < 1 + 2.5 * AAC_FRAME_S
    hole = samples[round(2.1 * RATE) : round(2.9 * RATE)]
    assert max(map(abs, hole)) < LOUD
    assert begins_s(samples, 2.5) == pytest.approx(3, abs=2.5 * AAC_FRAME_S)


def test_a_cut_through_the_press_keeps_the_silence_before_it(storage: Path, tmp_path: Path) -> None:
    export_mp4(make_recording(storage, sound_from=2), tmp_path / "out.mp4", from_s=1.0)
    assert 1 <= begins_s(heard(tmp_path / "out.mp4")) < 1 + 2.5 * AAC_FRAME_S


def test_a_copy_by_a_stock_tool_keeps_it(storage: Path, tmp_path: Path) -> None:
    """Containers that have no edit list: what ffmpeg copies into Matroska begins with sound at the same moment."""
    export_mp4(make_recording(storage, sound_from=2), tmp_path / "out.mp4")
    command = [need("ffmpeg"), "-v", "error", "-i", str(tmp_path / "out.mp4"), "-map", "0:v", "-map", "0:a"]
    subprocess.run([*command, "-c", "copy", str(tmp_path / "out.mkv")], check=True)
    assert 2 <= begins_s(heard(tmp_path / "out.mkv")) < 2 + 2.5 * AAC_FRAME_S


def test_a_player_that_seeks_behind_the_press_is_not_out_of_step(storage: Path, tmp_path: Path) -> None:
    export_mp4(make_recording(storage, sound_from=2), tmp_path / "out.mp4")
    samples = heard(tmp_path / "out.mp4", "-ss", "1")
    assert 1 - 0.001 <= begins_s(samples) < 1 + 2.5 * AAC_FRAME_S


def test_the_folder_itself_plays_it_at_the_press(storage: Path) -> None:
    """HLS: the same recording without an export. Its time 0 is the first frame's decode time."""
    folder = make_recording(storage, sound_from=2)
    assert 2 <= begins_s(heard(folder / "index.m3u8")) < 2 + 2.5 * AAC_FRAME_S
