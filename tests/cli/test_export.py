"""`bwvd export` as a person gives it: what is exported, where it lies, and what is said when it can't be."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner, Result

from bwvd.cli.main import main
from bwvd.evidence.keys.age import AgeSealer
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    return make_storage(tmp_path / "storage")


def export(storage: Path, *words: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, words), "--signers", str(storage.parent / "signers")])


def test_a_folder_in_the_current_directory(storage: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `verify` takes it."""
    folder = make_recording(storage)
    monkeypatch.chdir(folder.parent)
    done = export(storage, folder.name, "-o", tmp_path / "out.mp4")
    assert (done.exit_code, done.stderr) == (0, "")
    monkeypatch.chdir(folder)
    assert export(storage, ".", "-o", tmp_path / "again.mp4").exit_code == 0


def test_a_name_that_is_nothing(storage: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    done = export(storage, "nothing", "-o", "out.mp4")
    assert done.exit_code == 1
    assert done.stderr.startswith("bwvd: nothing: no such folder, and no such recording in ")
    assert done.stderr.count("\n") == 1


def test_what_can_not_be_printed_is_no_fault_of_the_export(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, the camera's journal says so, and no recording is called full."""
    told: list[str] = []
    monkeypatch.setattr("bwvd.cli.export.log_access", lambda *words: told.append(words[-1]))

    def full(*_: object, err: bool = False) -> None:
        if not err:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    recording = make_recording(storage)
    with monkeypatch.context() as patched:
        patched.setattr("bwvd.cli.export.click.echo", full)
        done = export(storage, recording, "-o", tmp_path / "out.mp4")
    assert (done.exit_code, told, (tmp_path / "out.mp4").exists()) == (1, ["done"], True)


@pytest.mark.parametrize("name", ["x" * 5000, "9" * 5000, "x" * 5000 + ".zip", "\x1b[2J", "²"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    for words in (["export", name, "-o", "out.mp4"], ["show", name]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 1, done.exception
        assert done.stderr.count("\n") == 1
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["verify", ""],
        ["verify", "--signers", "", "REC"],
        ["verify", "--identity", "", "REC"],
        ["list", ""],
        ["show", ""],
        ["export", "--all", "", "-o", "out"],
        ["export", "REC", "-o", "out.mp4", "--signers", ""],
        ["receipt", "", "--key", "receipt_key"],
        ["receipt", "REC", "--key", "receipt_key", "--signers", ""],
        ["release", "--receipts", ""],
        ["statement", "", "x.mp4", "--key", "k", "--note", "x"],
        ["keygen", ""],
        ["install", "--root", ""],
    ],
)
def test_an_empty_name_stands_for_nothing(
    storage: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Invariant 14: `--signers "$LIST"` without LIST asks no other list, and `"$REC"` is not the current folder."""
    folder = make_recording(storage)
    (tmp_path / "home" / "bwvd").mkdir(parents=True)
    shutil.copy(storage.parent / "signers", tmp_path / "home" / "bwvd" / "allowed_signers")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(main, [str(folder) if word == "REC" else word for word in words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "an empty name" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_proof_has_the_name_of_one(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under another name nothing would read it as one; in which case the ending is written is of no matter."""
    monkeypatch.chdir(tmp_path)
    folder = make_recording(storage)
    done = export(storage, folder, "--proof", "proof.mp4")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("bwvd: --proof proof.mp4: a proof is a ZIP, so its name ends in .zip")
    assert not (tmp_path / "proof.mp4").exists()
    assert export(storage, folder, "--proof", "PROOF.ZIP").exit_code == 0
    for command in (["verify", "--signers", str(tmp_path / "signers")], ["show"], ["list"]):
        done = CliRunner().invoke(main, [*command, "PROOF.ZIP"])
        assert (done.exit_code, done.stderr) == (0, "")
        assert folder.name in done.stdout


def test_a_number_is_a_number(storage: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder that somebody calls `last` or `2` never stands for the recording that is asked for by its number."""
    for serial in (1, 2):
        make_recording(storage, serial)
    (tmp_path / "bwvd.toml").write_text(f'[storage]\npath = "{storage}"\n')
    monkeypatch.chdir(tmp_path)
    for name in ("last", "2"):
        (tmp_path / name).mkdir()
        done = export(storage, name, "-c", "bwvd.toml", "--proof", f"{name}.zip")
        assert done.exit_code == 0, done.stderr
        with zipfile.ZipFile(f"{name}.zip") as archive:
            assert any("-000002/" in member for member in archive.namelist())


def test_a_proof_alone_needs_no_key(storage: Path, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = make_recording(storage, sealer=AgeSealer([str(identity.to_public())]))
    done = export(storage, folder, "--proof", tmp_path / "out.zip")
    assert (done.exit_code, done.stderr, done.stdout) == (0, "", f"{tmp_path / 'out.zip'}\n")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert f"recordings/{folder.name}/000001.m4s.age" in archive.namelist()


@pytest.mark.parametrize("word", ["nan", "-1", "1:2", "2026-11-22T07:15:03", "soon", "\x1b[2J"])
def test_a_time_that_is_none_names_its_option(storage: Path, tmp_path: Path, word: str) -> None:
    folder = make_recording(storage)
    for option in ("--from", "--to"):
        done = export(storage, folder, "-o", tmp_path / "out.mp4", f"{option}={word}")
        assert done.exit_code == 2
        assert f"Invalid value for '{option}': " in done.stderr
        assert "\x1b" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


def test_times_of_every_form(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    for number, begin in enumerate(("2", "0:02", "0:00:02", "2026-11-22T07:15:05.016Z BWV-0001")):
        done = export(storage, folder, "-o", tmp_path / f"{number}.mp4", "--from", begin)
        assert done.stdout == f"{tmp_path / f'{number}.mp4'}: 20 frames, 2.000 s to 4.000 s\n", done.stderr


def test_a_time_outside_is_one_line(storage: Path, tmp_path: Path) -> None:
    done = export(storage, make_recording(storage), "-o", tmp_path / "out.mp4", "--from", "1:00")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "bwvd: --from 1:00 is behind the end of the recording, which is 00:04.000 long "
        "(UTC 2026-11-22T07:15:03.016Z to 2026-11-22T07:15:07.016Z)\n"
    )
    assert not (tmp_path / "out.mp4").exists()


def test_all_of_them_though_one_fails(storage: Path, tmp_path: Path) -> None:
    """Invariant 7: what is altered is not exported; it does not keep back the others."""
    folders = [make_recording(storage, serial) for serial in (1, 2, 3)]
    (folders[1] / "000002.m4s").write_bytes(b"")
    out = tmp_path / "out"
    done = export(storage, "--all", storage, "-o", out, "--proof", out)
    assert done.exit_code == 1
    assert [line for line in done.stderr.splitlines() if "altered" in line]
    assert done.stdout.splitlines()[-1] == "2 of 3 recordings exported"
    names = [f"{folder.name}.{ending}" for folder in (folders[0], folders[2]) for ending in ("mp4", "zip")]
    assert sorted(path.name for path in out.iterdir()) == names


def test_all_passes_proofs_over(storage: Path, tmp_path: Path) -> None:
    """A folder into which both were put: a proof is an export already, and what is one is no failure."""
    folder = make_recording(storage)
    assert export(storage, folder, "--proof", storage / "proof.zip").exit_code == 0
    done = export(storage, "--all", storage, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "1 of 1 recording exported")
    assert done.stderr == (
        f"bwvd: {storage}/proof.zip: left out: a proof, which is an export already "
        "(unpacked, its recording can be exported)\n"
    )
    shutil.rmtree(folder)
    done = export(storage, "--all", storage, "-o", tmp_path / "out")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("bwvd: there is no recording but those in proofs\n")


def test_all_overwrites_nothing(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / f"{folder.name}.zip").write_text("precious")
    make_recording(storage, 2)
    done = export(storage, "--all", storage, "--proof", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{folder.name}.zip exists; an export overwrites nothing" in done.stderr
    assert (tmp_path / "out" / f"{folder.name}.zip").read_text() == "precious"
    assert done.stdout.splitlines()[-1] == "1 of 2 recordings exported"


@pytest.mark.parametrize("option", ["-o", "--proof"])
def test_all_of_two_copies_is_one_export(option: str, storage: Path, tmp_path: Path) -> None:
    """A card and its copy hold the same evidence, which is exported once; what only looks the same is no copy."""
    folder = make_recording(storage, seconds=1)
    shutil.copytree(storage, tmp_path / "copy")
    done = export(storage, "--all", storage, tmp_path / "copy", option, tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1 of 1 recording exported"
    copy = tmp_path / "copy" / "recordings" / folder.name
    assert f"{copy}: left out: a copy of {folder}, which is exported" in done.stderr
    with (copy / "manifest.jsonl").open("ab") as manifest:
        manifest.write(b"x")
    done = export(storage, "--all", storage, tmp_path / "copy", option, tmp_path / "again")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "1 of 2 recordings exported"


def test_all_exports_the_good_one_of_two_copies(storage: Path, tmp_path: Path) -> None:
    folder = make_recording(storage, seconds=1)
    shutil.copytree(storage, tmp_path / "copy")
    (folder / "000001.m4s").write_bytes(b"")
    done = export(storage, "--all", storage, tmp_path / "copy", "--proof", tmp_path / "out")
    assert done.exit_code == 1, "one of them is altered, and that is said"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{folder.name}.zip"]
    assert f"{folder.name} is altered" in done.stderr


def test_all_of_this_device(storage: Path, tmp_path: Path) -> None:
    make_recording(storage)
    (tmp_path / "bwvd.toml").write_text(f'[storage]\npath = "{storage}"\n')
    done = export(storage, "--all", "-c", tmp_path / "bwvd.toml", "--proof", tmp_path / "out")
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x"], "give -o FILE.mp4, --sheet FILE.html, --proof FILE.zip or --gpx FILE.gpx"),
        (["-o", "out.mp4"], "give one recording"),
        (["x", "y", "-o", "out.mp4"], "give one recording"),
        (["--all", "x", "--from", "1", "-o", "out"], "not for --all"),
        (["--all", "nowhere", "-o", "out"], "nowhere: No such file or directory"),
    ],
)
def test_what_makes_no_sense(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = export(storage, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()
