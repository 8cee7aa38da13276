"""Where it was recorded, in the credentials of an export: only if wanted, in the words of Exif, for C2PA's readers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bwvd.evidence.export.exif import exif_position
from bwvd.evidence.format import records
from bwvd.messages import Located
from tests.evidence.export.test_credentials import claims, export, reader
from tests.evidence.export.test_track import at, fix, location
from tests.support.certificates import Chain, make_chain
from tests.support.evidence_folder import PRESS_NS, make_recording, make_storage
from tests.support.evidence_keys import fixed_signer


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    return make_storage(tmp_path / "storage")


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return make_chain(tmp_path / "pki")


def walked(serial: int, storage: Path, **options: Any) -> Path:
    one = fix(1.4, 1)
    return make_recording(
        storage, serial, press_located=Located(PRESS_NS, replace(one, utc="2026-11-22T07:15:04.000Z")),
        located=[at(0.4), at(2.4, 2)], **options,
    )  # fmt: skip


def words_of(path: Path, chain: Chain) -> str:
    """All that the reader has of the credentials, those of what it was made of included."""
    return str(reader(path, chain).json())


def test_the_position_is_in_them_only_where_it_is_wanted(storage: Path, tmp_path: Path, chain: Chain) -> None:
    """The MP4's own box has it either way; what is signed for others has it if somebody said so."""
    folder, out = walked(1, storage), tmp_path / "out.mp4"
    assert export(storage, chain, folder, "-o", out).exit_code == 0
    assert location(out).startswith("+52.3310")
    for word in ("GPS", "exif", "52.33", "52,19", "position"):
        assert word not in words_of(out, chain), word
    done = export(storage, chain, folder, "-o", tmp_path / "said.mp4", "--c2pa-position")
    assert (done.exit_code, done.stderr) == (0, "")
    found = reader(tmp_path / "said.mp4", chain)
    assert found.get_validation_state() == "Trusted"
    manifest = found.get_active_manifest()
    [data] = [each["data"] for each in manifest["assertions"] if each["label"] == "c2pa.metadata"]
    assert data == {
        "@context": {"exif": "http://ns.adobe.com/exif/1.0/"},
        "exif:GPSVersionID": "2.3.0.0",
        "exif:GPSLatitude": "52,19.860000N",
        "exif:GPSLongitude": "4,53.598000W",
        "exif:GPSMapDatum": "WGS-84",
        "exif:GPSMeasureMode": "3",
        "exif:GPSAltitudeRef": 0,
        "exif:GPSAltitude": "1250/100",
        "exif:GPSHPositioningError": "500/100",
        "exif:GPSSatellites": "8",
        "exif:GPSDateStamp": "2026:11:22",
        "exif:GPSTimeStamp": "07:15:04",
    }
    assert claims(manifest)["position"] == "at the press"


def test_a_cut_says_the_place_of_what_is_in_it(storage: Path, tmp_path: Path, chain: Chain) -> None:
    """And a clip of that MP4 has no word of its own on it, but its history does."""
    out, clip = tmp_path / "out.mp4", tmp_path / "clip.mp4"
    export(storage, chain, walked(1, storage), "-o", out, "--c2pa-position", "--from", "2")
    manifest = reader(out, chain).get_active_manifest()
    [data] = [each["data"] for each in manifest["assertions"] if each["label"] == "c2pa.metadata"]
    assert data["exif:GPSLatitude"] == "52,19.860000N"
    assert claims(manifest)["position"] == "first position"
    assert export(storage, chain, out, "-o", clip, "--to", "1").exit_code == 0
    assert "GPS" not in str(reader(clip, chain).get_active_manifest()["assertions"])
    assert "GPS" in words_of(clip, chain)
    assert location(clip) == ""
    done = export(storage, chain, out, "-o", tmp_path / "no.mp4", "--c2pa-position")
    assert (done.exit_code, "--c2pa-position is for a recording" in done.stderr) == (2, True)


def test_a_place_that_nobody_knows_or_can_open_is_not_said(storage: Path, tmp_path: Path, chain: Chain) -> None:
    done = export(storage, chain, make_recording(storage), "-o", tmp_path / "out.mp4", "--c2pa-position")
    assert (done.exit_code, done.stderr) == (
        0, "bwvd: out.mp4: no position of it is known, and its credentials have none\n",
    )  # fmt: skip
    assert "GPS" not in words_of(tmp_path / "out.mp4", chain)
    done = export(storage, None, make_recording(storage, 2), "-o", tmp_path / "2.mp4", "--c2pa-position")
    assert (done.exit_code, "goes with --c2pa" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("degrees", "sides", "said"),
    [
        (0.0, "NS", "0,0.000000N"),
        (-0.5, "NS", "0,30.000000S"),
        (52.99999999999, "NS", "53,0.000000N"),
        (-179.9999999, "EW", "179,59.999994W"),
        (180.0, "EW", "180,0.000000E"),
    ],
)
def test_an_angle_in_xmp(degrees: float, sides: str, said: str) -> None:
    one = records.Fix(
        stamp=records.Stamp(mono_ns=0, utc="", quality="free"), utc="", latitude=degrees if sides == "NS" else 0.0,
        longitude=degrees if sides == "EW" else 0.0, altitude_m=-3.0, error_m=None, mode=2, satellites=None,
    )  # fmt: skip
    found = exif_position(one)
    assert "exif:GPSTimeStamp" not in found  # the receiver gave none
    assert found["exif:GPSLatitude" if sides == "NS" else "exif:GPSLongitude"] == said
    assert (found["exif:GPSAltitudeRef"], found["exif:GPSAltitude"]) == (1, "300/100")
