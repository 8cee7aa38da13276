"""`bwvd verify` and `bwvd list` for a person: the worst verdict first, what is missing in a column, a line a cause."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from bwvd.cli.evidence_printing import missing_text
from bwvd.cli.main import main
from bwvd.evidence.format import records
from bwvd.evidence.format.missing import MissingMedia
from bwvd.evidence.verify.report import Report
from tests.evidence.verify.test_storage import a_storage, rec
from tests.support.desk import export_proof
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer

SIGNED = "signed by SHA256:"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return a_storage(tmp_path / "storage")


@pytest.fixture(autouse=True)
def desks_list(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of keys that count on this desk."""
    home = tmp_path_factory.mktemp("home")
    (home / "bwvd").mkdir()
    (home / "bwvd" / "allowed_signers").write_text(fixed_signer().allowed_signers("*"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    return home / "bwvd" / "allowed_signers"


def _verify(*words: object) -> list[str]:
    done = CliRunner().invoke(main, ["verify", *map(str, words)])
    assert done.exit_code in (0, 1), done.output
    return done.stdout.splitlines()


def _json(*words: object) -> Any:
    return msgspec.json.decode(CliRunner().invoke(main, [str(word) for word in words]).stdout)


def _list(storage: Path, *words: str) -> str:
    config = storage.parent / "bwvd.toml"
    config.write_text(f'[storage]\npath = "{storage}"\n[socket]\npath = "{storage.parent}/none.sock"\n')
    done = CliRunner().invoke(main, ["list", "-c", str(config), *words])
    assert done.exit_code == 0, done.output
    return done.stdout


def _flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def _places(lines: list[str]) -> list[str]:
    """The lines that say what is wrong: indented, and not who signed."""
    return [line.strip() for line in lines if line.startswith(" ") and SIGNED not in line]


def _column(table: list[str]) -> list[str]:
    """What stands under MISSING."""
    begins = table[0].index("MISSING")
    return [row[begins:] for row in table[1:]]


def test_the_worst_verdict_comes_first(storage: Path) -> None:
    _flip(storage / "recordings" / rec(2) / "000001.m4s")
    lines = _verify(storage)
    assert lines[0] == "altered      storage storage, 3 recordings: 1 altered, 2 authentic"
    rows = [line.split()[:2] for line in lines if line.split()[:1] in (["altered"], ["authentic"])][1:]
    assert rows[0] == ["altered", rec(2)]
    assert {verdict for verdict, _ in rows[1:]} == {"authentic"}
    assert sum(SIGNED in line for line in lines) == 1, "all by one key, which is said once"
    # A program finds the storage first, as ever.
    assert [report["kind"] for report in _json("verify", "--json", storage)] == ["storage", *["recording"] * 3]


def test_the_same_recording_in_two_places_says_where(storage: Path, tmp_path: Path) -> None:
    """A copy that is changed, beside one that is not: which of them is it?"""
    copy = tmp_path / "copies"
    shutil.copytree(storage / "recordings", copy)
    [first, *_] = sorted(copy.iterdir())
    _flip(first / "000001.m4s")
    lines = _verify(storage, copy)
    [row] = [number for number, line in enumerate(lines) if line.startswith(f"altered      {first.name}")]
    assert lines[row + 1].strip() == f"in {copy}"
    assert not [line for line in _verify(storage) if line.strip().startswith("in ")]


def test_an_excerpt_beside_others_says_what_it_is(storage: Path, tmp_path: Path) -> None:
    """The numbers in its row are the whole recording's, as its manifest has them: what of it is here stands below."""
    export_proof(storage / "recordings" / rec(1), tmp_path / "excerpt.zip", from_s=1.0, to_s=2.0)
    lines = _verify(storage, tmp_path / "excerpt.zip")
    [row] = [number for number, line in enumerate(lines) if line.startswith(f"excerpt      {rec(1)}")]
    assert any(
        line.strip() == "an excerpt: segment 2 of 2, unchanged; the others are withheld, not missing"
        for line in lines[row + 1 : row + 4]
    ), lines


def test_all_is_authentic(storage: Path) -> None:
    lines = _verify(storage)
    assert lines[0] == "authentic    storage storage, 3 recordings: 3 authentic"
    assert _places(lines) == []


@pytest.mark.parametrize("line", [0, 2])
def test_a_changed_byte_of_the_manifest_is_one_line(storage: Path, line: int) -> None:
    """The rest follows from it, and comes with --verbose; the JSON has it all."""
    manifest = storage / "recordings" / rec(2) / "manifest.jsonl"
    starts = [0, *(at + 1 for at, byte in enumerate(manifest.read_bytes()) if byte == 10)]
    _flip(manifest, starts[2 * line] + 30)
    cause, rest = _places(_verify(storage))
    assert cause.startswith("manifest.jsonl line ")
    assert rest.startswith("and ")
    assert "follow from this" in rest
    assert rest.endswith(": --verbose")
    (report,) = (report for report in _json("verify", "--json", storage) if report["id"] == rec(2))
    assert len(report["problems"]) > 3
    assert all({"where", "what"} == problem.keys() for problem in report["problems"])
    everything = _places(_verify(storage, "--verbose"))
    assert len(everything) == len(report["problems"]) + len(report["notes"])


def test_files_that_are_cut_short_are_one_line(storage: Path) -> None:
    """However long the recording is: each has another length, and all were cut."""
    for number, segment in enumerate(sorted((storage / "recordings" / rec(2)).glob("*.m4s"))):
        segment.write_bytes(bytes(number))
    (said,) = _places(_verify(storage))
    assert re.fullmatch(r"000001\.m4s \(segment 1, .*\) and 1 more: has 0 bytes, not \d+", said)
    assert len(_places(_verify(storage, "--verbose"))) == 2


def test_a_key_that_nobody_vouches_for_is_one_line(storage: Path, desks_list: Path) -> None:
    desks_list.write_text(fixed_signer(2).allowed_signers("*"))
    lines = _verify(storage)
    assert lines[0] == "unvouched    storage storage, 3 recordings: 3 unvouched"
    (said,) = _places(lines)
    assert "for which nobody vouches" in said
    assert sum("a key that nobody vouches for: give --signers FILE" in line for line in lines) == 1
    assert len(_places(_verify(storage, "--verbose"))) == 4


def test_a_changed_byte_of_the_journal_is_one_line(storage: Path) -> None:
    """Recordings that name what is behind it are altered too, because of it."""
    _flip(storage / "journal.jsonl", 40)
    lines = _verify(storage)
    assert lines[0].startswith("altered ")
    said = [line for line in _places(lines) if not line.startswith("and ")]
    assert len(said) == 1, lines
    assert said[0].startswith("journal.jsonl line 1")
    assert "and 1 that follow from the journal: --verbose" in "\n".join(lines)


@pytest.mark.parametrize("name", ["000001.m4s", "init.mp4", "index.m3u8", "SHA256SUMS", "SHA256SUMS.sig"])
def test_a_changed_byte_of_any_file_is_one_line(storage: Path, name: str) -> None:
    _flip(storage / "recordings" / rec(1) / name)
    assert len(_places(_verify(storage))) == 1


def test_the_same_of_many_files_is_one_line(tmp_path: Path) -> None:
    folder = make_recording(make_storage(tmp_path / "storage"))
    for number in (2, 3, 4):
        _flip(folder / f"00000{number}.m4s")
    said = [line for line in _places(_verify(folder)) if ".m4s" in line]
    assert len(said) == 1
    assert said[0].startswith("000002.m4s (segment 2, 1.0 s to 2.0 s) and 2 more: ")
    assert sum(".m4s" in line for line in _verify(folder, "--verbose")) == 3


def test_a_gap_is_seen(tmp_path: Path) -> None:
    """By a recording alone, in a storage, and in the list."""
    storage = make_storage(tmp_path / "storage")
    folder = make_recording(storage, 1, gap_after=1)
    make_recording(storage, 2)
    assert "missing by its own records: 1.0 s in 1 gap" in _places(_verify(folder))
    lines = _verify(storage / "recordings")
    assert lines[0] == "authentic    2 recordings: 2 authentic; 1 not whole, see MISSING"
    assert _column(lines[-3:]) == ["1.0 s in 1 gap", "-"]
    assert _column(_list(storage).splitlines()) == ["1.0 s in 1 gap", "-"]
    for entries in (_json("verify", "--json", folder), msgspec.json.decode(_list(storage, "--json"))):
        first = entries[0]
        assert (first["gaps"], first["missing_video_s"], first["missing_audio_s"]) == (1, 1.0, 1.0)


@pytest.mark.parametrize("close", ["stop", ""])
def test_the_list_counts_the_gaps_of_what_has_no_end(tmp_path: Path, close: str) -> None:
    storage = make_storage(tmp_path / "storage")
    make_recording(storage, 1, gap_after=1, close=close)
    assert "1.0 s in 1 gap" in _list(storage)


def _gap(track: str, from_ns: int, to_ns: int) -> records.Gap:
    return records.Gap(n=0, track=track, from_ns=from_ns, to_ns=to_ns, cause="camera_lost")


def test_what_overlaps_counts_once() -> None:
    missing = MissingMedia()
    for gap in (
        _gap("both", 0, 2_000_000_000),
        _gap("audio", 1_000_000_000, 3_000_000_000),
        _gap("video", 5_000_000_000, 4_000_000_000),
        _gap("smell", 0, 9_000_000_000),
    ):
        missing.gap(gap)
    assert (missing.gaps, missing.video_s, missing.audio_s) == (4, 2.0, 3.0)


@pytest.mark.parametrize(
    ("gaps", "video_s", "audio_s", "pre_event_s", "said"),
    [
        (0, 0.0, 0.0, 0.0, ""),
        (1, 6.0, 6.0, 0.0, "6.0 s in 1 gap"),
        (2, 6.0, 0.0, 0.0, "6.0 s of video in 2 gaps"),
        (2, 6.0, 6.4, 0.0, "6.0 s of video and 6.4 s of audio in 2 gaps"),
        (0, 0.0, 0.0, 12.5, "12.5 s before the press"),
        (1, 1.0, 1.0, 12.5, "1.0 s in 1 gap, 12.5 s before the press"),
    ],
)
def test_what_is_missing_in_words(gaps: int, video_s: float, audio_s: float, pre_event_s: float, said: str) -> None:
    report = Report("", gaps=gaps, missing_video_s=video_s, missing_audio_s=audio_s, missing_pre_event_s=pre_event_s)
    assert missing_text(report) == said
