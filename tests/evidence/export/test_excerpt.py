"""An excerpt: the whole signed manifest and one run of segments; what is withheld is told from what was removed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.flash.reserve import Reserve
from bwvd.evidence.keys.age import AgeSealer
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.issue import Desk, NoReceipt, issue
from bwvd.evidence.startup.recovery import recover
from bwvd.evidence.verify.report import Excerpt, Report
from bwvd.testing.clock import VirtualClock
from tests.support.desk import export_proof, verify_proof
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer
from tests.support.format_stranger import Wrong, check_excerpt
from tests.support.proofs import good, run_readme, unpack
from tests.support.stock import need

IDENTITY = pyrage.x25519.Identity.generate()
DECLARATION = "excerpt.json"
OTHERS = {"manifest.jsonl", "SHA256SUMS", "SHA256SUMS.sig", "index.m3u8", "init.mp4"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "storage")


def excerpt_of(recording: Path, out: Path, from_s: float | None = 1.0, to_s: float | None = 3.0) -> Path:
    export_proof(recording, out, from_s=from_s, to_s=to_s)
    return out


def verified(proof: Path) -> Report:
    (report,) = verify_proof(proof)
    return report


def files(proof: Path) -> set[str]:
    with zipfile.ZipFile(proof) as archive:
        return {name.rpartition("/")[2] for name in archive.namelist() if name.startswith("recordings/")}


def changed(proof: Path, out: Path, **contents: bytes | None) -> Path:
    """The proof with other files: by the end of their names, `_` for a dot; None = without."""
    left = {name.replace("_", "."): content for name, content in contents.items()}
    with zipfile.ZipFile(proof) as source, zipfile.ZipFile(out, "w") as target:
        folder = ""
        for info in source.infolist():
            name = info.filename.rpartition("/")[2]
            folder = info.filename.removesuffix(name) if info.filename.startswith("recordings/") else folder
            content = left.pop(name, source.read(info))
            if content is not None:
                target.writestr(info, content)
        for name, content in left.items():
            if content is not None:
                target.writestr(name if name == DECLARATION else folder + name, content)
    return out


def stranger(proof: Path, to: Path) -> tuple[int, int, int]:
    folder = unpack(proof, to)
    (recording,) = (folder / "recordings").iterdir()
    return check_excerpt(recording, (folder / DECLARATION).read_bytes())


@pytest.mark.parametrize(
    "options", [{}, {"bframes": 2}, {"other_camera_from": 2}, {"gap_after": 0}, {"finish": False}], ids=str
)
def test_it_holds_the_manifest_and_what_was_chosen(storage: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Invariant 7: unchanged, and by whose choice the others are not here; with stock tools too."""
    recording = make_recording(storage, **options)
    proof = excerpt_of(recording, tmp_path / "p.zip", 1.0, 2.9)
    report = verified(proof)
    first, last = 2, 3
    if "gap_after" in options:
        last = 2
    chosen = {f"{number:06d}.m4s" for number in range(first, last + 1)}
    assert {name for name in files(proof) if name.endswith(".m4s")} == chosen
    assert report.excerpt == Excerpt(first, last, 4)
    assert report.verdict == ("not_closed" if "finish" in options else "excerpt")
    assert report.good == ("finish" not in options)
    done = run_readme(unpack(proof, tmp_path / "x"))
    assert good(done), done
    assert done.stdout.count(".m4s: OK") == len(chosen) * (1 if "finish" in options else 2)
    if "finish" not in options:
        assert stranger(proof, tmp_path / "s") == (first, last, 4)


def test_the_command_says_so(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = make_recording(storage)
    monkeypatch.chdir(tmp_path)
    signers = ("--signers", str(storage / "allowed_signers"))
    run = CliRunner().invoke
    made = run(main, ["export", str(recording), "--proof", "p.zip", "--from", "1", "--to", "0:03", *signers])
    assert (made.exit_code, made.stdout) == (0, "p.zip: an excerpt, segments 2 to 3 of 4\n"), made.output
    said = run(main, ["verify", "p.zip", *signers])
    assert said.exit_code == 0
    assert "excerpt" in said.stdout.splitlines()[0]
    assert "an excerpt: segments 2 to 3 of 4, unchanged; the others are withheld, not missing" in said.stdout
    (document,) = json.loads(run(main, ["verify", "--json", "p.zip", *signers]).stdout)
    assert (document["verdict"], document["excerpt"]) == ("excerpt", {"first": 2, "last": 3, "of": 4})


def test_one_segment_and_what_is_no_excerpt(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage)
    assert str(verified(excerpt_of(recording, tmp_path / "a.zip", 3.2, None)).excerpt) == "segment 4 of 4"
    whole = excerpt_of(recording, tmp_path / "b.zip", 0.0, 60.0)
    assert (verified(whole).verdict, verified(whole).excerpt) == ("authentic", None)
    with pytest.raises(ExportRefused, match="no segment lies between"):
        excerpt_of(recording, tmp_path / "c.zip", 60.0, None)
    assert not (tmp_path / "c.zip").exists()


@pytest.mark.parametrize(("span", "texts"), [((0.0, 1.9), {1, 2}), ((1.0, 1.9), {2}), ((2.0, 3.0), set())])
def test_texts_about_people_go_with_their_segments(
    storage: Path, tmp_path: Path, span: tuple[float, float], texts: set[int]
) -> None:
    """The officer's id goes with the first one, the marker with the second."""
    need("age")
    recording = make_recording(storage, sealer=AgeSealer([str(IDENTITY.to_public())]))
    proof = excerpt_of(recording, tmp_path / "p.zip", *span)
    assert {name for name in files(proof) if name.startswith("sealed")} == {
        f"sealed-{number:06d}.json.age" for number in texts
    }
    assert verified(proof).verdict == "excerpt"
    (report,) = verify_proof(proof, identities=[IDENTITY])
    assert (report.verdict, report.decoded) == ("excerpt", True)
    folder = unpack(proof, tmp_path / "x")
    (folder / "identity.txt").write_text(f"{IDENTITY}\n")
    assert good(run_readme(folder))
    stranger(proof, tmp_path / "s")


def test_of_a_recovered_one_nothing_is_in_it_that_no_segment_names(storage: Path, tmp_path: Path) -> None:
    recording = make_recording(storage, close="")
    (recording / "000005.m4s").write_bytes(b"never acknowledged")
    with PosixVolume(storage) as volume:
        recover(volume, fixed_signer(), VirtualClock(seconds=lambda: 9.0), "boot-2", reserve=Reserve(0))
    proof = excerpt_of(recording, tmp_path / "p.zip", 3.0, None)
    assert "000005.m4s" not in files(proof)
    assert verified(proof).verdict == "excerpt"
    assert good(run_readme(unpack(proof, tmp_path / "x")))


def test_nobody_vouches_for_it(storage: Path, tmp_path: Path) -> None:
    """Invariant 14."""
    proof = excerpt_of(make_recording(storage), tmp_path / "p.zip")
    for signers in (None, AllowedSigners.parse(fixed_signer(2).allowed_signers("*").encode(), "given")):
        (report,) = verify_proof(proof, signers)
        assert (report.verdict, report.good, report.excerpt) == ("unvouched", False, Excerpt(2, 3, 4))


def test_nobody_gets_a_receipt_for_it(storage: Path, tmp_path: Path) -> None:
    """Invariant 8: the rest of it is elsewhere."""
    proof = excerpt_of(make_recording(storage), tmp_path / "p.zip")
    with pytest.raises(NoReceipt, match="excerpt"):
        issue(verified(proof), Desk(fixed_signer(7), "desk", tmp_path), received_utc="2026-11-22T19:02:11Z")


# --- withheld, or removed? -------------------------------------------------------------------------------------------


def declaration(proof: Path, **changes: Any) -> bytes:
    with zipfile.ZipFile(proof) as archive:
        return json.dumps({**json.loads(archive.read(DECLARATION)), **changes}).encode()


Forge = Callable[[Path, Path], dict[str, bytes | None]]  # the excerpt and the recording to other files
FORGERIES: dict[str, Forge] = {
    "lost without a declaration": lambda _p, _r: {DECLARATION: None},
    "a chosen one is changed": lambda _p, r: {"000002_m4s": (r / "000002.m4s").read_bytes()[:-1] + b"x"},
    "a chosen one is another one": lambda _p, r: {"000002_m4s": (r / "000003.m4s").read_bytes()},
    "a chosen one is gone": lambda _p, _r: {"000003_m4s": None},
    "the manifest lost its end": lambda _p, r: {
        "manifest_jsonl": b"".join((r / "manifest.jsonl").read_bytes().splitlines(keepends=True)[:-2])
    },
    "the sums are gone": lambda _p, _r: {"SHA256SUMS": None},
    "the init segment is changed": lambda _p, _r: {"init_mp4": b"x"},
    "a withheld one is here": lambda _p, r: {"000001_m4s": (r / "000001.m4s").read_bytes()},
    "something else is here": lambda _p, _r: {"000001_m4s": b"x"},
    "a file of his own": lambda _p, _r: {"notes_txt": b"x"},
    "it declares more than is here": lambda p, _r: {DECLARATION: declaration(p, first=1)},
    "it declares less than is here": lambda p, _r: {DECLARATION: declaration(p, first=3)},
    "it is for another recording": lambda p, _r: {DECLARATION: declaration(p, recording="x")},
    "it is for another manifest": lambda p, _r: {DECLARATION: declaration(p, manifest_sha512="ab" * 64)},
    "it counts other segments": lambda p, _r: {DECLARATION: declaration(p, of=3)},
    "it declares nothing": lambda p, _r: {DECLARATION: declaration(p, first=4, last=3)},
    "it is of another format": lambda p, _r: {DECLARATION: declaration(p, format=2)},
    "it is nonsense": lambda _p, _r: {DECLARATION: b"[" * 5000},
    "it is empty": lambda _p, _r: {DECLARATION: b""},
}
# What a README can't see: it is a text of the maker's, as the declaration is.
MAKERS = {name for name in FORGERIES if name.startswith("it ")} | {"lost without a declaration"}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_removed_or_changed_is_altered(storage: Path, tmp_path: Path, name: str) -> None:
    """Invariant 7: the declaration makes good what it names, and nothing else."""
    recording = make_recording(storage)
    proof = excerpt_of(recording, tmp_path / "p.zip")
    contents = FORGERIES[name](proof, recording)
    contents = {key.replace(".", "_"): content for key, content in contents.items()}
    forged = changed(proof, tmp_path / "q.zip", **contents)
    report = verified(forged)
    assert report.verdict == "altered", report.findings
    with pytest.raises((Wrong, OSError, ValueError, LookupError)):
        stranger(forged, tmp_path / "s")
    if name not in MAKERS and name != "a withheld one is here":
        assert run_readme(tmp_path / "s").returncode != 0


def test_an_untouched_copy_stays_what_it_is(storage: Path, tmp_path: Path) -> None:
    """The helper that forges changes nothing else."""
    proof = excerpt_of(make_recording(storage), tmp_path / "p.zip")
    assert verified(changed(proof, tmp_path / "q.zip")).verdict == "excerpt"
