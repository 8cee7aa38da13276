"""A proof alone shows that its recording is one of a gapless row, which came before and after, and how each ended."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format.records import Before
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify import storage as module
from bwvd.evidence.verify.neighbours import NEXT
from bwvd.evidence.verify.report import Neighbour, Report
from bwvd.evidence.write.row import Row
from bwvd.testing.clock import VirtualClock
from tests.support.desk import export_proof, verify_proof, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.format_stranger import Wrong, check_row
from tests.support.proofs import good, run_readme, unpack

CLOCK = VirtualClock(seconds=lambda: 9.0)


class SaysNothing(Row):
    """An earlier version, whose recordings named nobody."""

    def before(self, _recording: str) -> Before | None:
        return None


def row_of(storage: Path, *serials: int, row: Row | None = None) -> list[Path]:
    """Recordings, one after the other, each closed before the next begins."""
    row = row or Row()
    return [make_recording(storage, serial, row=row, seconds=1) for serial in serials]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def proof_of(recording: Path, out: Path) -> Path:
    export_proof(recording, out)
    return out


def verified(proof: Path) -> Report:
    (report,) = verify_proof(proof)
    return report


def with_next(proof: Path, content: bytes | None, out: Path) -> Path:
    """The proof with another NEXT, or with none."""
    with zipfile.ZipFile(proof) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            if info.filename != NEXT:
                target.writestr(info, source.read(info))
        if content is not None:
            target.writestr(NEXT, content)
    return out


def pair_of(recording: Path) -> bytes:
    return b"".join((recording / "manifest.jsonl").read_bytes().splitlines(keepends=True)[:2])


def stranger(proof: Path, to: Path) -> tuple[object, str]:
    folder = unpack(proof, to)
    (recording,) = (folder / "recordings").iterdir()
    following = folder / NEXT
    return check_row(recording, following.read_bytes() if following.exists() else None)


def test_both_neighbours_are_named_and_checked(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: by bwvd, by a verifier of the format's text alone, and by stock tools."""
    first, second, third = row_of(storage, 1, 2, 3)
    proof = proof_of(second, tmp_path / "p.zip")
    report = verified(proof)
    assert (report.verdict, report.findings, report.notes) == ("authentic", [], [])
    assert report.before == Neighbour(1, first.name, "closed", 1)
    assert report.after == Neighbour(3, third.name, "opened")
    before, after = stranger(proof, tmp_path / "s")
    assert isinstance(before, dict)
    assert (before["recording"], before["event"], after) == (first.name, "closed", third.name)
    done = run_readme(tmp_path / "s")
    assert good(done), done
    assert f'"before":{{"serial":1,"recording":"{first.name}","event":"closed","segments":1' in done.stdout
    assert f'"recording":"{third.name}"' in done.stdout


def test_it_was_made_before_the_next_one_was(storage: Path, tmp_path: Path) -> None:
    (only,) = row_of(storage, 1)
    report = verified(proof_of(only, tmp_path / "p.zip"))
    assert report.verdict == "authentic"
    assert (report.before, report.after) == (Neighbour(0, "", ""), None)
    assert "the newest when this was exported, or what came after was left out" in report.notes[0].what
    assert stranger(tmp_path / "p.zip", tmp_path / "s")[1] == ""
    assert good(run_readme(tmp_path / "s"))
    assert "the newest that lay there" in (tmp_path / "s/README.txt").read_text()


def test_a_version_that_named_nobody(storage: Path, tmp_path: Path) -> None:
    """A recording of format 1 as it was stays what it is."""
    _, second, _ = row_of(storage, 1, 2, 3, row=SaysNothing())
    report = verified(proof_of(second, tmp_path / "p.zip"))
    assert (report.verdict, report.before, report.after) == ("authentic", None, None)
    assert "not told" in report.notes[0].what
    assert stranger(tmp_path / "p.zip", tmp_path / "s") == (None, "")
    assert good(run_readme(tmp_path / "s"))


def test_the_next_one_is_of_a_version_that_named_nobody(storage: Path, tmp_path: Path) -> None:
    (first,) = row_of(storage, 1)
    (second,) = row_of(storage, 2, row=SaysNothing())
    proof = proof_of(first, tmp_path / "p.zip")
    assert verified(proof).after is None
    planted = verified(with_next(proof, pair_of(second), tmp_path / "q.zip"))
    assert planted.verdict == "authentic"
    assert any("names no recording before it" in note.what for note in planted.notes)


def test_the_one_before_had_no_end_yet(storage: Path, tmp_path: Path) -> None:
    """It was broken off, and what went on after it began before it was brought to its end."""
    row = Row()
    first = make_recording(storage, 1, row=row, seconds=1, close="")
    second = make_recording(storage, 2, row=row, seconds=1)
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), CLOCK, "boot-2", reserve=Reserve(0))
    proof = proof_of(first, tmp_path / "p.zip")
    assert verified(proof).verdict == "recovered"
    assert verified(proof).after == Neighbour(2, second.name, "opened")
    assert good(run_readme(unpack(proof, tmp_path / "s")))
    assert stranger(proof, tmp_path / "t")[1] == second.name


def test_the_next_one_never_began(storage: Path, tmp_path: Path) -> None:
    """The power went as its folder was made: the record that says so names itself, and the one before."""
    first, second = row_of(storage, 1, 2)
    for path in second.iterdir():
        path.unlink()
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), CLOCK, "boot-2", reserve=Reserve(0))
    proof = proof_of(first, tmp_path / "p.zip")
    assert verified(proof).after == Neighbour(2, second.name, "never begun")
    assert good(run_readme(unpack(proof, tmp_path / "s")))
    assert stranger(proof, tmp_path / "t")[1] == second.name
    assert verified(proof_of(second, tmp_path / "q.zip")).before == Neighbour(1, first.name, "closed", 1)


# --- who wants to hide one -------------------------------------------------------------------------------------------


def left_out(storage: Path, _: Path) -> bytes:
    """The third is removed, and the fourth put in its place."""
    return pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000004")


def itself(storage: Path, _: Path) -> bytes:
    return pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000002")


def renumbered(storage: Path, _: Path) -> bytes:
    return pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000004").replace(b"000003", b"000002")


def of_another_storage(_: Path, elsewhere: Path) -> bytes:
    """The same device, numbers and ids; what lies there was another recording."""
    row = Row()
    make_recording(make_storage(elsewhere), 2, row=row, seconds=2)
    return pair_of(make_recording(elsewhere, 3, row=row, seconds=1))


def of_another_key(storage: Path, elsewhere: Path) -> bytes:
    """All that it says is so."""
    row = Row()
    his = make_storage(elsewhere)
    shutil.copytree(storage / "recordings", his / "recordings", dirs_exist_ok=True)
    shutil.rmtree(his / "recordings" / "20261122T071505Z-BWV-0001-000003")
    genuine = pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000003")
    digest = genuine.split(b'"manifest_sha512":"')[1][:128].decode()
    row.ended("20261122T071505Z-BWV-0001-000002", "closed", 1, digest)
    return pair_of(make_recording(his, 3, row=row, seconds=1, signer=fixed_signer(2)))


def a_flipped_bit(storage: Path, _: Path) -> bytes:
    whole = bytearray(pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000003"))
    whole[100] ^= 1
    return bytes(whole)


def a_record_alone(storage: Path, _: Path) -> bytes:
    return pair_of(storage / "recordings" / "20261122T071505Z-BWV-0001-000003").splitlines(keepends=True)[0]


def more_than_one(storage: Path, _: Path) -> bytes:
    return (storage / "recordings" / "20261122T071505Z-BWV-0001-000003" / "manifest.jsonl").read_bytes()


def nothing(_: Path, __: Path) -> bytes:
    return b""


@pytest.mark.parametrize(
    "forge",
    [left_out, itself, renumbered, of_another_storage, of_another_key, a_flipped_bit, a_record_alone, nothing],
)
def test_what_hides_a_neighbour_is_found(storage: Path, tmp_path: Path, forge: Callable[[Path, Path], bytes]) -> None:
    """Invariant 7: by bwvd, by the stranger, and by the commands of the genuine README."""
    _, second, _, _ = row_of(storage, 1, 2, 3, 4)
    genuine = proof_of(second, tmp_path / "p.zip")
    forged = with_next(genuine, forge(storage, tmp_path / "his"), tmp_path / "q.zip")
    report = verified(forged)
    assert report.verdict == "altered"
    assert all(NEXT in finding.where for finding in report.findings)
    with pytest.raises((Wrong, LookupError, ValueError)):
        stranger(forged, tmp_path / "s")
    assert run_readme(tmp_path / "s").returncode != 0


def test_more_than_its_first_record_is_no_neighbour(storage: Path, tmp_path: Path) -> None:
    """Other people's data does not belong in a proof."""
    _, second, _ = row_of(storage, 1, 2, 3)
    proof = with_next(proof_of(second, tmp_path / "p.zip"), more_than_one(storage, tmp_path), tmp_path / "q.zip")
    assert verified(proof).verdict == "altered"


def test_an_end_that_was_cut_and_signed_anew(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: the device itself, without its journal, ends a cut recording; the next one remembers."""
    _, second, _ = row_of(storage, 1, 2, 3)
    manifest = second / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-2]))
    for made in ("SHA256SUMS", "SHA256SUMS.sig"):
        (second / made).unlink()
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), CLOCK, "boot-2", reserve=Reserve(0))
    with pytest.raises(ExportRefused, match="another manifest"):
        export_proof(second, tmp_path / "p.zip")
    reports = {report.serial: report for report in verify_storage(storage) if report.kind == "recording"}
    assert reports[2].verdict == "altered"
    assert any("says that this one was closed" in finding.what for finding in reports[2].findings)


def test_a_recording_that_names_another_number_before_it(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: nothing of ours signs that; a key that was taken away may."""

    class Skips(Row):
        def before(self, _recording: str) -> Before | None:
            return Before(1, "20261122T071505Z-BWV-0001-000001", "closed", 1)

    make_recording(storage, 3, row=Skips(), seconds=1)
    (report,) = [report for report in verify_storage(storage) if report.kind == "recording"]
    assert "number 3, and number 1 before it" in report.findings[0].what


def test_one_that_ended_while_the_storage_was_read(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read without its end, and the next one, which names that end, was read behind it: no alteration."""
    first, _ = row_of(storage, 1, 2)
    whole = {path: path.read_bytes() for path in first.iterdir()}
    first.joinpath("manifest.jsonl").write_bytes(
        b"".join(whole[first / "manifest.jsonl"].splitlines(keepends=True)[:-2])
    )
    for name in ("SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4"):
        (first / name).unlink()
    once = module.verify_beside

    def ends_behind(place: Path, *args: Any, **options: Any) -> Any:
        check = once(place, *args, **options)
        if place.name == first.name:
            for path, content in whole.items():
                path.write_bytes(content)
        return check

    monkeypatch.setattr(module, "verify_beside", ends_behind)
    reports = [report for report in verify_storage(storage) if report.kind == "recording"]
    assert [report.verdict for report in reports] == ["authentic", "authentic"]
