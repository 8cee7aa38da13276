"""`bwvd list`: where it looks, what it finds, what it says it can't tell, and what it reads of thousands."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pyrage
import pytest
from click.testing import CliRunner, Result

from bwvd.cli.columns import Column, cells, lines_of
from bwvd.cli.main import main
from bwvd.evidence.export import catalogue
from bwvd.evidence.keys.age import AgeSealer
from tests.support.desk import export_proof
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return make_storage(tmp_path / "card")


@pytest.fixture
def identity(tmp_path: Path) -> tuple[AgeSealer, str]:
    """Recipients, and the file of what opens for them."""
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "agency.key").write_text(str(key))
    return AgeSealer([str(key.to_public())]), str(tmp_path / "agency.key")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["list", *map(str, words)])


def found(*words: object) -> list[dict[str, Any]]:
    done = run("--json", *words)
    assert done.exit_code == 0, done.stderr
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    return entries


def serials(*words: object) -> list[int]:
    return [entry["serial"] for entry in found(*words)]


# --- where it looks --------------------------------------------------------------------------------------------------


def test_everywhere_below_a_path(storage: Path, tmp_path: Path) -> None:
    folders = [make_recording(storage, serial) for serial in (1, 2, 3)]
    archive = tmp_path / "archive" / "2026" / "11"
    archive.mkdir(parents=True)
    shutil.copytree(folders[1], archive / folders[1].name)
    export_proof(folders[2], archive / "proof.zip")
    (archive / "other.zip").write_bytes(b"PK\x05\x06" + bytes(18))  # an archive of something else
    (archive / "loop").symlink_to(tmp_path)
    assert serials(storage) == [1, 2, 3]
    assert serials(storage / "recordings") == [1, 2, 3]
    assert serials(folders[0]) == [1]
    assert serials(tmp_path / "archive") == [2, 3]
    assert serials(tmp_path) == [1, 2, 2, 3, 3]
    assert serials(storage, folders[0], archive) == [1, 2, 2, 3, 3]  # what is named twice is there once
    inside, outside = found(archive / "proof.zip"), found(folders[2])
    assert inside[0]["path"] == f"{archive}/proof.zip/recordings/{folders[2].name}"
    assert inside[0] | {"path": ""} == outside[0] | {"path": ""}


def test_a_device_that_has_recorded_nothing(tmp_path: Path) -> None:
    (tmp_path / "bwvd.toml").write_text(f'[storage]\npath = "{tmp_path / "nothing"}"\n')
    done = run("-c", tmp_path / "bwvd.toml")
    assert (done.exit_code, done.stdout) == (0, "no recordings\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "bwvd: nowhere: No such file or directory\n"),
        (["file.txt"], "bwvd: file.txt: neither a folder nor a proof (.zip)\n"),
        (["file.zip"], "bwvd: file.zip: not a readable ZIP: File is not a zip file\n"),
        ([".", "--identity", "file.txt"], "bwvd: file.txt: line 1 is not an age identity (AGE-SECRET-KEY-1…)\n"),
        ([".", "--from", "yesterday"], "Invalid value for '--from': 'yesterday': not a time: write UTC, as "),
        ([".", "--to", "2026-13-01"], "Invalid value for '--to': '2026-13-01': there is no such day"),
        ([".", "--from", "12:00"], "Invalid value for '--from': "),
        ([".", "--from", "2026-11-23", "--to", "2026-11-22"], "--from is not before --to"),
        ([".", "--verdict", "fine"], "Invalid value for '--verdict': 'fine' is not one of "),
        ([".", "--verdict", "copy"], "Invalid value for '--verdict': 'copy' is not one of "),  # of a film
        ([".", "--signers", "file.txt"], "--signers is for --verdict"),
        ([".", "--verdict", "altered", "--signers", "none"], "bwvd: none: "),
    ],
)
def test_an_error_names_its_option_or_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file.txt", "file.zip"):
        Path(name).write_text("nothing of the kind")
    done = run(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_by_device_officer_and_marker(storage: Path, tmp_path: Path) -> None:
    other = make_storage(tmp_path / "other", device="BWV-0002")
    make_recording(storage, 1, label="A Door", officer="4711")
    make_recording(storage, 2, label="", officer="4712")
    make_recording(other, 3, label="Straße ४", device="BWV-0002", officer="")
    assert serials(tmp_path, "--device", "bwv-0002") == [3]
    assert serials(tmp_path, "--device", "BWV") == []
    assert serials(tmp_path, "--officer", "4711") == [1]
    assert serials(tmp_path, "--officer", "471") == []
    assert serials(tmp_path, "--marker", "door") == [1]
    assert serials(tmp_path, "--marker", "STRASSE") == [3]
    assert serials(tmp_path, "--marker", "") == [1, 3]
    assert serials(tmp_path, "--marker", "", "--officer", "4711", "--device", "BWV-0001") == [1]


@pytest.mark.parametrize(
    ("label", "sought", "shown"),
    [
        ("A Door", "door", "A Door"),
        ("a red car, " * 9 + "the Door at the end", "door", "the Door at"),
        ("ﬁ" * 80 + "STRASSE", "straße", "STRASSE"),  # looked for as it is folded, shown as it is written
    ],
)
def test_the_marker_that_was_looked_for_is_shown(label: str, sought: str, shown: str, storage: Path) -> None:
    """However many others come before it, and however long it is: somebody wants to see why this one was found."""
    labels = [f"marker number {n} of many" for n in range(8)]
    make_recording(storage, label=labels[0], labels=[*labels[1:], label])
    [row] = [line for line in run(storage, "--marker", sought).stdout.splitlines() if "BWV-0001" in line]
    assert shown in row
    assert "…" in row, "the others are not said to be none"
    assert shown not in run(storage, "--marker", "").stdout


def test_by_time(storage: Path) -> None:
    """A recording is found where any part of it lies in the time: it runs from 07:15:03.016 to 07:15:07.016."""
    make_recording(storage)
    for begin, end, there in (
        ("2026-11-22", "2026-11-22", True),
        ("2026-11-21", "2026-11-21", False),
        ("2026-11-23", "", False),
        ("2026-11-22T07:15:07Z", "", True),
        ("2026-11-22T07:15:08Z", "", False),
        ("", "2026-11-22T07:15:04Z", True),
        ("", "2026-11-22T07:15:03Z", False),
        ("2026-11-22T08:15:05+01:00", "2026-11-22T08:15:06+01:00", True),
    ):
        words = [*(["--from", begin] if begin else []), *(["--to", end] if end else [])]
        assert serials(storage, *words) == ([1] if there else []), words


def test_a_clock_that_was_not_set_is_said_not_passed_over(storage: Path) -> None:
    make_recording(storage, 1, quality="not_set")
    make_recording(storage, 2)
    done = run(storage, "--from", "2026-11-22", "--json")
    assert [entry["serial"] for entry in json.loads(done.stdout)] == [2]
    assert done.stderr == "bwvd: 1 recording left out for --from, --to: the camera's clock was not set\n"


def test_sealed_texts_are_sealed_not_absent(storage: Path, identity: tuple[AgeSealer, str]) -> None:
    sealer, key = identity
    make_recording(storage, sealer=sealer)
    assert found(storage)[0]["officers"] == [{"text": "", "unknown": "sealed"}]
    assert "(sealed)" in run(storage).stdout
    for option, text in (("--officer", "4711"), ("--marker", "door")):
        shut = run(storage, option, text)
        assert (shut.exit_code, shut.stdout) == (0, "no recordings\n")
        assert shut.stderr == "bwvd: 1 recording left out: sealed texts that only --identity opens\n"
        [entry] = found(storage, option, text, "--identity", key)
        assert entry["officers"] == [{"text": "4711", "unknown": ""}]
        assert entry["markers"] == [{"text": "a door", "unknown": ""}]
        none = run(storage, option, "nothing of that", "--identity", key)
        assert (none.stdout, none.stderr) == ("no recordings\n", "")
    assert serials(storage, "--marker", "") == [1]  # that there is one, anybody can see


def test_sealed_texts_inside_a_proof(storage: Path, tmp_path: Path, identity: tuple[AgeSealer, str]) -> None:
    sealer, key = identity
    export_proof(make_recording(storage, sealer=sealer), tmp_path / "out.zip")
    assert serials(tmp_path / "out.zip", "--marker", "door", "--identity", key) == [1]


@pytest.mark.parametrize("vouched", [False, True])
def test_by_verdict(storage: Path, tmp_path: Path, vouched: bool) -> None:
    """Invariant 7: with --verdict every byte is read, as `verify` reads it."""
    for serial in (1, 2, 3):
        make_recording(storage, serial)
    signers = tmp_path / "signers"
    signers.write_text(fixed_signer(1 if vouched else 2).allowed_signers("*"))
    (storage / "recordings" / "20261122T071505Z-BWV-0001-000002" / "000001.m4s").write_bytes(b"")
    words = [storage, "--signers", signers]
    good = "authentic" if vouched else "unvouched"
    assert serials(*words, "--verdict", "altered") == [2]
    assert serials(*words, "--verdict", good) == [1, 3]
    assert serials(*words, "--verdict", good, "--verdict", "altered") == [1, 2, 3]
    assert [entry["verdict"] for entry in found(*words, "--verdict", good)] == [good, good]
    assert found(storage)[0]["verdict"] == ""
    assert run(*words, "--verdict", "altered").stdout.splitlines()[0].startswith("VERDICT  RECORDING ")


def test_what_can_not_be_read_is_listed_and_never_matches(storage: Path) -> None:
    (make_recording(storage, 1) / "manifest.jsonl").unlink()
    make_recording(storage, 2)
    assert [entry["end"] for entry in found(storage)] == ["unreadable", "stop"]
    done = run(storage, "--officer", "4711")
    assert "-000002" in done.stdout
    assert done.stderr == "bwvd: 1 recording left out: not readable\n"


# --- what it reads ---------------------------------------------------------------------------------------------------


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The sizes of all reads of manifests."""
    sizes: list[int] = []

    class Counted(FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size) or b""
            sizes.append(len(data))
            return data

    monkeypatch.setattr(catalogue, "open_regular", lambda path: Counted(str(path)))
    yield sizes


def many(storage: Path, count: int) -> None:
    """So many recordings, by multiplying the manifest of one."""
    first = make_recording(storage, 1)
    text = (first / "manifest.jsonl").read_bytes()
    for serial in range(2, count + 1):
        name = first.name.replace("000001", f"{serial:06d}")
        (first.parent / name).mkdir()
        lines = text.replace(first.name.encode(), name.encode()).replace(b'"serial":1,', b'"serial":%d,' % serial)
        (first.parent / name / "manifest.jsonl").write_bytes(lines)


def test_of_a_long_recording_the_ends_are_read(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_recording(storage)
    lines = (folder / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    middle = [line for line in lines if b'"segment":3' in line] * 20_000
    (folder / "manifest.jsonl").write_bytes(b"".join([*lines[:-2], *middle, *lines[-2:]]))
    assert (folder / "manifest.jsonl").stat().st_size > 9_000_000
    with counting(monkeypatch) as sizes:
        [entry] = found(storage)
    assert (entry["end"], entry["seconds"]) == ("stop", 4.0)
    assert sum(sizes) < 200_000


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--officer", "4711"], ["--from", "2026-11-22"]])
def test_three_thousand_in_two_seconds(storage: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    many(storage, 3000)
    begun = time.process_time()
    done = run(storage, *words)
    took_s = time.process_time() - begun
    with capsys.disabled():
        print(f"\nbwvd list {' '.join(words)}: 3,000 recordings in {took_s:.2f} s of CPU")
    assert len(done.stdout.splitlines()) == 3001
    assert took_s <= 2.0


# --- what it prints --------------------------------------------------------------------------------------------------


def test_columns_of_wide_letters() -> None:
    columns = [
        Column("A", ["嫌疑人", "x", "क्\u200dष"]),
        Column("N", ["1", "22", "333"], right=True),
        Column("Z", [""] * 3),
    ]
    lines = list(lines_of(columns))
    assert lines == ["A         N  Z", "嫌疑人    1", "x        22", "क्\u200dष      333"]
    assert len({cells(line) for line in lines[1:]}) == 1
