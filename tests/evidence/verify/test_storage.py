"""Verifying a whole storage: the journal, the serial numbers, and what recordings and journal say of each other."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bwvd.clock import NS, Reading
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.folder import DirectoryFolder
from bwvd.evidence.verify.recording import Verification
from bwvd.evidence.verify.report import Report
from bwvd.testing.clock import VirtualClock
from tests.support.desk import verify_storage
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

CLOCK = VirtualClock(seconds=lambda: 3.0)


def rec(serial: int) -> str:
    return f"20261122T071505Z-BWV-0001-{serial:06d}"


def draft(event: str, **detail: str | int) -> Draft:
    return Draft(event, dict(detail), Reading(1000 * NS, 1_795_331_700 * NS, "synchronised", 500))


def opened(serial: int) -> Draft:
    return draft("opened", recording=rec(serial), serial=serial)


def closed(serial: int, segments: int = 2) -> Draft:
    return draft("closed", recording=rec(serial), serial=serial, reason="stop", segments=segments)


def a_storage(root: Path, recordings: int = 3, limit_bytes: int = 1_000_000) -> Path:
    """A device's storage as it lies after a few recordings."""
    storage = make_storage(root)
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=limit_bytes)
        journal.append([draft("boot", boot="boot-1")])
        for serial in range(1, recordings + 1):
            make_recording(storage, serial, seconds=2, journal=journal.head())
            journal.append([opened(serial), closed(serial)])
        journal.close()
    return storage


def findings(reports: list[Report]) -> list[tuple[str, str]]:
    return [(finding.where, finding.what) for report in reports for finding in report.findings]


def add_to_journal(storage: Path, *drafts: Draft) -> None:
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=1_000_000)
        journal.append(drafts)
        journal.close()


@pytest.mark.parametrize("limit_bytes", [1_000_000, 9000])
def test_a_storage_is_authentic(tmp_path: Path, limit_bytes: int) -> None:
    storage = a_storage(tmp_path / "storage", limit_bytes=limit_bytes)
    reports = verify_storage(storage)
    assert findings(reports) == []
    assert [report.kind for report in reports] == ["storage", "recording", "recording", "recording"]
    assert {report.verdict for report in reports} == {"authentic"}
    assert (reports[0].device, reports[0].segments, reports[0].frames) == ("BWV-0001", 6, 60)
    given = AllowedSigners.parse(fixed_signer().allowed_signers("BWV-0001").encode(), "given")
    assert {report.signer.trusted for report in verify_storage(storage, given) if report.signer} == {True}
    if limit_bytes == 9000:
        assert (storage / "journal-000002.jsonl").exists()


def test_a_removed_recording_is_missed(tmp_path: Path) -> None:
    """Invariant 7 and 8: serial numbers have no gap."""
    storage = a_storage(tmp_path / "storage")
    shutil.rmtree(storage / "recordings" / rec(2))
    assert findings(verify_storage(storage)) == [
        (f"recordings/{rec(2)}", "is missing: the journal knows of no release")
    ]
    shutil.rmtree(storage / "recordings" / rec(3))
    assert len(findings(verify_storage(storage))) == 2


def test_a_released_recording_is_not_missed(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage")
    add_to_journal(storage, draft("released", recording=rec(2), serial=2))
    folder = storage / "recordings" / rec(2)
    assert findings(verify_storage(storage)) == []
    (folder / "000001.m4s").unlink()  # the power went while it was being removed
    reports = verify_storage(storage)
    assert [report.verdict for report in reports] == ["authentic", "authentic", "not_closed", "authentic"]
    shutil.rmtree(folder)
    assert findings(verify_storage(storage)) == []


def test_a_number_that_nobody_knows_is_missed(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage", recordings=1)
    for serial in (3, 7):
        make_recording(storage, serial, seconds=1)
    assert [what for _, what in findings(verify_storage(storage))] == [
        "serial number 2 is missing, and the journal does not know it",
        "serial number 4 to 6 is missing, and the journal does not know it",
    ]


def test_a_recording_that_the_journal_does_not_know_yet_is_fine(tmp_path: Path) -> None:
    """Its folder is durable before the journal hears of it; a power cut may come in between."""
    storage = a_storage(tmp_path / "storage")
    make_recording(storage, 4, seconds=1, close="")
    reports = verify_storage(storage)
    assert [report.verdict for report in reports] == [*["authentic"] * 4, "not_closed"]


def test_folders_that_changed_names_are_found(tmp_path: Path) -> None:
    """Invariant 7."""
    storage = a_storage(tmp_path / "storage")
    recordings = storage / "recordings"
    (recordings / rec(1)).rename(recordings / "x")
    (recordings / rec(2)).rename(recordings / rec(1))
    (recordings / "x").rename(recordings / rec(2))
    reports = verify_storage(storage)
    assert [report.verdict for report in reports] == ["authentic", "altered", "altered", "authentic"]
    assert f"the recording {rec(2)} in the folder {rec(1)}" in findings(reports)[0][1]


def test_a_recording_twice_is_found(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage")
    shutil.copytree(storage / "recordings" / rec(1), storage / "recordings" / "20271122T071505Z-BWV-0001-000001")
    assert (
        "recordings/20271122T071505Z-BWV-0001-000001",
        f"has the serial number 1, as {rec(1)} has",
    ) in findings(verify_storage(storage))


def test_an_end_that_the_journal_remembers_can_not_be_cut_off(tmp_path: Path) -> None:
    """Invariant 7: what is left of the recording holds by itself."""
    storage = a_storage(tmp_path / "storage")
    folder = storage / "recordings" / rec(2)
    manifest = (folder / "manifest.jsonl").read_bytes()
    (folder / "manifest.jsonl").write_bytes(manifest[: manifest.rindex(b'{"type":"segment"')])
    for name in ("SHA256SUMS", "SHA256SUMS.sig", "init.mp4", "index.m3u8", "000002.m4s"):
        (folder / name).unlink()
    reports = verify_storage(storage)
    assert reports[2].verdict == "altered"
    assert "closed (stop) with 2 segments" in reports[2].findings[-1].what


def test_a_recovery_that_the_journal_remembers_can_not_be_cut_off(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage", recordings=0)
    make_recording(storage, 1, seconds=2, close="")
    add_to_journal(storage, draft("recovered", recording=rec(1), serial=1, segments=2, reason="power_cut"))
    assert "recovered: its end is gone" in findings(verify_storage(storage))[-1][1]


class TestJournal:
    def test_cut_behind_what_a_recording_names(self, tmp_path: Path) -> None:
        """Invariant 7: every recording is a witness of the journal before it."""
        storage = a_storage(tmp_path / "storage")
        journal = storage / "journal.jsonl"
        data = journal.read_bytes()
        journal.write_bytes(data[: data.index(b'{"type":"entry","n":2')])
        reports = verify_storage(storage)
        assert [report.verdict for report in reports] == ["authentic", "authentic", "altered", "altered"]
        assert "the journal was cut or exchanged" in reports[2].findings[0].what

    def test_removed(self, tmp_path: Path) -> None:
        storage = a_storage(tmp_path / "storage")
        (storage / "journal.jsonl").unlink()
        assert ("journal.jsonl", "is missing") in findings(verify_storage(storage))

    @pytest.mark.parametrize("name", ["journal.jsonl", "journal-000001.jsonl", "journal-000002.jsonl"])
    def test_altered(self, tmp_path: Path, name: str) -> None:
        """Invariant 7."""
        storage = a_storage(tmp_path / "storage", limit_bytes=9000)
        data = bytearray((storage / name).read_bytes())
        data[data.index(b'"reason":"stop"') + 10] ^= 1
        (storage / name).write_bytes(data)
        reports = verify_storage(storage)
        assert reports[0].verdict == "altered"
        assert reports[0].findings[0].where.startswith(f"{name} line ")

    def test_an_archive_cut_lengthened_or_removed(self, tmp_path: Path) -> None:
        """Invariant 7: each file is vouched for by the next."""
        storage = a_storage(tmp_path / "storage", limit_bytes=9000)
        archive = storage / "journal-000002.jsonl"
        data = archive.read_bytes()
        for changed, where, what in (
            (data[: data.rindex(b'{"type":"entry"')], archive.name, "is not what journal.jsonl says"),
            (data[:-1], archive.name, "is not what journal.jsonl says"),
            (data + b"x", f"{archive.name} byte {len(data)}", "1 bytes that journal.jsonl does not name"),
        ):
            archive.write_bytes(changed)
            found = findings(verify_storage(storage))
            assert any(at == where and what in why for at, why in found), found
        archive.unlink()
        assert ("journal-000002.jsonl", "is missing: journal.jsonl names it as the file before") in findings(
            verify_storage(storage)
        )

    def test_a_torn_end_is_no_alteration(self, tmp_path: Path) -> None:
        storage = a_storage(tmp_path / "storage")
        size = (storage / "journal.jsonl").stat().st_size
        os.truncate(storage / "journal.jsonl", size - 20)
        reports = verify_storage(storage)
        assert findings(reports) == []
        assert reports[0].notes
        add_to_journal(storage, closed(3))
        assert findings(verify_storage(storage)) == []

    def test_another_devices_journal(self, tmp_path: Path) -> None:
        storage = a_storage(tmp_path / "storage")
        (storage / "journal.jsonl").unlink()
        with PosixVolume(storage) as volume:
            Journal.open(volume, fixed_signer(), device="BWV-0002", limit_bytes=1_000_000).close()
        assert any("storage of BWV-0002" in what for _, what in findings(verify_storage(storage)))

    def test_signed_by_a_key_that_is_not_the_devices(self, tmp_path: Path) -> None:
        storage = make_storage(tmp_path / "storage")
        with PosixVolume(storage) as volume:
            Journal.open(volume, fixed_signer(2), device="BWV-0001", limit_bytes=1_000_000).close()
        (report,) = verify_storage(storage)
        assert report.verdict == "unvouched"
        assert fixed_signer(2).key.fingerprint in report.findings[0].what

    def test_nobody_vouches_for_it_once_for_each_key(self, tmp_path: Path) -> None:
        """Invariant 7: neither for the journal nor for a recording, whatever list lies on the card."""
        reports = verify_storage(a_storage(tmp_path / "storage", limit_bytes=9000), None)
        assert {report.verdict for report in reports} == {"unvouched"}
        assert len(reports[0].findings) == 1


class Growing(io.RawIOBase):
    """A file to which half a line is written whenever its end is met."""

    def __init__(self, file: io.RawIOBase) -> None:
        self._file = file
        self._more = [b'{"type":"entry","n":', b"", b'99}\n{"sig":"', b"", b'AAAA"}\n']

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if (count := self._file.readinto(buffer) or 0) or not self._more:
            return count
        more = self._more.pop(0)
        memoryview(buffer)[: len(more)] = more
        return len(more)

    def close(self) -> None:
        self._file.close()
        super().close()


class TestWhileADaemonWrites:
    """Invariant 7, and no false alarm: what is there when it is looked at may be gone, longer or ended soon after."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Path:
        """Three that are closed, and one that runs."""
        storage = a_storage(tmp_path / "storage")
        with PosixVolume(storage) as volume:
            journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=1_000_000)
            make_recording(storage, 4, seconds=2, journal=journal.head(), close="")
            journal.append([opened(4)])
            journal.close()
        return storage

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
        """Something that happens once, behind the look at one recording, or before all of them (\"\")."""

        def plan(behind: str, deed: Callable[[], None]) -> None:
            names, run = DirectoryFolder.names, Verification.run
            deeds = [deed]

            def listed(folder: DirectoryFolder) -> dict[str, str]:
                found = names(folder)
                if not behind and Path(folder.path).name == "recordings" and deeds:
                    deeds.pop()()
                return found

            def looked(check: Verification) -> Report:
                report = run(check)
                if check.report.id == behind and deeds:
                    deeds.pop()()
                return report

            monkeypatch.setattr(DirectoryFolder, "names", listed)
            monkeypatch.setattr(Verification, "run", looked)

        return plan

    def close_4(self, storage: Path) -> None:
        """The whole of the recording that was running, and what the journal says then."""
        other = make_storage(storage.parent / "other")
        begun = storage / "recordings" / rec(4) / "manifest.jsonl"
        head = next(iter(begun.read_bytes().splitlines()))
        journal = msgspec.json.decode(head, type=records.Open).journal
        shutil.copytree(
            make_recording(other, 4, seconds=2, journal=journal), storage / "recordings" / rec(4), dirs_exist_ok=True
        )
        add_to_journal(storage, closed(4))

    def begin_5(self, storage: Path) -> None:
        with PosixVolume(storage) as volume:
            journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=1_000_000)
            make_recording(storage, 5, seconds=2, journal=journal.head(), close="")
            journal.append([opened(5)])
            journal.close()

    def release_2(self, storage: Path) -> None:
        add_to_journal(storage, draft("released", recording=rec(2), serial=2))
        shutil.rmtree(storage / "recordings" / rec(2))

    def half_release_2(self, storage: Path) -> None:
        add_to_journal(storage, draft("released", recording=rec(2), serial=2))
        (storage / "recordings" / rec(2) / "000001.m4s").unlink()

    @pytest.mark.parametrize("behind", ["", rec(1), rec(2), rec(4)])
    @pytest.mark.parametrize("deed", ["close_4", "begin_5", "release_2", "half_release_2"])
    def test_nothing_that_it_does_is_an_alteration(
        self, storage: Path, meanwhile: Callable[[str, Callable[[], None]], None], behind: str, deed: str
    ) -> None:
        meanwhile(behind, lambda: getattr(self, deed)(storage))
        reports = verify_storage(storage)
        assert {report.verdict for report in reports} <= {"authentic", "not_closed"}, findings(reports)
        assert len(list((storage / "recordings").iterdir())) in (3, 4, 5)
        assert {report.verdict for report in verify_storage(storage)} <= {"authentic", "not_closed"}

    def test_a_recording_that_somebody_takes_away_meanwhile(
        self, storage: Path, meanwhile: Callable[[str, Callable[[], None]], None]
    ) -> None:
        meanwhile(rec(1), lambda: shutil.rmtree(storage / "recordings" / rec(2)))
        assert (f"recordings/{rec(2)}", "was removed while the storage was read") in findings(verify_storage(storage))

    def test_a_journal_that_begins_its_next_file_meanwhile(
        self, storage: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        size = DirectoryFolder.size
        turns = [lambda: self.turn(storage)]

        def renamed(folder: DirectoryFolder, name: str) -> int:
            if name == "journal.jsonl" and turns:
                turns.pop()()
            return size(folder, name)

        monkeypatch.setattr(DirectoryFolder, "size", renamed)
        assert {report.verdict for report in verify_storage(storage)} == {"authentic", "not_closed"}
        assert turns == []
        assert (storage / "journal-000001.jsonl").exists()

    def turn(self, storage: Path) -> None:
        """The journal's next file."""
        with PosixVolume(storage) as volume:
            Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=1).append([draft("boot", boot="x")])

    @pytest.mark.parametrize("name", ["journal.jsonl", f"recordings/{rec(4)}/manifest.jsonl"])
    def test_lines_that_are_being_written(self, storage: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """What comes behind what was there when the file was opened is not read: it may be half of a line."""
        open_ = DirectoryFolder.open

        def opened(folder: DirectoryFolder, file: str) -> io.RawIOBase:
            found = open_(folder, file)
            return Growing(found) if (Path(folder.path) / file).resolve() == (storage / name).resolve() else found

        monkeypatch.setattr(DirectoryFolder, "open", opened)
        reports = verify_storage(storage)
        assert {report.verdict for report in reports} == {"authentic", "not_closed"}, findings(reports)
        assert reports[0].notes == []

    def test_a_folder_that_was_just_made(self, storage: Path) -> None:
        (storage / "recordings" / rec(5)).mkdir()
        assert [report.verdict for report in verify_storage(storage)][-1] == "not_closed"
        add_to_journal(storage, opened(5), closed(5))
        assert [report.verdict for report in verify_storage(storage)][-1] == "altered"


class TestAfterRecovery:
    """What recovery leaves of a cut recording verifies as recovered."""

    def recovered(self, storage: Path) -> Report:
        with PosixVolume(storage) as volume:
            recover(volume, fixed_signer(), CLOCK, "boot-2", reserve=Reserve(0))
        return verify_storage(storage)[1]

    def test_at_every_cut_of_the_manifest(self, tmp_path: Path) -> None:
        """Invariants 6 and 7."""
        source = make_storage(tmp_path / "source")
        folder = make_recording(source, 1, seconds=1, close="")
        data = (folder / "manifest.jsonl").read_bytes()
        for size in [0, 1, 9000, *range(data.rindex(b'{"type":"segment"'), len(data) + 1, 37)]:
            storage = tmp_path / str(size)
            shutil.copytree(source, storage)
            copy = storage / "recordings" / rec(1)
            os.truncate(copy / "manifest.jsonl", size)
            if size < len(data):
                (copy / "000002.m4s").write_bytes(b"torn")
            report = self.recovered(storage)
            assert (report.verdict, report.findings) == ("recovered", [])
            assert report.id == rec(1)
            leftover = copy / "000001.m4s"
            with leftover.open("ab") as file:
                file.write(b"x")
            again = verify_storage(storage)[1]
            assert again.verdict == "altered"
            assert again.findings[0].where.startswith("000001.m4s")

    def test_without_a_manifest(self, tmp_path: Path) -> None:
        storage = make_storage(tmp_path / "storage")
        (storage / "recordings" / rec(1)).mkdir()
        report = self.recovered(storage)
        assert (report.verdict, report.segments) == ("recovered", 0)
        assert any("never opened" in note.what for note in report.notes)

    def test_a_segment_that_was_lost_is_named(self, tmp_path: Path) -> None:
        storage = make_storage(tmp_path / "storage")
        folder = make_recording(storage, 1, seconds=3, close="")
        (folder / "000002.m4s").unlink()
        os.truncate(folder / "000003.m4s", 100)
        report = self.recovered(storage)
        assert report.verdict == "altered"  # a line is only written behind its whole, durable file
        assert [finding.where.split(" ")[0] for finding in report.findings] == ["000002.m4s", "000003.m4s"]
        assert [note.where for note in report.notes][:2] == ["000002.m4s", "000003.m4s"]


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage", recordings=1)
    (storage / "recordings" / "notes.txt").touch()
    (storage / "recordings" / "link").symlink_to(storage)
    os.mkfifo(storage / "recordings" / "fifo")
    (storage / "recordings" / "empty").mkdir()
    reports = verify_storage(storage)
    assert [where for where, _ in findings(reports)] == [
        "recordings/fifo",
        "recordings/link",
        "recordings/notes.txt",
        "manifest.jsonl",
    ]


def test_a_broken_list_of_signers_is_named(tmp_path: Path) -> None:
    storage = a_storage(tmp_path / "storage", recordings=1)
    (storage / "allowed_signers").write_text("x\n")
    assert findings(verify_storage(storage))[0][0] == "allowed_signers"


def test_no_storage_is_no_traceback(tmp_path: Path) -> None:
    assert verify_storage(tmp_path / "none")[0].verdict == "unreadable"
    assert verify_storage(tmp_path)[0].verdict == "unreadable"
