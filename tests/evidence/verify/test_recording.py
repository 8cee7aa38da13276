"""Verifying a recording: good is good, and what is wrong is found, called by its name, and placed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyrage
import pytest

from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.format import records
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.keys.age import AgeSealer, load_identities
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.report import Report
from bwvd.testing.clock import VirtualClock
from tests.support.desk import verify_recording
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

IDENTITY = pyrage.x25519.Identity.generate()
OTHER_IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def places(report: Report) -> list[str]:
    return [finding.where for finding in report.findings]


def test_a_recording_is_authentic(storage: Path) -> None:
    folder = make_recording(storage)
    report = verify_recording(folder)
    assert report.as_dict() == {
        "id": "20261122T071505Z-BWV-0001-000001",
        "verdict": "authentic",
        "segments": 4,
        "frames": 40,
        "problems": [],
        "notes": [],
        "signer": {
            "fingerprint": fixed_signer().key.fingerprint,
            "key": fixed_signer().public_key,
            "trusted": True,
            "vouched_by": "signers",
            "name": "BWV-0001",
        },
        "kind": "recording",
        "path": report.path,
        "device": "BWV-0001",
        "serial": 1,
        "software": report.software,
        "started_utc": "2026-11-22T07:15:03.016Z",
        "press_utc": "2026-11-22T07:15:05.000Z",
        "press_position": "",
        "pre_event_s": 1.984,
        "duration_s": 4.0,
        "audio_frames": 187,
        "silent_frames": 95,
        "gaps": 0,
        "missing_video_s": 0.0,
        "missing_audio_s": 0.0,
        "missing_pre_event_s": 0.016,
        "bytes": report.bytes,
        "encrypted": False,
        "decoded": False,
        "end": "stop",
        "excerpt": None,
        "before": None,
        "after": None,
        "existed_before": None,
        "manifest_sha512": hashlib.sha512((folder / "manifest.jsonl").read_bytes()).hexdigest(),
    }
    assert report.good


@pytest.mark.parametrize(
    "options",
    [
        {"bframes": 2},
        {"gap_after": 1},
        {"other_camera_from": 2},
        {"grouped": 3},
        {"sound_from": 0},
        {"sound_from": 9},
        {"label": ""},
        {"close": "storage_full"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_kind_of_recording_is_authentic_and_decodes(storage: Path, options: dict[str, object]) -> None:
    report = verify_recording(make_recording(storage, **options), decode=True)  # type: ignore[arg-type]  # mixed values
    assert (report.verdict, report.findings, report.decoded) == ("authentic", [], True)
    assert report.frames == 40


def test_a_sealed_recording_needs_no_identity_to_be_verified(storage: Path) -> None:
    sealer = AgeSealer([str(IDENTITY.to_public())])
    folder = make_recording(storage, sealer=sealer)
    report = verify_recording(folder)
    assert (report.verdict, report.encrypted, report.decoded) == ("authentic", True, False)
    opened = verify_recording(folder, identities=[IDENTITY])
    assert (opened.verdict, opened.findings, opened.decoded) == ("authentic", [], True)
    wrong = verify_recording(folder, identities=[OTHER_IDENTITY])
    assert wrong.verdict == "altered"
    assert len(wrong.findings) == 4 + 2
    assert "can't be decrypted" in wrong.findings[0].what


def test_an_identity_file_is_read(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "identity").write_text(f"# agency\n{IDENTITY}\n")
    folder = make_recording(storage, sealer=AgeSealer([str(IDENTITY.to_public())]))
    assert verify_recording(folder, identities=load_identities([tmp_path / "identity"])).decoded


class TestWhoseKey:
    def test_a_given_list_is_trust(self, storage: Path) -> None:
        folder = make_recording(storage)
        signers = AllowedSigners.parse(fixed_signer().allowed_signers("BWV-0001").encode(), "given")
        report = verify_recording(folder, signers)
        assert report.verdict == "authentic"
        assert report.signer
        assert report.signer.trusted

    @pytest.mark.parametrize("principal", ["bwvd", "*", "BWV-*"])
    def test_a_list_may_know_the_device_by_a_pattern(self, storage: Path, principal: str) -> None:
        signers = AllowedSigners.parse(fixed_signer().allowed_signers(principal).encode(), "given")
        assert verify_recording(make_recording(storage), signers).verdict == "authentic"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (fixed_signer(2).allowed_signers("BWV-0001"), "is not in given"),
            (fixed_signer().allowed_signers("BWV-0002"), "is known as BWV-0002, not as BWV-0001"),
            (f'BWV-0001 namespaces="git" {fixed_signer().public_key}', "not for bwvd-manifest"),
            (f'BWV-0001 valid-before="20261121Z" {fixed_signer().public_key}', "no longer valid"),
            ("", "is not in given"),
        ],
    )
    def test_a_list_that_does_not_vouch_is_a_no(self, storage: Path, line: str, message: str) -> None:
        report = verify_recording(make_recording(storage), AllowedSigners.parse(line.encode(), "given"))
        assert report.verdict == "unvouched"
        assert message in report.findings[0].what
        assert places(report)[0] == "manifest.jsonl line 1 (byte 0)"

    def test_a_key_counts_at_the_time_of_the_recording(self, storage: Path) -> None:
        line = f'BWV-0001 valid-after="20261101Z",valid-before="20261201Z" {fixed_signer().public_key}'
        assert (
            verify_recording(make_recording(storage), AllowedSigners.parse(line.encode(), "x")).verdict == "authentic"
        )

    @pytest.mark.parametrize("signer", [fixed_signer(), fixed_signer(2)])
    def test_without_a_list_nobody_vouches_for_any_key(self, storage: Path, signer: KeySigner) -> None:
        """Invariant 7: a recording forged with a new key is whole, and is not authentic. No list on the card counts."""
        (storage / "allowed_signers").write_text(signer.allowed_signers("BWV-0001"))
        report = verify_recording(make_recording(storage, signer=signer), None)
        assert (report.verdict, report.good) == ("unvouched", False)
        fingerprint = signer.key.fingerprint
        assert report.findings[0].what == f"signed by the key {fingerprint}, for which nobody vouches"
        key = f"the key {fingerprint}, for which nobody vouches"
        assert report.standing == f"unvouched: unchanged since it was signed by {key}"
        assert report.signer
        assert (report.signer.trusted, report.as_dict()["signer"]["vouched_by"]) == (False, "nobody")

    def test_the_whole_recording_signed_anew_by_another_key_is_found(self, storage: Path) -> None:
        """Invariant 7: the desk's list names the device's key, and that of the card names the other one."""
        stranger = fixed_signer(2)
        (storage / "allowed_signers").write_text(stranger.allowed_signers("BWV-0001"))
        report = verify_recording(make_recording(storage, signer=stranger))
        assert report.verdict == "unvouched"
        assert stranger.key.fingerprint in report.findings[0].what

    @pytest.mark.parametrize(("change", "verdict"), [("000002.m4s", "altered"), ("", "unvouched")])
    def test_a_change_is_worse_than_a_key_that_nobody_knows(self, storage: Path, change: str, verdict: str) -> None:
        folder = make_recording(storage, close="" if change else "stop", finish=False)
        if change:
            (folder / change).write_bytes(b"x")
        assert verify_recording(folder, None).verdict == verdict

    def test_recovered_and_unvouched(self, storage: Path) -> None:
        folder = make_recording(storage, close="")
        with PosixVolume(storage) as volume:
            recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 9.0), "boot-2", reserve=Reserve(0))
        assert verify_recording(folder).verdict == "recovered"
        report = verify_recording(folder, None)
        assert (report.verdict, report.recovered, report.end) == ("unvouched", True, "recovered: power_cut")
        assert report.standing.endswith("nobody vouches, and recovered after it was broken off")


class TestUnfinished:
    """States that a power cut leaves: not closed, and nothing altered."""

    def test_a_recording_without_an_end(self, storage: Path) -> None:
        report = verify_recording(make_recording(storage, close=""))
        assert report.verdict == "not_closed"
        assert (report.segments, report.frames) == (4, 40)

    def test_a_recording_cut_at_any_byte_of_its_last_line(self, storage: Path) -> None:
        """Invariant 6: whatever the append left, the segments before it stand."""
        folder = make_recording(storage, close="")
        manifest = folder / "manifest.jsonl"
        data = manifest.read_bytes()
        last = data[: data.rindex(b'{"type":"segment"')]
        for size in range(len(last), len(data) - 1, 7):
            manifest.write_bytes(data[:size])
            report = verify_recording(folder)
            assert report.verdict == "not_closed"
            assert report.segments == 3
            assert [note.where for note in report.notes] == ["000004.m4s"]

    def test_a_file_whose_line_never_came(self, storage: Path) -> None:
        folder = make_recording(storage, close="")
        (folder / "000005.m4s").write_bytes(b"torn")
        report = verify_recording(folder)
        assert report.verdict == "not_closed"
        assert report.notes[0].where == "000005.m4s"
        (folder / "000006.m4s").write_bytes(b"one too many")
        assert places(verify_recording(folder))[-1] == "000006.m4s"

    @pytest.mark.parametrize("count", [1, 64, 65, 1000])
    def test_sealed_texts_whose_lines_never_came(self, storage: Path, count: int) -> None:
        """A commit has as many as waited for it while the flash stalled; a cut may leave any of them."""
        folder = make_recording(storage, sealer=AgeSealer([str(IDENTITY.to_public())]), close="")
        texts = [f"sealed-{number:06d}.json.age" for number in range(3, 3 + count)]
        for name in texts:
            (folder / name).write_bytes(b"torn")
        report = verify_recording(folder)
        assert report.verdict == "not_closed"
        assert [note.where for note in report.notes] == texts
        for name in ("sealed-000000.json.age", "sealed-7.json.age", "sealed-0000007.json.age"):
            (folder / name).touch()
            assert places(verify_recording(folder))[-1] == name
            (folder / name).unlink()

    def test_a_manifest_that_was_being_written_anew(self, storage: Path) -> None:
        folder = make_recording(storage, close="")
        (folder / "manifest.jsonl.new").write_bytes(b"half")
        report = verify_recording(folder)
        assert (report.verdict, report.notes[0].where) == ("not_closed", "manifest.jsonl.new")

    @pytest.mark.parametrize("size", [0, 100, 5000])
    def test_a_manifest_cut_in_its_first_line(self, storage: Path, size: int) -> None:
        folder = make_recording(storage, close="", seconds=1)
        os.truncate(folder / "manifest.jsonl", size)
        assert verify_recording(folder).verdict == "not_closed"

    def test_an_end_without_conveniences(self, storage: Path) -> None:
        report = verify_recording(make_recording(storage, finish=False))
        assert report.verdict == "not_closed"
        assert places(report) == ["SHA256SUMS"]

    @pytest.mark.parametrize("size", [0, 1, 100])
    @pytest.mark.parametrize("zeros", [0, 50])
    def test_an_init_segment_that_did_not_arrive_whole(self, storage: Path, size: int, zeros: int) -> None:
        """As a full flash, or a cut while the folder is finished, leaves it."""
        folder = make_recording(storage)
        for name in ("SHA256SUMS", "SHA256SUMS.sig", "index.m3u8"):
            (folder / name).unlink()
        whole = (folder / "init.mp4").read_bytes()
        (folder / "init.mp4").write_bytes(whole[:size] + bytes(zeros))
        report = verify_recording(folder)
        assert (report.verdict, places(report)) == ("not_closed", ["SHA256SUMS", "init.mp4"])
        (folder / "init.mp4").write_bytes(b"X" + whole[1:])
        assert verify_recording(folder).verdict == "altered"
        (folder / "init.mp4").write_bytes(whole + b"more")
        assert verify_recording(folder).verdict == "altered"

    def test_an_init_segment_that_was_whole_once(self, storage: Path) -> None:
        folder = make_recording(storage)
        os.truncate(folder / "init.mp4", 100)
        assert verify_recording(folder).verdict == "altered"

    @pytest.mark.parametrize("size", [0, 40, 290])
    def test_sums_whose_signature_was_not_finished(self, storage: Path, size: int) -> None:
        folder = make_recording(storage)
        os.truncate(folder / "SHA256SUMS.sig", size)
        report = verify_recording(folder)
        assert (report.verdict, places(report)) == ("not_closed", ["SHA256SUMS.sig"])


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def flip(name: str, at: int = 100) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(data)

    return change


def swap(one: str, other: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / one).rename(folder / "x")
        (folder / other).rename(folder / one)
        (folder / "x").rename(folder / other)

    return change


def link(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent.parent / "elsewhere")

    return change


def fifo(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


SEGMENT_3 = "000003.m4s (segment 3, 2.0 s to 3.0 s)"


@pytest.mark.parametrize(
    ("change", "place", "what"),
    [
        (remove("000003.m4s"), SEGMENT_3, "is missing"),
        (flip("000003.m4s"), SEGMENT_3, "is not what was recorded"),
        (lambda f: os.truncate(f / "000003.m4s", 70), SEGMENT_3, "has 70 bytes, not"),
        (swap("000003.m4s", "000004.m4s"), SEGMENT_3, "belongs to 000004.m4s"),
        (lambda f: (f / "000003.m4s").rename(f / "000009.m4s"), "000009.m4s", "belongs to 000003.m4s"),
        (lambda f: (f / "note.txt").write_text("x"), "note.txt", "no record names this file"),
        (lambda f: (f / "sub").mkdir(), "sub", "a folder"),
        (link("000003.m4s"), "000003.m4s", "a symbolic link"),
        (fifo("000003.m4s"), "000003.m4s", "a FIFO"),
        (fifo("other"), "other", "a FIFO"),
        (link("manifest.jsonl"), "manifest.jsonl", "a symbolic link"),
        (fifo("manifest.jsonl"), "manifest.jsonl", "a FIFO"),
        (remove("manifest.jsonl"), "manifest.jsonl", "is missing"),
        (fifo("SHA256SUMS"), "SHA256SUMS", "a FIFO"),
        (flip("init.mp4"), "init.mp4", "is not what SHA256SUMS says"),
        (remove("init.mp4"), "init.mp4", "is missing"),
        (flip("index.m3u8"), "index.m3u8", "is not what SHA256SUMS says"),
        (remove("SHA256SUMS"), "SHA256SUMS", "is missing, though its signature is there"),
        (remove("SHA256SUMS.sig"), "SHA256SUMS.sig", "is missing"),
        (flip("SHA256SUMS"), "SHA256SUMS or SHA256SUMS.sig", "does not match"),
        (flip("SHA256SUMS.sig"), "SHA256SUMS or SHA256SUMS.sig", ""),
        (lambda f: (f / "init-2.mp4").write_text("x"), "init-2.mp4", "no record names this file"),
    ],
)
def test_what_is_wrong_is_placed(storage: Path, change: Callable[[Path], None], place: str, what: str) -> None:
    """Invariant 7."""
    folder = make_recording(storage)
    change(folder)
    report = verify_recording(folder)
    assert report.verdict in ("altered", "not_closed", "unreadable")
    assert not report.good
    assert any(finding.where == place and what in finding.what for finding in report.findings), report.findings


@pytest.mark.parametrize(
    ("more", "what"),
    [(1, "has 47 frames of coded silence where 48 are said to be"), (-99, "-52 frames of silence in 47")],
)
def test_a_count_of_silence_that_is_signed_and_not_true_is_found(
    storage: Path, more: int, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariants 7 and 15: sound that is said to be silence, or the other way round, by whoever holds the key."""
    right = Chain.line

    def wrong(chain: Chain, record: records.Record) -> bytes:
        if isinstance(record, records.Segment) and record.segment == 2:
            record = msgspec.structs.replace(record, silent_frames=record.silent_frames + more)
        return right(chain, record)

    monkeypatch.setattr(Chain, "line", wrong)
    folder = make_recording(storage, close="")
    monkeypatch.undo()
    report = verify_recording(folder, decode=True)
    assert report.verdict == "altered"
    assert any(what in finding.what for finding in report.findings)


@pytest.mark.parametrize("wrong", ["segments", "frames", "bytes", "gaps", "audio_frames", "silent_frames"])
def test_totals_that_are_signed_and_not_true_are_found(storage: Path, wrong: str) -> None:
    """Invariant 7: a segment that is gone with its line, by whoever holds the key, is missing in the totals."""
    manifest = make_recording(storage, close="") / "manifest.jsonl"
    totals = {"segments": 4, "frames": 40, "bytes": verify_recording(manifest.parent).bytes, "gaps": 0}
    totals |= {"audio_frames": 187, "silent_frames": 95}
    totals[wrong] += 1
    whole = manifest.read_bytes()
    chain = Chain(fixed_signer(), MANIFEST_NAMESPACE)
    chain.absorb(whole, whole.count(b"\n") // 2)
    stamp = records.Stamp(mono_ns=0, utc="2026-11-22T07:15:09.000Z", quality="synced", uncertainty_us=0)
    close = records.Close(n=chain.n, reason="stop", duration_ns=4_000_000_000, stamp=stamp, **totals)
    manifest.write_bytes(whole + chain.line(close))
    report = verify_recording(manifest.parent)
    assert report.verdict == "altered"
    what = "counts 1 gap records where 0 stand" if wrong == "gaps" else "totals"
    (where,) = [finding.where for finding in report.findings if what in finding.what]
    assert where.startswith(f"manifest.jsonl line {len(whole.splitlines()) + 1} ")


def test_conveniences_may_not_lie_beside_an_open_recording(storage: Path) -> None:
    folder = make_recording(storage, close="")
    (folder / "index.m3u8").write_text("#EXTM3U\n")
    assert places(verify_recording(folder))[-1] == "index.m3u8"


def test_a_closed_recording_whose_end_is_cut_off_is_found(storage: Path) -> None:
    """Invariant 7: the lines that are left hold, but the files behind them tell."""
    folder = make_recording(storage)
    manifest = folder / "manifest.jsonl"
    data = manifest.read_bytes()
    manifest.write_bytes(data[: data.rindex(b'{"type":"segment"')])
    report = verify_recording(folder)
    assert report.verdict == "altered"
    assert "000004.m4s" not in places(report)  # it may be a commit that was cut off


def test_one_segment_is_verified_by_itself(storage: Path) -> None:
    folder = make_recording(storage)
    flip("000003.m4s")(folder)
    assert verify_recording(folder, only="000002.m4s").verdict == "authentic"
    report = verify_recording(folder, only="000003.m4s")
    assert (report.kind, report.verdict, places(report)) == ("segment", "altered", [SEGMENT_3])
    assert verify_recording(folder, only="other.m4s").verdict == "altered"


def test_a_segment_is_counted_alone(storage: Path) -> None:
    """What stands beside `(segment)` is of the segment, not of the recording whose manifest vouches for it."""
    folder = make_recording(storage)
    whole, one = verify_recording(folder), verify_recording(folder, only="000002.m4s")
    assert (one.segments, one.frames, one.duration_s) == (1, whole.frames // whole.segments, 1.0)
    assert one.bytes == (folder / "000002.m4s").stat().st_size
    assert one.started_utc > whole.started_utc
    assert (one.pre_event_s, one.missing_video_s, one.missing_pre_event_s) == (0.0, 0.0, 0.0)
    assert one.sentences == [f"segment 2 of {whole.segments}, from 00:01.000 of the recording to 00:02.000"]
    assert (nothing := verify_recording(folder, only="other.m4s")).segments == nothing.frames == 0


def test_no_folder_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name in ("none", "file", "empty"):
        report = verify_recording(tmp_path / name)
        assert report.verdict == "unreadable"


def test_names_that_no_terminal_should_see_are_escaped(storage: Path) -> None:
    folder = make_recording(storage)
    (folder / "\x1b[31mred\udcff").touch()
    assert places(verify_recording(folder)) == ["\\x1b[31mred\\udcff"]


def test_progress_counts_the_bytes(storage: Path) -> None:
    seen: list[int] = []
    report = verify_recording(make_recording(storage), progress=seen.append)
    assert sum(seen) == report.bytes
