"""The timed text of an export, read back by stock ffmpeg and ffprobe."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pyrage
import pytest

from bwvd.evidence.keys.age import AgeSealer
from bwvd.media.boxes import boxes, find
from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.stock import need

BEGIN = datetime.datetime(2026, 11, 22, 7, 15, 3, 16_000, tzinfo=datetime.UTC)  # of every recording's first frame
FRAME_S = 0.1


class Shown(NamedTuple):
    """One cue, as a player shows it."""

    from_s: float
    to_s: float
    text: str

    @property
    def utc(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.text.split()[0])


def shown(path: str | Path) -> list[Shown]:
    """The subtitles, as stock ffmpeg converts them to SRT."""
    command = [need("ffmpeg"), "-v", "error", "-i", str(path), "-map", "0:s", "-f", "srt", "-"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    cues = re.findall(r"^\d+\n(\S+) --> (\S+)\n(.*)\n", text, re.MULTILINE)
    assert text.count("-->") == len(cues)
    return [Shown(seconds(begin), seconds(end), said) for begin, end, said in cues]


def seconds(srt: str) -> float:
    hours, minutes, rest = srt.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def streams(path: str | Path) -> list[dict[str, Any]]:
    command = [need("ffprobe"), "-v", "error", "-show_streams", "-show_format", "-of", "json", str(path)]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["streams"]
    return found


def kinds(path: str | Path) -> list[str]:
    """What a player shows; "data" is the list of chapters, which every export has."""
    return [kind for kind in (stream["codec_type"] for stream in streams(path)) if kind != "data"]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def export(folder: Path, tmp_path: Path, **options: Any) -> list[str]:
    return [file.path for file in export_mp4(folder, tmp_path / "out.mp4", **options).files]


def test_pictures_without_a_stamp_get_its_text_as_a_track(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage, sound_from=0), tmp_path)
    assert kinds(path) == ["video", "audio", "subtitle"]
    track = streams(path)[2]
    assert (track["codec_name"], track["codec_tag_string"]) == ("mov_text", "tx3g")
    assert (track["tags"]["language"], track["disposition"]["default"]) == ("eng", 1)
    assert [(cue.from_s, cue.to_s) for cue in shown(path)] == [(n, n + 1) for n in range(4)]
    assert [cue.text for cue in shown(path)] == [f"2026-11-22T07:15:0{3 + n}.016Z BWV-0001" for n in range(4)]


def test_they_are_shown_unasked_by_the_rules_of_quicktime(storage: Path, tmp_path: Path) -> None:
    """What Apple's QuickTime File Format asks for: an enabled track, the only one of its group, with one sample
    description whose text box fills the track; display flags that say "some samples are forced" and "all are", which
    are shown unasked. VLC goes by these as well, see `players/test_captions.py`; QuickTime can't run here.
    """
    [path] = export(make_recording(storage, sound_from=0), tmp_path)
    data = memoryview(Path(path).read_bytes())
    tracks = [(begin, end) for kind, begin, end in boxes(data, *find(data, "moov")) if kind == b"trak"]
    headers = [find(data, "tkhd", *track)[0] for track in tracks]
    groups = [int.from_bytes(data[at + 34 : at + 36], "big") for at in headers]
    [(begin, end)] = [track for track in tracks if handler(data, track) == b"sbtl"]
    header = headers[tracks.index((begin, end))]
    assert data[header] == 0  # the version, by which the places below go
    assert data[header + 3] & 1  # enabled
    assert groups.count(groups[tracks.index((begin, end))]) == 1
    width, height = (int.from_bytes(data[header + at : header + at + 2], "big") for at in (76, 80))
    stsd, stsd_end = find(data, "mdia/minf/stbl/stsd", begin, end)
    [(kind, entry, _)] = boxes(data, stsd + 8, stsd_end)
    assert kind == b"tx3g"
    assert data[entry + 8 : entry + 12] == bytes.fromhex("C0000000")
    box = [int.from_bytes(data[entry + at : entry + at + 2], "big") for at in range(18, 26, 2)]
    assert box == [0, 0, height, width]  # top, left, bottom, right


def handler(data: memoryview, track: tuple[int, int]) -> bytes:
    at, _ = find(data, "mdia/hdlr", *track)
    return bytes(data[at + 8 : at + 12])


@pytest.mark.parametrize("grouped", [1, 3, 4])
def test_one_cue_a_second_however_long_a_segment_is(storage: Path, tmp_path: Path, grouped: int) -> None:
    [path] = export(make_recording(storage, grouped=grouped), tmp_path)
    assert [cue.from_s for cue in shown(path)] == [0, 1, 2, 3]
    assert [cue.utc - BEGIN for cue in shown(path)] == [datetime.timedelta(seconds=n) for n in range(4)]


def test_across_a_gap_no_time_is_shown_and_behind_it_the_true_one(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage, gap_after=1, sound_from=0), tmp_path)
    assert [(cue.from_s, cue.to_s) for cue in shown(path)] == [(0, 1), (1, 2), (3, 4), (4, 5)]
    for cue in shown(path):
        assert (cue.utc - BEGIN).total_seconds() == cue.from_s


def test_a_step_of_the_wall_clock_shows_where_it_was(storage: Path, tmp_path: Path) -> None:
    """Invariant 9: the text steps with the clock, the pictures' time does not."""
    [path] = export(make_recording(storage, step_after=1), tmp_path)
    assert [(cue.from_s, cue.to_s) for cue in shown(path)] == [(n, n + 1) for n in range(4)]
    assert [(cue.utc - BEGIN).total_seconds() for cue in shown(path)] == [0, 1, 3602, 3603]


def test_a_clock_that_was_never_set_is_said_in_every_cue(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage, quality="not_set"), tmp_path)
    assert [cue.text[24:] for cue in shown(path)] == [" BWV-0001 TIME NOT SET"] * 4


@pytest.mark.parametrize(
    ("from_s", "to_s", "expected"),
    [
        (1.0, None, [(0.0, 1.0, 1.0), (1.0, 2.0, 2.0), (2.0, 3.0, 3.0)]),
        (2.2, 3.35, [(0.0, 1.0, 2.0), (1.0, 1.4, 3.0)]),
        (None, 0.5, [(0.0, 0.5, 0.0)]),
    ],
)
def test_a_cut_takes_the_text_along(
    storage: Path, tmp_path: Path, from_s: float | None, to_s: float | None, expected: list[tuple[float, ...]]
) -> None:
    [path] = export(make_recording(storage, grouped=3), tmp_path, from_s=from_s, to_s=to_s)
    assert [(cue.from_s, cue.to_s, (cue.utc - BEGIN).total_seconds()) for cue in shown(path)] == expected


def test_other_parameters_have_the_text_in_their_own_file(storage: Path, tmp_path: Path) -> None:
    first, second = export(make_recording(storage, other_camera_from=2), tmp_path)
    assert [(cue.utc - BEGIN).total_seconds() for cue in shown(first)] == [0, 1]
    assert [(cue.from_s, (cue.utc - BEGIN).total_seconds()) for cue in shown(second)] == [(0, 2), (1, 3)]


def test_b_frames_shift_no_cue(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage, bframes=2), tmp_path)
    assert [(cue.from_s, cue.to_s) for cue in shown(path)] == [(n, n + 1) for n in range(4)]


def test_a_sealed_recording_has_it_too(storage: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]))
    [path] = export(folder, tmp_path, identities=[identity])
    assert len(shown(path)) == 4


def test_pictures_with_a_stamp_are_not_stamped_twice(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage, stamped=True), tmp_path)
    assert kinds(path) == ["video", "audio"]


def test_only_what_carries_no_stamp_has_the_text(storage: Path, tmp_path: Path) -> None:
    """The camera changes its size in the middle, and from there on nothing is drawn into its pictures."""
    first, second = export(make_recording(storage, stamped=True, other_camera_from=2), tmp_path)
    assert kinds(first) == ["video", "audio"]
    assert kinds(second) == ["video", "audio", "subtitle"]
    assert [cue.from_s for cue in shown(second)] == [0, 1]


def test_the_text_can_be_left_out(storage: Path, tmp_path: Path) -> None:
    [path] = export(make_recording(storage), tmp_path, captions=False)
    assert kinds(path) == ["video", "audio"]


def test_a_segment_that_is_left_out_shows_no_time(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    (folder / "000002.m4s").unlink()
    [path] = export(folder, tmp_path, force=True)
    assert [(cue.from_s, cue.to_s) for cue in shown(path)] == [(0, 1), (2, 3), (3, 4)]


def test_pictures_and_sound_are_the_same_with_and_without(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, gap_after=1)
    hashes = []
    for name, captions in (("with.mp4", True), ("without.mp4", False)):
        [file] = export_mp4(folder, tmp_path / name, captions=captions).files
        command = [
            need("ffmpeg"),
            "-v",
            "warning",
            "-i",
            file.path,
            "-map",
            "0:v",
            "-map",
            "0:a",
            "-f",
            "framemd5",
            "-",
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stderr == ""
        hashes.append(done.stdout)
    assert hashes[0] == hashes[1]
