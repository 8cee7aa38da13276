"""Proofs: whole, repeatable, and checked by a stranger with the very commands of their README."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.catalogue import entry
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.gather import gather
from bwvd.evidence.verify.report import Finding
from bwvd.messages import Located
from bwvd.testing.clock import VirtualClock
from tests.evidence.export.test_track import fix, walked
from tests.support.desk import export_proof, verify_paths, verify_proof
from tests.support.evidence_folder import PRESS_NS, make_recording, make_storage
from tests.support.evidence_keys import certify, fixed_signer, stock_key
from tests.support.proofs import MADE_BY_IT, good, run_readme, unpack
from tests.support.stock import need

IDENTITY = pyrage.x25519.Identity.generate()


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


@pytest.mark.parametrize(
    "options",
    [{}, {"bframes": 2, "grouped": 2}, {"other_camera_from": 2}, {"close": ""}, {"finish": False}, {"gap_after": 1}],
    ids=str,
)
def test_a_stranger_checks_it_with_stock_tools(storage: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Invariant 7, without a line of our code."""
    proof = export_proof(make_recording(storage, **options), tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    done = run_readme(folder)
    assert good(done), done
    finished = options.get("close") != "" and "finish" not in options
    assert done.stdout.count(".m4s: OK") == proof.report.segments * (2 if finished else 1)
    assert (folder / "play-1.mp4").stat().st_size > 1000
    assert proof.files == len([path for path in folder.rglob("*") if path.is_file()]) - len(
        [name for name in MADE_BY_IT if (folder / name).exists()]
        + [*folder.glob("play-*.mp4"), *folder.glob("init*.mp4")]
    )


@pytest.mark.parametrize("located", [False, True])
def test_a_sealed_recording_is_checked_and_opened_by_stock_age(storage: Path, tmp_path: Path, *, located: bool) -> None:
    """Also one whose press has a sealed position in its record, which is no sealed text."""
    need("age")
    where: dict[str, Any] = {"press_located": Located(PRESS_NS, fix(1.4)), "located": walked()} if located else {}
    folder = make_recording(storage, sealer=AgeSealer([str(IDENTITY.to_public())]), **where)
    export_proof(folder, tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    (folder / "identity.txt").write_text(f"{IDENTITY}\n")
    assert good(run_readme(folder))
    assert (folder / "play-1.mp4").stat().st_size > 1000


def test_a_fleets_certificate_is_checked_by_stock_tools(tmp_path: Path) -> None:
    authority, key = stock_key(tmp_path / "ca"), tmp_path / "device_key"
    private = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    key.chmod(0o600)
    (tmp_path / "device_key.pub").write_text(KeySigner(private).public_key + "\n")
    certify(authority, key, "-n", "BWV-0001", "-V", "20261101Z:20261201Z")
    signer = KeySigner.load(key)
    storage = make_storage(tmp_path / "storage", signer)
    recording = make_recording(storage, signer=signer)
    proof = tmp_path / "proof.zip"
    export_proof(recording, proof)
    assert good(run_readme(unpack(proof, tmp_path / "x")))


def test_a_recovered_recording_is_checked_by_stock_tools(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, close="")
    manifest = folder / "manifest.jsonl"
    os.truncate(manifest, manifest.stat().st_size - 100)
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 9.0), "boot-2", reserve=Reserve(0))
    export_proof(folder, tmp_path / "proof.zip")
    done = run_readme(unpack(tmp_path / "proof.zip", tmp_path / "x"))
    assert good(done), done


@pytest.mark.parametrize("name", ["000002.m4s", "manifest.jsonl", "index.m3u8", "init.mp4", "SHA256SUMS"])
def test_one_flipped_bit_is_found_by_stock_tools(storage: Path, tmp_path: Path, name: str) -> None:
    """Invariant 7."""
    recording = make_recording(storage)
    export_proof(recording, tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    path = folder / "recordings" / recording.name / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run_readme(folder).returncode != 0
    assert verify_paths([folder / "recordings" / recording.name])[0].verdict == "altered"


def test_the_folder_is_in_it_byte_for_byte(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage)
    proof = export_proof(recording, tmp_path / "proof.zip")
    folder = unpack(tmp_path / "proof.zip", tmp_path / "x")
    copied = folder / "recordings" / recording.name
    assert {p.name: p.read_bytes() for p in copied.iterdir()} == {p.name: p.read_bytes() for p in recording.iterdir()}
    assert not (folder / "allowed_signers").exists()
    assert proof.files == len(list(recording.iterdir())) + 3
    assert proof.bytes == (tmp_path / "proof.zip").stat().st_size


def test_a_folder_of_proofs(storage: Path, tmp_path: Path) -> None:
    """What `export --all --proof DIR` makes. A broken one is told, and a folder that should be a recording."""
    signers = AllowedSigners.parse(fixed_signer().allowed_signers("*").encode(), "list")
    folder = tmp_path / "proofs"
    folder.mkdir()
    for serial, name in ((1, "a.zip"), (2, "B.ZIP")):
        export_proof(make_recording(storage, serial), folder / name)
    assert [report.verdict for report in verify_paths([folder], signers)] == ["authentic", "authentic"]
    (folder / "b.zip").write_bytes((folder / "a.zip").read_bytes()[:1000])
    assert sorted(report.verdict for report in verify_paths([folder], signers)) == [
        "authentic",
        "authentic",
        "unreadable",
    ]
    (folder / "b.zip").unlink()
    (folder / "20261122T071503Z-BWV-0001-000003").mkdir()
    assert [report.verdict for report in verify_paths([folder], signers)] == ["unreadable", "authentic", "authentic"]


def test_what_somebody_has_put_into_a_proof_is_named(storage: Path, tmp_path: Path) -> None:
    """Invariant 14: what is vouched for is the recording, and nothing that lies beside it."""
    signers = AllowedSigners.parse(fixed_signer().allowed_signers("*").encode(), "list")
    export_proof(make_recording(storage), tmp_path / "proof.zip")
    [clean] = verify_paths([tmp_path / "proof.zip"], signers)
    with zipfile.ZipFile(tmp_path / "proof.zip", "a") as archive:
        archive.writestr("allowed_signers", fixed_signer().allowed_signers("*"))
        archive.writestr("../player.exe", b"")
    [report] = verify_paths([tmp_path / "proof.zip"], signers)
    assert report.verdict == "authentic"
    assert [note for note in report.notes if note not in clean.notes] == [
        Finding("allowed_signers and 1 more", "is no part of a proof: nobody has signed it")
    ]


def test_the_same_recording_gives_the_same_bytes(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage)
    for name in ("a.zip", "b.zip"):
        export_proof(recording, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_the_chain_is_told_in_plain_text(storage: Path, tmp_path: Path) -> None:
    export_proof(make_recording(storage, gap_after=1, label="\x1b[31m door"), tmp_path / "proof.zip")
    with zipfile.ZipFile(tmp_path / "proof.zip") as archive:
        text = archive.read("CHAIN.txt").decode()
    assert "1.984 s of 2 s asked, less than asked because: started" in text
    assert "marker by gpio:record: \\x1b[31m door" in text
    assert "no both (camera_lost)" in text
    assert "ended (stop): 4 segments, 40 frames, 1 gap" in text
    assert all(line.isprintable() for line in text.splitlines())


class TestVerifyProof:
    def test_a_proof_is_verified_where_it_lies(self, storage: Path, tmp_path: Path) -> None:
        export_proof(make_recording(storage), tmp_path / "proof.zip")
        [report] = verify_paths([tmp_path / "proof.zip"])
        assert (report.verdict, report.findings, report.frames) == ("authentic", [], 40)
        assert report.signer
        assert report.signer.trusted
        given = AllowedSigners.parse(fixed_signer(2).allowed_signers("BWV-0001").encode(), "given")
        for signers in (given, None):
            assert verify_proof(tmp_path / "proof.zip", signers)[0].verdict == "unvouched"

    def test_a_flipped_bit_inside_is_found(self, storage: Path, tmp_path: Path) -> None:
        """Invariant 7."""
        proof = tmp_path / "proof.zip"
        recording = make_recording(storage)
        export_proof(recording, proof)
        whole = proof.read_bytes()
        for name in ("000002.m4s", "manifest.jsonl", "init.mp4"):
            content = (recording / name).read_bytes()
            data = bytearray(whole)
            data[whole.index(content) + len(content) // 2] ^= 1
            proof.write_bytes(data)
            assert not verify_proof(proof)[0].good

    def test_files_added_doubled_and_taken_away_are_found(self, storage: Path, tmp_path: Path) -> None:
        recording = make_recording(storage)
        export_proof(recording, tmp_path / "proof.zip")
        inside = f"recordings/{recording.name}"
        for extra in (f"{inside}/other", f"{inside}/sub/000001.m4s", f"{inside}/000001.m4s"):
            (tmp_path / "x.zip").write_bytes((tmp_path / "proof.zip").read_bytes())
            with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive, pytest.MonkeyPatch.context() as patch:
                patch.setattr("warnings.warn", lambda *_, **__: None)  # zipfile's about the doubled name
                archive.writestr(extra, b"x")
            assert verify_proof(tmp_path / "x.zip")[0].verdict == "altered"
        with zipfile.ZipFile(tmp_path / "proof.zip") as source, zipfile.ZipFile(tmp_path / "y.zip", "w") as target:
            for info in source.infolist():
                if not info.filename.endswith("000003.m4s"):
                    target.writestr(info, source.read(info))
        assert verify_proof(tmp_path / "y.zip")[0].findings[0].what == "is missing"

    @pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"PK\x03\x04rubbish" * 10])
    def test_what_is_no_proof_is_one_line(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.zip").write_bytes(content)
        [report] = verify_paths([tmp_path / "x.zip"])
        assert report.verdict == "unreadable"
        assert "\n" not in report.findings[0].what

    def test_a_proof_cut_anywhere_is_no_traceback(self, storage: Path, tmp_path: Path) -> None:
        export_proof(make_recording(storage, seconds=1), tmp_path / "proof.zip")
        data = (tmp_path / "proof.zip").read_bytes()
        for size in range(0, len(data), 997):
            (tmp_path / "x.zip").write_bytes(data[:size])
            assert not any(report.good for report in verify_paths([tmp_path / "x.zip"]))


def test_an_altered_recording_is_not_packed_unless_forced(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage)
    (recording / "000002.m4s").unlink()
    with pytest.raises(ExportRefused, match=r"is altered: 000002\.m4s"):
        export_proof(recording, tmp_path / "proof.zip")
    assert not (tmp_path / "proof.zip").exists()
    export_proof(recording, tmp_path / "proof.zip", force=True)
    with zipfile.ZipFile(tmp_path / "proof.zip") as archive:
        assert (
            "NOT IN ORDER    000002.m4s (segment 2, 1.0 s to 2.0 s): is missing" in archive.read("CHAIN.txt").decode()
        )
    assert run_readme(unpack(tmp_path / "proof.zip", tmp_path / "x")).returncode != 0


def test_an_id_that_a_shell_would_obey_is_refused(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage, device="a'$(reboot)'")
    with pytest.raises(ExportRefused, match="no recording's id"):
        export_proof(recording, tmp_path / "proof.zip", force=True)


def test_nothing_is_overwritten(storage: Path, tmp_path: Path) -> None:
    (tmp_path / "proof.zip").write_text("precious")
    with pytest.raises(ExportRefused, match="exists"):
        export_proof(make_recording(storage), tmp_path / "proof.zip")
    assert (tmp_path / "proof.zip").read_text() == "precious"


def test_a_manifest_that_is_none_keeps_nobody_busy(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gigabytes of nothing are packed into a megabyte: its length is looked at, not what is in it."""
    folder = make_recording(storage)
    export_proof(folder, tmp_path / "proof.zip")
    size = (folder / "manifest.jsonl").stat().st_size
    for module in ("bwvd.evidence.verify.recording", "bwvd.evidence.export.catalogue"):
        monkeypatch.setattr(f"{module}.MANIFEST_BYTES", size - 1)
    for path in (tmp_path / "proof.zip", folder):
        [report] = verify_paths([path])
        assert report.verdict == "unreadable"
        assert report.findings[0].what == f"has {size:,} bytes; no recording has more than {size - 1:,}"
    [place] = gather(tmp_path / "proof.zip")
    assert entry(place).end == "unreadable"


class TestVerifyPaths:
    def test_what_a_person_points_at(self, storage: Path) -> None:
        recording = make_recording(storage)
        kinds = {
            storage: ["storage", "recording"],
            storage / "recordings": ["recording"],
            recording: ["recording"],
            recording / "manifest.jsonl": ["recording"],
            recording / "000002.m4s": ["segment"],
        }
        for path, expected in kinds.items():
            assert [report.kind for report in verify_paths([path])] == expected
        assert [report.kind for report in verify_paths(kinds)] == [kind for one in kinds.values() for kind in one]

    def test_what_is_nothing_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        os.mkfifo(tmp_path / "fifo")
        for name in ("file", "fifo", "none", "."):
            [report] = verify_paths([tmp_path / name])
            assert report.verdict == "unreadable"
