"""An exported MP4 says whose copy it is, and that nothing proves it but the recording or its proof."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from bwvd.cli.main import main
from tests.support.desk import export_mp4, verify_paths
from tests.support.evidence_folder import make_recording, make_storage


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return make_recording(make_storage(tmp_path / "storage"))


@pytest.fixture
def copy(recording: Path, tmp_path: Path) -> Path:
    export_mp4(recording, tmp_path / "x.mp4")
    return tmp_path / "x.mp4"


def verify(*words: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, words)])


def test_whose_copy_it_claims_to_be(recording: Path, copy: Path) -> None:
    """Invariant 14: the answer is not "authentic", whatever the file says of itself."""
    done = verify(copy)
    assert done.exit_code == 1
    assert done.stdout.split()[:2] == ["copy", "x.mp4"]
    assert f"copy of the recording {recording.name} of BWV-0001, segments 1-4." in done.stdout
    assert "when that was authentic" in done.stdout
    assert "nothing in the file is signed" in done.stdout
    assert hashlib.sha512((recording / "manifest.jsonl").read_bytes()).hexdigest() in done.stdout


def test_as_json(recording: Path, copy: Path) -> None:
    (document,) = json.loads(verify("--json", copy).stdout)
    assert (document["verdict"], document["kind"], document["signer"]) == ("copy", "copy", None)
    assert (document["claims"]["recording"], document["claims"]["segments"]) == (recording.name, "1-4")
    # What it claims stands nowhere else: not where a verified recording's facts stand.
    assert (document["device"], document["serial"], document["manifest_sha512"], document["frames"]) == (
        "",
        None,
        "",
        0,
    )


def test_a_name_that_an_export_may_have(recording: Path, tmp_path: Path) -> None:
    export_mp4(recording, tmp_path / "x.m4v")
    assert verify(tmp_path / "x.m4v").stdout.split()[:2] == ["copy", "x.m4v"]


@pytest.mark.parametrize("content", [b"", b"PK\3\4" + bytes(range(256)) * 20])
def test_what_is_no_mp4_is_told_without_our_own_numbers(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(content)
    (document,) = json.loads(verify("--json", path).stdout)
    (problem,) = document["problems"]
    assert document["verdict"] == "unreadable"
    assert problem["what"].startswith("not an MP4: ")
    assert "Errno" not in problem["what"]


def tagged(path: Path, **tags: str) -> Path:
    """A small film that says of itself whatever it likes."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for packet in [*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode(None)]:
            container.mux(packet)
    return path


def test_what_anybody_wrote_is_no_more_than_that(tmp_path: Path) -> None:
    """Invariant 14: any film may say so, in any words."""
    film = tagged(tmp_path / "y.mp4", bwvd_recording="\x1b[2Jauthentic\n" + "x" * 5000, bwvd_verdict="authentic")
    (report,) = verify_paths([film])
    assert (report.verdict, report.good) == ("copy", False)
    assert all(sentence.isprintable() and len(sentence) < 1000 for sentence in report.sentences)
    done = verify(film)
    assert done.exit_code == 1
    assert all(line.isprintable() for line in done.stdout.splitlines())


@pytest.mark.parametrize("content", [b"", b"no film", b"\0\0\0\x18ftypmp42" + bytes(100)])
def test_what_is_no_copy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "y.mp4").write_bytes(content)
    (report,) = verify_paths([tmp_path / "y.mp4"])
    assert report.verdict == "unreadable"
    assert "\n" not in report.findings[0].what


def test_a_film_of_somebody_elses(tmp_path: Path) -> None:
    (report,) = verify_paths([tagged(tmp_path / "y.mp4", title="holiday")])
    assert report.verdict == "unreadable"
    assert "names none that it is a copy of" in report.findings[0].what


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("1.html", "a page, as a contact sheet is: a copy for viewing, in which nothing is signed"),
        ("x.receipt.json", "a receipt: it lets a camera delete what was taken over (bwvd release)"),
        ("x.receipt.json.sig", "a signature"),
        ("x.vtt", "captions of an export: nothing in them is signed"),
        ("notes.txt", "no recording, which is a folder with a manifest.jsonl, and no proof, which is a .zip"),
    ],
)
def test_a_file_that_is_not_evidence_is_called_what_it_is(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    (report,) = verify_paths([tmp_path / name])
    assert (report.verdict, report.good) == ("unreadable", False)
    assert report.findings[0].what.startswith(what)


def test_the_film_in_a_recordings_folder_is_the_recordings(recording: Path) -> None:
    (report,) = verify_paths([recording / "init.mp4"])
    assert (report.kind, report.verdict) == ("recording", "authentic")
