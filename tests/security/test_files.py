"""Files that a configuration or a command names: never waited for, never read for ever, one line that says why not."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bwvd.cli.main import main
from bwvd.config.load import load, parse
from bwvd.config.schema import ConfigError
from bwvd.evidence.errors import EvidenceError, KeyUnusable
from bwvd.evidence.keys.age import load_identities, load_recipients
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.startup.admission import StorageRefused, open_storage
from tests.support.evidence_folder import make_recording, make_storage


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def fifo(path: Path) -> None:
    os.mkfifo(path, 0o600)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    """A terabyte, sparse."""
    with path.open("wb") as file:
        file.truncate(1 << 40)
    path.chmod(0o600)


READERS: dict[str, Callable[[Path], object]] = {
    "configuration": load,
    "signing key": KeySigner.load,
    "recipients": lambda path: load_recipients([str(path)]),
    "identity": lambda path: load_identities([path]),
    "signers": lambda path: AllowedSigners.load(str(path)),
}


@pytest.mark.parametrize("planted", [fifo, folder, device, loop, huge])
@pytest.mark.parametrize("what", READERS)
def test_what_is_no_file_of_the_kind(what: str, planted: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "file"
    planted(path)
    with pytest.raises((ConfigError, EvidenceError)) as raised:
        READERS[what](path)
    assert str(path) in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("planted", [fifo, folder, device, huge])
@pytest.mark.parametrize("beside", ["", ".sig"])
def test_a_receipt_that_is_none(planted: Callable[[Path], None], beside: str, tmp_path: Path) -> None:
    """Invariant 8: no receipt, no release; and nothing waits for one."""
    storage = make_storage(tmp_path / "storage")
    kept = make_recording(storage, seconds=1)
    config = tmp_path / "bwvd.toml"
    config.write_text(f'[storage]\npath = "{storage}"\n[socket]\npath = "{tmp_path / "none"}"\n')
    (tmp_path / "receipt").write_text("{}")
    if not beside:
        (tmp_path / "receipt").unlink()
    planted(tmp_path / f"receipt{beside}")
    words = ["release", "-c", str(config), kept.name, "--receipt", str(tmp_path / "receipt")]
    done = CliRunner().invoke(main, words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "receipt" in done.stderr
    assert kept.is_dir()


def test_a_key_may_be_a_link_but_not_to_a_device(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="character device"):
        KeySigner.load("/dev/zero")
    with pytest.raises(StorageRefused, match="is not a folder"):
        open_storage("/dev/null", device="BWV-0001")


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "{a = " * 5000 + "1" + "}" * 5000,
        "a = " + "[" * 100_000 + "]" * 100_000,
        ".".join(["a"] * 100_000) + " = 1",
        "[" + ".".join(["a"] * 100_000) + "]",
        "\n".join(f"k{n} = 1" for n in range(50_000)),
        "x = " + "9" * 900_000,
        "x = 1e" + "9" * 100_000,
        '[device]\nid = "' + "\N{COMBINING GRAVE ACCENT}" * 100_000 + '"',
        '[device]\nid = "\\u202eBWV"',
        '[device]\nid = "\N{FULLWIDTH DIGIT ONE}"',
        "[loop]\nseconds = nan",
        "[loop]\nseconds = -inf",
        "[storage]\nbacklog_bytes = 9223372036854775807",
        "[storage]\nreserve_bytes = -9223372036854775808",
        "[recording]\nmax_s = inf",
    ],
    ids=lambda text: repr(text[:24]),
)
def test_a_hostile_configuration_is_one_short_line(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "bwvd.toml")
    assert str(raised.value).startswith("bwvd.toml: ")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 2000


def test_a_socket_as_configuration(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        with socket.socket(socket.AF_UNIX) as planted:
            planted.bind("bwvd.toml")
            with pytest.raises(ConfigError, match="can't be read"):
                load(tmp_path / "bwvd.toml")
    finally:
        os.chdir(here)
