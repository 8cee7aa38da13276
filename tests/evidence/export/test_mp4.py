"""Exports, held against stock ffmpeg and ffprobe."""

from __future__ import annotations

import datetime
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import av
import pyrage
import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.keys.age import AgeSealer
from tests.support.desk import export_mp4
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.stock import need

FRAME_S = 0.1
AUDIO_FRAME_S = 1024 / 48_000


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def probe(path: str | Path) -> dict[str, Any]:
    entries = "stream=codec_type,start_time,nb_read_frames:format=start_time,duration:format_tags"
    command = [need("ffprobe"), "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found["track"] = {stream["codec_type"]: stream for stream in found["streams"]}
    return found


def complaints(path: str | Path) -> str:
    """What stock ffmpeg has to say while it decodes everything."""
    command = [need("ffmpeg"), "-v", "warning", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"exit {done.returncode}" * bool(done.returncode) + done.stdout + done.stderr


def pictures(path: str | Path, *arguments: str) -> list[str]:
    """A hash of each decoded picture, by stock ffmpeg."""
    command = [need("ffmpeg"), "-v", "error", *arguments, "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line.split(",")[-1].strip() for line in lines if not line.startswith("#")]


def test_an_export_holds_every_picture_and_plays_from_0(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    exported = export_mp4(folder, tmp_path / "out.mp4")
    assert exported.notes == []
    [file] = exported.files
    assert (file.from_s, file.to_s, file.frames, file.audio_frames) == (0.0, 4.0, 40, 187)
    assert complaints(file.path) == ""
    found = probe(file.path)
    assert (found["format"]["start_time"], found["format"]["duration"]) == ("0.000000", "4.000000")
    assert found["track"]["video"]["nb_read_frames"] == "40"
    assert pictures(file.path) == pictures(folder / "index.m3u8")
    data = Path(file.path).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # faststart


def test_sound_that_begins_at_the_press_stays_in_its_place(storage: Path, tmp_path: Path) -> None:
    """A/V sync: the sound starts where the recording has it, to the frame."""
    folder = make_recording(storage, sound_from=2)
    export_mp4(folder, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(audio=0))
        assert first.pts is not None
        assert first.time_base is not None
        begin_s = first.pts * first.time_base
    source = probe(folder / "index.m3u8")
    offset = float(source["track"]["audio"]["start_time"]) - float(source["track"]["video"]["start_time"])
    assert abs(begin_s - offset) < AUDIO_FRAME_S / 100
    assert abs(float(probe(tmp_path / "out.mp4")["track"]["audio"]["start_time"]) - offset) < AUDIO_FRAME_S / 100


@pytest.mark.parametrize(
    "options",
    [{"bframes": 2}, {"gap_after": 1}, {"gap_after": 2, "sound_from": 0}, {"grouped": 4}, {"sound_from": 9}],
    ids=str,
)
def test_every_kind_of_recording_exports_without_a_complaint(
    storage: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    folder = make_recording(storage, **options)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    assert complaints(file.path) == ""
    found = probe(file.path)
    assert found["format"]["start_time"] == "0.000000"
    assert float(found["format"]["duration"]) == pytest.approx(5.0 if "gap_after" in options else 4.0, abs=1e-4)
    assert pictures(file.path, "-vsync", "0") == pictures(folder / "index.m3u8", "-vsync", "0")


def test_the_metadata_say_what_it_was_made_from(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    [file] = export_mp4(folder, tmp_path / "out.mp4").files
    tags = probe(file.path)["format"]["tags"]
    assert tags["creation_time"] == file.started_utc == "2026-11-22T07:15:03.016Z"
    with av.open(file.path) as container:  # the header's own field, not only the tag
        moment = datetime.datetime.fromisoformat(container.metadata["creation_time"])
        assert abs(moment.timestamp() - 1_795_331_703.016) < 1
    assert tags["title"] == tags["bwvd_recording"] == folder.name
    assert tags["bwvd_device"] == "BWV-0001"
    assert tags["bwvd_verdict"] == "authentic"
    assert tags["bwvd_signer"] == fixed_signer().key.fingerprint
    assert tags["bwvd_segments"] == "1-4"
    sha512 = hashlib.sha512((folder / "manifest.jsonl").read_bytes()).hexdigest()
    assert tags["bwvd_manifest_sha512"] == sha512
    assert sha512 in tags["comment"]


@pytest.mark.parametrize("grouped", [1, 3])
@pytest.mark.parametrize(
    ("from_s", "to_s", "begin", "end"),
    [
        (None, 2.0, 0.0, 2.0),
        (2.0, None, 2.0, 4.0),
        (1.7, 2.35, 1.0, 2.4),
        (0.0, 0.05, 0.0, 0.1),
        (1.0, 2.0, 1.0, 2.0),
        (3.99, 100.0, 3.0, 4.0),
    ],
)
def test_a_cut_begins_at_the_key_frame_before(
    storage: Path, tmp_path: Path, grouped: int, from_s: float | None, to_s: float | None, begin: float, end: float
) -> None:
    folder = make_recording(storage, grouped=grouped, sound_from=0)
    [file] = export_mp4(folder, tmp_path / "out.mp4", from_s=from_s, to_s=to_s).files
    assert (file.from_s, round(file.to_s, 1)) == (begin, end)
    assert file.frames == round((end - begin) / FRAME_S)
    assert complaints(file.path) == ""
    assert pictures(file.path) == pictures(folder / "index.m3u8")[round(begin / FRAME_S) : round(end / FRAME_S)]
    assert probe(file.path)["format"]["start_time"] == "0.000000"
    assert file.started_utc == f"2026-11-22T07:15:0{3 + int(begin)}.016Z"


def test_a_cut_among_b_frames_has_no_hole(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, bframes=2)
    whole = pictures(folder / "index.m3u8")
    for tenths in range(11, 20):
        [file] = export_mp4(folder, tmp_path / f"{tenths}.mp4", from_s=1.0, to_s=tenths / 10).files
        shown = pictures(file.path)
        assert tenths - 10 <= len(shown) <= tenths - 10 + 4  # decode order runs ahead by two, and a group has three
        assert shown == whole[10 : 10 + len(shown)]
        assert complaints(file.path) == ""


def test_other_parameters_go_to_a_file_of_their_own(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, other_camera_from=2)
    exported = export_mp4(folder, tmp_path / "out.mp4")
    assert [Path(file.path).name for file in exported.files] == ["out.mp4", "out-2.mp4"]
    assert [(file.from_s, file.to_s, file.frames) for file in exported.files] == [(0.0, 2.0, 20), (2.0, 4.0, 20)]
    for file, part in zip(exported.files, ("1/2", "2/2"), strict=True):
        assert complaints(file.path) == ""
        assert probe(file.path)["format"]["tags"]["bwvd_part"] == part
    [second] = export_mp4(folder, tmp_path / "cut.mp4", from_s=2.5).files
    assert (second.from_s, second.frames) == (2.0, 20)


def test_audio_from_between_two_cameras_is_in_the_file_of_the_first(storage: Path, tmp_path: Path) -> None:
    """Each file begins with a frame, at 0, and no audio is left out: VLC plays late what comes before a first frame."""
    late_ns = 140_000_000
    folder = make_recording(storage, other_camera_from=2, other_camera_late_ns=late_ns, sound_from=0)
    files = export_mp4(folder, tmp_path / "out.mp4").files
    assert [(file.from_s, file.frames) for file in files] == [(0.0, 20), (2.14, 20)]
    heard = []
    for file in files:
        assert complaints(file.path) == ""
        streams = {one["codec_type"]: one for one in probe(file.path)["streams"]}
        assert float(streams["video"]["start_time"]) == 0.0
        assert 0 <= float(streams["audio"]["start_time"]) <= 0.0214, "an AAC frame at the most"
        heard.append(file.audio_frames)
    assert sum(heard) == pytest.approx(4 * 48_000 / 1024 + late_ns * 48_000 / 1024 / 1e9, abs=2), (
        "silence fills the end"
    )
    assert float(probe(files[0].path)["format"]["duration"]) == pytest.approx(2.14, abs=0.03)


def test_a_sealed_recording_needs_its_identity(storage: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]))
    with pytest.raises(ExportRefused, match="--identity"):
        export_mp4(folder, tmp_path / "out.mp4")
    with pytest.raises(ExportRefused, match=r"000001\.m4s\.age .* can't be decrypted"):
        export_mp4(folder, tmp_path / "out.mp4", [pyrage.x25519.Identity.generate()])
    assert list(tmp_path.iterdir()) == [storage]
    [file] = export_mp4(folder, tmp_path / "out.mp4", [identity]).files
    assert file.frames == 40
    assert complaints(file.path) == ""


def test_an_altered_recording_is_refused_unless_forced(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    (folder / "000002.m4s").unlink()
    with pytest.raises(ExportRefused, match=r"is altered: 000002\.m4s \(segment 2, 1\.0 s to 2\.0 s\): is missing"):
        export_mp4(folder, tmp_path / "out.mp4")
    with pytest.raises(ExportRefused, match=r"is altered: 000002\.m4s .*: is missing \(and 1 more\)"):
        export_mp4(folder, tmp_path / "out.mp4", signers=None)
    assert list(tmp_path.iterdir()) == [storage]
    exported = export_mp4(folder, tmp_path / "out.mp4", force=True)
    assert exported.files[0].frames == 30
    assert exported.notes[0] == "the recording is altered"
    assert exported.notes[1].startswith("left out: 000002.m4s")
    assert probe(tmp_path / "out.mp4")["format"]["tags"]["bwvd_verdict"] == "altered"


def test_force_reads_past_a_broken_manifest(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    manifest = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(manifest.replace(b'"label":"a door"', b'"label":"a Door"'))
    assert export_mp4(folder, tmp_path / "out.mp4", force=True).files[0].frames == 40


def test_an_unfinished_recording_is_exported_with_a_note(storage: Path, tmp_path: Path) -> None:
    exported = export_mp4(make_recording(storage, close=""), tmp_path / "out.mp4")
    assert exported.files[0].frames == 40
    assert exported.notes == ["the recording is not closed: it is in progress, or was cut off"]


@pytest.mark.parametrize("name", ["out.mp4", "out-2.mp4"])
def test_nothing_is_overwritten(storage: Path, tmp_path: Path, name: str) -> None:
    folder = make_recording(storage, other_camera_from=2)
    (tmp_path / name).write_text("precious")
    with pytest.raises(ExportRefused, match=f"{name} exists"):
        export_mp4(folder, tmp_path / "out.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "storage"])
    assert (tmp_path / name).read_text() == "precious"


def test_a_link_is_not_followed(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExportRefused, match="exists"):
        export_mp4(make_recording(storage), tmp_path / "out.mp4")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("from_s", "to_s", "message"),
    [(3.0, 2.0, "no stretch"), (4.0, None, r"is 4\.000 s long"), (None, 0.0, r"is 4\.000 s long"), (9.0, 10.0, "long")],
)
def test_a_cut_of_nothing_is_refused(
    storage: Path, tmp_path: Path, from_s: float | None, to_s: float | None, message: str
) -> None:
    with pytest.raises(ExportRefused, match=message):
        export_mp4(make_recording(storage), tmp_path / "out.mp4", from_s=from_s, to_s=to_s)
    assert list(tmp_path.iterdir()) == [storage]


def test_a_place_that_can_not_be_written_is_named(storage: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match=r"none/out\.mp4: No such file"):
        export_mp4(make_recording(storage), tmp_path / "none" / "out.mp4")
    with pytest.raises(ExportRefused, match="No such file"):
        export_mp4(tmp_path / "none", tmp_path / "out.mp4")
