"""Names on a card that are no text, or that a terminal or a reader of lines would obey, wherever they are taken."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from bwvd.evidence.export.describe import describe
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.file_names import harmless, original
from bwvd.evidence.format.sums_text import parse_sums
from bwvd.evidence.release.handing_in import ReleaseRefused
from bwvd.evidence.release.release import finish_releases
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of
from bwvd.evidence.startup.recovery import recover
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from tests.evidence.release.test_release import opened, receipt_for, releasing, run
from tests.support.desk import export_proof, verify_proof, verify_recording, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.format_stranger import check_recording
from tests.support.rig import Rig, configuration
from tests.support.storage_recording import SIGNER, new_volume, recording_id, virtual_clock, write_recording

HOSTILE = (b"\xff.m4s", b"\xfe.m4s", b"a\nb", b"\x1b[31m.m4s", b"\\udcff.m4s", b"back\\slash", b"\xc2\x9b", b"end\r")
NAMES = [os.fsdecode(name) for name in HOSTILE]


def start(volume: PosixVolume | VirtualVolume) -> list[RecoveryResult]:
    return recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 100.0), "boot-2", reserve=Reserve(0))


def planted(storage: Path, *, close: str = "") -> Path:
    """A recording's folder with files of such names, put in order as a start does."""
    folder = make_recording(make_storage(storage), close=close, seconds=1, finish=False)
    for number, name in enumerate(HOSTILE):
        (folder / os.fsdecode(name)).write_text(f"content {number}")
    with PosixVolume(storage) as volume:
        assert [result.error for result in start(volume)] == [""]
        assert start(volume) == []
    return folder


@given(st.binary(max_size=40).map(os.fsdecode))
def test_any_name_becomes_text_and_none_becomes_anothers(name: str) -> None:
    written = harmless(name)
    assert written.encode().decode() == written
    assert original(written) == name
    assert all(ord(character) >= 32 for character in written)


@pytest.mark.parametrize("name", ["000001.m4s", "sealed-000001.json.age", "Überwachung.mp4", "a b", "000001.m4s/"])
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    assert harmless(name) == name


def test_files_of_such_names_in_a_recording_without_an_end(tmp_path: Path) -> None:
    """Invariant 7: each is named in a way of its own, with its digest, and stock tools check all the others."""
    folder = planted(tmp_path / "storage")
    ended = msgspec.json.decode((folder / "manifest.jsonl").read_bytes().splitlines()[-2], type=records.Recovered)
    assert {original(found.where) for found in ended.found} == set(NAMES)
    assert len({found.where for found in ended.found}) == len(HOSTILE)
    assert not parse_sums((folder / "SHA256SUMS").read_bytes()).keys() & set(NAMES)
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    assert verify_recording(folder).verdict == "recovered"
    assert check_recording(folder) == 1
    assert describe(folder)["segments"] == 1


@pytest.mark.parametrize("name", NAMES)
def test_such_a_file_that_is_changed_afterwards_is_found(tmp_path: Path, name: str) -> None:
    """Invariant 7."""
    folder = planted(tmp_path / "storage")
    (folder / name).write_text("something else")
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert all(finding.where.isprintable() for finding in report.findings)


def test_names_that_look_alike_when_they_are_written_are_not_taken_for_each_other(tmp_path: Path) -> None:
    """Invariant 7: the byte ff, and the six characters that it would be shown as."""
    folder = planted(tmp_path / "storage")
    (folder / NAMES[0]).rename(folder / "aside")
    (folder / NAMES[4]).rename(folder / NAMES[0])
    (folder / "aside").rename(folder / NAMES[4])
    assert verify_recording(folder).verdict == "altered"


def test_files_of_such_names_in_a_closed_recording(tmp_path: Path) -> None:
    """Somebody put them there: the recording is finished all the same, and they are found."""
    folder = planted(tmp_path / "storage", close="stop")
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=folder, check=True, capture_output=True)
    report = verify_storage(tmp_path / "storage")[-1]
    assert report.verdict == "altered"
    assert sum("no record names this file" in finding.what for finding in report.findings) == len(HOSTILE)


def test_a_proof_holds_them_under_the_names_that_are_signed(tmp_path: Path) -> None:
    folder = planted(tmp_path / "storage")
    export_proof(folder, tmp_path / "proof.zip")
    assert [report.verdict for report in verify_proof(tmp_path / "proof.zip")] == ["recovered"]


@pytest.mark.parametrize("name", ["20261122T071505Z-\udcfe-000009", "20261122T071505Z-\x1b[31m-000009"])
async def test_the_daemon_starts_beside_a_folder_of_such_a_name(
    autojump_clock: trio.testing.MockClock, name: str
) -> None:
    """Invariant 5: it is no folder of this device, and stays; the journal takes its name, and a press records."""
    volume = VirtualVolume.from_state({"recordings": None, f"recordings/{name}": None})
    for life in (1, 2):
        rig = Rig(configuration(loop={"seconds": 2}, recording={"post_roll_s": 1}), volume=volume)
        async with rig.running():
            await trio.sleep(3)
            assert (await rig.press()).ok
            await trio.sleep(1)
            await rig.stop()
            await rig.closed()
        assert volume.names(f"recordings/{name}") == []
        assert volume.read("journal.jsonl").count(msgspec.json.encode(harmless(name))) == 1
        assert f"{9 + life:06d}" in "".join(rig.recordings())


def test_the_journal_takes_such_a_name_from_a_recovery() -> None:
    (draft,) = drafts_of([RecoveryResult("\udcfe", 9, "unknown", error="Input/output error")], virtual_clock().read())
    assert msgspec.json.decode(msgspec.json.encode(draft.detail))["recording"] == harmless("\udcfe")


@pytest.mark.parametrize("name", NAMES)
def test_a_release_says_what_keeps_it_back_and_removes_what_is_named(name: str) -> None:
    """Invariant 8."""
    volume = new_volume()
    opened(volume)
    write_recording(volume, 1)
    write_recording(volume, 2, close=False)
    volume.create(f"recordings/{recording_id(2)}/{name}").close()
    recover(volume, SIGNER, virtual_clock(), "boot-2", reserve=Reserve(0))
    volume.create(f"recordings/{recording_id(1)}/{name}").close()
    with pytest.raises(ReleaseRefused) as raised:
        run(releasing(volume, receipt_for(volume.tree(), 1)))
    assert harmless(name) in str(raised.value)
    assert str(raised.value).encode()
    run(releasing(volume, receipt_for(volume.tree(), 2)))
    assert f"recordings/{recording_id(2)}" not in volume.tree()


def test_a_release_that_is_not_finished_is_told_in_text() -> None:
    volume = new_volume()
    opened(volume)
    write_recording(volume, 1)
    release = releasing(volume, receipt_for(volume.tree(), 1))
    while not release.entered:
        release.step()
    for name in NAMES:
        volume.create(f"recordings/{recording_id(1)}/{name}").close()
    (complaint,) = finish_releases(volume, opened(volume))
    assert complaint.encode()
    assert complaint.isprintable()
