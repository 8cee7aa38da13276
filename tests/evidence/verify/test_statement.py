"""Statements: what a person signs about a file that was made from a recording, and what verification says of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.statement import Stated, state
from bwvd.evidence.format.statement import STATEMENT_NAMESPACE
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner, armour
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from tests.support.desk import SIGNERS, export_mp4, export_proof
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import certify, fixed_signer, ssh_keygen, stock_key, stock_verify

CLERK = fixed_signer(7)
LINE = f'clerk namespaces="bwvd-statement" {CLERK.public_key}\n'
DEVICES = fixed_signer().allowed_signers("*")
MADE = "2026-11-22T19:02:11.000Z"
NOTE = "Faces blurred from 00:10 to 00:14"


def listed(text: str = LINE) -> AllowedSigners:
    return AllowedSigners.parse(text.encode(), "list")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A desk with a recording, its export, and what another tool made of that."""
    desk = tmp_path / "desk"
    desk.mkdir()
    kept = make_recording(make_storage(tmp_path / "card"), seconds=2)
    shutil.copytree(kept, desk / kept.name)
    export_mp4(kept, desk / "original.mp4")
    (desk / "redacted.mp4").write_bytes((desk / "original.mp4").read_bytes()[:-100] + bytes(100))
    return desk


def recording_in(folder: Path) -> Path:
    return next(path for path in folder.iterdir() if path.is_dir())


def stated(folder: Path, original: str = "original.mp4", *, signer: KeySigner = CLERK, by: str = "clerk") -> Stated:
    return state(folder / original, folder / "redacted.mp4", signer, by=by, note=NOTE, made_utc=MADE, signers=SIGNERS)


def verified(path: Path, signers: AllowedSigners | None = None) -> Report:
    (report,) = verify_paths([path], signers if signers is not None else listed())
    assert report.kind == "statement"
    return report


def problem(folder: Path, verdict: str, signers: AllowedSigners | None = None) -> str:
    report = verified(folder / "redacted.mp4", signers)
    assert (report.verdict, report.good) == (verdict, False)
    (finding,) = report.findings
    return f"{finding.where}: {finding.what}"


# --- what is good ----------------------------------------------------------------------------------------------------


def test_a_redaction_of_an_export(folder: Path) -> None:
    made = stated(folder)
    assert made.path == folder / "redacted.mp4.statement.json"
    recording = recording_in(folder)
    manifest = hashlib.sha512((recording / "manifest.jsonl").read_bytes()).hexdigest()
    said = json.loads(made.path.read_text())
    assert said == {
        "type": "statement",
        "format": 1,
        "original": {
            "kind": "export",
            "name": "original.mp4",
            "bytes": (folder / "original.mp4").stat().st_size,
            "sha256": hashlib.sha256((folder / "original.mp4").read_bytes()).hexdigest(),
            "recording": recording.name,
            "device": "BWV-0001",
            "manifest_sha512": manifest,
            "segments": "1-2",
            "from_s": "0.000000",
            "verdict": "authentic",
        },
        "derived": {
            "name": "redacted.mp4",
            "bytes": (folder / "redacted.mp4").stat().st_size,
            "sha256": hashlib.sha256((folder / "redacted.mp4").read_bytes()).hexdigest(),
        },
        "note": NOTE,
        "by": "clerk",
        "made_utc": MADE,
    }
    for path in (folder / "redacted.mp4", made.path):
        report = verified(path)
        assert (report.verdict, report.good, report.findings) == ("stated", True, [])
        assert report.signer is not None
        assert report.signer.name == "clerk"
        who, derived, original, word = report.sentences
        assert who.startswith(
            f"clerk states on {MADE}: redacted.mp4 was made from original.mp4, an export of recording"
        )
        assert who.endswith(f"What was done: {NOTE}")
        assert derived.startswith("redacted.mp4 is here and unchanged")
        assert original.startswith("original.mp4 is here, and it is unchanged")
        assert word.startswith("This is the word of who signed it, not the camera's")
        assert report.as_dict()["statement"] == said


@pytest.mark.parametrize("kind", ["recording", "proof"])
def test_a_redaction_of_a_recording_or_a_proof(kind: str, folder: Path) -> None:
    export_proof(recording_in(folder), folder / "proof.zip")
    original = recording_in(folder).name if kind == "recording" else "proof.zip"
    made = stated(folder, original).statement.original
    assert (made.kind, made.recording, made.verdict) == (kind, recording_in(folder).name, "authentic")
    measured = recording_in(folder) / "manifest.jsonl" if kind == "recording" else folder / "proof.zip"
    assert made.sha256 == hashlib.sha256(measured.read_bytes()).hexdigest()
    report = verified(folder / "redacted.mp4")
    assert report.verdict == "stated"
    assert any(f"{original} is here" in sentence for sentence in report.sentences)


def test_without_the_original_it_is_said(folder: Path) -> None:
    """A redaction is handed out without what was redacted."""
    stated(folder)
    (folder / "original.mp4").unlink()
    report = verified(folder / "redacted.mp4")
    assert report.verdict == "stated"
    assert "original.mp4 is not here: it was not compared." in report.sentences


def test_under_another_name(folder: Path) -> None:
    stated(folder)
    for suffix in ("", ".statement.json", ".statement.json.sig"):
        (folder / f"redacted.mp4{suffix}").rename(folder / f"handed out.mp4{suffix}")
    for path in ("handed out.mp4", "handed out.mp4.statement.json"):
        report = verified(folder / path)
        assert report.verdict == "stated"
        assert report.sentences[1].startswith("handed out.mp4 (there called redacted.mp4) is here and unchanged")


def test_the_stock_tool_verifies_and_makes_them(folder: Path) -> None:
    made = stated(folder)
    (folder / "list").write_text(LINE)
    signature = folder / "redacted.mp4.statement.json.sig"
    assert stock_verify(folder / "list", "clerk", "bwvd-statement", signature, made.path.read_bytes())
    assert not stock_verify(folder / "list", "clerk", "bwvd-statement", signature, made.path.read_bytes() + b" ")
    key = stock_key(folder / "key", "ecdsa")
    signature.unlink()
    ssh_keygen("-Y", "sign", "-f", key, "-n", "bwvd-statement", made.path)
    public = " ".join((folder / "key.pub").read_text().split()[:2])
    assert verified(made.path, listed(f'clerk namespaces="bwvd-statement" {public}\n')).verdict == "stated"


def test_a_key_that_an_authority_certified(folder: Path) -> None:
    authority, key = stock_key(folder / "ca"), stock_key(folder / "key")
    certify(authority, key, "-n", "clerk", "-V", "always:forever")
    stated(folder, signer=KeySigner.load(key))
    public = " ".join((folder / "ca.pub").read_text().split()[:2])
    line = f'clerk cert-authority,namespaces="bwvd-statement" {public}\n'
    assert verified(folder / "redacted.mp4", listed(line)).verdict == "stated"


def test_a_key_counts_at_the_time_of_the_statement(folder: Path) -> None:
    stated(folder)
    line = f'clerk namespaces="bwvd-statement",{{}} {CLERK.public_key}\n'
    assert verified(folder / "redacted.mp4", listed(line.format('valid-before="20261201Z"'))).verdict == "stated"
    assert "no longer valid" in problem(folder, "unvouched", listed(line.format('valid-before="20261101Z"')))


# --- what is not -----------------------------------------------------------------------------------------------------


def test_what_nobody_vouches_for(folder: Path) -> None:
    """Invariant 14: and it is said of whom it claims to be."""
    stated(folder)
    (report,) = verify_paths([folder / "redacted.mp4"], None)
    assert (report.verdict, report.good) == ("unvouched", False)
    assert report.sentences[0].startswith("Somebody who signs as clerk states")
    assert "is not in list" in problem(
        folder, "unvouched", listed(LINE.replace(CLERK.public_key, fixed_signer(9).public_key))
    )


@pytest.mark.parametrize(
    "line",
    [
        f"clerk {CLERK.public_key}\n",
        f'clerk namespaces="bwvd-*" {CLERK.public_key}\n',
        f'clerk namespaces="bwvd-receipt" {CLERK.public_key}\n',
        f'other namespaces="bwvd-statement" {CLERK.public_key}\n',
        f'clerk namespaces="bwvd-statement,bwvd-manifest" {CLERK.public_key}\n',
        f'{LINE}BWV-0001 namespaces="bwvd-sums" {CLERK.public_key}\n',
    ],
)
def test_a_line_that_does_not_name_statements_or_is_a_cameras(line: str, folder: Path) -> None:
    """Invariant 14: a camera's key speaks for no person, and a person's for what he is listed for."""
    stated(folder)
    assert "for which nobody vouches" in problem(folder, "unvouched", listed(line))


def test_a_cameras_key(folder: Path) -> None:
    """Invariant 14: who has stolen it makes no statements that count."""
    camera = fixed_signer(3)
    stated(folder, signer=camera, by="BWV-0003")
    assert "for which nobody vouches" in problem(folder, "unvouched", listed(LINE + camera.allowed_signers("*")))


def test_another_namespace(folder: Path) -> None:
    made = stated(folder)
    blob = CLERK.sign(hashlib.sha512(made.path.read_bytes()).digest(), "bwvd-receipt")
    made.path.with_name(made.path.name + ".sig").write_text(armour(blob))
    assert "signed for 'bwvd-receipt'" in problem(folder, "altered", listed(LINE.replace("statement", "receipt")))


def changed_file(folder: Path) -> str:
    with (folder / "redacted.mp4").open("r+b") as file:
        file.write(b"\1")
    return "redacted.mp4: is not the file that the statement is about"


def changed_original(folder: Path) -> str:
    with (folder / "original.mp4").open("ab") as file:
        file.write(b"\0")
    return "original.mp4: is not what the statement names as the original"


def changed_statement(folder: Path) -> str:
    path = folder / "redacted.mp4.statement.json"
    path.write_bytes(path.read_bytes().replace(b"Faces", b"Plates"))
    return "redacted.mp4.statement.json.sig: does not hold"


def unsigned(folder: Path) -> str:
    (folder / "redacted.mp4.statement.json.sig").unlink()
    return "redacted.mp4.statement.json.sig: is missing"


def longer_signature(folder: Path) -> str:
    with (folder / "redacted.mp4.statement.json.sig").open("a") as file:
        file.write("\n")
    return "redacted.mp4.statement.json.sig: does not hold"


@pytest.mark.parametrize("change", [changed_file, changed_original, changed_statement, unsigned, longer_signature])
def test_what_was_changed_is_named(change: Callable[[Path], str], folder: Path) -> None:
    """Invariant 7: of the file, of what it was made from, and of what is said about it."""
    stated(folder)
    expected = change(folder)
    assert problem(folder, "altered").startswith(expected)


def test_a_statement_beside_another_file(folder: Path) -> None:
    stated(folder)
    (folder / "other.mp4").write_bytes(b"something else")
    for suffix in (".statement.json", ".statement.json.sig"):
        shutil.copy(folder / f"redacted.mp4{suffix}", folder / f"other.mp4{suffix}")
    report = verified(folder / "other.mp4")
    assert report.verdict == "altered"
    assert report.findings[0].where == "other.mp4"


def test_the_file_is_gone(folder: Path) -> None:
    made = stated(folder)
    (folder / "redacted.mp4").unlink()
    report = verified(made.path)
    assert (report.verdict, report.findings[0].where) == ("unreadable", "redacted.mp4")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def inner(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("planted", [fifo, device, inner])
@pytest.mark.parametrize("name", ["redacted.mp4.statement.json", "redacted.mp4.statement.json.sig", "original.mp4"])
def test_nothing_waits_for_what_is_no_file(planted: Callable[[Path], None], name: str, folder: Path) -> None:
    stated(folder)
    (folder / name).unlink()
    planted(folder / name)
    assert verified(folder / "redacted.mp4").verdict == "unreadable"


@pytest.mark.parametrize("place", ["original", "derived"])
@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "", "a\0b"])
def test_a_name_leads_out_of_no_folder(name: str, place: str, folder: Path) -> None:
    """A statement that somebody vouches for says what it likes; no file of another folder is read for it."""
    made = stated(folder)
    (folder.parent / "secret").write_bytes(b"x")
    fields = json.loads(made.path.read_text())
    fields[place]["name"] = name
    fields[place]["sha256"] = hashlib.sha256(b"x").hexdigest()
    path = folder / "any.statement.json"
    path.write_text(json.dumps(fields))
    blob = CLERK.sign(hashlib.sha512(path.read_bytes()).digest(), STATEMENT_NAMESPACE)
    path.with_name(path.name + ".sig").write_text(armour(blob))
    report = verified(path)
    if place == "derived":
        assert report.verdict == "unreadable"
    assert not any("is here" in sentence and "secret" in sentence for sentence in report.sentences)


@pytest.mark.parametrize("text", ["[]", "{}", "null", "[" * 9000, '{"type":"receipt"}', "\ud800"])
def test_signed_but_no_statement(text: str, folder: Path) -> None:
    path = folder / "redacted.mp4.statement.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    blob = CLERK.sign(hashlib.sha512(path.read_bytes()).digest(), STATEMENT_NAMESPACE)
    path.with_name(path.name + ".sig").write_text(armour(blob))
    assert "not a statement" in problem(folder, "unreadable")


def test_a_field_that_is_not_known_may_hold_anything(folder: Path) -> None:
    """What JSON can say is shown with the rest; a number that nobody can hold makes it no statement."""
    made = stated(folder)
    said = made.path.read_text()
    for more, verdict in (("[1, null]", "stated"), ("1e999", "unreadable"), ('"\\ud800"', "unreadable")):
        made.path.write_text(said.replace('"note"', f'"shelf": {more}, "note"'))
        blob = CLERK.sign(hashlib.sha512(made.path.read_bytes()).digest(), STATEMENT_NAMESPACE)
        made.path.with_name(made.path.name + ".sig").write_text(armour(blob))
        report = verified(made.path)
        assert report.verdict == verdict
        assert (report.statement is not None) == (verdict == "stated")


def test_what_it_says_steers_no_terminal(folder: Path) -> None:
    made = stated(folder)
    fields = {**json.loads(made.path.read_text()), "note": "\x1b[2J\u202ered", "by": "clerk"}
    made.path.write_text(json.dumps(fields))
    blob = CLERK.sign(hashlib.sha512(made.path.read_bytes()).digest(), STATEMENT_NAMESPACE)
    made.path.with_name(made.path.name + ".sig").write_text(armour(blob))
    assert all(sentence.isprintable() for sentence in verified(made.path).sentences)


def test_a_recordings_own_file_is_not_answered_for_by_a_statement(folder: Path) -> None:
    """Invariant 7: one that somebody plants in a recording's folder, or beside a proof, takes no verdict over."""
    stated(folder)
    export_proof(recording_in(folder), folder / "proof.zip")
    for target in (recording_in(folder) / "000001.m4s", folder / "proof.zip"):
        for suffix in (".statement.json", ".statement.json.sig"):
            shutil.copy(folder / f"redacted.mp4{suffix}", f"{target}{suffix}")
        (report,) = verify_paths([target], SIGNERS)
        assert report.kind in ("segment", "recording")


# --- what is not stated ----------------------------------------------------------------------------------------------


def refusal(folder: Path, original: str = "original.mp4", note: str = NOTE, derived: str = "redacted.mp4") -> str:
    before = sorted(folder.rglob("*"))
    with pytest.raises(ExportRefused) as raised:
        state(folder / original, folder / derived, CLERK, by="clerk", note=note, made_utc=MADE, signers=SIGNERS)
    assert sorted(folder.rglob("*")) == before
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_an_mp4_that_is_no_export(folder: Path) -> None:
    with av.open(str(folder / "plain.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    assert "its metadata names no recording" in refusal(folder, "plain.mp4")
    (folder / "text").write_text("text")
    assert "neither a recording, nor a proof, nor an MP4" in refusal(folder, "text")


def test_an_altered_original(folder: Path) -> None:
    recording = recording_in(folder)
    (recording / "000001.m4s").write_bytes(b"")
    assert f"{recording.name} is altered: 000001.m4s" in refusal(folder, recording.name)


def test_a_recording_without_an_end(folder: Path) -> None:
    kept = make_recording(make_storage(folder / "other"), 2, seconds=1, close="")
    assert "is not_closed" in refusal(folder, str(kept.relative_to(folder)))


def test_nothing_was_made(folder: Path) -> None:
    (folder / "redacted.mp4").write_bytes((folder / "original.mp4").read_bytes())
    assert "nothing was made of it" in refusal(folder)


def test_a_file_in_a_recordings_folder(folder: Path) -> None:
    recording = recording_in(folder)
    (recording / "redacted.mp4").write_bytes(b"x")
    assert "where nothing is ever added" in refusal(folder, derived=f"{recording.name}/redacted.mp4")


@pytest.mark.parametrize("note", ["", " \n ", "x" * 1001, "\x1b[2J", "a\u202eb"])
def test_a_note_is_a_line(note: str, folder: Path) -> None:
    assert "1 to 1000 printable characters" in refusal(folder, note=note)


def test_another_statement_is_not_overwritten(folder: Path) -> None:
    stated(folder)
    assert "exists; an export overwrites nothing" in refusal(folder)


def test_what_is_not_there(folder: Path) -> None:
    assert "No such file" in refusal(folder, "nowhere.mp4")
    assert "No such file" in refusal(folder, derived="nowhere.mp4")
    fifo(folder / "fifo.mp4")
    assert "a FIFO" in refusal(folder, "fifo.mp4")
    assert "a FIFO" in refusal(folder, derived="fifo.mp4")
