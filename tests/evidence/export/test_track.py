"""Where a recording was, in what is made of it: read back by stock exiftool, ffprobe and ffmpeg."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pyrage
import pytest

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import entry, signed_records
from bwvd.evidence.export.positions import positions
from bwvd.evidence.export.track import Track, track_of
from bwvd.evidence.format import records
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.verify.gather import Place
from bwvd.messages import Fix, Located
from tests.evidence.export.test_captions import kinds, shown
from tests.support.desk import export_mp4, verify_recording
from tests.support.evidence_folder import PRESS_NS, START_NS, make_recording, make_storage
from tests.support.stock import need

NORTH, EAST = 52.33, -4.8933  # west of Greenwich


def fix(at_s: float, number: int = 0, *, altitude_m: float | None = 12.5) -> Fix:
    """A position some seconds behind the first frame."""
    return Fix(
        at_ns=START_NS + round(at_s * NS),
        utc="",
        latitude=NORTH + number / 1000,
        longitude=EAST,
        altitude_m=altitude_m,
        error_m=5.0,
        mode=3,
        satellites=8,
    )


def at(at_s: float, number: int = 0, *, altitude_m: float | None = 12.5) -> Located:
    one = fix(at_s, number, altitude_m=altitude_m)
    return Located(one.at_ns, one)


def walked() -> list[Located]:
    """As a camera tells it: the newest fix before the press is said at the press, then one a second; lost at 3.4 s."""
    press = Located(PRESS_NS, fix(1.4, 1))
    return [press, at(0.4), at(1.4, 1), at(2.4, 2), Located(START_NS + 3_400_000_000, None)]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def export(folder: Path, tmp_path: Path, **options: Any) -> Path:
    tmp_path.mkdir(exist_ok=True)
    [file] = export_mp4(folder, tmp_path / "out.mp4", **options).files
    return Path(file.path)


def located(path: Path) -> dict[str, Any]:
    """What exiftool says of the place."""
    command = [need("exiftool"), "-j", "-n", "-UserData:LocationInformation", str(path)]
    [found] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert isinstance(found, dict)
    return found


def location(path: Path) -> str:
    """What ffprobe says of it."""
    command = [need("ffprobe"), "-v", "error", "-show_entries", "format_tags=location", "-of", "json", str(path)]
    tags = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["format"].get("tags", {})
    return str(tags.get("location", ""))


def test_the_mp4_says_where_the_press_was(storage: Path, tmp_path: Path) -> None:
    """Invariant 9: the position at the press is the newest fix before it, wherever its record stands."""
    path = export(make_recording(storage, located=walked()), tmp_path)
    said = located(path)["LocationInformation"]
    assert "Role=shooting" in said
    assert "Lat=52.33099 Lon=-4.89330" in said
    assert "Alt=12.50" in said
    assert "Notes=at the press, 2026-11-22T07:15:04." in said
    assert location(path).startswith("+52.3310-004.8933+12.5")


@pytest.mark.parametrize(("from_s", "expected"), [(None, "+52.3300"), (2.0, "+52.3310")])
def test_without_the_press_the_first_position_of_the_file_counts(
    storage: Path, tmp_path: Path, from_s: float | None, expected: str
) -> None:
    """A file says nothing of a place outside of it."""
    told = [at(2.1)] if from_s is None else walked()
    path = export(make_recording(storage, located=told), tmp_path, from_s=from_s)
    assert "first position" in located(path)["LocationInformation"]
    assert location(path).startswith(expected)


def test_an_altitude_that_is_not_known_is_said_to_be_none(storage: Path, tmp_path: Path) -> None:
    path = export(make_recording(storage, located=[at(0.1, altitude_m=None)]), tmp_path)
    assert "no altitude" in located(path)["LocationInformation"]


def test_captions_have_it_from_its_own_moment_on_and_nothing_where_it_was_lost(storage: Path, tmp_path: Path) -> None:
    """Invariant 9: no position stands where another one, or none, was known."""
    vtt = tmp_path / "out.vtt"
    path = export(make_recording(storage, located=walked(), sound_from=0), tmp_path, vtt=vtt)
    where = [(cue.from_s, cue.text[24:]) for cue in shown(path)]
    known = [f" BWV-0001 {NORTH + number / 1000:.6f}, {EAST:.6f} ±5 m" for number in range(3)]
    none = " BWV-0001"
    assert where == [
        (0.0, none), (0.4, known[0]), (1.0, known[0]), (1.4, known[1]), (2.0, known[1]), (2.4, known[2]),
        (3.0, known[2]), (3.4, none),
    ]  # fmt: skip
    assert all(
        (cue.utc.timestamp() - shown(path)[0].utc.timestamp()) == pytest.approx(cue.from_s) for cue in shown(path)
    )
    lines = vtt.read_text().splitlines()
    assert [line[24:] for line in lines if "BWV-0001" in line] == [text for _, text in where]


def test_pictures_with_a_stamp_have_the_position_alone(storage: Path, tmp_path: Path) -> None:
    path = export(make_recording(storage, located=walked(), stamped=True), tmp_path)
    assert {cue.text for cue in shown(path)} == {f"{NORTH + n / 1000:.6f}, {EAST:.6f} ±5 m" for n in range(3)}
    assert shown(path)[0].from_s == pytest.approx(0.4)
    assert shown(path)[-1].to_s == pytest.approx(3.4)


def test_sealed_positions_are_shown_by_who_can_open_them(storage: Path, tmp_path: Path) -> None:
    """What opens the recording opens them, and they are nowhere in the clear before."""
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]), located=walked())
    assert b"52.33" not in (folder / "manifest.jsonl").read_bytes()
    path = export(folder, tmp_path, identities=[identity])
    assert location(path).startswith("+52.3310")
    assert any("52.331000" in cue.text for cue in shown(path))


def test_a_recording_without_any_says_nothing(storage: Path, tmp_path: Path) -> None:
    path = export(make_recording(storage, stamped=True), tmp_path)
    assert "LocationInformation" not in located(path)
    assert location(path) == ""
    assert kinds(path) == ["video", "audio"]


@pytest.mark.parametrize(("latitude", "longitude"), [(1e9, 0.0), (0.0, -180.1), (91.0, 0.0)])
def test_what_is_no_place_on_earth_is_left_out(
    storage: Path, tmp_path: Path, latitude: float, longitude: float
) -> None:
    """A manifest may be of any origin: what it says must not end an export."""
    odd = Fix(START_NS, "", latitude, longitude, None, None, 2, None)
    path = export(make_recording(storage, located=[Located(START_NS, odd)]), tmp_path)
    assert location(path) == ""


def test_the_press_says_its_own_place(storage: Path, tmp_path: Path) -> None:
    """Invariant 9: what the record of the press says counts, and no record behind it; also that nobody knew it."""
    folder = make_recording(storage, press_located=Located(PRESS_NS, fix(1.4, 1)), located=[at(0.4), at(2.4, 2)])
    path = export(folder, tmp_path)
    assert "at the press" in located(path)["LocationInformation"]
    assert location(path).startswith("+52.3310")
    unknown = make_recording(storage, 2, press_located=Located(PRESS_NS, None), located=[at(0.4), at(2.4, 2)])
    path = export(unknown, tmp_path / "2")
    assert "first position" in located(path)["LocationInformation"]
    assert location(path).startswith("+52.3300")


def test_a_summary(storage: Path) -> None:
    """The one at the press is told again behind it, and the last one at the end: each is one position."""
    press = Located(PRESS_NS, fix(1.4, 1))
    folder = make_recording(storage, press_located=press, located=walked())
    found = positions(track_of(signed_records(folder)))
    assert found is not None
    assert (found.fixes, found.sealed) == (3, 0)
    assert found.press_text() == "52.331000, -4.893300 ±5 m, 0.6 s before the press"
    assert found.track_text() == (
        "3 positions, from 52.330000, -4.893300 ±5 m to 52.332000, -4.893300 ±5 m; lost 1 time"
    )
    [(from_ns, to_ns)] = found.losses
    assert from_ns == pytest.approx(3.4 * NS, abs=0.2 * NS)
    assert to_ns is None
    assert positions(track_of(signed_records(make_recording(storage, 2)))) is None


def test_a_summary_of_what_is_sealed(storage: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(identity.to_public())])
    press = Located(PRESS_NS, fix(1.4, 1))
    folder = make_recording(storage, sealer=sealer, press_located=press, located=walked())
    found = positions(track_of(signed_records(folder)))
    assert found is not None
    assert (found.fixes, found.sealed, found.first) == (0, 5, None)
    assert found.press_text() == "sealed, 0.6 s before the press: --identity FILE opens it"
    assert found.track_text() == "5 sealed positions; lost 1 time"
    opened = positions(track_of(signed_records(folder), [identity]))
    assert opened is not None
    assert (opened.fixes, opened.sealed, len(opened.losses)) == (3, 0, 1)
    assert verify_recording(folder).press_position == "sealed"
    assert entry(Place(folder)).position == "sealed"


def test_positions_before_the_recording_is_opened_count_for_nothing() -> None:
    track = Track()
    track.take(records.Position(n=1, at_ns=0, fix=None))
    assert track.places == []
