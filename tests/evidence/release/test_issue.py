"""Receipts that a desk signs: for whole, good, durable copies alone, and once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.release import issue as module
from bwvd.evidence.release.issue import Desk, Issued, NoReceipt, issue, issue_archive, look
from bwvd.evidence.release.receipt import accept_archive_receipt, accept_receipt
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.report import Report, Severity
from tests.support.desk import export_proof, verify_paths, verify_recording, verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer, stock_verify
from tests.support.storage_recording import virtual_clock

DESK = fixed_signer(7)
LINE = f'evidence-desk namespaces="bwvd-receipt" {DESK.public_key}\n'
RECEIVED = "2026-11-22T19:02:11.000Z"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of a closed recording, in a folder of copies."""
    kept = make_recording(make_storage(tmp_path / "card"), seconds=2)
    return Path(shutil.copytree(kept, tmp_path / "copies" / kept.name))


def sign(report: Report, folder: Path, *, signer: KeySigner = DESK, by: str = "evidence-desk") -> Issued:
    folder.mkdir(exist_ok=True)
    return issue(report, Desk(signer, by, folder), received_utc=RECEIVED)


def refusal(report: Report, folder: Path, error: type[EvidenceError] = NoReceipt) -> str:
    """Why there is none; nothing is left in the folder."""
    with pytest.raises(error) as raised:
        sign(report, folder)
    assert list(folder.iterdir()) == []
    assert "\n" not in str(raised.value)
    return str(raised.value)


def accepted(issued: Issued) -> str:
    """The manifest's digest, as a camera that lists the desk's key reads it."""
    signature = issued.path.with_name(issued.path.name + ".sig").read_bytes()
    signers = [AllowedSigners.parse(LINE.encode(), "receivers")]
    return accept_receipt(issued.path.read_bytes(), signature, signers, time.time()).receipt.manifest_sha512


def test_a_camera_takes_it(copy: Path, tmp_path: Path) -> None:
    issued = sign(verify_recording(copy), tmp_path / "receipts")
    assert issued == Issued(tmp_path / "receipts" / f"{copy.name}.receipt.json", new=True)
    assert accepted(issued) == hashlib.sha512((copy / "manifest.jsonl").read_bytes()).hexdigest()
    assert {path.stat().st_mode & 0o777 for path in issued.path.parent.iterdir()} == {0o644}


def test_the_stock_tool_verifies_it(copy: Path, tmp_path: Path) -> None:
    issued = sign(verify_recording(copy), tmp_path / "receipts")
    (tmp_path / "list").write_text(LINE)
    signature = issued.path.with_name(issued.path.name + ".sig")
    text = issued.path.read_bytes()
    assert stock_verify(tmp_path / "list", "evidence-desk", "bwvd-receipt", signature, text)
    assert not stock_verify(tmp_path / "list", "evidence-desk", "bwvd-receipt", signature, text + b" ")


def test_a_recovered_recording_with_a_torn_line_gets_one(tmp_path: Path) -> None:
    """Its digest is of all bytes, also of those that only a later record names."""
    storage = make_storage(tmp_path / "card")
    kept = make_recording(storage, seconds=2, close="")
    with (kept / "manifest.jsonl").open("ab") as file:
        file.write(b'{"type":"segm')
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), virtual_clock(), "boot-2", reserve=Reserve(4096))
    report = verify_recording(kept)
    assert report.verdict == "recovered"
    digest = hashlib.sha512((kept / "manifest.jsonl").read_bytes()).hexdigest()
    assert accepted(sign(report, tmp_path / "receipts")) == digest


def test_a_proof_is_a_copy(copy: Path, tmp_path: Path) -> None:
    made = export_proof(copy, tmp_path / "proof.zip")
    (report,) = verify_paths([made.path])
    digest = hashlib.sha512((copy / "manifest.jsonl").read_bytes()).hexdigest()
    assert accepted(sign(report, tmp_path / "receipts")) == digest


# --- what gets none --------------------------------------------------------------------------------------------------


def cut(folder: Path) -> None:
    with (folder / "000002.m4s").open("r+b") as file:
        file.truncate(100)


def removed(folder: Path) -> None:
    (folder / "000002.m4s").unlink()


def without_an_end(folder: Path) -> None:
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[:-2]))
    for name in ("SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4"):
        (folder / name).unlink()


def something_behind_the_end(folder: Path) -> None:
    with (folder / "manifest.jsonl").open("ab") as file:
        file.write(b'{"type":')


@pytest.mark.parametrize("spoil", [cut, removed, without_an_end, something_behind_the_end])
def test_a_copy_that_is_not_whole(spoil: Callable[[Path], None], copy: Path, tmp_path: Path) -> None:
    """Invariant 8: with its receipt the camera would delete what is nowhere else."""
    spoil(copy)
    assert verify_recording(copy).verdict in ("altered", "not_closed")
    assert copy.name in refusal(verify_recording(copy), tmp_path / "receipts")


def test_what_nobody_vouches_for(copy: Path, tmp_path: Path) -> None:
    """Invariant 14: whoever can exchange a recording can sign it with a key of his own."""
    assert "unvouched" in refusal(verify_recording(copy, signers=None), tmp_path / "receipts")


def test_the_gravest_of_several_reasons_is_given(copy: Path, tmp_path: Path) -> None:
    """Invariant 7: what is found first need not be what is wrong."""
    removed(copy)
    report = verify_recording(copy, signers=None)
    assert report.findings[0].severity is Severity.UNVOUCHED
    said = refusal(report, tmp_path / "receipts")
    assert "is altered: 00000" in said
    assert "vouches" not in said


def test_an_excerpt(copy: Path, tmp_path: Path) -> None:
    """Invariant 8: it is good, and the rest of it is only on the camera."""
    made = export_proof(copy, tmp_path / "excerpt.zip", from_s=1.0)
    (report,) = verify_paths([made.path])
    assert (report.verdict, report.good) == ("excerpt", True)
    assert "is an excerpt" in refusal(report, tmp_path / "receipts")


def test_a_single_segment(copy: Path, tmp_path: Path) -> None:
    """Invariant 8: all else of the recording may be gone."""
    (report,) = verify_paths([copy / "000001.m4s"])
    assert report.good
    assert "a receipt is for a whole recording" in refusal(report, tmp_path / "receipts")


def test_a_recording_that_the_key_itself_has_signed(copy: Path, tmp_path: Path) -> None:
    """Invariant 8: a camera, or who has stolen its key, acknowledges nothing."""
    with pytest.raises(NoReceipt, match="this very key"):
        sign(verify_recording(copy), tmp_path / "receipts", signer=fixed_signer())


def test_an_id_that_is_a_path(copy: Path, tmp_path: Path) -> None:
    report = replace(verify_recording(copy), id="../../etc/x")
    assert "no recording's id" in refusal(report, tmp_path / "receipts")


def test_a_running_cameras_own_storage(tmp_path: Path) -> None:
    """Invariant 8: what a running camera holds is no copy."""
    kept = make_recording(make_storage(tmp_path / "card"), seconds=1)
    lock = os.open(tmp_path / "card" / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "a camera that is running" in refusal(verify_recording(kept), tmp_path / "receipts")
    finally:
        os.close(lock)
    assert sign(verify_recording(kept), tmp_path / "receipts").new  # a copied storage has the file, and no lock


def test_the_cameras_storage_by_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 8: from inside the recording, and through a link."""
    kept = make_recording(make_storage(tmp_path / "card"), seconds=1)
    (tmp_path / "link").symlink_to(kept)
    lock = os.open(tmp_path / "card" / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.chdir(kept)
        for path in (".", tmp_path / "link"):
            assert "a camera that is running" in refusal(verify_recording(path), tmp_path / "receipts")
    finally:
        os.close(lock)


def test_a_receipt_is_no_part_of_a_recording(copy: Path) -> None:
    """Invariant 7: what is put into its folder alters it."""
    before = sorted(copy.iterdir())
    with pytest.raises(NoReceipt, match="where nothing is ever added"):
        sign(verify_recording(copy), copy)
    assert sorted(copy.iterdir()) == before
    assert verify_recording(copy).verdict == "authentic"


@pytest.mark.parametrize("when", ["before it is durable", "after"])
def test_a_copy_that_is_cut_after_it_was_verified(
    when: str, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 8: also if what cuts it sets the time of the file back."""
    before = look(copy.parent)
    report = verify_recording(copy)

    def cut_and_backdate() -> None:
        stat = (copy / "000002.m4s").stat()
        cut(copy)
        os.utime(copy / "000002.m4s", ns=(stat.st_atime_ns, stat.st_mtime_ns))

    settle = module._settle

    def settling(place: Path) -> None:
        settle(place)
        cut_and_backdate()

    if when == "after":
        monkeypatch.setattr(module, "_settle", settling)
    else:
        cut_and_backdate()
    (tmp_path / "receipts").mkdir()
    with pytest.raises(NoReceipt, match="has changed"):
        issue(report, Desk(DESK, "desk", tmp_path / "receipts"), received_utc=RECEIVED, before=before)
    assert list((tmp_path / "receipts").iterdir()) == []


def test_every_file_and_folder_is_durable_first(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 8: a copy of a moment ago may be in memory alone."""
    synced: set[str] = set()
    fsync = os.fsync

    def noting(fd: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noting)
    sign(verify_recording(copy), tmp_path / "receipts")
    wanted = {*copy.iterdir(), copy, copy.parent, tmp_path}
    assert {str(path.resolve()) for path in wanted} - synced == set()


def test_a_copy_that_can_not_be_made_durable(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    assert "can't be made durable" in refusal(verify_recording(copy), tmp_path / "receipts")


# --- archives of the journal -----------------------------------------------------------------------------------------

ARCHIVES = ("journal-000001.jsonl", "journal-000002.jsonl")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A copied storage whose journal has two archives."""
    place = make_storage(tmp_path / "copied")
    with PosixVolume(place) as volume:
        for _ in range(2):
            journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
            journal.append([Draft("x", {"text": "x" * 500}, virtual_clock().read())] * 80)
            journal.append([])
            journal.close()
    assert {name for name in ARCHIVES if (place / name).exists()} == set(ARCHIVES)
    return place


def sign_archives(storage: Path, folder: Path, *, signer: KeySigner = DESK, signers: object = ...) -> list[Issued]:
    report = verify_storage(storage)[0] if signers is ... else verify_storage(storage, signers=None)[0]
    folder.mkdir(exist_ok=True)
    desk = Desk(signer, "evidence-desk", folder)
    assert [archive.name for archive in report.archives] == list(ARCHIVES)
    return [issue_archive(report, archive, desk, received_utc=RECEIVED) for archive in report.archives]


def test_a_camera_takes_those_for_archives(storage: Path, tmp_path: Path) -> None:
    made = sign_archives(storage, tmp_path / "receipts")
    stems = ["BWV-0001-journal-000001", "BWV-0001-journal-000002"]
    assert [issued.path for issued in made] == [tmp_path / "receipts" / f"{stem}.receipt.json" for stem in stems]
    signers = [AllowedSigners.parse(LINE.encode(), "receivers")]
    for issued, name in zip(made, ARCHIVES, strict=True):
        signature = issued.path.with_name(issued.path.name + ".sig").read_bytes()
        said = accept_archive_receipt(issued.path.read_bytes(), signature, signers, time.time()).receipt
        assert (said.journal, said.device) == (name, "BWV-0001")
        assert said.sha512 == hashlib.sha512((storage / name).read_bytes()).hexdigest()
    assert [issued.new for issued in sign_archives(storage, tmp_path / "receipts")] == [False, False]


def altered_archive(storage: Path) -> None:
    path = storage / ARCHIVES[0]
    path.write_bytes(path.read_bytes().replace(b'"x"', b'"y"', 1))


def more_behind_it(storage: Path) -> None:
    with (storage / ARCHIVES[1]).open("ab") as file:
        file.write(b"{}\n")


def cut_archive(storage: Path) -> None:
    with (storage / ARCHIVES[0]).open("r+b") as file:
        file.truncate(9000)


@pytest.mark.parametrize("spoil", [altered_archive, more_behind_it, cut_archive])
def test_a_journal_that_does_not_hold(spoil: Callable[[Path], None], storage: Path, tmp_path: Path) -> None:
    """Invariant 8: the camera would delete what is nowhere else as it was."""
    spoil(storage)
    for archive in verify_storage(storage)[0].archives:
        assert archive.sha512 == hashlib.sha512((storage / archive.name).read_bytes()).hexdigest()  # to its last byte
    with pytest.raises(NoReceipt, match="the journal does not hold: journal-00000"):
        sign_archives(storage, tmp_path / "receipts")
    assert list((tmp_path / "receipts").iterdir()) == []


def test_a_journal_that_nobody_vouches_for(storage: Path, tmp_path: Path) -> None:
    """Invariant 14."""
    with pytest.raises(NoReceipt, match=r"the journal does not hold: .*nobody"):
        sign_archives(storage, tmp_path / "receipts", signers=None)


def test_the_journal_of_the_key_itself(storage: Path, tmp_path: Path) -> None:
    """Invariant 8: a camera acknowledges nothing of its own."""
    with pytest.raises(NoReceipt, match="this very key"):
        sign_archives(storage, tmp_path / "receipts", signer=fixed_signer())


def test_the_journal_of_a_running_camera(storage: Path, tmp_path: Path) -> None:
    """Invariant 8: what a running camera holds is no copy."""
    lock = os.open(storage / ".lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NoReceipt, match="a camera that is running"):
            sign_archives(storage, tmp_path / "receipts")
    finally:
        os.close(lock)


def test_an_archive_that_is_cut_after_it_was_verified(storage: Path, tmp_path: Path) -> None:
    """Invariant 8; and it is durable before the receipt is there."""
    before = look(storage)
    report = verify_storage(storage)[0]
    cut_archive(storage)
    (tmp_path / "receipts").mkdir()
    with pytest.raises(NoReceipt, match="has changed"):
        issue_archive(
            report, report.archives[0], Desk(DESK, "desk", tmp_path / "receipts"), received_utc=RECEIVED, before=before
        )
    assert list((tmp_path / "receipts").iterdir()) == []


# --- what is there already -------------------------------------------------------------------------------------------


def test_again_it_is_the_same(copy: Path, tmp_path: Path) -> None:
    """With the time at which it was received first."""
    first = sign(verify_recording(copy), tmp_path / "receipts")
    before = {path: path.read_bytes() for path in first.path.parent.iterdir()}
    desk = Desk(DESK, "evidence-desk", first.path.parent)
    again = issue(verify_recording(copy), desk, received_utc="2027-01-01T00:00:00Z")
    assert again == replace(first, new=False)
    assert {path: path.read_bytes() for path in first.path.parent.iterdir()} == before


def other_key(receipt: Path) -> dict[str, object]:
    return {"signer": fixed_signer(8)}


def other_name(receipt: Path) -> dict[str, object]:
    return {"by": "somebody"}


def torn(receipt: Path) -> dict[str, object]:
    receipt.write_bytes(b"")
    return {}


def unsigned(receipt: Path) -> dict[str, object]:
    receipt.with_name(receipt.name + ".sig").unlink()
    return {}


def forged(receipt: Path) -> dict[str, object]:
    receipt.write_bytes(receipt.read_bytes() + b" ")
    return {}


def a_link(receipt: Path) -> dict[str, object]:
    receipt.unlink()
    receipt.symlink_to("/etc/passwd")
    return {}


@pytest.mark.parametrize("other", [other_key, other_name, torn, unsigned, forged, a_link])
def test_something_else_in_its_place_is_not_overwritten(
    other: Callable[[Path], dict[str, object]], copy: Path, tmp_path: Path
) -> None:
    first = sign(verify_recording(copy), tmp_path / "receipts").path
    changes = other(first)
    before = {path: path.read_bytes() for path in first.parent.iterdir()}
    with pytest.raises(NoReceipt, match=r"is there, and .*nothing is overwritten"):
        sign(verify_recording(copy), tmp_path / "receipts", **changes)  # type: ignore[arg-type]  # of either kind
    assert {path: path.read_bytes() for path in first.parent.iterdir()} == before


def test_a_full_disk_leaves_nothing(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    report = verify_recording(copy)
    monkeypatch.setattr(Path, "write_bytes", full)
    assert "No space left" in refusal(report, tmp_path / "receipts", EvidenceError)


def test_sha512sum_says_the_same(copy: Path, tmp_path: Path) -> None:
    said = subprocess.run(["sha512sum", copy / "manifest.jsonl"], capture_output=True, text=True, check=True).stdout
    assert verify_recording(copy).as_dict()["manifest_sha512"] == said.split()[0]
