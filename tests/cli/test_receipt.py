"""`bwvd receipt` and `bwvd release --receipts`: from copies on a desk to a camera that lets go, as the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bwvd.cli import release as release_command
from bwvd.cli import vouching
from bwvd.cli.main import main
from bwvd.clock import SystemClock
from bwvd.controls.client import request
from bwvd.controls.command_rate import TOO_MANY
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.evidence.journal.journal import Draft, Journal
from bwvd.evidence.journal.totals import Detail
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.verify.storage import verify_storage
from bwvd.testing.clock import VirtualClock
from tests.support.documents import section
from tests.support.evidence_folder import make_recording, make_storage
from tests.support.evidence_keys import certify, fixed_signer, ssh_keygen, stock_key, write_key
from tests.support.process import Process, write_configuration
from tests.support.source_tree import ROOT
from tests.support.stock import need

SOURCE = """\
[video]
source = "lavfi:testsrc2=size=96x64:rate=5"
encoder = "libx264"
[loop]
seconds = 5
"""


@pytest.fixture(autouse=True)
def no_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk that has no list of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(vouching, "SYSTEM_LIST", tmp_path / "etc" / "allowed_signers")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three copies, the cameras' list, and a key."""
    storage = make_storage(tmp_path / "card")
    for serial in (1, 2, 3):
        make_recording(storage, serial, seconds=1)
    shutil.copytree(storage / "recordings", tmp_path / "copies")
    (tmp_path / "cameras").write_text(fixed_signer().allowed_signers("BWV-0001"))
    write_key(tmp_path / "key", 7)
    (tmp_path / "key.pub").write_text(f"{fixed_signer(7).public_key} evidence-desk\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bwvd(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def receipt(*words: object, signers: str = "cameras", key: str = "key") -> Result:
    return bwvd("receipt", *words, "--signers", signers, "--key", key, "-o", "receipts")


def one_line(done: Result, code: int) -> str:
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert done.stderr.count("\n") == 1
    return str(done.stderr)


def test_a_folder_of_copies(desk: Path) -> None:
    done = receipt("copies")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [re.fullmatch(r"receipts/(\S+)\.receipt\.json: \1 authentic", line) is not None for line in lines] == [
        True
    ] * 3
    assert done.stderr == ""
    assert len(list((desk / "receipts").iterdir())) == 6
    again = receipt("copies")
    assert again.exit_code == 0
    assert all(line.endswith(" authentic (was there already)") for line in again.stdout.splitlines())


def test_a_bad_copy_keeps_nobody_back(desk: Path) -> None:
    bad = sorted((desk / "copies").iterdir())[1]
    (bad / "000001.m4s").write_bytes(b"")
    done = receipt("copies")
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2
    assert re.fullmatch(rf"bwvd: no receipt: {bad.name} is altered: 000001\.m4s.*\n", done.stderr)
    assert not list((desk / "receipts").glob(f"{bad.name}*"))


@pytest.mark.parametrize("what", ["recording", "storage", "proof", "manifest"])
def test_what_a_path_may_be(what: str, desk: Path) -> None:
    folder = min((desk / "copies").iterdir())
    path: object = {"recording": folder, "storage": "card", "proof": "proof.zip", "manifest": folder / "manifest.jsonl"}
    path = path[what]  # type: ignore[index]  # one of them
    if what == "proof":
        done = bwvd("export", str(folder), "-o", "x.mp4", "--proof", "proof.zip", "--signers", "cameras")
        assert done.exit_code == 0, done.output
    done = receipt(path)
    assert len(done.stdout.splitlines()) == (3 if what == "storage" else 1), done.output
    # A card without its journal is told, and each recording on it is good for itself.
    assert done.exit_code == (1 if what == "storage" else 0), done.output
    assert done.stderr == ("bwvd: storage card is altered: journal.jsonl: is missing\n" if what == "storage" else "")


def test_the_archives_of_a_copied_storage(desk: Path) -> None:
    """Each has a line of its own, as each recording has; what is wrong with the recordings keeps none of them back."""
    shutil.rmtree(desk / "card" / "recordings")
    (desk / "card" / "recordings").mkdir()
    with PosixVolume(desk / "card") as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=65_536)
        for _ in range(2):
            journal.append([Draft("x", {"text": "x" * 500}, SystemClock().read())] * 80)
            journal.append([])
        journal.close()
    done = receipt("card")
    names = [f"journal-00000{number}" for number in (1, 2)]
    lines = [f"receipts/BWV-0001-{name}.receipt.json: {name}.jsonl authentic" for name in names]
    assert (done.exit_code, done.stdout.splitlines(), done.stderr) == (0, lines, "")
    (desk / "card" / "recordings" / "stray").write_text("x")
    done = receipt("card")
    assert (done.exit_code, done.stdout.splitlines()) == (1, [f"{line} (was there already)" for line in lines])
    said = json.loads(bwvd("receipt", "card", "--signers", "cameras", "--key", "key", "-o", "more", "--json").stdout)
    assert [(one["kind"], one["id"]) for one in said] == [
        ("storage", "card"),
        *(("archive", f"{name}.jsonl") for name in names),
    ]


def test_a_segment_is_no_copy(desk: Path) -> None:
    folder = min((desk / "copies").iterdir())
    assert "for a whole recording" in one_line(receipt(folder / "000001.m4s"), 1)


def test_nothing_at_all(desk: Path) -> None:
    (desk / "empty" / "recordings").mkdir(parents=True)
    assert "there is no recording" in one_line(receipt(desk / "empty" / "recordings"), 1)
    assert "No such file" in one_line(receipt("nowhere"), 1)


def test_without_a_list_there_is_none(desk: Path) -> None:
    """Invariant 14: what lies on the card vouches for nothing."""
    done = bwvd("receipt", "card", "--key", "key")
    assert "nobody says whose recordings are good: give --signers FILE" in one_line(done, 2)


def test_the_machines_list_counts(desk: Path) -> None:
    (desk / "home" / "bwvd").mkdir(parents=True)
    shutil.copy(desk / "cameras", desk / "home" / "bwvd" / "allowed_signers")
    assert bwvd("receipt", "copies", "--key", "key", "-o", "receipts").exit_code == 0


@pytest.mark.parametrize("certified", [False, True])
def test_a_devices_key_signs_no_receipts(certified: bool, desk: Path) -> None:
    """Invariant 8: by the list, whoever's recordings it is given."""
    key, authority = stock_key(desk / "camera_key"), stock_key(desk / "ca")
    if certified:
        certify(authority, key, "-n", "BWV-0009")
    line = KeySigner.load(key).allowed_signers("BWV-0009")
    (desk / "cameras").write_text((desk / "cameras").read_text() + line)
    assert "is listed for what devices sign (cameras line 2)" in one_line(receipt("copies", key="camera_key"), 2)
    assert not (desk / "receipts").exists()


def test_keys_that_can_not_be_used(desk: Path) -> None:
    assert "nowhere" in one_line(receipt("copies", key="nowhere"), 2)
    (desk / "key").chmod(0o644)
    assert "chmod 600" in one_line(receipt("copies"), 2)
    ssh_keygen("-q", "-t", "ed25519", "-N", "a passphrase", "-f", desk / "locked")
    assert "passphrase" in one_line(receipt("copies", key="locked"), 2)
    stock_key(desk / "rsa", "rsa")
    assert "not an Ed25519 key" in one_line(receipt("copies", key="rsa"), 2)


@pytest.mark.parametrize("comment", ["", "two words", 'quo"te', "a,b", "*", "!x", "x\u202ey", "other"])
def test_a_name_is_one_that_a_list_can_hold(comment: str, desk: Path) -> None:
    (desk / "key.pub").write_text(f"{fixed_signer(8 if comment == 'other' else 7).public_key} {comment}\n")
    done = receipt("copies")
    assert done.exit_code == 2
    assert "give --by NAME" in done.stderr
    assert receipt("copies", "--by", "evidence-desk").exit_code == 0
    made = json.loads(next((desk / "receipts").glob("*.json")).read_text())
    assert made["by"] == "evidence-desk"


def test_the_name_in_a_certificate(desk: Path) -> None:
    authority = stock_key(desk / "ca")
    certify(authority, desk / "key", "-n", "desk-of-the-north")
    assert receipt("copies").exit_code == 0
    made = json.loads(next((desk / "receipts").glob("*.json")).read_text())
    assert made["by"] == "desk-of-the-north"


def test_as_json(desk: Path) -> None:
    (sorted((desk / "copies").iterdir())[2] / "000001.m4s").unlink()
    done = receipt("copies", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    outcomes = json.loads(done.stdout)
    assert [(one["verdict"], one["new"], bool(one["receipt"]), bool(one["reason"])) for one in outcomes] == [
        ("authentic", True, True, False),
        ("authentic", True, True, False),
        ("altered", False, False, True),
    ]


# --- back to the camera ----------------------------------------------------------------------------------------------


class Camera:
    """A camera that runs, with recordings of its own from before."""

    def __init__(self, folder: Path, recordings: int) -> None:
        (folder / "list").write_text(f'evidence-desk namespaces="bwvd-receipt" {fixed_signer(7).public_key}\n')
        text = f'{SOURCE}[keys]\nsigning = "{folder}/keys/device_key"\nrelease = ["{folder}/list"]\n'
        write_configuration(folder, text)
        storage = folder / "evidence"
        (storage / "recordings").mkdir(exist_ok=True)
        signer = KeySigner.load(folder / "keys" / "device_key")
        made = [make_recording(storage, n, signer=signer, seconds=1) for n in range(1, recordings + 1)]
        self.ids = [path.name for path in made]
        self.folder, self.text = folder, text

    def there(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "evidence" / "recordings").iterdir())

    def events(self, event: str) -> list[dict[str, Any]]:
        lines = (self.folder / "evidence" / "journal.jsonl").read_bytes().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith(b'{"type":"entry"')]
        return [entry for entry in entries if entry["event"] == event]


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    folder = tmp_path / "camera"
    folder.mkdir()
    made = Camera(folder, 4)
    write_key(tmp_path / "key", 7)
    (tmp_path / "key.pub").write_text(f"{fixed_signer(7).public_key} evidence-desk\n")
    monkeypatch.chdir(tmp_path)
    with Process(folder, made.text) as running:
        running.wait_until(lambda status: status["state"] == "standby")
        yield made


def take_over(camera: Camera, *words: object) -> Result:
    shutil.copytree(camera.folder / "evidence" / "recordings", "copies", dirs_exist_ok=True)
    return receipt("copies", *words, signers=str(camera.folder / "keys" / "allowed_signers"))


def release(camera: Camera, *words: object) -> Result:
    return bwvd("release", "-c", camera.folder / "bwvd.toml", *words)


def test_the_loop_by_hand(camera: Camera) -> None:
    """Invariant 8: the camera lets go of what was received, of nothing else, and of it once."""
    assert take_over(camera).exit_code == 0
    kept = camera.ids[3]
    for path in Path("receipts").glob(f"{kept}*"):
        path.unlink()
    done = release(camera, "--receipts", "receipts")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert done.stdout.splitlines() == [f"released {name}" for name in camera.ids[:3]]
    assert camera.there() == [kept]
    size = (camera.folder / "evidence" / "journal.jsonl").stat().st_size
    again = release(camera, "--receipts", "receipts")
    assert (again.exit_code, again.stderr) == (0, ""), again.output
    assert again.stdout.splitlines() == [f"{name} has been released before" for name in camera.ids[:3]]
    assert (camera.folder / "evidence" / "journal.jsonl").stat().st_size == size


def test_a_wrong_receipt_keeps_no_other_back(camera: Camera) -> None:
    """Invariant 8: changed, for another state, without a signature, by a stranger, no receipt: each is one line."""
    assert take_over(camera).exit_code == 0
    folder = Path("receipts")
    changed, swapped, unsigned, good = (folder / f"{name}.receipt.json" for name in camera.ids)
    changed.write_bytes(changed.read_bytes().replace(b'"by":"evidence-desk"', b'"by":"evidence-desk2"'))
    signature = swapped.with_name(swapped.name + ".sig")
    fields = json.loads(swapped.read_text())
    swapped.write_text(json.dumps({**fields, "manifest_sha512": "ab" * 64}))
    signature.unlink()
    write_key(Path("stranger"), 9)
    ssh_keygen("-Y", "sign", "-f", "stranger", "-n", "bwvd-receipt", swapped)
    unsigned.with_name(unsigned.name + ".sig").unlink()
    (folder / "0.json").write_text("[]")
    os.mkfifo(folder / "1.json")
    (folder / "2.json").symlink_to("/dev/zero")
    (folder / "notes.txt").write_text("not a receipt, and not asked to be one")
    fields = {**json.loads(good.read_text()), "recording": "20261122T071505Z-BWV-0001-000099"}
    (folder / "99.json").write_text(json.dumps(fields))
    ssh_keygen("-Y", "sign", "-f", "key", "-n", "bwvd-receipt", folder / "99.json")
    done = release(camera, "--receipts", "receipts")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [f"released {good.name.removesuffix('.receipt.json')}"]
    said = sorted(done.stderr.splitlines())
    expected = {
        "0.json": "not signed",
        "1.json": "a FIFO, not a regular file",
        "2.json": "a character device, not a regular file",
        "99.json": "is not here, and the journal knows of no release",
        changed.name: "signature does not hold",
        swapped.name: "may not sign receipts",
        unsigned.name: "not signed",
    }
    assert len(said) == len(expected), said
    for name, why in expected.items():
        assert [line for line in said if f"receipts/{name}: " in line and why in line], (name, said)
    assert camera.there() == camera.ids[:3]
    refused = [entry["detail"]["recording"] for entry in camera.events("release_refused")]
    assert refused == camera.ids[:2]  # what the camera was asked for, and has refused


def test_a_stick_for_a_fleet(camera: Camera) -> None:
    """Receipts for other cameras lie in the same folder: they are counted, and no errors."""
    assert take_over(camera).exit_code == 0
    first = Path("receipts") / f"{camera.ids[0]}.receipt.json"
    other = {**json.loads(first.read_text()), "device": "BWV-0002"}
    Path("receipts/other.json").write_text(json.dumps(other))
    ssh_keygen("-Y", "sign", "-f", "key", "-n", "bwvd-receipt", "receipts/other.json")
    done = release(camera, "--receipts", "receipts")
    assert (done.exit_code, done.stderr) == (0, "bwvd: 1 receipt for other devices: BWV-0002\n")
    assert camera.there() == []
    Path("others").mkdir()
    for name in ("other.json", "other.json.sig"):
        shutil.copy(f"receipts/{name}", "others")
    done = release(camera, "--receipts", "others")
    assert done.exit_code == 1
    assert "no receipt (*.json) for BWV-0001" in done.stderr


def test_one_receipt_for_one_recording(camera: Camera) -> None:
    assert take_over(camera).exit_code == 0
    first, second = (Path("receipts") / f"{name}.receipt.json" for name in camera.ids[:2])
    assert "the receipt is for" in one_line(release(camera, camera.ids[0], "--receipt", second), 1)
    done = release(camera, camera.ids[0], "--receipt", first)
    assert (done.exit_code, done.stdout) == (0, f"released {camera.ids[0]}\n")


def test_the_socket_answers_what_is_released_already(camera: Camera) -> None:
    """A client that sorts nothing, or that another one was faster than: no error, and no line in the journal."""
    assert take_over(camera).exit_code == 0
    first = Path("receipts") / f"{camera.ids[0]}.receipt.json"
    payload = {
        "cmd": "release",
        "recording": camera.ids[0],
        "receipt": first.read_text(),
        "signature": first.with_name(first.name + ".sig").read_text(),
    }
    path = str(camera.folder / "s.sock")
    assert request(path, payload) == {"ok": True, "text": f"released {camera.ids[0]}", "recording": camera.ids[0]}
    again = request(path, payload)
    assert again["ok"]
    assert "has been released" in again["text"]
    assert camera.events("release_refused") == []
    assert len(camera.events("released")) == 1


def test_archives_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 8: they go behind the recordings that they tell of, and what is left verifies."""
    folder = tmp_path / "camera"
    folder.mkdir()
    made = Camera(folder, 0)
    storage = folder / "evidence"
    signer = KeySigner.load(folder / "keys" / "device_key")
    (recording,) = [make_recording(storage, 1, signer=signer, seconds=1)]
    clock = VirtualClock(seconds=lambda: 1.0)
    with PosixVolume(storage) as volume:
        journal = Journal.open(volume, signer, device="BWV-0001", limit_bytes=65_536)
        entry: Detail = {"recording": recording.name, "serial": 1, "reason": "stop", "segments": 1}
        journal.append([Draft("opened", entry, clock.read()), Draft("closed", entry, clock.read())])
        for _ in range(2):
            journal.append([Draft("x", {"text": "x" * 500}, clock.read())] * 80)
            journal.append([])
        journal.close()
    write_key(tmp_path / "key", 7)
    (tmp_path / "key.pub").write_text(f"{fixed_signer(7).public_key} evidence-desk\n")
    monkeypatch.chdir(tmp_path)
    archives = ["journal-000001.jsonl", "journal-000002.jsonl"]
    with Process(folder, made.text) as running:
        running.wait_until(lambda status: status["state"] == "standby")
        shutil.copytree(storage, "copy")
        assert receipt("copy", signers=str(folder / "keys" / "allowed_signers")).exit_code == 0
        first = "receipts/BWV-0001-journal-000001.receipt.json"
        assert "is still here" in one_line(release(made, archives[0], "--receipt", first), 1)
        done = release(made, "--receipts", "receipts")
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        assert done.stdout.splitlines() == [f"released {name}" for name in (recording.name, *archives)]
        again = release(made, archives[0], "--receipt", first)
        assert (again.exit_code, "has been released" in again.stdout) == (0, True)
        assert len(made.events("archive_released")) == 2
        assert not list(storage.glob("journal-*"))
    (report,) = verify_storage(storage, AllowedSigners.load(folder / "keys" / "allowed_signers"))
    assert (report.verdict, report.findings) == ("authentic", [])
    assert any("taken over by evidence-desk" in note.what for note in report.notes)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["last"],
        ["--receipt", "x"],
        ["last", "--receipts", "receipts"],
        ["--receipt", "x", "--receipts", "receipts"],
    ],
)
def test_how_release_is_called(words: list[str], tmp_path: Path) -> None:
    config = write_configuration(tmp_path, "")
    done = bwvd("release", "-c", config, *words)
    assert done.exit_code == 2
    assert "give REC --receipt FILE, or --receipts DIR" in done.stderr


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    config = write_configuration(tmp_path, "")
    assert "nowhere: No such file" in one_line(bwvd("release", "-c", config, "--receipts", "nowhere"), 2)


def test_without_a_daemon_it_is_exit_3(desk: Path) -> None:
    assert receipt("copies").exit_code == 0
    config = desk / "bwvd.toml"
    config.write_text(f'[storage]\npath = "{desk}/card"\n[socket]\npath = "{desk}/none.sock"\n')
    assert one_line(bwvd("release", "-c", config, "--receipts", "receipts"), 3)


def test_a_release_of_long_ago_is_remembered(desk: Path) -> None:
    """The entry is in a journal file that has been archived since; the daemon is not asked."""
    assert receipt("copies").exit_code == 0
    write_key(desk / "device_key")
    config = desk / "bwvd.toml"
    text = (
        f'[keys]\nsigning = "{desk}/device_key"\n[storage]\npath = "{desk}/card"\n[socket]\npath = "{desk}/none.sock"\n'
    )
    config.write_text(text)
    names = sorted(path.name for path in (desk / "copies").iterdir())
    with PosixVolume(desk / "card") as volume:
        journal = Journal.open(volume, fixed_signer(), device="BWV-0001", limit_bytes=4096)
        for serial, name in enumerate(names, 1):
            reading = SystemClock().read()
            journal.append([Draft("released", {"recording": name, "serial": serial}, reading)])
            shutil.rmtree(desk / "card" / "recordings" / name)
            for _ in range(20):
                journal.append([Draft("boot", {"filler": "x" * 500}, reading)])
        assert journal.released == {}
    done = bwvd("release", "-c", config, "--receipts", "receipts")
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    assert done.stdout.splitlines() == [f"{name} has been released before" for name in names]


def test_many_receipts_wait_for_their_turn(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the socket's pace refuses is asked for again, and told to nobody."""
    assert receipt("copies").exit_code == 0
    config = desk / "bwvd.toml"
    config.write_text(f'[storage]\npath = "{desk}/card"\n[socket]\npath = "{desk}/none.sock"\n')
    answers = [{"ok": False, "error": TOO_MANY, "retry": True}, {"ok": False, "error": TOO_MANY, "retry": True}]
    waited: list[float] = []

    def request(_: str, payload: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        return answers.pop() if answers else {"ok": True, "text": f"released {payload['recording']}"}

    monkeypatch.setattr(release_command, "request", request)
    monkeypatch.setattr(time, "sleep", waited.append)
    done = bwvd("release", "-c", config, "--receipts", "receipts")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("released") == 3
    assert waited == [release_command.TURN_S] * 2


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_for_the_desk_is_true(camera: Camera, tmp_path: Path) -> None:
    """Every command of the loop runs as it stands there, but for the places of the card and of the configuration."""
    text = section("desk", "Receipts")
    once, daily, back = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (configured,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert 'release = ["/etc/bwvd/receipt_signers"]' in configured
    page = tmp_path / "page"
    (page / "bin").mkdir(parents=True)
    (page / "bin" / "bwvd").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m bwvd "$@"\n')
    (page / "bin" / "bwvd").chmod(0o755)
    shutil.copy(camera.folder / "keys" / "allowed_signers", page / "camera_signers")
    for tool in ("ssh-keygen", "cp", "cut"):
        need(tool)

    def shell(commands: str) -> str:
        commands = commands.replace("/media/card", f"{camera.folder}/evidence")
        commands = commands.replace("bwvd release", f"bwvd release -c {camera.folder}/bwvd.toml")
        environment = {**os.environ, "PATH": f"{page}/bin:{os.environ['PATH']}"}
        done = subprocess.run(
            ["sh", "-e", "-c", commands], cwd=page, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    shell(once)
    assert stat.S_IMODE((page / "receipt_key").stat().st_mode) == 0o600
    shutil.copy(page / "receipt_signers", camera.folder / "list")  # read anew for each receipt
    shell(daily)
    assert shell(back).count("released") == 4
    assert camera.there() == []
