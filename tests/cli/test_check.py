"""`bwvd check` and `bwvd run` on the same bad configurations: what the one refuses, the other does not call good."""

from __future__ import annotations

import os
import pty
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bwvd.capture.device.libav_source import LibavSource
from bwvd.capture.video import jpeg
from bwvd.cli.check import _unit, check_all
from bwvd.cli.finding import Finding
from bwvd.cli.probe import HEVC, JPEG, _advice
from bwvd.cli.unit_paths import recorder_drop_in
from bwvd.config.load import load
from bwvd.config.schema import Config, Storage
from bwvd.daemon.process import USAGE, run_daemon
from bwvd.evidence.startup.admission import HeldVolume, open_storage
from bwvd.media.samples import Track
from bwvd.testing.clip import numbered_clip
from tests.support.jpegs import needs_turbojpeg
from tests.support.process import DEVICE, Process, write_configuration
from tests.support.real_volume import tmpfs

MIB = 2**20
REST = '[loop]\nseconds = 2\n[recording]\nsegment_s = 0.4\npost_roll_s = 0\n[power]\nsupply = "none"\n'


def _video(source: str = "lavfi:testsrc2=size=160x120:rate=15", *more: str) -> str:
    return "\n".join(["[video]", f'source = "{source}"', 'size = "160x120"', "keyframe_s = 0.4", *more, REST])


def _encoded(encoder: str, *more: str) -> str:
    return _video("lavfi:testsrc2=size=160x120:rate=15", f'encoder = "{encoder}"', *more)


def _nothing(folder: Path) -> None:
    pass


def _letter(folder: Path) -> None:
    (folder / "clip.mp4").write_text("Dear Sir or Madam\n")


def _silent_clip(folder: Path) -> None:
    numbered_clip(folder / "clip.mp4", 30, rate=15, gop_s=0.4)


def _long_groups(folder: Path) -> None:
    numbered_clip(folder / "clip.mp4", 60, rate=15, gop_s=2.0)


def _file_there(folder: Path) -> None:
    (folder / "s.sock").write_text("a list of groceries\n")


def _folder_there(folder: Path) -> None:
    (folder / "s.sock").mkdir()


def _no_key(folder: Path) -> None:
    (folder / "keys" / "device_key").unlink()


def _open_key(folder: Path) -> None:
    (folder / "keys" / "device_key").chmod(0o644)


def _no_storage(folder: Path) -> None:
    (folder / "evidence").rmdir()


def _file_storage(folder: Path) -> None:
    (folder / "evidence").rmdir()
    (folder / "evidence").write_text("")


def _foreign_storage(folder: Path) -> None:
    (folder / "evidence" / "holiday.jpg").write_text("")


def _storage_of_another(folder: Path) -> None:
    (folder / "evidence" / "recordings" / "20260101T000000Z-BWV-0099-000001").mkdir(parents=True)


def _link_for_a_lock(folder: Path) -> None:
    """Nothing is written through a link, so that the storage can't be written."""
    (folder / "evidence" / ".lock").symlink_to("/dev/full")


@dataclass(frozen=True)
class Bad:
    """A configuration that a start refuses."""

    name: str
    text: str  # with {folder}
    key: str  # that both name
    prepare: Callable[[Path], None] = _nothing


BAD = (
    Bad("an encoder that there is not", _encoded("foo"), "video.encoder"),
    Bad("an encoder of hardware that there is not", _encoded("h264_nvenc"), "video.encoder"),
    Bad("an encoder that takes no such pictures", _encoded("mjpeg"), "video.encoder"),
    Bad("an encoder that MP4 can't hold", _encoded("rawvideo"), "video.encoder"),
    Bad("an encoder of sound", _encoded("aac"), "video.encoder"),
    Bad("a preset that its encoder has not", _encoded("mpeg4", 'preset = "foo"'), "video."),
    Bad("a graph that does not parse", _video("lavfi:testsrc9"), "video.source"),
    Bad("a graph without pictures", _video("lavfi:sine"), "video.source"),
    Bad("a graph of sound that does not parse", _video() + '[audio]\nsource = "lavfi:nosuch"\n', "audio.source"),
    Bad("a graph without sound", _video() + '[audio]\nsource = "lavfi:testsrc2"\n', "audio.source"),
    Bad("a file that is not there", _video("file:{folder}/clip.mp4"), "video.source"),
    Bad("a file that is no video", _video("file:{folder}/clip.mp4"), "video.source", _letter),
    Bad(
        "a file without sound",
        _video("file:{folder}/clip.mp4") + '[audio]\nsource = "video"\n',
        "audio.source",
        _silent_clip,
    ),
    Bad(
        "copied groups that are too long",
        _video("file:{folder}/clip.mp4?loop=1", 'encoder = "copy"', "stamp = false"),
        "video.source",
        _long_groups,
    ),
    Bad("a socket in no folder", _video() + '[socket]\npath = "{folder}/none/s.sock"\n', "socket.path"),
    Bad("a socket that is a file", _video(), "socket.path", _file_there),
    Bad("a socket that is a folder", _video(), "socket.path", _folder_there),
    Bad("no key", _video(), "keys.signing", _no_key),
    Bad("a key that others may read", _video(), "keys.signing", _open_key),
    Bad("a storage that is not there", _video(), "storage.path", _no_storage),
    Bad("a storage that is a file", _video(), "storage.path", _file_storage),
    Bad("a storage of somebody else's files", _video(), "storage.path", _foreign_storage),
    Bad("a storage of another device", _video(), "storage.path", _storage_of_another),
    Bad("a storage that can't be written", _video(), "storage.path", _link_for_a_lock),
)


def _configure(bad: Bad, folder: Path) -> Path:
    config = write_configuration(folder, bad.text.format(folder=folder))
    bad.prepare(folder)
    return config


def _check(config: Path, *, probe: bool = True) -> list[Finding]:
    return list(check_all(load(config), probe=probe))


def _wrong(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if not finding.ok]


class _Log:
    """What the process logs, kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def critical(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))

    info = warning = error = critical


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_run_refuses_is_not_good(bad: Bad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line is wrong, and both name the key."""
    config = _configure(bad, tmp_path)
    (wrong,) = _wrong(_check(config))
    assert wrong.startswith(bad.key)
    log = _Log()
    monkeypatch.setattr("bwvd.daemon.process._log", log)
    ender = threading.Timer(30, os.kill, (os.getpid(), signal.SIGTERM))  # one that is not refused runs on for ever
    ender.start()
    try:
        assert run_daemon(load(config), config) == USAGE, log.lines
    finally:
        ender.cancel()
    (refused,) = (str(fields["reason"]) for event, fields in log.lines if event == "refused")
    assert refused.startswith(bad.key) or str(tmp_path / "keys") in refused


@contextmanager
def _pseudo_terminal(path: Path) -> Iterator[None]:
    ours, theirs = pty.openpty()
    path.symlink_to(os.ttyname(theirs))
    try:
        yield
    finally:
        os.close(ours)
        os.close(theirs)


def test_all_is_good(tmp_path: Path) -> None:
    """What the devices give is told, nothing is left behind, and a pseudo-terminal is a serial line."""
    serial = f'[[serial]]\nport = "{tmp_path}/tty"\npty = true\n'
    sound = '[audio]\nsource = "lavfi:sine"\n'
    with _pseudo_terminal(tmp_path / "tty"):
        found = _check(write_configuration(tmp_path, _video() + sound + serial))
    assert _wrong(found) == []
    said = {finding.area: finding.text for finding in found if not finding.advice}
    assert said["camera"].endswith("160x120 at 15/s, h264 by libx264")
    assert said["microphone"].endswith("aac at 48000 Hz by aac")
    assert said["serial"] == f"serial.port: {tmp_path}/tty"
    assert said["socket"] == f"socket.path: {tmp_path}/s.sock"
    assert not (tmp_path / "s.sock").exists()


@pytest.mark.parametrize(("encoder", "plays"), [("libx264", True), ("libx265", False)])
def test_what_no_free_browser_plays_is_told(encoder: str, tmp_path: Path, *, plays: bool) -> None:
    """Before anything is recorded with it."""
    found = _check(write_configuration(tmp_path, _encoded(encoder, 'preset = "ultrafast"')))
    assert _wrong(found) == []
    line = f"video.source: {HEVC}"
    assert (Finding("camera", True, line, advice=True) not in found) == plays


AROUND = """
[audio]
source = "alsa:nosuchcard"
[power]
supply = "nobattery"
[metrics]
textfile = "{folder}/none/bwvd.prom"
[[serial]]
port = "{folder}/ttyNone"
[[gpio]]
chip = "{folder}/gpiochip9"
line = 3
[[input]]
device = "{folder}/event9"
# what a look takes for good, and whoever opens it does not
[[input]]
device = "/dev/null"
[[serial]]
port = "{folder}/tty"
[[serial]]
port = "{folder}/tty2"
pty = true
button = "cts"
[[led]]
name = "no-such-led"
[[haptic]]
device = "{folder}/event8"
[[tone]]
pwm = "pwmchip99/0"
"""
FAULTS = ("video9", "nosuchcard", "nobattery", "none/", "ttyNone", "gpiochip9", "event9", "no-such-led",
          "event8", "pwmchip99", "/dev/null", "tty is a pseudo-terminal", "tty2 has no CTS line")  # fmt: skip


@pytest.mark.slow
def test_what_run_calls_a_fault_is_not_good(tmp_path: Path) -> None:
    """A device that is not there ends no daemon, which waits for it: `check` says it all the same."""
    video = _video("v4l2:{folder}/video9").replace('[power]\nsupply = "none"\n', "")
    text = (video + AROUND).format(folder=tmp_path)
    with _pseudo_terminal(tmp_path / "tty"), _pseudo_terminal(tmp_path / "tty2"):
        with Process(tmp_path, text) as bwvd:
            bwvd.wait_until(lambda status: all(name in str(status["fault_details"]) for name in FAULTS))
        wrong = _wrong(_check(bwvd.config))
        looked_at = _wrong(_check(bwvd.config, probe=False))
    assert [name for name in FAULTS if not any(name in line for line in wrong)] == []
    only_opened = {name for name in FAULTS if not any(name in line for line in looked_at)}
    assert only_opened >= {"nosuchcard", "no-such-led", "/dev/null", *FAULTS[-2:]}, "each kind is opened"


def test_a_room_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_configuration(tmp_path, _video())
    monkeypatch.setattr(HeldVolume, "total_bytes", lambda _: MIB // 2)
    assert "storage.reserve_bytes: 1048576" in _wrong(_check(config))[0]
    monkeypatch.undo()
    monkeypatch.setattr(HeldVolume, "free_bytes", lambda _: MIB // 2)
    assert "storage.reserve_bytes: 1048576: a press would be refused" in _wrong(_check(config))[0]
    # What has been set aside already is not asked for again.
    (tmp_path / "evidence" / ".reserve").write_bytes(bytes(MIB))
    monkeypatch.setattr(HeldVolume, "free_bytes", lambda _: 100 * MIB)
    assert _wrong(_check(config)) == []


@pytest.mark.slow
def test_a_reserve_larger_than_the_card(tmp_path: Path) -> None:
    """Every press would be refused."""
    with tmpfs(tmp_path / "card", 4 * MIB) as card:
        storage = f'[storage]\npath = "{card}"\nreserve_bytes = {8 * MIB}\n'
        with Process(tmp_path, _video() + storage) as bwvd:
            bwvd.wait_for_loop(0.5)
            answer = bwvd.ask(cmd="record")
            assert not answer["ok"]
        (wrong,) = _wrong(_check(bwvd.config))
        assert wrong.startswith("storage.reserve_bytes")


@contextmanager
def _pipe(path: Path) -> Iterator[None]:
    """A file that nobody writes: who opens it waits, until the end here."""
    os.mkfifo(path)
    try:
        yield
    finally:
        os.close(os.open(path, os.O_RDWR))


def test_a_device_that_hangs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the time that the daemon gives it."""
    monkeypatch.setattr(LibavSource, "OPENING_S", 0.3)
    config = write_configuration(tmp_path, _video(f"file:{tmp_path}/clip.mp4"))
    with _pipe(tmp_path / "clip.mp4"):
        (wrong,) = _wrong(_check(config))
    assert wrong.startswith("video.source: ")
    assert "delivered nothing" in wrong


def test_a_sound_card_that_somebody_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What libav says of it would not tell."""
    config = write_configuration(tmp_path, _video() + '[audio]\nsource = "alsa:nosuchcard"\n')
    for held in (True, False):
        monkeypatch.setattr("bwvd.cli.probe.in_use", lambda held=held: held)
        (wrong,) = _wrong(_check(config))
        assert wrong.startswith("audio.source: alsa:nosuchcard: ")
        assert ("some program records" in wrong) == held


def test_without_a_probe_nothing_is_opened(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("no video at all\n")
    config = write_configuration(tmp_path, _video(f"file:{tmp_path}/clip.mp4", 'encoder = "foo"'))
    assert _wrong(_check(config, probe=False)) == []
    (tmp_path / "clip.mp4").unlink()
    assert _wrong(_check(config, probe=False)) == [f"video.source: file:{tmp_path}/clip.mp4: no such device or file"]


def test_a_storage_that_a_silent_daemon_holds(tmp_path: Path) -> None:
    """`run` would be refused; the devices may be that daemon's, and stay closed."""
    config = write_configuration(tmp_path, _video("lavfi:testsrc9"))
    volume = open_storage(tmp_path / "evidence", device=DEVICE)
    try:
        (wrong,) = _wrong(_check(config))
    finally:
        volume.close()
    assert wrong.startswith(f"storage.path: {tmp_path}/evidence is in use by another bwvd (pid {os.getpid()})")
    assert f"does not answer at socket.path: {tmp_path}/s.sock" in wrong


def test_a_socket_that_a_dead_daemon_left(tmp_path: Path) -> None:
    config = write_configuration(tmp_path, _video())
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s.sock"))
    assert _wrong(_check(config)) == []


def test_a_socket_where_nobody_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever it is may hold the devices: the bad encoder is not even tried."""
    monkeypatch.setattr("bwvd.cli.check.ANSWER_S", 0.1)
    config = write_configuration(tmp_path, _encoded("foo"))
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s.sock"))
        silent.listen()
        assert _wrong(_check(config)) == [f"socket.path: {tmp_path}/s.sock: another daemon is running"]


@pytest.mark.slow
def test_beside_a_daemon(tmp_path: Path) -> None:
    """Its devices are not opened; it says how they are. Another configuration with its socket is refused."""
    with Process(tmp_path, _video()) as bwvd:
        bwvd.wait_for_loop(0.5)
        found = _check(bwvd.config)
        other = tmp_path / "other"
        other.mkdir()
        second = write_configuration(other, f'{_video()}[socket]\npath = "{bwvd.socket}"\n')
        assert [line.split(": ")[0] for line in _wrong(_check(second))] == ["socket.path"]
    assert _wrong(found) == []
    (said,) = (finding.text for finding in found if finding.area == "socket")
    assert "a daemon answers and holds the devices" in said
    assert "faults: none" in said
    (camera,) = (finding.text for finding in found if finding.area == "camera")
    assert "libx264" not in camera


@pytest.mark.parametrize(
    ("address", "encoder", "there", "said"),
    [
        ("v4l2:/dev/video0", "libx264", False, [JPEG]),
        ("v4l2:/dev/video0", "libx264", True, []),
        ("v4l2:/dev/video0", "copy", False, []),
        ("file:/a.mp4", "libx264", False, []),
    ],
)
def test_a_camera_without_libjpeg_turbo_is_told_what_it_costs(
    address: str, encoder: str, there: bool, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg, "is_there", lambda: there)
    track = Track(kind="video", codec="h264", timescale=90_000, init=b"", source=address, encoder=encoder)
    assert _advice(address, [track]) == said


@pytest.mark.parametrize(("there", "by"), [(True, "libjpeg-turbo"), (False, "libav")])
def test_what_decodes_a_cameras_jpegs_is_told(
    there: bool, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:
        needs_turbojpeg()
    else:
        monkeypatch.setattr(jpeg, "is_there", lambda: False)
    clip = tmp_path / "clip.avi"
    numbered_clip(clip, 60, rate=30, codec="mjpeg")
    video = f'[video]\nsource = "file:{clip}?loop=1"\nencoder = "libx264"\nkeyframe_s = 0.5\n'
    (camera,) = (found for found in _check(write_configuration(tmp_path, video)) if found.area == "camera")
    assert camera.text.endswith(f", h264 by libx264, from MJPEG by {by}")


def test_what_the_units_sandbox_does_not_open_is_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the unit is installed, and was not written for this configuration; and not behind `bwvd install`."""
    units = tmp_path / "units"
    monkeypatch.setattr("bwvd.cli.check.UNITS", units)
    monkeypatch.setattr("bwvd.cli.unit_paths.HIDDEN", ("/home",))
    config = Config(storage=Storage(path="/srv/evidence"))
    assert list(_unit(config)) == []
    (units / "bwvd.service.d").mkdir(parents=True)
    (units / "bwvd.service").touch()
    (finding,) = _unit(config)
    assert finding.advice
    assert finding.text == "storage.path: /srv/evidence: the unit does not open it; bwvd install writes what does"
    (units / "bwvd.service.d/paths.conf").write_text(recorder_drop_in(config))
    assert list(_unit(config)) == []
    assert list(_unit(Config())) == []
    (hidden,) = _unit(Config(storage=Storage(path="/home/pi/evidence")))
    assert hidden.text == "storage.path: /home/pi/evidence lies in /home, which the service can't see"
