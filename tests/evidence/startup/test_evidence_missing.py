"""Evidence that was acknowledged and is gone at a start: nothing that the device signs then makes it good.

Invariants 7 and 13: the device names it, and the verdict is "altered" before the start and after it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import SUMS_NAMESPACE
from bwvd.evidence.format.sums import read_signed_sums
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.ssh_keys import PublicKey
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.startup.newest import ends_not_entered
from bwvd.evidence.startup.outcome import RecoveryResult, drafts_of, evidence_missing
from bwvd.evidence.startup.recovery import recover
from bwvd.testing.clock import VirtualClock
from bwvd.text import counted
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

CLOCK = VirtualClock(seconds=lambda: 9.0)
LIMIT = 65_536


def start(storage: Path, boot: str = "boot-2", signer: KeySigner | None = None) -> list[RecoveryResult]:
    """A start of the device, as far as its recordings are concerned."""
    signer = signer or fixed_signer()
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, signer, device="BWV-0001", limit_bytes=LIMIT)
        try:
            return recover(volume, signer, CLOCK, boot, reserve=Reserve(0), said=journal.said)
        finally:
            journal.close()


def enter(storage: Path, *drafts: tuple[str, dict[str, str | int | float | bool | None]]) -> None:
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
        journal.append([Draft(event, detail, CLOCK.read()) for event, detail in drafts])
        journal.close()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def cut_behind_two(folder: Path) -> None:
    """The end, the last two segments and all that is made at the end: as if the power had gone there."""
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    until = next(index for index, line in enumerate(lines) if b'"file":"000003.m4s"' in line)
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[:until]))
    for path in folder.iterdir():
        if path.name not in ("manifest.jsonl", "000001.m4s", "000002.m4s"):
            path.unlink()


@pytest.mark.parametrize("how", ["delete", "truncate", "delete_all"])
def test_a_signed_line_without_its_whole_file_is_altered(storage: Path, how: str) -> None:
    """Invariants 7 and 13: no power cut leaves that, so that no recovery makes it good."""
    folder = make_recording(storage, close="", finish=False)
    assert verify_recording(folder).verdict == "not_closed"
    gone = sorted(folder.glob("*.m4s")) if how == "delete_all" else [folder / "000002.m4s"]
    for path in gone:
        path.write_bytes(b"") if how == "truncate" else path.unlink()
    assert verify_recording(folder).verdict == "altered"

    (result,) = start(storage)

    assert result.missing is not None
    assert result.missing.segments == len(gone)
    assert result.missing.from_ns < result.missing.to_ns
    assert f"{counted(len(gone), 'acknowledged segment')} between" in evidence_missing(result)
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert {finding.where.split(" ")[0] for finding in report.findings} == {path.name for path in gone}
    assert all("(segment " in finding.where for finding in report.findings), "by its record, with its span of time"
    assert "evidence_missing" in [draft.event for draft in drafts_of([result], CLOCK.read())]


def test_a_file_that_a_closed_recording_has_lost_is_told_and_stays_listed(storage: Path) -> None:
    """Invariant 13: the sums that the device signs anew must not be over what is left."""
    folder = make_recording(storage)
    (folder / "000002.m4s").unlink()
    listed = (folder / "SHA256SUMS").read_bytes()

    for _ in range(2):
        (result,) = start(storage)
        assert result.reason == "finished"
        assert "1 acknowledged segment " in evidence_missing(result)
    assert (folder / "SHA256SUMS").read_bytes() == listed
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert {finding.where.split(" ")[0] for finding in report.findings} == {"000002.m4s"}


def test_an_honest_cut_is_told_of_nothing(storage: Path) -> None:
    make_recording(storage, close="", finish=False)
    enter(storage, ("opened", {"recording": "20260101T000000Z-BWV-0001-000001", "serial": 1}))
    (result,) = start(storage)
    assert (result.missing, result.end_removed, evidence_missing(result)) == (None, None, "")
    assert [draft.event for draft in drafts_of([result], CLOCK.read())] == ["recovered"]


@pytest.mark.parametrize("archived", [False, True])
def test_an_end_that_the_journal_remembers_is_not_signed_anew(storage: Path, archived: bool) -> None:
    """Invariants 7 and 13: a closed recording that was cut stays altered, by itself too."""
    folder = make_recording(storage)
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    closed = {**detail, "reason": "stop", "segments": 4, "manifest_sha512": "ab" * 64}
    enter(storage, ("opened", detail), ("closed", closed))
    if archived:
        for serial in range(2, 4):
            filler: dict[str, str | int | float | bool | None] = {
                "recording": f"20260101T000000Z-BWV-0001-{serial:06d}",
                "serial": serial,
            }
            enter(storage, *[("opened", {**filler, "text": "x" * 1000}) for _ in range(70)])
        assert sorted(storage.glob("journal-*.jsonl"))
    cut_behind_two(folder)
    assert verify_recording(folder).verdict == "not_closed"

    (result,) = start(storage, "boot-1")

    assert result.end_removed == records.Removed(event="closed", segments=4, manifest_sha512="ab" * 64)
    assert "it was closed with 4 segments" in evidence_missing(result)
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert "the journal says that it was closed with 4 segments" in report.findings[0].what


def test_a_manifest_that_was_taken_away_is_not_a_recording_that_never_began(storage: Path) -> None:
    """Invariants 7 and 13."""
    folder = make_recording(storage, close="", finish=False)
    enter(storage, ("opened", {"recording": folder.name, "serial": 1}))
    for path in folder.iterdir():
        path.unlink()
    (result,) = start(storage)
    assert result.end_removed is not None
    assert result.end_removed.event == "opened"
    assert verify_recording(folder).verdict == "altered"


def test_a_folder_that_was_found_at_a_start_may_be_one_that_never_began(storage: Path) -> None:
    folder = make_recording(storage, close="", finish=False)
    enter(storage, ("opened", {"recording": folder.name, "serial": 1, "found": "at_start"}))
    for path in folder.iterdir():
        path.unlink()
    (result,) = start(storage)
    assert result.end_removed is None
    assert verify_recording(folder).verdict == "recovered"


def test_an_end_that_was_cut_off_is_told_though_the_sums_were_kept(storage: Path) -> None:
    """Invariants 7 and 13: the sums name the manifest as it was at its end."""
    folder = make_recording(storage)
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_bytes(b"".join(lines[:-2]))
    assert b'"type":"close"' in lines[-2]

    (result,) = start(storage)

    assert result.end_removed == records.Removed(event="closed", segments=4)
    assert verify_recording(folder).verdict == "altered"
    (again,) = start(storage, "boot-3")
    assert (again.reason, evidence_missing(again)) == ("told", evidence_missing(result))


def test_lines_behind_the_end_are_told_at_each_start(storage: Path) -> None:
    """Invariant 13: the device makes no new sums over what somebody has made of a manifest."""
    folder = make_recording(storage)
    with (folder / "manifest.jsonl").open("ab") as file:
        file.write(b'{"type":"mark","n":9}\n{"sig":"AAAA"}\n')
    sums = (folder / "SHA256SUMS").read_bytes()
    for boot in ("boot-2", "boot-3"):
        (result,) = start(storage, boot)
        assert evidence_missing(result) == "its manifest is not the one that was signed at its end"
        assert [draft.event for draft in drafts_of([result], CLOCK.read())] == ["evidence_missing"]
    assert (folder / "SHA256SUMS").read_bytes() == sums


def test_sums_that_a_stranger_signed_close_nothing(storage: Path) -> None:
    """Invariant 13: made anew with the device's key, which is the manifest's."""
    folder = make_recording(storage)
    sums = (folder / "SHA256SUMS").read_bytes()
    blob = fixed_signer(7).sign(hashlib.sha512(sums).digest(), SUMS_NAMESPACE)
    (folder / "SHA256SUMS.sig").write_text(armour(blob))
    (result,) = start(storage)
    assert result.reason == "finished"
    assert start(storage, "boot-3") == []
    with PosixVolume(storage) as volume:
        signer = read_signed_sums(volume, f"recordings/{folder.name}")[1]
        assert isinstance(signer, PublicKey)
        assert signer.line == fixed_signer().public_key


def test_after_a_change_of_the_key_nothing_is_told(storage: Path) -> None:
    """What an earlier key has signed, from the first line to the sums, is as it was left."""
    folder = make_recording(storage)
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    enter(storage, ("opened", detail), ("closed", {**detail, "reason": "stop", "segments": 4}))
    for boot in ("boot-2", "boot-3"):
        assert start(storage, boot, signer=fixed_signer(7)) == []


def test_a_closed_recording_in_the_place_of_one_that_the_journal_knows_is_told(storage: Path) -> None:
    """Invariant 13: signed anew by a stranger, sums and all."""
    folder = make_recording(storage)
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    enter(storage, ("opened", detail), ("closed", {**detail, "reason": "stop", "segments": 4}))
    shutil.rmtree(folder)
    make_recording(storage, signer=fixed_signer(7))
    for boot in ("boot-2", "boot-3"):
        (result,) = start(storage, boot)
        assert "it was closed with 4 segments" in evidence_missing(result)


@pytest.mark.parametrize("finished", [False, True])
def test_what_the_journal_could_not_be_told_is_told_at_the_next_start(storage: Path, finished: bool) -> None:
    """Invariant 13: the power goes, or the flash fails, behind the record that names it."""
    folder = make_recording(storage)
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    enter(storage, ("opened", detail), ("closed", {**detail, "reason": "stop", "segments": 4}))
    cut_behind_two(folder)
    (first,) = start(storage)
    assert first.end_removed is not None
    if not finished:
        for path in folder.glob("SHA256SUMS*"):
            path.unlink()
    (again,) = start(storage, "boot-3")
    assert again.end_removed == first.end_removed
    assert evidence_missing(again) == evidence_missing(first)
    assert "evidence_missing" in [draft.event for draft in drafts_of([again], CLOCK.read())]


@pytest.mark.parametrize("close", ["stop", ""])
def test_an_end_that_the_power_kept_from_the_journal_is_entered_at_the_next_start(storage: Path, close: str) -> None:
    """Invariant 13: or nobody would miss it when it is taken away later."""
    folder = make_recording(storage, close=close, finish=bool(close))
    detail: dict[str, str | int | float | bool | None] = {"recording": folder.name, "serial": 1}
    enter(storage, ("opened", detail))
    if not close:
        assert [result.reason for result in start(storage)] == ["power_cut"]  # and the power goes again
    for where in ("its entry is lost", "it has one"):
        with PosixVolume(storage) as volume:
            journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=LIMIT)
            ends = ends_not_entered(volume, "BWV-0001", [f"{folder.name}/"], [], journal.said)
            others = ends_not_entered(volume, "BWV-0002", [f"{folder.name}/"], [], journal.said)
            journal.append([Draft(event, what, CLOCK.read()) for event, what in ends])
            journal.close()
        assert others == []
        if where == "it has one":
            assert ends == []
            break
        ((event, what),) = ends
        assert event == ("closed" if close else "recovered")
        assert what["segments"] == 4
        assert what["manifest_sha512"] == hashlib.sha512((folder / "manifest.jsonl").read_bytes()).hexdigest()
    assert start(storage) == []
    cut_behind_two(folder)
    (result,) = start(storage)
    assert result.end_removed is not None
    assert result.end_removed.segments == 4
