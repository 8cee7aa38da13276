"""The walk that finds recordings, and every command on one and the same folder: they find the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.evidence.verify.gather import Found, NothingThere, gather, walk
from tests.support.desk import export_proof, verify_paths
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer, write_key


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An agency's: a card, copies by day, and proofs, each at a depth of its own."""
    card = make_storage(tmp_path / "archive" / "cards" / "BWV-0001")
    first, second, third = (make_recording(card, serial, seconds=1) for serial in (1, 2, 3))
    day = tmp_path / "archive" / "recordings" / "2026" / "11" / "22"  # that a folder is called so makes no storage
    day.mkdir(parents=True)
    second.rename(day / second.name)
    proofs = tmp_path / "archive" / "recordings" / "2026" / "proofs"
    proofs.mkdir()
    export_proof(third, proofs / "p.zip")
    shutil.rmtree(third)
    (proofs / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))  # an archive of something else
    (tmp_path / "archive" / "notes").mkdir()
    (tmp_path / "archive" / "loop").symlink_to(tmp_path)
    assert first.is_dir()
    return tmp_path / "archive"


def bwvd(*words: object) -> Any:
    return CliRunner().invoke(main, [str(word) for word in words])


def ids(*words: object) -> list[str]:
    return sorted(one["id"] for one in json.loads(bwvd(*words).stdout) if one.get("kind", "recording") == "recording")


def test_every_command_finds_the_same_recordings(archive: Path, tmp_path: Path) -> None:
    """However deep they lie."""
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    write_key(tmp_path / "key", 7)
    signers = ("--signers", tmp_path / "signers")
    listed = ids("list", "--json", archive)
    assert [name[-6:] for name in listed] == ["000001", "000002", "000003"]
    assert ids("verify", "--json", *signers, archive) == listed
    signed = ("--key", tmp_path / "key", "--by", "desk", "-o", tmp_path / "receipts")
    assert ids("receipt", "--json", *signers, *signed, archive) == listed
    assert len(list((tmp_path / "receipts").glob("*.receipt.json"))) == 3
    done = bwvd("export", "--all", *signers, archive, "--proof", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == listed[:2]  # the third is a proof


def test_what_is_found(archive: Path) -> None:
    found = [(str(one.path.relative_to(archive)), one.kind) for one in walk(archive)]
    assert found[0] == ("cards/BWV-0001", "storage")
    assert [kind for _, kind in found] == ["storage", "recording", "proof"]
    assert found[1][0].startswith("recordings/2026/11/22/")
    reports = verify_paths([archive])
    assert [report.kind for report in reports] == ["storage", "recording", "recording", "recording"]


def test_a_verdict_in_a_list_is_the_one_of_verify(archive: Path, tmp_path: Path) -> None:
    """Invariant 13: a storage whose journal was taken away has the same verdict by both."""
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    judged: dict[str, str] = {}
    for verdict in ("altered", "authentic"):
        words = ("list", "--json", "--signers", tmp_path / "signers", "--verdict", verdict, archive)
        judged |= {one["path"]: one["verdict"] for one in json.loads(bwvd(*words).stdout)}
    reports = [report for report in verify_paths([archive]) if report.kind == "recording"]
    assert judged == {report.path: report.verdict for report in reports}


@pytest.mark.parametrize("left", ["000001.m4s", "SHA256SUMS"])
def test_a_manifest_that_was_taken_away_is_missed(archive: Path, left: str) -> None:
    """Invariant 7: whatever the folder is called, by what else lies in it."""
    day = archive / "recordings" / "2026" / "11" / "22"
    [recording] = day.iterdir()
    renamed = recording.rename(day / "x")
    for path in renamed.iterdir():
        if path.name != left:
            path.unlink()
    assert Found(renamed, "recording") in list(walk(archive))
    assert renamed in [place.path for place in gather(archive)]
    [report] = [report for report in verify_paths([archive]) if report.path == str(renamed)]
    assert not report.good


def test_what_can_not_be_read_is_told(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a proof that was cut, and of a folder that is not for this user."""
    (archive / "cut.zip").write_bytes((archive / "recordings/2026/proofs/p.zip").read_bytes()[:1000])
    found = {one.path.name: one for one in walk(archive)}
    assert found["cut.zip"].kind == "unreadable"
    assert "not a readable ZIP" in found["cut.zip"].why
    assert [report.verdict for report in verify_paths([archive])].count("unreadable") == 1
    places = gather(archive)
    assert [place.path.name for place in places if place.why] == ["cut.zip"]
    assert len(places) == 4


def test_every_command_names_what_can_not_be_read(archive: Path, tmp_path: Path) -> None:
    """Invariant 7: a proof that was cut, or lies here empty, is no folder without a proof."""
    (archive / "cut.zip").write_bytes((archive / "recordings/2026/proofs/p.zip").read_bytes()[:1000])
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    signers = ("--signers", tmp_path / "signers")
    done = bwvd("list", archive)
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if "unreadable" in line] == ["cut.zip"]
    assert done.stderr == f"bwvd: {archive}/cut.zip: not a readable ZIP: File is not a zip file\n"
    assert [one["end"] for one in json.loads(bwvd("list", "--json", archive).stdout)].count("unreadable") == 1
    done = bwvd("list", "--json", "--verdict", "unreadable", *signers, archive)
    assert [one["id"] for one in json.loads(done.stdout)] == ["cut.zip"]
    assert "1 recording left out: not readable" in bwvd("list", "--marker", "", archive).stderr
    done = bwvd("export", "--all", *signers, archive, "--proof", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{archive}/cut.zip: not a readable ZIP" in done.stderr
    assert done.stdout.endswith("2 of 3 recordings exported\n")


def test_what_is_no_place_for_recordings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "none"):
        with pytest.raises(NothingThere):
            gather(tmp_path / name)
    assert gather(tmp_path) == []
    [report] = verify_paths([tmp_path])
    assert (report.verdict, report.findings[0].what) == ("unreadable", "there is no recording in it, and no proof")


def test_an_unpacked_proof_is_told_from_a_card_without_its_journal(archive: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(archive / "recordings/2026/proofs/p.zip", tmp_path / "x")
    report = verify_paths([tmp_path / "x"])[0]
    assert report.findings[0].what == "is missing: an unpacked proof has none, name the recording in it"
