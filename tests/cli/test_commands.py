"""The commands, as a person or a script gives them, to a daemon that runs on real files and libav."""

from __future__ import annotations

import json
import math
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click
import pytest

from bwvd.capture.device.demux import FETCH_NS
from bwvd.cli.main import main
from bwvd.clock import NS
from tests.support.evidence_keys import fixed_signer
from tests.support.process import DEVICE, Process
from tests.support.stock import need

pytestmark = pytest.mark.slow

LOOP_S = 3.0
RATE = 25
SOUND_RATE = 48_000
CLIP_S = 40
BLACK, WHITE = 16, 235
EXACT_S = 0.040  # how far sound may lie from its picture: what a viewer would notice begins above

CONFIGURATION = """\
[video]
source = "file:{clip}?loop=1"
encoder = "copy"
stamp = false
keyframe_s = 0.4
[audio]
source = "video"
[loop]
seconds = {loop_s}
[recording]
segment_s = 0.4
post_roll_s = 0
"""

COMMANDS = (
    "run",
    "demo",
    "check",
    "status",
    "record",
    "stop",
    "mark",
    "sleep",
    "wake",
    "mute",
    "assign",
    "list",
    "show",
    "verify",
    "export",
    "journal",
    "keygen",
    "desk",
    "devices",
    "custody",
    "offload",
    "receipt",
    "statement",
    "release",
    "install",
    "help",
)


def flash_and_beep(path: Path) -> None:
    """A clip whose every second begins with one white picture and 40 ms of a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        video.codec_context.gop_size = round(RATE * 0.4)
        sound = container.add_stream("aac", rate=SOUND_RATE)
        sound.codec_context.layout, sound.codec_context.format = "mono", "fltp"
        samples = SOUND_RATE // RATE
        tone = array("f", (0.5 * math.sin(2 * math.pi * 1000 * at / SOUND_RATE) for at in range(samples)))
        silence = array("f", bytes(4 * samples))
        for number in range(CLIP_S * RATE):
            begins = number % RATE == 0
            picture = av.VideoFrame(160, 120, "yuv420p")
            for plane, value in zip(picture.planes, (WHITE if begins else BLACK, 128, 128), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(video.encode(picture))
            heard = av.AudioFrame("fltp", "mono", samples)
            heard.planes[0].update((tone if begins else silence).tobytes())
            heard.sample_rate, heard.pts = SOUND_RATE, number * samples
            heard.time_base = Fraction(1, SOUND_RATE)
            container.mux(sound.encode(heard))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout: nothing before it, nothing behind it."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line that was said, wherever."""
        (line,) = (self.out + self.err).splitlines()
        return line


Cli = Callable[..., Said]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Gives a command in this process, as the entry point does."""

    def give(*words: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words], prog_name="bwvd")
        out, err = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Said(code or 0, out, err)

    return give


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    flash_and_beep(path)
    return path


@pytest.fixture(scope="module")
def running(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The one daemon of this module; each test leaves it in standby."""
    text = CONFIGURATION.format(clip=clip, loop_s=LOOP_S)
    with Process(tmp_path_factory.mktemp("device"), text) as bwvd:
        bwvd.wait_for_loop(LOOP_S)
        yield bwvd


@pytest.fixture
def bwvd(running: Process) -> Process:
    running.wait_until(lambda status: status["state"] == "standby" and status["loop"]["seconds"] >= LOOP_S)
    return running


@pytest.fixture(scope="module")
def recorded(running: Process) -> str:
    """A recording of some seconds with a marker, closed."""
    running.wait_for_loop(LOOP_S)
    recording = str(running.ask(cmd="record")["recording"])
    running.wait_until(lambda status: status["recording"]["committed_s"] >= LOOP_S + 1)
    running.ask(cmd="mark", label="a bicycle")
    running.wait_until(lambda status: status["recording"]["committed_s"] >= LOOP_S + 2.5)
    running.ask(cmd="stop")
    _closed(running, recording)
    return recording


def _folder(bwvd: Process, recording: str) -> Path:
    return bwvd.folder / "evidence" / "recordings" / recording


def _closed(bwvd: Process, recording: str) -> None:
    """Until the recording's last file is there: the signature of the sums."""
    bwvd.wait_until(lambda status: status["recording"] is None)
    until_s = time.monotonic() + 10
    while not (_folder(bwvd, recording) / "SHA256SUMS.sig").exists():
        assert time.monotonic() < until_s, bwvd.log()
        time.sleep(0.02)


# --- the contract's shape --------------------------------------------------------------------------------------------


def test_every_command_of_the_contract_is_there(cli: Cli) -> None:
    assert set(COMMANDS) == set(main.list_commands(click.Context(main)))
    listed = cli("--help").out
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", listed, re.MULTILINE), f"{command} is not listed"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, cli: Cli) -> None:
    for option in ("-h", "--help"):
        said = cli(command, option)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"Usage: bwvd {command} ")
        assert "…" not in said.out.splitlines()[2], "a command's first line is a whole sentence"


def test_version(cli: Cli) -> None:
    assert re.fullmatch(r"bwvd, version \d+\.\d+\.\d+\n", cli("--version").out)


@pytest.mark.parametrize("command", ["status", "record", "stop", "mark", "sleep", "wake", "mute"])
def test_without_a_daemon_it_is_exit_3(command: str, bwvd: Process, cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "elsewhere.toml"
    config.write_text(bwvd.config.read_text().replace(bwvd.socket, f"{tmp_path}/nobody.sock"))
    said = cli(command, "-c", config)
    assert (said.code, said.out) == (3, "")
    assert said.line == f"bwvd: {tmp_path}/nobody.sock: no such socket; is the daemon running?"


@pytest.mark.parametrize(
    "words",
    [["no-such-command"], ["status", "--no-such-option"], ["show"], ["export", "last"], ["assign"], ["keygen"]],
)
def test_wrong_usage_is_exit_2(words: list[str], cli: Cli) -> None:
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert said.line.startswith("bwvd: ")
    assert said.line.endswith(" --help)"), "and where it says what is right"


@pytest.mark.parametrize("words", [["help"], ["help", "desk"], ["devices", "--json"], ["list", "."], ["--version"]])
def test_what_cannot_be_printed_is_one_line(words: list[str], tmp_path: Path) -> None:
    """A disk that is full under `> FILE`."""
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "bwvd", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "bwvd: what is printed can't be written: No space left on device\n")


# --- the daemon ------------------------------------------------------------------------------------------------------


def test_status(bwvd: Process, cli: Cli) -> None:
    """The document that others rely on."""
    said = cli("status", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (0, "")
    status = said.json
    assert (status["state"], status["device"], status["recording"]) == ("standby", DEVICE, None)
    assert status["uptime_s"] > 0
    # What a played file has not been fetched of yet, the loop does not hold yet.
    assert LOOP_S - FETCH_NS / NS <= status["loop"]["seconds"] <= LOOP_S + 1
    assert status["loop"]["capacity_s"] == LOOP_S
    assert status["loop"]["bytes"] > 0
    assert status["video"]["source"].startswith("file:")
    assert status["video"]["encoder"] == "copy"
    assert status["video"]["frames"] > LOOP_S * RATE
    assert status["video"]["dropped"] == 0
    assert isinstance(status["audio"], dict)
    assert status["storage"]["free_bytes"] > 0
    assert status["storage"]["minutes_left"] > 0
    assert status["storage"]["backlog_bytes"] == 0
    assert status["faults"] == []
    assert status["controls"] == ["socket"]


def test_status_for_a_person(bwvd: Process, cli: Cli) -> None:
    said = cli("status", "-c", bwvd.config)
    assert said.code == 0
    rows = dict(line.split(maxsplit=1) for line in said.out.splitlines())
    assert rows["state"] == "standby"
    assert rows["device"].startswith(DEVICE)


def test_record_mark_stop(bwvd: Process, cli: Cli) -> None:
    """Each returns when the change is in force and prints the recording's id."""
    recording = cli("record", "-c", bwvd.config).line
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-{DEVICE}-\d{{6}}", recording)
    status = cli("status", "-c", bwvd.config, "--json").json
    assert (status["state"], status["recording"]["id"]) == ("recording", recording)
    assert {"seconds", "segments", "committed_s"} <= status["recording"].keys()
    again = cli("record", "-c", bwvd.config, "--json")
    assert again.json == {"ok": True, "text": "already", "recording": recording}
    assert cli("mark", "-c", bwvd.config, "a car").line == recording
    assert cli("sleep", "-c", bwvd.config).line == "bwvd: recording"
    assert cli("stop", "-c", bwvd.config).line == recording
    _closed(bwvd, recording)
    events = cli("show", "-c", bwvd.config, recording, "--json").json["events"]
    assert [event["label"] for event in events if event["type"] == "mark"] == ["a car"]


@pytest.mark.parametrize("command", ["stop", "mark"])
def test_what_is_refused_is_exit_1(command: str, bwvd: Process, cli: Cli) -> None:
    said = cli(command, "-c", bwvd.config)
    assert (said.code, said.out, said.err) == (1, "", "bwvd: not recording\n")


def test_a_refusal_as_json_is_a_document_too(bwvd: Process, cli: Cli) -> None:
    said = cli("stop", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (1, "")
    assert said.json == {"ok": False, "error": "not recording", "recording": None}


def test_sleep_and_wake(bwvd: Process, cli: Cli) -> None:
    assert cli("sleep", "-c", bwvd.config).code == 0
    status = cli("status", "-c", bwvd.config, "--json").json
    assert (status["state"], status["loop"]["bytes"]) == ("asleep", 0)
    assert cli("wake", "-c", bwvd.config).code == 0
    assert cli("status", "-c", bwvd.config, "--json").json["state"] == "standby"


def test_mute_and_assign(bwvd: Process, cli: Cli) -> None:
    assert cli("mute", "-c", bwvd.config).code == 0
    assert cli("assign", "-c", bwvd.config, "7215").code == 0
    status = cli("status", "-c", bwvd.config, "--json").json
    assert (status["audio"]["muted"], status["officer_assigned"]) == (True, True)
    assert cli("mute", "--off", "-c", bwvd.config).code == 0
    assert cli("assign", "-c", bwvd.config, "--none").code == 0
    status = cli("status", "-c", bwvd.config, "--json").json
    assert (status["audio"]["muted"], status["officer_assigned"]) == (False, False)


@pytest.mark.parametrize("as_json", [False, True])
def test_status_watch_into_a_pipe(as_json: bool, bwvd: Process) -> None:
    """What is piped on comes as it happens, and a Ctrl-C is no error."""
    command = [sys.executable, "-m", "bwvd", "status", "--watch", "-c", str(bwvd.config), *(["--json"] * as_json)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a terminal: a shell that put the tests into the background has let them ignore it.
        preexec_fn=_obey_interrupts,
    ) as watching:
        try:
            assert watching.stdout is not None
            ready, _, _ = select.select([watching.stdout], [], [], 20)
            assert ready, "nothing came"
            line = watching.stdout.readline()
            assert (json.loads(line)["state"] if as_json else line.split()[1]) == "standby"
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=20)
        finally:
            watching.kill()
    assert (watching.returncode, err) == (0, "")


def _obey_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_check(bwvd: Process, cli: Cli) -> None:
    said = cli("check", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (0, "")
    areas = {finding["area"] for finding in said.json}
    assert {"configuration", "keys", "storage", "camera"} <= areas
    assert all(finding["ok"] for finding in said.json)
    assert cli("check", "-c", bwvd.config).out.startswith("good ")


def test_check_names_a_list_that_lets_devices_sign_receipts(bwvd: Process, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "fleet").write_text(f'* namespaces="bwvd-*" {fixed_signer(2).public_key}\n')
    config = tmp_path / "bwvd.toml"
    config.write_text(bwvd.config.read_text().replace("[keys]", f'[keys]\nrelease = ["{tmp_path}/fleet"]'))
    said = cli("check", "-c", config)
    assert said.code == 2
    assert f"keys.release: {tmp_path}/fleet line 1: signs no receipts" in said.out


# --- evidence --------------------------------------------------------------------------------------------------------


def test_list(bwvd: Process, recorded: str, cli: Cli) -> None:
    said = cli("list", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (0, "")
    (mine,) = (entry for entry in said.json if entry["id"] == recorded)
    assert (mine["end"], mine["device"]) == ("stop", DEVICE)
    assert LOOP_S + 2.5 <= mine["seconds"] <= LOOP_S + 6
    assert recorded in cli("list", "-c", bwvd.config).out


def test_show(bwvd: Process, recorded: str, cli: Cli) -> None:
    said = cli("show", "-c", bwvd.config, recorded, "--json")
    assert (said.code, said.err) == (0, "")
    assert said.json["id"] == recorded
    assert said.json["end"]["reason"] == "stop"
    assert LOOP_S <= said.json["open"]["pre_event"]["got_s"] <= LOOP_S + 0.5
    serial = str(said.json["open"]["serial"])
    assert cli("show", "-c", bwvd.config, serial, "--json").json == said.json
    by_folder = cli("show", "-c", bwvd.config, _folder(bwvd, recorded), "--json").json
    assert by_folder == said.json
    assert cli("show", "-c", bwvd.config, "last").code == 0
    assert "a bicycle" in cli("show", "-c", bwvd.config, recorded).out


def test_verify(bwvd: Process, recorded: str, cli: Cli, tmp_path: Path) -> None:
    """Invariant 7: a changed byte is exit 1, and is located."""
    said = cli("verify", _folder(bwvd, recorded), "--signers", bwvd.folder / "keys" / "allowed_signers", "--json")
    assert (said.code, said.err) == (0, "")
    (report,) = said.json
    assert (report["id"], report["verdict"], report["problems"]) == (recorded, "authentic", [])
    assert report["segments"] > 0
    assert report["frames"] >= (LOOP_S + 2.5) * RATE
    assert report["signer"]["trusted"]
    copy = tmp_path / recorded
    shutil.copytree(_folder(bwvd, recorded), copy)
    for arguments in ((copy,), (copy, "-c", bwvd.config)):
        said = cli("verify", *arguments, "--json")
        vouched = len(arguments) > 1  # the device itself vouches for what its key has signed
        assert (said.code, said.err) == (0 if vouched else 1, "")
        assert said.json[0]["verdict"] == ("authentic" if vouched else "unvouched")
    segment = copy / "000003.m4s"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    said = cli("verify", copy, "--json")
    assert (said.code, said.err) == (1, "")
    (report,) = said.json
    assert report["verdict"] == "altered"
    assert any("000003.m4s" in problem["where"] for problem in report["problems"])
    assert all({"where", "what"} == problem.keys() for problem in report["problems"])
    assert cli("verify", copy).out.startswith("altered ")


def test_verify_the_whole_storage(bwvd: Process, recorded: str, cli: Cli) -> None:
    """Without a path; the journal and the count of the recordings belong to it."""
    said = cli("verify", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (0, "")
    assert {report["kind"] for report in said.json} == {"storage", "recording"}
    assert recorded in {report["id"] for report in said.json}


def test_journal(bwvd: Process, recorded: str, cli: Cli) -> None:
    said = cli("journal", "-c", bwvd.config, "--json")
    assert (said.code, said.err) == (0, "")
    about = [entry for entry in said.json if entry["detail"].get("recording") == recorded]
    assert {"opened", "closed"} <= {entry["event"] for entry in about}
    lines = cli("journal", "-c", bwvd.config).out.splitlines()
    assert len(lines) >= len(said.json)
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z ", line) for line in lines)


def _probed(path: Path) -> dict[str, Any]:
    # Not its warnings: it has one for each list of chapters that is a track, as QuickTime's are, its own included.
    command = [need("ffprobe"), "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)]
    probed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert probed.stderr == ""
    document: dict[str, Any] = json.loads(probed.stdout)
    return document


@pytest.fixture(scope="module")
def exported(running: Process, recorded: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "out.mp4"
    command = [sys.executable, "-m", "bwvd", "export", "-c", str(running.config), recorded, "-o", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: ")
    return path


def test_an_export_decodes_without_a_word(exported: Path) -> None:
    command = [need("ffmpeg"), "-nostdin", "-v", "warning", "-i", str(exported), "-f", "null", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_an_export_says_what_it_is(exported: Path, recorded: str) -> None:
    document = _probed(exported)
    assert float(document["format"]["start_time"]) == 0
    tags = document["format"]["tags"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", tags["creation_time"])
    assert DEVICE in tags["bwvd_device"]
    assert recorded in tags["title"]
    # The video is copied, so there are captions; "data" is the list of chapters.
    kinds = {stream["codec_type"] for stream in document["streams"]}
    assert kinds == {"video", "audio", "subtitle", "data"}


def test_an_export_keeps_sound_and_picture_together(exported: Path) -> None:
    """Every beep lies within 40 ms of its flash."""
    flashes: list[float] = []
    beeps: list[float] = []
    ends_s = 0.0
    with av.open(str(exported)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            ends_s = frame.time
            if bytes(frame.planes[0])[frame.planes[0].line_size * 60 + 80] > (BLACK + WHITE) // 2:
                flashes.append(frame.time)
    with av.open(str(exported)) as container:
        loud_s = -1.0
        for heard in container.decode(audio=0):
            assert heard.time is not None
            samples = array("f", bytes(heard.planes[0])[: 4 * heard.samples])
            for index, value in enumerate(samples):
                if abs(value) > 0.1:
                    if heard.time + index / SOUND_RATE > loud_s + 0.5:
                        beeps.append(heard.time + index / SOUND_RATE)
                    loud_s = heard.time + index / SOUND_RATE
    # The press may have cut the first one; the last packet of sound may reach beyond the last picture.
    whole = [time_s for time_s in beeps if LOOP_S + 0.1 < time_s < ends_s]
    assert len(whole) >= 2
    off = [min(abs(time_s - flash) for flash in flashes) for time_s in whole]
    assert max(off) <= EXACT_S, off


def test_a_part_is_exported(bwvd: Process, recorded: str, cli: Cli, tmp_path: Path) -> None:
    part = tmp_path / "part.mp4"
    said = cli("export", "-c", bwvd.config, recorded, "-o", part, "--from", 1, "--to", 2)
    assert (said.code, said.err) == (0, "")
    assert 1.0 <= float(_probed(part)["format"]["duration"]) <= 1.6


# --- keys, devices, installation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["*", "BWV-*", "BWV-0001,BWV-0002", "!BWV-0001", "BWV-000?", "a b", ""])
def test_keygen_makes_a_list_for_one_device(device: str, cli: Cli, tmp_path: Path) -> None:
    """Invariant 14: what vouches for a key is its own device's line, which can't speak for another."""
    said = cli("keygen", tmp_path / "keys", "--device", device)
    assert (said.code, said.out) == (2, "")
    assert said.line.startswith(f"bwvd: --device {device!r} must be ")
    assert not (tmp_path / "keys").exists()


def test_keygen(cli: Cli, tmp_path: Path) -> None:
    said = cli("keygen", tmp_path / "keys", "--device", "BWV-0042")
    assert (said.code, said.err) == (0, "")
    key = tmp_path / "keys" / "device_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert (tmp_path / "keys" / "allowed_signers").read_text().startswith("BWV-0042 ")
    assert set(said.out.splitlines()) == {str(path) for path in key.parent.iterdir()}
    before = key.read_bytes()
    again = cli("keygen", tmp_path / "keys")
    assert again.code == 2
    assert str(key.parent) in again.line
    assert key.read_bytes() == before


def test_devices(cli: Cli) -> None:
    said = cli("devices", "--json")
    assert (said.code, said.err) == (0, "")
    assert isinstance(said.json, list)
    assert all({"kind", "where", "what", "toml"} <= found.keys() for found in said.json)
    assert cli("devices").code == 0


def test_install(cli: Cli, tmp_path: Path) -> None:
    said = cli("install", "--root", tmp_path)
    assert (said.code, said.err) == (0, "")
    config = tmp_path / "etc" / "bwvd" / "bwvd.toml"
    assert config.is_file()


# --- the process -----------------------------------------------------------------------------------------------------


def test_a_signal_closes_the_recording_in_order(clip: Path, cli: Cli, tmp_path: Path) -> None:
    """Invariant 12: SIGTERM during a recording signs and closes it; what was logged is JSON, and the exit code 0."""
    with Process(tmp_path, CONFIGURATION.format(clip=clip, loop_s=LOOP_S)) as bwvd:
        bwvd.wait_for_loop(1)
        recording = str(bwvd.ask(cmd="record")["recording"])
        bwvd.wait_until(lambda status: status["recording"]["committed_s"] >= 1)
        captured_s = bwvd.status()["recording"]["seconds"]
        bwvd.process.terminate()
        assert bwvd.process.wait(10) == 0
        for line in bwvd.log().splitlines():
            assert json.loads(line)["event"]
    end = cli("show", "-c", bwvd.config, recording, "--json").json["end"]
    assert end["reason"] == "shutdown"
    assert end["duration_ns"] / NS >= captured_s - 0.1, "what was captured up to the signal is there"
    said = cli("verify", "-c", bwvd.config, "--json")
    assert said.code == 0
    assert {report["verdict"] for report in said.json} == {"authentic"}


def test_demo_without_a_keyboard() -> None:
    """What a newcomer tries first."""
    command = [sys.executable, "-m", "bwvd", "demo", "--headless", "--loop", "5", "--record", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["Camera"].startswith("1280x720 at 30/s from lavfi:")
    assert said["Verified"].startswith("authentic: ")
    exported = Path(said["Exported"])
    assert float(_probed(exported)["format"]["duration"]) >= 6
    shutil.rmtree(exported.parent)
