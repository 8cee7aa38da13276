"""`bwvd show`: a recording in sentences, each with its time; with an identity what is sealed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner, Result

from bwvd.cli.main import main
from bwvd.evidence.export.narrative import narrative
from bwvd.evidence.export.private_text import PrivateText, unopened
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from bwvd.messages import Located
from tests.evidence.export.test_track import fix, walked
from tests.support.desk import export_proof
from tests.support.evidence_folder import PRESS_NS, make_recording, make_storage

STAMP = records.Stamp(mono_ns=0, utc="2026-11-22T08:00:00.000Z", quality="synchronised")
SECOND = 1_000_000_000


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def show(*words: object) -> Result:
    return CliRunner().invoke(main, ["show", *map(str, words)])


def test_a_folder_that_is_no_recording(storage: Path) -> None:
    done = show(storage)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"bwvd: {storage}: no recording: {storage}/manifest.jsonl is missing\n"


def test_a_reader_that_goes_is_no_fault(storage: Path) -> None:
    """`bwvd show last | head -n 1`."""
    command = [sys.executable, "-m", "bwvd", "show", str(make_recording(storage))]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_recording_in_sentences(storage: Path) -> None:
    folder = make_recording(storage, gap_after=1, muted=(2, 3))
    done = show(folder)
    assert (done.exit_code, done.stderr) == (0, "")
    size = sum(path.stat().st_size for path in folder.glob("*.m4s"))
    assert (
        done.stdout
        == f"""\
recording  {folder.name}
folder     {folder}
device     BWV-0001, recording number 1, {records_of(folder).software}
officer    4711
press      2026-11-22T07:15:05.000Z (gpio:record); the clock was synchronised
before it  1.984 s of the 2 s asked, without audio: the camera had just started
recorded   h264 96x64 10/s by libx264; aac 48000 Hz, 1 channel
encrypted  no
length     00:05.000 in 4 segments, {size:,} bytes
frames     40 of video, {frames_of_sound(folder)} of audio, 94 of them silence put in where there was none
end        closed: stop, 2026-11-22T07:15:05.000Z

        TIME  UTC                       WHAT HAPPENED
   00:00.000  2026-11-22T07:15:03.016Z  worn by 4711
   00:01.000  2026-11-22T07:15:04.016Z  marker (gpio:record): a door
   00:01.984  2026-11-22T07:15:05.000Z  pressed: gpio:record
   00:02.000  2026-11-22T07:15:05.016Z  no video and no audio for 1.000 s, to 00:03.000, 10 frames: camera lost
   00:03.000  2026-11-22T07:15:06.016Z  no audio for 1.000 s, to 00:04.000: muted
   00:04.000  2026-11-22T07:15:07.016Z  audio on (unmute)
"""
    )


def records_of(folder: Path) -> records.Open:
    document = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    return records.Open(**{name: value for name, value in document.items() if name not in ("type", "init")}, init="")


def frames_of_sound(folder: Path) -> int:
    return int(json.loads(show(folder, "--json").stdout)["audio_frames"])


@pytest.mark.parametrize(
    "label", ["باب مفتوح", "嫌疑人", "क्\u200dषेत्र", "👨\u200d👩\u200d👧", "\U0001f3f4\U000e0067\U000e007f"]
)
def test_labels_of_every_script(storage: Path, label: str) -> None:
    assert f"marker (gpio:record): {label}\n" in show(make_recording(storage, label=label)).stdout


@pytest.mark.parametrize("given", ["none", "a stranger's", "the agency's"])
def test_sealed_texts(storage: Path, tmp_path: Path, given: str) -> None:
    agency, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(agency.to_public())]))
    (tmp_path / "key").write_text(str(agency if given == "the agency's" else stranger))
    words = [] if given == "none" else ["--identity", tmp_path / "key"]
    done, document = show(folder, *words), json.loads(show(folder, "--json", *words).stdout)
    [mark] = [event for event in document["events"] if event["type"] == "mark"]
    [officer] = [event for event in document["events"] if event["type"] == "officer"]
    assert mark["sealed"]["file"] == "sealed-000002.json.age"
    if given == "the agency's":
        assert "marker (gpio:record): a door\n" in done.stdout
        assert "officer    4711\n" in done.stdout
        assert (mark["label"], officer["officer"]) == ("a door", "4711")
    else:
        why = "sealed" if given == "none" else "sealed, and opened by none of the identities"
        assert f"marker (gpio:record): ({why})\n" in done.stdout
        assert f"officer    ({why})\n" in done.stdout
        assert (mark["label"], officer["officer"]) == ("", "")
    assert ("--identity FILE opens them" in done.stdout) == (given == "none")


def test_a_sealed_text_that_was_exchanged_is_said(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: what opens but is not what was recorded is not shown."""
    agency = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(agency.to_public())])
    folder = make_recording(storage, sealer=sealer)
    (tmp_path / "key").write_text(str(agency))
    (folder / "sealed-000002.json.age").write_bytes(sealer.seal(b'{"label":"another"}'))
    (folder / "sealed-000001.json.age").unlink()
    out = show(folder, "--identity", tmp_path / "key").stdout
    assert "marker (gpio:record): (its text is not what was recorded)\n" in out
    assert "worn by (its file can't be read: No such file or directory)\n" in out
    assert "another" not in out


def test_a_proof_shows_what_the_folder_shows(storage: Path, tmp_path: Path) -> None:
    agency = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(agency.to_public())]))
    (tmp_path / "key").write_text(str(agency))
    export_proof(folder, tmp_path / "out.zip")
    inside = show(tmp_path / "out.zip", "--identity", tmp_path / "key")
    assert (inside.exit_code, inside.stderr) == (0, "")
    there = f"folder     {tmp_path}/out.zip/recordings/{folder.name}\n"
    assert there in inside.stdout
    here = show(folder, "--identity", tmp_path / "key").stdout
    assert inside.stdout.replace(there, "") == here.replace(f"folder     {folder}\n", "")
    (tmp_path / "none.zip").write_bytes(b"")
    assert (
        show(tmp_path / "none.zip").stderr == f"bwvd: {tmp_path}/none.zip: not a readable ZIP: File is not a zip file\n"
    )


def test_an_excerpt_says_that_it_is_one(storage: Path, tmp_path: Path) -> None:
    """Its manifest tells of the whole recording: what is shown of that is not what is there."""
    folder = make_recording(storage)
    export_proof(folder, tmp_path / "p.zip", from_s=1.0, to_s=3.0)
    said = show(tmp_path / "p.zip").stdout
    assert (
        "excerpt    in this proof: segments 2 to 3 of 4; the others are withheld, "
        "and here is said what the manifest says of the whole recording\n"
    ) in said
    assert json.loads(show("--json", tmp_path / "p.zip").stdout)["excerpt"] == {"first": 2, "last": 3, "of": 4}
    assert json.loads(show("--json", folder).stdout)["excerpt"] is None


def test_an_identity_that_is_none(storage: Path, tmp_path: Path) -> None:
    done = show(make_recording(storage), "--identity", tmp_path / "none")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"bwvd: {tmp_path / 'none'}: No such file or directory\n"


def test_json_says_what_it_said(storage: Path) -> None:
    """Documented members, and none of the bulk."""
    document = json.loads(show(make_recording(storage), "--json").stdout)
    assert list(document) == [
        "id", "path", "open", "end", "events",
        "segments", "frames", "audio_frames", "bytes", "silent_frames", "seconds", "excerpt", "positions",
    ]  # fmt: skip
    assert not {"init", "pad"} & set(document["open"])
    [mark] = [event for event in document["events"] if event["type"] == "mark"]
    assert mark == {
        "type": "mark", "n": mark["n"], "at_ns": SECOND, "source": "gpio:record", "stamp": mark["stamp"],
        "label": "a door", "sealed": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (records.Fault(n=0, name="camera", active=True, at_ns=0, detail="lost"), "fault: camera: lost"),
        (records.Fault(n=0, name="encoder_slow", active=False, at_ns=0), "well again: encoder slow"),
        (
            records.ClockStep(n=0, at_ns=0, step_ns=-3600 * SECOND, stamp=STAMP),
            "the clock was set 1:00:00.000 back, to 2026-11-22T08:00:00.000Z (synchronised)",
        ),
        (
            records.ClockStep(n=0, at_ns=0, step_ns=1_500_000_000, stamp=STAMP),
            "the clock was set 00:01.500 ahead, to 2026-11-22T08:00:00.000Z (synchronised)",
        ),
        (records.Power(n=0, at_ns=0, percent=83, supply="battery"), "battery at 83 %"),
        (
            records.Power(n=0, at_ns=0, percent=9, supply="battery", flags=["low_voltage"]),
            "battery at 9 %, low voltage",
        ),
        (records.Power(n=0, at_ns=0, percent=50, supply="charging"), "battery at 50 %, charging"),
        (records.Power(n=0, at_ns=0, percent=None, supply="external"), "external power"),
        (records.Power(n=0, at_ns=0, percent=None, supply="unknown"), "power supply unknown"),
        (records.State(n=0, state="stop_asked", at_ns=0, source="gpio:record"), "a stop was asked (gpio:record)"),
        (records.State(n=0, state="stop_lapsed", at_ns=0), "the stop was not confirmed: the recording goes on"),
        (records.State(n=0, state="of a later version", at_ns=0), "of a later version"),
        (records.Audio(n=0, on=True, at_ns=0, reason="press"), "audio on (press)"),
        (
            records.Gap(n=0, track="video", from_ns=0, to_ns=SECOND, cause="x"),
            "no video for 1.000 s, to 00:01.000: x",
        ),
        (records.Officer(n=0, at_ns=0), "worn by nobody who is named from here on"),
        (records.Mark(n=0, at_ns=0, source="socket", stamp=STAMP), "marker (socket)"),
    ],
)
def test_each_record_is_a_sentence(record: records.ManifestRecord, said: str) -> None:
    [one] = narrative([record], unopened).happenings
    assert (one.what, one.quoted) == (said, None)


def test_a_change_of_officer_is_told_and_each_is_named_once() -> None:
    worn = [records.Officer(n=n, at_ns=n, officer=who) for n, who in enumerate(("a", "b", "a", ""))]
    told = narrative(worn, unopened)
    assert told.officers == [PrivateText("a"), PrivateText("b")]
    assert [one.quoted for one in told.happenings] == [PrivateText("a"), PrivateText("b"), PrivateText("a"), None]


def test_where_it_was(storage: Path, tmp_path: Path) -> None:
    """At the press, first and last, and where it was lost; what is sealed by who can open it."""
    identity = pyrage.x25519.Identity.generate()
    (tmp_path / "id").write_text(str(identity))
    (tmp_path / "id").chmod(0o600)
    press = Located(PRESS_NS, fix(1.4, 1))
    plain = make_recording(storage, press_located=press, located=walked())
    sealer = AgeSealer([str(identity.to_public())])
    sealed = make_recording(storage, 2, sealer=sealer, press_located=press, located=walked())
    none = make_recording(storage, 3)
    at_press = "52.331000, -4.893300 ±5 m, 0.6 s before the press"
    for done in (show(plain), show(sealed, "--identity", tmp_path / "id")):
        assert f"position   {at_press}\ntrack      3 positions, from 52.330000, " in done.stdout
        assert re.search(r"00:03.\d{3}  .{24}  the position was not known for 0.\d{3} s, to 00:04.000\n", done.stdout)
    assert "position   sealed, 0.6 s before the press" in show(sealed).stdout
    assert "the position was not known for" in show(sealed).stdout
    assert "52.33" not in show(sealed).stdout + show(sealed, "--json").stdout
    assert "position" not in show(none).stdout
    told = json.loads(show(sealed, "--json", "--identity", tmp_path / "id").stdout)["positions"]
    assert told["at_press"]["known"] == "sealed"
    assert told["at_press"]["fix"]["latitude"] == pytest.approx(52.331)
    assert told["first"]["latitude"] == 52.33
    assert (told["fixes"], told["sealed"], len(told["losses"])) == (3, 0, 1)
    assert json.loads(show(none, "--json").stdout)["positions"] is None
