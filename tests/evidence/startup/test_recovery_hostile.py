"""A recording that was damaged or made up: recovery names what it finds, brings it to its end, and goes on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bwvd.evidence.export.catalogue import catalogue
from bwvd.evidence.export.describe import describe
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.decode import MAX_LINE
from bwvd.evidence.format.sums_text import parse_sums
from bwvd.evidence.startup.outcome import RecoveryResult
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.write.finalize import finish_recording
from bwvd.testing.flash.storage import VirtualVolume
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.storage_recording import SIGNER, new_volume, recording_id, verified, virtual_clock, write_recording

FOLDER = f"recordings/{recording_id(1)}"
MANIFEST = f"{FOLDER}/manifest.jsonl"
Tree = dict[str, bytes | None]


def start(volume: VirtualVolume) -> list[RecoveryResult]:
    return recover(volume, SIGNER, virtual_clock(), "boot-2", reserve=Reserve(0))


def recording(*, close: bool) -> Tree:
    volume = new_volume()
    write_recording(volume, 1, close=close, finish=False)
    return volume.tree()


def manifest(tree: Tree) -> list[records.ManifestRecord]:
    lines = (tree[MANIFEST] or b"").splitlines()[::2]
    return [msgspec.json.decode(line, type=records.ManifestRecord) for line in lines]


def signed_anew(tree: Tree, made_up: list[records.ManifestRecord]) -> VirtualVolume:
    """The volume with another manifest, every line of which is signed."""
    chain = Chain(SIGNER, MANIFEST_NAMESPACE)
    lines = [chain.line(msgspec.structs.replace(record, n=n)) for n, record in enumerate(made_up)]
    return VirtualVolume.from_state({**tree, MANIFEST: b"".join(lines)})


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("byte", [b"!", b"\x9a", b"A"])
def test_one_damaged_byte_of_the_init_segment(byte: bytes, close: bool) -> None:
    """Invariant 7: no signature holds from there on, so nothing is believed, and every file is named as it is."""
    tree = recording(close=close)
    whole = tree[MANIFEST]
    assert whole is not None
    at = whole.index(b'"init":"') + 60
    assert whole[at : at + 1] != byte
    tree[MANIFEST] = whole[:at] + byte + whole[at + 1 :]
    volume = VirtualVolume.from_state(tree)
    (result,) = start(volume)
    assert (result.error, result.segments) == ("", 0)
    assert [(found.what, found.where) for found in result.found] == [
        ("unsigned_lines", "manifest.jsonl"),
        *(("file_without_line", f"00000{number}.m4s") for number in (1, 2, 3)),
    ]
    assert {"000001.m4s", "manifest.jsonl"} <= parse_sums(volume.read(f"{FOLDER}/SHA256SUMS")).keys()
    assert verified(volume.tree(), 1).verdict == "altered"
    assert start(volume) == []


@pytest.mark.parametrize("init", ["A", "é", "AAA!", "=", "QUJD\n"])
@pytest.mark.parametrize("close", [False, True])
def test_a_signed_init_segment_that_is_no_base64(init: str, close: bool) -> None:
    tree = recording(close=close)
    opening, *others = manifest(tree)
    volume = signed_anew(tree, [msgspec.structs.replace(opening, init=init), *others])
    (result,) = start(volume)
    assert result.error == ""
    assert "init.mp4" not in volume.names(FOLDER)
    report = verified(volume.tree(), 1)
    assert report.verdict == "altered"
    assert any("init segment is not base64" in finding.what for finding in report.findings)
    assert start(volume) == []


def test_totals_that_no_record_can_hold() -> None:
    tree = recording(close=False)
    most = 2**63 - 1
    changed = [
        msgspec.structs.replace(record, frames=most, audio_frames=most, bytes=most, pts_ns=most, duration_ns=most)
        if isinstance(record, records.Segment)
        else record
        for record in manifest(tree)
    ]
    volume = signed_anew(tree, changed)
    assert [result.error for result in start(volume)] == [""]
    assert verified(volume.tree(), 1).verdict == "altered"
    assert [result.reason for result in start(volume)] == ["told"], "bytes that the record counts are gone"


@pytest.mark.parametrize("changes", [{"file": "000001.m4s"}, {"sha256": "0\n1"}, {"file": "SHA256SUMS"}])
def test_sums_are_sums_whatever_a_manifest_says(changes: dict[str, str]) -> None:
    """A file that is named twice, or a digest that is none, must not make SHA256SUMS unreadable at every start anew."""
    tree = recording(close=True)
    changed = [
        msgspec.structs.replace(record, **changes) if isinstance(record, records.Segment) else record
        for record in manifest(tree)
    ]
    volume = signed_anew(tree, changed)
    assert [result.error for result in start(volume)] == [""]
    assert parse_sums(volume.read(f"{FOLDER}/SHA256SUMS")).keys() >= {"000001.m4s", "000003.m4s", "manifest.jsonl"}
    assert start(volume) == []


def test_only_signed_lines_get_into_the_playlist() -> None:
    tree = recording(close=False)
    whole = tree[MANIFEST]
    assert whole is not None
    volume = VirtualVolume.from_state({**tree, MANIFEST: whole.replace(b'"segment":3', b'"segment":4')})
    start(volume)
    assert volume.read(f"{FOLDER}/index.m3u8").count(b"#EXTINF") == 2


def test_more_is_found_than_a_line_has_room_for() -> None:
    """A damaged first line of a long recording leaves each of its files without a line."""
    files: Tree = {f"{FOLDER}/{number:06d}.m4s": b"" for number in range(1, 9001)}
    volume = VirtualVolume.from_state({"recordings": None, FOLDER: None, **files})
    (result,) = start(volume)
    *named, rest = result.found
    assert (rest.what, rest.where) == ("not_named", f"{9001 - len(named)} more")
    line = volume.read(MANIFEST).splitlines()[0]
    assert MAX_LINE * 0.9 < len(line) < MAX_LINE
    assert files.keys() <= {f"{FOLDER}/{name}" for name in parse_sums(volume.read(f"{FOLDER}/SHA256SUMS"))}
    assert start(volume) == []


def test_lines_that_are_no_text_are_passed_over_by_who_lists_and_shows(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "storage")
    path = make_recording(storage, seconds=2) / "manifest.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"close"', b'"cl\xffse"').replace(b'"label":"a door"', b'"label":"a \xff door"'))
    assert [entry.end for entry in catalogue(storage)] == ["open"]
    assert describe(path.parent)["segments"] == 2
    path.write_bytes(b'{"type":"open","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}\n" + whole[whole.index(b'{"sig"') :])
    assert [entry.end for entry in catalogue(storage)] == ["unreadable"]
    assert describe(path.parent)["open"] is None


def test_the_writers_end_is_the_same_as_recoverys(tmp_path: Path) -> None:
    """What is whole is finished as it was: by the manifest alone, and the same when it is done again."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, other_camera_from=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with PosixVolume(storage) as volume:
        finish_recording(volume, f"recordings/{folder.name}", SIGNER)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert before["index.m3u8"].count(b"#EXT-X-MAP") == 2
