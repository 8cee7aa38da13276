"""Before when things existed, by tokens of openssl: of a storage, a recording, a proof; and what counts for nothing."""

from __future__ import annotations

import datetime
import hashlib
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.format.digest_list import DigestList, Head, is_list
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.keys.rfc3161 import load_certificates, new_request
from bwvd.evidence.verify.existence import date_reports
from bwvd.evidence.verify.report import Report
from bwvd.evidence.write.token_files import keep_token
from bwvd.testing.clock import VirtualClock
from tests.support.desk import export_proof, verify_paths
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.proofs import good, run_readme, unpack
from tests.support.time_authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


class Card:
    """A storage with a journal, stamped."""

    def __init__(self, root: Path, authority: Authority) -> None:
        self.path = make_storage(root)
        self.authority = authority
        with PosixVolume(self.path) as volume:
            self.journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
            self.journal.append([Draft("boot", {}, VirtualClock(seconds=lambda: 1.0).read())])
        self.recordings = [make_recording(self.path, serial) for serial in (1, 2)]

    def head(self) -> Head:
        data = (self.path / "journal.jsonl").read_bytes()
        first = data.partition(b"\n")[0]
        storage = first.partition(b'"storage":"')[2][:32].decode()
        return Head(hashlib.sha512(data).hexdigest(), len(data), 1, storage)

    def stamp(self, *recordings: Path, head: Head | None = None, label: str = "one.example") -> None:
        digests = [hashlib.sha512((one / "manifest.jsonl").read_bytes()).hexdigest() for one in recordings]
        listed = DigestList(frozenset(digests), head).encode()
        with PosixVolume(self.path) as volume:
            keep_token(volume, listed, label, self.authority.reply(new_request(listed).der))

    def verify(self, path: Path | None = None, *, roots: bool = True, now_s: float | None = None) -> list[Report]:
        reports = verify_paths([path or self.path])
        date_reports(
            reports,
            load_certificates(self.authority.root) if roots else None,
            time.time() if now_s is None else now_s,
        )
        return reports


@pytest.fixture
def card(tmp_path: Path, authority: Authority) -> Card:
    return Card(tmp_path / "card", authority)


def is_recent(utc: str) -> bool:
    return abs(datetime.datetime.fromisoformat(utc).timestamp() - time.time()) < 300


def test_each_recording_says_before_when_it_existed(card: Card) -> None:
    """Invariant 7, and a time that nobody who has the key can choose."""
    card.stamp(card.recordings[0])
    storage, first, second = card.verify()
    assert first.existed is not None
    (existed,) = first.existed
    assert is_recent(existed.utc)
    assert existed.by == "CN=time authority of the tests"
    assert second.existed == []
    assert first.as_dict()["existed_before"] == [existed.as_dict()]
    assert storage.existed == []


def test_a_recording_alone_and_its_copy_elsewhere(card: Card, tmp_path: Path) -> None:
    card.stamp(*card.recordings)
    (alone,) = card.verify(card.recordings[0])
    assert alone.existed
    shutil.copytree(card.recordings[0], tmp_path / "elsewhere" / card.recordings[0].name)
    (copy,) = card.verify(tmp_path / "elsewhere" / card.recordings[0].name)
    assert copy.existed is None


def test_without_certificates_nothing_is_judged_and_a_note_says_so(card: Card) -> None:
    card.stamp(*card.recordings)
    storage, first, _ = card.verify(roots=False)
    assert first.existed is None
    assert first.as_dict()["existed_before"] is None
    assert any("--tsa-certs FILE" in note.what for note in first.notes)
    assert any("holds 1 time-stamp:" in note.what for note in storage.notes)


def test_a_recording_that_was_made_anew_has_no_time(card: Card) -> None:
    """With the device's key any recording can be written with any date: it is not the one that was stamped."""
    card.stamp(*card.recordings)
    shutil.rmtree(card.recordings[0])
    make_recording(card.path, 1, seconds=3)
    _, first, second = card.verify()
    assert first.verdict == "authentic"
    assert first.existed == []
    assert second.existed


def test_the_earliest_counts_and_each_authority_is_told(card: Card) -> None:
    card.stamp(card.recordings[0])
    card.stamp(*card.recordings, label="two.example")
    _, first, second = card.verify()
    assert first.existed is not None
    assert [one.utc for one in first.existed] == sorted(one.utc for one in first.existed)
    assert {one.token.split(".")[1] for one in first.existed} == {"one", "two"}
    assert second.existed is not None
    assert len(second.existed) == 1


def test_a_journal_that_was_cut_after_it_was_stamped_is_altered(card: Card) -> None:
    """Invariant 13: what lies outside of the camera is a witness against a journal that is no continuation."""
    data = (card.path / "journal.jsonl").read_bytes()
    with PosixVolume(card.path) as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
        journal.append([Draft("boot", {}, VirtualClock(seconds=lambda: 1.0).read())])
    card.stamp(*card.recordings, head=card.head())
    storage, *_ = card.verify()
    assert not any("existed" in finding.what or "so before" in finding.what for finding in storage.findings)
    assert storage.existed
    (card.path / "journal.jsonl").write_bytes(data)
    storage, *_ = card.verify()
    assert any("bytes shorter than it was; it was so before" in finding.what for finding in storage.findings)
    assert storage.verdict == "altered"


def test_a_journal_that_was_written_anew_is_altered(card: Card) -> None:
    """Invariant 13."""
    card.stamp(head=card.head())
    storage_id = card.head().storage
    data = (card.path / "journal.jsonl").read_bytes()
    at = data.index(b'"event":"boot"')
    (card.path / "journal.jsonl").write_bytes(data[:at] + b'"event":"toob"' + data[at + 14 :])
    storage, *_ = card.verify()
    assert any("are not what they were; it was so before" in finding.what for finding in storage.findings)
    (card.path / "journal.jsonl").write_bytes(data.replace(storage_id.encode(), b"0" * 31 + b"1"))
    storage, *_ = card.verify()  # another storage's: of this one the token says nothing, and that is said once
    assert not any("so before" in finding.what for finding in storage.findings)
    assert sum(f"vouches for the journal of storage {storage_id}" in note.what for note in storage.notes) == 1


def test_a_file_of_the_journal_that_was_stamped_and_is_gone_is_altered(card: Card) -> None:
    """Invariant 13: the newest file was taken away, and the one before it put in its place; the token names it."""
    card.stamp(head=replace(card.head(), number=2))
    storage, *_ = card.verify()
    assert any("file 2 of the journal is gone; it was so before" in finding.what for finding in storage.findings)
    assert storage.verdict == "altered"


def test_of_a_recording_that_was_changed_its_manifest_alone_existed(card: Card) -> None:
    """Invariant 7: the token holds the manifest; a segment that was changed since then is not what was stamped."""
    card.stamp(*card.recordings)
    segment = card.recordings[0] / "000002.m4s"
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    _, first, second = card.verify()
    assert first.verdict == "altered"
    assert first.existed is not None
    assert second.existed is not None
    assert ([one.what for one in first.existed], [one.what for one in second.existed]) == (["its manifest"], [""])


@pytest.mark.parametrize(
    "damage", ["cut list", "flipped list", "cut token", "no list", "html", "link", "other name", "both"]
)
def test_what_vouches_for_nothing_is_a_note_and_alters_nothing(card: Card, damage: str) -> None:
    """Anybody can put such a file on a card: it is no finding, and no time."""
    card.stamp(*card.recordings)
    verdicts = [report.verdict for report in card.verify()]
    folder = card.path / "witness"
    listed = next(path for path in folder.iterdir() if is_list(path.name))
    token = next(path for path in folder.iterdir() if path != listed)
    match damage:
        case "cut list":
            listed.write_bytes(listed.read_bytes()[:-1])
        case "flipped list":
            listed.write_bytes(listed.read_bytes().replace(b"manifest", b"mamifest"))
        case "cut token":
            token.write_bytes(token.read_bytes()[:-1])
        case "no list":
            listed.unlink()
        case "html":
            token.write_bytes(b"<html>")
        case "link":
            token.unlink()
            token.symlink_to("/etc/passwd")
        case "other name":
            listed.rename(folder / f"{'0' * 64}.digests")
        case "both":  # the token is good, and of that list: but a list has the name that it has
            listed.rename(folder / f"{'0' * 64}.digests")
            token.rename(folder / f"{'0' * 64}.one.example.tsr")
    storage, first, second = card.verify()
    assert [storage.verdict, first.verdict, second.verdict] == verdicts
    assert (first.existed, second.existed) == ([], [])
    assert any("vouches for nothing" in note.what for note in storage.notes)


def test_a_token_from_the_future_is_not_believed(card: Card) -> None:
    card.stamp(*card.recordings)
    storage, first, _ = card.verify(now_s=time.time() - 86_400)
    assert first.existed == []
    assert any("has not come yet" in note.what for note in storage.notes)


def test_a_camera_whose_clock_was_ahead_is_told(card: Card) -> None:
    """Its manifest says a press after the moment before which it existed: its clock was wrong, whatever it says."""
    card.stamp(*card.recordings)
    reports = verify_paths([card.recordings[0]])
    reports[0].press_utc = "2999-01-01T00:00:00.000Z"
    date_reports(reports, load_certificates(card.authority.root), time.time())
    assert any("the device's clock was ahead" in note.what for note in reports[0].notes)


# --- in a proof ------------------------------------------------------------------------------------------------------


def test_a_stranger_checks_the_time_with_openssl(card: Card, tmp_path: Path) -> None:
    """Invariant 7, without a line of our code."""
    card.stamp(*card.recordings, head=card.head())
    card.stamp(card.recordings[0], label="two.example")
    card.stamp(card.recordings[1], label="not-of-this.example")
    proof = export_proof(card.recordings[0], tmp_path / "proof.zip")
    (report,) = card.verify(tmp_path / "proof.zip")
    assert report.verdict == "authentic"
    assert report.existed is not None
    assert len(report.existed) == 2
    assert not any("no part of a proof" in note.what for note in report.notes)
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    assert len(list((folder / "witness").iterdir())) == 4
    assert not any(card.recordings[1].name.encode() in path.read_bytes() for path in (folder / "witness").iterdir())
    shutil.copy(card.authority.root, folder / "tsa_certs.pem")
    done = run_readme(folder)
    assert good(done), done
    assert done.stdout.count("Verification: OK") == 2
    assert proof.files == len(report.existed) * 2 + len(list(card.recordings[0].iterdir())) + 4


def test_the_stranger_reads_the_time_that_is_signed_and_no_other(card: Card, tmp_path: Path) -> None:
    """Invariant 7: what an authority says beside its token is not signed, and openssl prints it among what is."""
    card.stamp(card.recordings[0])
    token = next(path for path in (card.path / "witness").iterdir() if not is_list(path.name))
    token.write_bytes(saying(token.read_bytes(), b"\nTime stamp: Jan  1 00:00:00 2026 GMT ("))
    export_proof(card.recordings[0], tmp_path / "proof.zip")
    (report,) = card.verify(tmp_path / "proof.zip")
    assert report.existed is not None
    assert is_recent(report.existed[0].utc)
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    shutil.copy(card.authority.root, folder / "tsa_certs.pem")
    done = run_readme(folder)
    assert good(done), done
    assert done.stdout.count("Verification: OK") == 1
    assert "Jan  1" not in done.stdout
    assert done.stdout.rstrip().endswith(f"{time.gmtime().tm_year} GMT")


def saying(answer: bytes, words: bytes) -> bytes:
    """The answer of an authority with other words in its status; the token in it is the same."""

    def element(tag: int, content: bytes) -> bytes:
        size = len(content)
        return bytes([tag]) + (bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")) + content

    granted = element(0x02, b"\0")
    at = answer.index(granted, 4, 12)
    assert answer[4] == 0x30
    behind = 6 + answer[5]
    assert at + len(granted) <= behind
    return element(0x30, element(0x30, granted + element(0x30, element(0x0C, words))) + answer[behind:])


@pytest.mark.parametrize("damage", ["another list", "flipped token", "untrusted"])
def test_the_stranger_finds_a_time_that_is_none(card: Card, tmp_path: Path, damage: str) -> None:
    card.stamp(card.recordings[0])
    export_proof(card.recordings[0], tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    shutil.copy(card.authority.root, folder / "tsa_certs.pem")
    listed = next(path for path in (folder / "witness").iterdir() if is_list(path.name))
    token = next(path for path in (folder / "witness").iterdir() if path != listed)
    match damage:
        case "another list":
            listed.write_bytes(DigestList(frozenset({"0" * 128})).encode())
        case "flipped token":
            data = bytearray(token.read_bytes())
            data[-20] ^= 1
            token.write_bytes(data)
        case "untrusted":
            shutil.copy(Authority(tmp_path / "other").root, folder / "tsa_certs.pem")
    done = run_readme(folder)
    assert done.returncode != 0
    assert 'Good "bwvd-sums" signature' in done.stdout  # everything before it was good
