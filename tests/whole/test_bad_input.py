"""Whatever is wrong with a configuration, a device, a file or a request: one clear line, the right exit code, and where
the daemon runs, the recording goes on."""

from __future__ import annotations

import json
import os
import pty
import random
import select
import shutil
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bwvd.cli.main import main
from bwvd.evidence.keys.sshsig import keygen
from bwvd.testing.clip import numbered_clip
from tests.support.process import DEVICE, Process, write_configuration

pytestmark = pytest.mark.slow

CAMERA = """\
[video]
source = "lavfi:testsrc2=size=160x120:rate=15"
size = "160x120"
stamp = false
keyframe_s = 0.5
[loop]
seconds = 3
[recording]
segment_s = 0.5
post_roll_s = 0
"""

Give = Callable[..., tuple[int, str, str]]


@pytest.fixture
def give(capsys: pytest.CaptureFixture[str]) -> Give:
    """A command in this process: exit code, stdout, stderr."""

    def command(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words], prog_name="bwvd")
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return command


def _only_line(err: str) -> str:
    """What stands on stderr is one line: the command's own, or the daemon's last word."""
    assert "Traceback" not in err
    lines = err.splitlines()
    if err.startswith("{"):
        entries = [json.loads(line) for line in lines]
        bad = [entry for entry in entries if entry["level"] in ("error", "critical")]
        assert [entry["event"] for entry in bad] == ["refused"], err
        return str(bad[0]["reason"])
    (line,) = lines
    assert line.startswith("bwvd: ")
    return line


def _refused_run(config: Path, code: int = 2) -> str:
    """`bwvd run` on what it must refuse: the line that says why. Exit 1: what may pass, and is tried again."""
    command = [sys.executable, "-m", "bwvd", "run", "-c", str(config)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    return _only_line(done.stderr)


# --- the configuration -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[video]\nsorce = "lavfi:testsrc2"', "video.sorce: unknown key; did you mean source?"),
        ("[lop]\nseconds = 30", "lop: unknown key; did you mean loop?"),
        ('[loop]\nseconds = "thirty"', "loop.seconds: expected a number"),
        ("[loop]\nseconds = -1", "loop.seconds = -1: must be "),
        ("[video\n", "line 1, column 7: "),
        ("[loop]\nseconds = 10\n[video]\nkeyframe_s = 2.5", "keyframe_s"),
        ('[video]\nsource = "webcam"', "video.source"),
        ('profile = "mars-2031"', "mars-2031"),
        ('[video]\nsource = "lavfi:testsrc2"\nencoder = "copy"', "video.encoder"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check", "status", "list"])
def test_a_bad_configuration(text: str, named: str, command: str, give: Give, tmp_path: Path) -> None:
    config = tmp_path / "bwvd.toml"
    config.write_text(text)
    code, out, err = give(command, "-c", config)
    assert (code, out) == (2, "")
    line = _only_line(err)
    assert str(config) in line
    assert named in line


@pytest.mark.parametrize("command", ["run", "check", "status", "record", "list", "verify", "journal"])
def test_no_configuration(command: str, give: Give, tmp_path: Path) -> None:
    code, out, err = give(command, "-c", tmp_path / "none.toml")
    assert (code, out) == (2, "")
    hint = "name another with -c FILE, or put one in place with: bwvd install"
    assert _only_line(err) == f"bwvd: {tmp_path}/none.toml: there is no such file; {hint}"


def test_a_configuration_that_is_no_text(give: Give, tmp_path: Path) -> None:
    config = tmp_path / "bwvd.toml"
    config.write_bytes(random.Random(1).randbytes(4000))
    code, _, err = give("run", "-c", config)
    assert code == 2
    assert str(config) in _only_line(err)


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ("foo", "video.encoder"),
        ("rawvideo", "video.encoder: rawvideo at 64x48: 'mp4' format does not support 'rawvideo' codec"),
        ("ffv1", "video.encoder: ffv1 is not fit: it makes no key frame after video.keyframe_s = 1"),
    ],
)
def test_an_encoder_that_can_not_record(encoder: str, reason: str, tmp_path: Path) -> None:
    with Process(tmp_path, f'[video]\nsource = "lavfi:testsrc2=size=64x48"\nencoder = "{encoder}"\n') as process:
        assert process.process.wait(20) == 2
        assert reason in _only_line(process.log())


# --- keys ------------------------------------------------------------------------------------------------------------


def _no_key(folder: Path) -> None:
    (folder / "keys" / "device_key").unlink()


def _readable_key(folder: Path) -> None:
    (folder / "keys" / "device_key").chmod(0o640)


def _nonsense_key(folder: Path) -> None:
    (folder / "keys" / "device_key").write_text("this is no key\n")


@pytest.mark.parametrize("spoil", [_no_key, _readable_key, _nonsense_key])
def test_a_signing_key_that_can_not_be_used(spoil: Callable[[Path], None], give: Give, tmp_path: Path) -> None:
    config = write_configuration(tmp_path, CAMERA)
    spoil(tmp_path)
    assert f"{tmp_path}/keys/device_key" in _refused_run(config)
    assert not list((tmp_path / "evidence").iterdir()), "nothing was begun"
    code, out, _ = give("check", "-c", config)
    assert code == 2
    (wrong,) = (line for line in out.splitlines() if line.startswith("WRONG"))
    assert "keys.signing" in wrong


@pytest.mark.parametrize(
    ("recipient", "named"),
    [
        ("age1nonsense", "keys.recipients, entry 1: "),
        ("ssh-ed25519 nonsense", "keys.recipients, entry 1: "),
        ("no-such-file", "keys.recipients, entry 1: "),
        ("/no/such/file", "keys.recipients: '/no/such/file' "),
    ],
)
def test_recipients_that_can_not_be_used(recipient: str, named: str, tmp_path: Path) -> None:
    keys = f'[keys]\nsigning = "{tmp_path}/keys/device_key"\nrecipients = ["{recipient}"]\n'
    assert named in _refused_run(write_configuration(tmp_path, CAMERA + keys))


# --- the storage -----------------------------------------------------------------------------------------------------


def _no_storage(storage: Path) -> str:
    storage.rmdir()
    return "does not exist"


def _file_storage(storage: Path) -> str:
    storage.rmdir()
    storage.write_text("")
    return "is not a folder"


def _foreign_storage(storage: Path) -> str:
    (storage / "holiday.jpg").write_text("")
    return "holds holiday.jpg, which is not bwvd's"


@pytest.mark.parametrize("spoil", [_no_storage, _file_storage, _foreign_storage])
def test_a_storage_that_can_not_be_used(spoil: Callable[[Path], str], give: Give, tmp_path: Path) -> None:
    config = write_configuration(tmp_path, CAMERA)
    why = spoil(tmp_path / "evidence")
    line = _refused_run(config)
    assert line.startswith(f"storage.path: {tmp_path}/evidence")
    assert why in line
    code, out, _ = give("check", "-c", config)
    assert code == 2
    assert why in out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes what others can't open")
def test_a_check_by_root_leaves_the_storage_to_its_owner(give: Give, tmp_path: Path) -> None:
    """`sudo bwvd check` before the first start must not keep the service's user from starting."""
    config = write_configuration(tmp_path, CAMERA)
    storage = tmp_path / "evidence"
    os.chown(storage, 12345, 12345)
    assert give("check", "-c", config)[0] == 0
    made = list(storage.iterdir())
    assert made
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(12345, 12345)}


def test_a_storage_that_can_not_be_written(tmp_path: Path) -> None:
    config = write_configuration(tmp_path, CAMERA)
    (tmp_path / "evidence").chmod(0o500)
    if os.access(tmp_path / "evidence", os.W_OK):
        pytest.skip("root may write everywhere")
    try:
        line = _refused_run(config)
    finally:
        (tmp_path / "evidence").chmod(0o700)
    assert line.startswith(f"storage.path: {tmp_path}/evidence can't be written")


# --- controls --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chip", "why"),
    [("nobody", "no GPIO chip is called 'nobody'"), ("/dev/gpiochip99", "no such device or file")],
)
def test_a_gpio_chip_that_is_not_there(chip: str, why: str, give: Give, tmp_path: Path) -> None:
    config = write_configuration(tmp_path, f'{CAMERA}\n[[gpio]]\nchip = "{chip}"\n')
    code, out, _ = give("check", "-c", config)
    assert code == 2
    assert f"gpio: {chip} line 17: {why}" in out.replace("\n", " ")


# --- sources ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there(give: Give, tmp_path: Path) -> None:
    config = write_configuration(tmp_path, f'[video]\nsource = "file:{tmp_path}/none.mp4"\n')
    assert _refused_run(config) == f"video.source: {tmp_path}/none.mp4: no such file"
    code, out, _ = give("check", "-c", config)
    assert code == 2
    assert "video.source" in out


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(random.Random(2).randbytes(100_000))
    line = _refused_run(write_configuration(tmp_path, f'[video]\nsource = "file:{clip}"\n'))
    assert line.startswith(f"video.source: {clip}: ")


def test_a_filter_graph_that_is_none(tmp_path: Path) -> None:
    line = _refused_run(write_configuration(tmp_path, '[video]\nsource = "lavfi:no_such_filter=1"\n'))
    assert line.startswith("video.source: lavfi:no_such_filter=1: ")


def test_a_copied_camera_with_long_gops(tmp_path: Path) -> None:
    """A GOP of more than a fifth of the loop makes a pre-event part of unforeseeable length: it is refused."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 300, rate=30, gop_s=2.0)
    video = f'[video]\nsource = "file:{clip}?loop=1"\nencoder = "copy"\nstamp = false\n[loop]\nseconds = 5\n'
    line = _refused_run(write_configuration(tmp_path, video))
    assert line.startswith("video.source: ")
    assert "key frames" in line


def test_a_camera_that_is_not_there_yet(tmp_path: Path) -> None:
    """The daemon stays and waits for it; a press is answered, and a stop leaves nothing behind."""
    with Process(tmp_path, CAMERA.replace("lavfi:testsrc2=size=160x120:rate=15", f"v4l2:{tmp_path}/video9")) as bwvd:
        status = bwvd.wait_until(lambda status: "camera" in status["faults"])
        assert f"{tmp_path}/video9" in status["fault_details"]["camera"]["detail"]
        assert status["loop"]["seconds"] == 0
        bwvd.process.terminate()
        assert bwvd.process.wait(10) == 0


# --- a living daemon -------------------------------------------------------------------------------------------------


class Line:
    """A serial line: a pty, with a person's end."""

    def __init__(self) -> None:
        self.ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)

    def say(self, data: bytes) -> None:
        while data:
            # The other side may be slow: it limits what a line may make it do.
            assert select.select([], [self.ours], [], 10)[1], "nobody reads"
            data = data[os.write(self.ours, data[:256]) :]

    def hear(self, wanted: bytes) -> bytes:
        """Everything up to and with `wanted`."""
        heard = b""
        until_s = time.monotonic() + 10
        while wanted not in heard:
            assert time.monotonic() < until_s, heard
            if select.select([self.ours], [], [], 0.1)[0]:
                heard += os.read(self.ours, 4096)
        return heard

    def close(self) -> None:
        os.close(self.ours)
        os.close(self._theirs)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    serial = Line()
    yield serial
    serial.close()


@pytest.fixture(scope="module")
def bwvd(line: Line, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A daemon with almost everything around it missing or wrong, in the middle of a recording."""
    folder = tmp_path_factory.mktemp("device")
    regular = folder / "regular"
    regular.write_text("")
    around = f"""
[[serial]]
port = "{line.path}"
pty = true
[[serial]]
port = "{folder}/ttyNone"
[[serial]]
port = "{regular}"
[[gpio]]
chip = "{folder}/gpiochip9"
line = 3
[[input]]
device = "{folder}/event9"
[[led]]
name = "no-such-led"
[[led]]
chip = "{folder}/gpiochip9"
line = 4
"""
    with Process(folder, CAMERA + around) as process:
        process.wait_for_loop(3)
        assert process.ask(cmd="record")["ok"]
        yield process
        _goes_on(process)
        process.ask(cmd="stop")
        process.wait_until(lambda status: status["recording"] is None)


def _goes_on(bwvd: Process) -> None:
    """The recording is the first and only one, grows on flash, and nothing was lost."""
    before = bwvd.wait_until(lambda status: status["recording"] is not None)["recording"]
    later = bwvd.wait_until(lambda status: status["recording"]["segments"] > before["segments"])
    assert later["recording"]["id"] == before["id"]
    assert later["recording"]["id"].endswith("-000001")
    assert (later["state"], later["video"]["dropped"], later["stop_asked"]) == ("recording", 0, False)


def _details(bwvd: Process) -> dict[str, str]:
    faults: dict[str, dict[str, Any]] = bwvd.status()["fault_details"]
    return {name: str(fault["detail"]) for name, fault in faults.items()}


def test_devices_that_are_not_there_are_faults(bwvd: Process) -> None:
    """Each says in a line which device it is; the one that is there works."""
    expected = ("ttyNone", "regular", "gpiochip9", "event9", "no-such-led")
    bwvd.wait_until(lambda status: all(any(name in fault for fault in status["faults"]) for name in expected))
    details = _details(bwvd)
    for name in expected:
        about = [detail for fault, detail in details.items() if name in fault]
        assert about, details
        assert all(detail and detail.isprintable() for detail in about), about
    (regular,) = (detail for fault, detail in details.items() if fault.endswith("/regular"))
    assert "serial.port" in regular
    assert "is not a serial port" in regular
    assert "camera" not in details
    _goes_on(bwvd)


def test_check_names_each_of_them(bwvd: Process, give: Give) -> None:
    code, out, err = give("check", "-c", bwvd.config)
    assert (code, err) == (2, "")
    wrong = [line for line in out.splitlines() if line.startswith("WRONG")]
    for name in ("ttyNone", "regular", "gpiochip9", "event9"):
        assert any(name in line for line in wrong), out


def test_a_second_daemon_on_the_same_storage(bwvd: Process, tmp_path: Path) -> None:
    config = tmp_path / "second.toml"
    config.write_text(bwvd.config.read_text().replace(bwvd.socket, f"{tmp_path}/s.sock"))
    line = _refused_run(config, 1)
    assert line.startswith(f"storage.path: {bwvd.folder}/evidence is in use by another bwvd (pid {bwvd.process.pid})")
    _goes_on(bwvd)


def test_a_second_daemon_on_the_same_socket(bwvd: Process) -> None:
    folder = bwvd.folder.parent / "second"
    folder.mkdir()
    config = write_configuration(folder, f'{CAMERA}[socket]\npath = "{bwvd.socket}"\n')
    assert _refused_run(config, 1) == f"socket.path: {bwvd.socket}: another daemon is running"
    _goes_on(bwvd)


def test_a_storage_of_another_device(bwvd: Process, tmp_path: Path) -> None:
    """A card that was put into the wrong camera."""
    copy = tmp_path / "evidence"
    copy.mkdir()
    shutil.copy(bwvd.folder / "evidence" / "journal.jsonl", copy)
    config = write_configuration(tmp_path, f'[device]\nid = "BWV-0099"\n{CAMERA}')
    line = _refused_run(config)
    assert f"belongs to device {DEVICE}" in line
    assert "BWV-0099" in line


GARBAGE = [
    b"",
    b"\n",
    b"STOP\n",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b'{"cmd": "format"}\n',
    b'{"cmd": 7}\n',
    b'{"cmd": "stop", "now": true}\n',
    b'{"cmd": "mark", "label": ["x"]}\n',
    b'{"cmd": "mark", "label": "' + b"x" * 2000 + b'"}\n',
    b'{"cmd": "stop"',
    b"[" * 60_000 + b"\n",
    b"\x00\xff\xfe" * 1000 + b"\n",
    b"x" * 300_000,
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda data: repr(data[:24]))
def test_garbage_on_the_socket_changes_nothing(garbage: bytes, bwvd: Process) -> None:
    """Invariant 11: each line is answered with an error; none stops the recording."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(bwvd.socket)
        try:
            client.sendall(garbage)
            client.shutdown(socket.SHUT_WR)
            replies = client.makefile("rb").read()
        except (BrokenPipeError, ConnectionResetError):
            replies = b""  # it hung up on what was too long
    for reply in replies.splitlines():
        answer = json.loads(reply)
        assert not answer["ok"]
        assert answer["error"]
    _goes_on(bwvd)


def test_garbage_on_the_serial_line_changes_nothing(bwvd: Process, line: Line) -> None:
    """Invariant 11: noise, words that are near to an order, and lines without an end."""
    chance = random.Random(11)
    line.say(b"\r\nSTOPP\r\nSTOP NOW PLEASE\r\nFORMAT\r\n")
    for _ in range(20):
        noise = bytes(byte for byte in chance.randbytes(200) if byte not in b"\r\n")
        line.say(b"#" + noise + b"\n")
    line.say(b"Y" * 5000 + b"\n")
    line.say(b"PING\n")
    heard = line.hear(b"OK")
    assert heard.count(b"ERR") >= 3
    assert b"Traceback" not in heard
    _goes_on(bwvd)


def test_the_log_of_all_this_is_short(bwvd: Process) -> None:
    """A flood of nonsense is no flood of lines, and none of them is a traceback."""
    _goes_on(bwvd)
    log = bwvd.log()
    assert "Traceback" not in log
    assert len(log.splitlines()) < 200


# --- files on a desk -------------------------------------------------------------------------------------------------


def _nonsense(folder: Path) -> list[Path]:
    (folder / "empty").mkdir()
    (folder / "letter.txt").write_text("Dear Sir or Madam\n")
    (folder / "bundle.zip").write_bytes(b"PK\x03\x04 and then nothing that makes sense")
    (folder / "rec").mkdir()
    (folder / "rec" / "manifest.jsonl").write_bytes(random.Random(3).randbytes(5000))
    os.mkfifo(folder / "pipe")
    return [folder / name for name in ("none", "empty", "letter.txt", "bundle.zip", "rec", "pipe")]


def test_verify_of_nonsense(give: Give, tmp_path: Path) -> None:
    """Exit 1, and a line for each that names it."""
    for path in _nonsense(tmp_path):
        code, out, err = give("verify", path)
        assert (code, err) == (1, ""), path
        assert out.split()[0] not in ("authentic", "recovered"), out
        assert path.name in out
        code, out, err = give("verify", "--json", path)
        assert (code, err) == (1, "")
        (report,) = json.loads(out)
        assert report["verdict"] not in ("authentic", "recovered")
        assert report["problems"]


@pytest.mark.parametrize("option", ["--signers", "--identity"])
def test_verify_with_nonsense_keys(option: str, give: Give, tmp_path: Path) -> None:
    (tmp_path / "nonsense").write_text("nonsense\n")
    for name in ("none", "nonsense"):
        code, out, err = give("verify", tmp_path, option, tmp_path / name)
        assert (code, out) == (2, "")
        assert str(tmp_path / name) in _only_line(err)


def test_show_and_export_of_what_is_not_there(bwvd: Process, give: Give, tmp_path: Path) -> None:
    out_file = tmp_path / "out.mp4"
    for name in ("20200101T000000Z-BWV-0001-000099", "99", "²", "9" * 5000, "no/such/folder", "..", "\x1b[2J"):
        for words in (["show"], ["show", "--json"], ["export", "-o", out_file]):
            code, out, err = give(*words, "-c", bwvd.config, name)
            assert (code, out) == (1, "")
            assert "\x1b" not in err
            _only_line(err)
    for path in _nonsense(tmp_path):
        for words in (["show"], ["export", "-o", out_file]):
            code, out, err = give(*words, "-c", bwvd.config, path)
            assert (code, out) == (1, "")
            assert path.name in _only_line(err)
    assert not out_file.exists()


def test_export_onto_a_file_that_is_there(bwvd: Process, give: Give, tmp_path: Path) -> None:
    out_file = tmp_path / "out.mp4"
    out_file.write_text("precious")
    code, out, err = give("export", "-c", bwvd.config, "last", "-o", out_file)
    assert (code, out) == (1, "")
    assert str(out_file) in err.splitlines()[-1]
    assert out_file.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    code, _, err = give("export", "-c", bwvd.config, "last", "-o", tmp_path / "none" / "out.mp4")
    assert code == 1
    assert str(tmp_path / "none") in err.splitlines()[-1]


def test_keygen_where_it_can_not_be(give: Give, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = give("keygen", tmp_path / "file" / "keys")
    assert code == 2
    assert str(tmp_path / "file") in _only_line(err)
    keygen(tmp_path / "keys", DEVICE)
    code, _, err = give("keygen", tmp_path / "new", "--device", "two words")
    assert code == 2
    assert "two words" in _only_line(err)


def test_the_demo_says_what_it_can_not_do(give: Give, tmp_path: Path) -> None:
    code, _, err = give("demo")
    assert code == 2
    assert "--headless" in _only_line(err)
    code, _, err = give("demo", "--headless", "--source", "webcam", "--keep", tmp_path / "kept")
    assert code == 2
    assert "video.source" in _only_line(err)
