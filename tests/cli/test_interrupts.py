"""Commands that write files, and the signals that end them: what is left, what is said, and how they end."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bwvd.cli.interrupts import ended_in_order
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import fixed_signer, write_key
from tests.support.source_tree import ROOT

# The command, with a signal at a moment when what it writes lies beside its name.
PROGRAM = """\
import os, signal, sys, zipfile
from bwvd.cli.main import main
from bwvd.evidence.export import mp4
from bwvd.evidence.flash import whole_file
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a shell's background job ignores the first
    signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
where, number, *words = sys.argv[1:]
def hit(whole):
    def struck(*arguments, **more):
        os.kill(os.getpid(), int(number))
        return whole(*arguments, **more)
    return struck
if where == "copy":
    mp4.admit = hit(mp4.admit)
elif where == "zip":
    zipfile.ZipFile.writestr = hit(zipfile.ZipFile.writestr)
else:
    whole_file.sync_path = hit(whole_file.sync_path)
main(words, prog_name="bwvd")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "signers").write_text(fixed_signer().allowed_signers("*"))
    write_key(tmp_path / "key", 7)
    make_recording(make_storage(tmp_path / "storage"), seconds=1).rename(tmp_path / "rec")
    (tmp_path / "out").mkdir()
    return tmp_path


def struck(place: Path, where: str, number: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, where, str(int(number)), *words],
        cwd=place,
        env={"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(place / "home")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 1, "Aborted!\n"), (signal.SIGTERM, 143, ""), (signal.SIGHUP, 129, "")],
)
def test_a_signal_leaves_nothing(place: Path, number: int, code: int, said: str) -> None:
    """Invariant 14: neither under the name that was asked for, nor beside it."""
    words = ["rec", "--signers", "signers"]
    done = struck(place, "copy", number, "export", *words, "-o", "out/x.mp4")
    assert (done.returncode, done.stdout, done.stderr.lstrip("\n")) == (code, "", said)
    assert list((place / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("zip", ["export", "rec", "--signers", "signers", "--proof", "out/x.zip"]),
        ("sync", ["export", "rec", "--signers", "signers", "--sheet", "out/x.html"]),
        ("sync", ["receipt", "rec", "--signers", "signers", "--key", "key", "--by", "desk", "-o", "out"]),
        ("sync", ["statement", "rec", "out/x", "--signers", "signers", "--key", "key", "--by", "desk", "--note", "x"]),
    ],
    ids=lambda words: words if isinstance(words, str) else words[0],
)
def test_whatever_is_written(place: Path, where: str, words: list[str]) -> None:
    """Invariant 14: a receipt or a proof is there whole or not at all."""
    before = []
    if words[0] == "statement":
        before = [place / "out" / "x"]
        before[0].write_text("redacted")
    done = struck(place, where, signal.SIGTERM, *words)
    assert (done.returncode, done.stderr) == (143, "")
    assert list((place / "out").iterdir()) == before


def test_a_kill_leaves_what_is_named_as_that(place: Path) -> None:
    """Invariant 14: nobody takes it for an export, and the next one is made."""
    words = ["export", "rec", "--signers", "signers", "-o", "out/x.mp4"]
    assert struck(place, "copy", signal.SIGKILL, *words).returncode == -signal.SIGKILL
    [left] = (place / "out").iterdir()
    assert left.name.startswith("x.mp4.")
    assert left.name.endswith(".part")
    done = struck(place, "zip", 0, "verify", f"out/{left.name}")
    assert done.returncode == 1
    assert "an export that was broken off has left it" in done.stdout
    done = struck(place, "zip", 0, *words)
    assert done.returncode == 0
    assert done.stderr.startswith(f"bwvd: out/{left.name}: no export: one that was broken off has left it")
    assert sorted(path.name for path in (place / "out").iterdir()) == sorted(["x.mp4", left.name])


def test_a_second_signal_does_not_break_off_the_cleaning_up() -> None:
    cleaned = []
    before = signal.getsignal(signal.SIGINT)

    def work() -> None:
        with ended_in_order():
            try:
                signal.raise_signal(signal.SIGTERM)
            finally:
                signal.raise_signal(signal.SIGINT)
                cleaned.append(True)

    with pytest.raises(SystemExit) as ended:
        work()
    assert (ended.value.code, cleaned) == (143, [True])
    assert signal.getsignal(signal.SIGINT) == before


def test_what_is_ignored_stays_ignored() -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_in_order():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
