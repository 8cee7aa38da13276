"""`bwvd check`: configuration, keys, storage, devices and controls, looked at before the daemon needs them.

What a start of the daemon would refuse is not good here either: the daemon's own adapters open everything. Where a
daemon holds the devices already, they are only looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bwvd.capture.address import parse_address
from bwvd.capture.source import SourceRefused
from bwvd.cli.check_gnss import gnss_findings
from bwvd.cli.check_offload import offload_findings
from bwvd.cli.check_witness import witness_findings
from bwvd.cli.finding import Finding
from bwvd.cli.unit_paths import DROP_IN, hidden_in, paths_elsewhere, recorder_drop_in
from bwvd.clock import SystemClock
from bwvd.config.advice import advice
from bwvd.config.profile import profile_table
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES, Config
from bwvd.controls.client import Unreachable, request
from bwvd.controls.ports import ControlRefused
from bwvd.controls.socket_file import SocketInUse, listening_socket
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.flash.space_gauge import StorageGauge
from bwvd.evidence.format.layout import RESERVE, SPARES
from bwvd.evidence.keys.age import load_recipients
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.own_key import own_key
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.release.receipt import unfit
from bwvd.evidence.startup.admission import HeldVolume, StorageInUse, StorageRefused, open_storage
from bwvd.service.power_supply import SupplyLost, read_power
from bwvd.text import clean

if TYPE_CHECKING:
    from bwvd.cli.probe import Trial

ANSWER_S = 5.0  # a daemon that lives answers sooner
UNITS = Path("/etc/systemd/system")
UNIT_FOLDER = Path("/run/bwvd")  # made by the service manager before it starts the unit: RuntimeDirectory=bwvd


@dataclass(slots=True)
class _Device:
    """A device that the configuration names: what a look at it said, and how to open it for real."""

    area: str
    text: str  # what is said of it where all is well; names the key
    problem: str  # what a look has found, "" for nothing
    trial: Trial | None = None  # None where its address can't be understood

    def looked_at(self) -> Finding:
        return Finding(self.area, not self.problem, self.text + (f": {self.problem}" if self.problem else ""))


def check_all(config: Config, *, probe: bool = True) -> Iterator[Finding]:
    """Look at everything that the configuration names. Blocking; an empty storage is laid out.

    probe: open cameras, encoders, microphones, controls and indicators for real, unless a daemon holds them.
    """
    yield Finding("configuration", True, f"device {config.device.id}, loop {config.loop.seconds:g} s")
    yield from (Finding("configuration", True, line, advice=True) for line in advice(config))
    yield from _keys(config)
    daemon = _daemon(config)
    held, storage = _storage(config, daemon)
    yield from storage
    answered, socket = _socket(config, daemon, held=held)
    yield socket
    yield from _around(config)
    yield from _unit(config)
    yield from _devices(config, probe=probe and not (held or answered))
    yield from offload_findings(config, probe=probe)
    yield from witness_findings(config, probe=probe)
    yield from gnss_findings(config, probe=probe)
    yield from _profile(config)


def print_findings(findings: Iterable[Finding]) -> bool:
    """One line each, as they come: what is good, what is advised, what is wrong. Returns whether all is good."""
    good = True
    for finding in findings:
        mark = "advice" if finding.advice else "good" if finding.ok else "WRONG"
        click.echo(f"{mark:7} {finding.area:14} {clean(finding.text)}")
        good = good and finding.ok
    return good


def _keys(config: Config) -> Iterator[Finding]:
    try:
        signer = KeySigner.load(config.keys.signing)
        yield Finding("keys", True, f"keys.signing: {config.keys.signing} ({signer.public_key[:40]}…)")
    except EvidenceError as error:
        yield Finding("keys", False, f"keys.signing: {error} (make one with `bwvd keygen DIR`)")
    try:
        sealer = load_recipients(config.keys.recipients)
    except EvidenceError as error:
        yield Finding("keys", False, f"keys.recipients: {error}")
    else:
        count = len(sealer.recipients) if sealer else 0
        yield Finding("keys", True, f"keys.recipients: {count}" + ("" if count else ", recordings are not encrypted"))
    receivers: list[AllowedSigners] = []
    for path in config.keys.release:
        try:
            receivers.append(AllowedSigners.load(path))
            yield Finding("keys", True, f"keys.release: {path}")
        except EvidenceError as error:
            yield Finding("keys", False, f"keys.release: {error}")
    for line in unfit(receivers, own_key(config.keys.signing, config.device.id)):
        yield Finding("keys", False, f"keys.release: {line}")


def _daemon(config: Config) -> dict[str, Any] | None:
    """The status of the daemon that answers at the control socket; None where none does."""
    try:
        status = request(config.socket.path, {"cmd": "status"}, ANSWER_S).get("status")
    except Unreachable:
        return None
    return status if isinstance(status, dict) else None


def _storage(config: Config, daemon: dict[str, Any] | None) -> tuple[bool, list[Finding]]:
    """Whether a daemon holds the storage, and what is found of it."""
    path = config.storage.path
    before = _names(path)
    try:
        volume = open_storage(path, device=config.device.id)
    except StorageInUse as error:
        if daemon is not None:
            return True, [Finding("storage", True, f"{error} (a daemon is running)", advice=True)]
        unheard = f"{error}, which does not answer at socket.path: {config.socket.path}"
        return True, [Finding("storage", False, unheard)]
    except StorageRefused as error:
        return False, [Finding("storage", False, str(error))]
    try:
        _hand_over(Path(path), _names(path) - before)
        return False, [_room(config, volume)]
    except OSError as error:
        return False, [Finding("storage", False, f"storage.path: {path}: {error.strerror or error}")]
    finally:
        volume.close()


def _room(config: Config, volume: HeldVolume) -> Finding:
    """Whether a recording could begin: with the reserve set aside, as the daemon does at its start."""
    wanted, free, total = config.storage.reserve_bytes, volume.free_bytes(), volume.total_bytes()
    try:
        held = volume.size(RESERVE)
    except FileNotFoundError:
        held = 0
    free_then = free + held - wanted
    if wanted > total:
        return Finding(
            "storage", False, f"storage.reserve_bytes: {wanted} bytes are more than the storage has: {total}"
        )
    bits = config.video.bitrate + (config.audio.bitrate if config.audio.source else 0)
    gauge = StorageGauge(bits_per_s=bits, loop_s=config.loop.seconds, segment_s=config.recording.segment_s)
    files = volume.free_files()
    if files is not None:
        files -= len(set(SPARES).difference(volume.names("")))
    gauge.update(max(free_then, 0), files, reserved=free_then >= 0 and (files is None or files >= 0))
    text = f"storage.path: {config.storage.path}, {free / 1e9:.1f} GB free"
    if gauge.refusal:
        text += f", storage.reserve_bytes: {wanted}: a press would be refused: {gauge.refusal}"
    return Finding("storage", not gauge.refusal, text)


def _names(path: str) -> set[str]:
    try:
        return set(os.listdir(path))  # noqa: PTH208  names are wanted, not paths
    except OSError:
        return set()


def _hand_over(folder: Path, made: Iterable[str]) -> None:
    """What root has made while it looked belongs to the storage's owner, or the daemon could not open it."""
    owner = folder.stat()
    for name in made:
        if (folder / name).lstat().st_uid != owner.st_uid:
            os.chown(folder / name, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _socket(config: Config, daemon: dict[str, Any] | None, *, held: bool) -> tuple[bool, Finding]:
    """Whether somebody has the control socket, and whether that is good; held: a daemon holds the storage."""
    path = config.socket.path
    if daemon is not None:
        if not held or daemon.get("device") != config.device.id:
            whose = f"the daemon of another configuration answers there (device {daemon.get('device')})"
            return True, Finding("socket", False, f"socket.path: {path}: {whose}")
        faults = ", ".join(str(fault) for fault in daemon.get("faults", ())) or "none"
        answers = f"a daemon answers and holds the devices, so that none is opened; its faults: {faults}"
        return True, Finding("socket", True, f"socket.path: {path}: {answers}", advice=True)
    if Path(path).parent == UNIT_FOLDER and not UNIT_FOLDER.exists():
        return False, Finding("socket", True, f"socket.path: {path}: the service manager makes its folder", advice=True)
    try:
        with listening_socket(path):
            return False, Finding("socket", True, f"socket.path: {path}")
    except ControlRefused as error:
        return isinstance(error, SocketInUse), Finding("socket", False, str(error))


def _around(config: Config) -> Iterator[Finding]:
    """What is around the recorder: the power supply and the metrics."""
    if config.power.supply not in ("", "none"):
        try:
            read_power(config.power.supply)
            yield Finding("power", True, f"power.supply: {config.power.supply}")
        except SupplyLost as error:
            yield Finding("power", False, str(error))
    if config.metrics.textfile:
        problem = _access(str(Path(config.metrics.textfile).parent), os.W_OK | os.X_OK)
        text = f"metrics.textfile: {config.metrics.textfile}"
        yield Finding("metrics", not problem, text + (f": its folder: {problem}" if problem else ""))


def _unit(config: Config) -> Iterator[Finding]:
    """What the installed unit's sandbox would keep from the daemon. Nothing where none is installed."""
    if not (UNITS / "bwvd.service").exists():
        return
    drop_in = UNITS / "bwvd.service.d" / DROP_IN
    try:
        opened = drop_in.read_text("utf-8", errors="replace") if drop_in.exists() else ""
    except OSError as error:
        yield Finding("unit", True, f"{drop_in}: {error.strerror}", advice=True)
        return
    for key, folder in paths_elsewhere(config):
        if hidden := hidden_in(folder):
            yield Finding("unit", True, f"{key}: {folder} lies in {hidden}, which the service can't see", advice=True)
        elif opened != recorder_drop_in(config):
            text = f"{key}: {folder}: the unit does not open it; bwvd install writes what does"
            yield Finding("unit", True, text, advice=True)


# --- devices ---------------------------------------------------------------------------------------------------------


def _devices(config: Config, *, probe: bool) -> Iterator[Finding]:
    devices = [*_sources(config), *_controls(config), *_indicators(config)]
    if not probe:
        yield from (device.looked_at() for device in devices)
        return
    from bwvd.cli.probe import try_all

    # What is not even there need not be opened.
    tried = try_all([device.trial for device in devices if device.trial is not None and not device.problem])
    for device in devices:
        if device.problem:
            yield device.looked_at()
        else:
            yield from next(tried)


def _sources(config: Config) -> Iterator[_Device]:
    from bwvd.cli.probe import camera_trial, microphone_trial

    wanted = [("camera", "video.source", config.video.source, VIDEO_SCHEMES, camera_trial)]
    if config.audio.source not in ("", "video"):
        wanted.append(("microphone", "audio.source", config.audio.source, AUDIO_SCHEMES, microphone_trial))
    for area, key, text, schemes, trial in wanted:
        try:
            address = parse_address(text, key, schemes)
        except SourceRefused as error:
            reason = str(error)
            yield _Device(area, key, reason.removeprefix(f"{key}: "))
            continue
        problem = ""
        if address.scheme in ("v4l2", "file"):
            problem = _access(address.target, os.R_OK | (os.W_OK if address.scheme == "v4l2" else 0))
        yield _Device(area, f"{key}: {address.text}", problem, trial(config, address.text))


def _controls(config: Config) -> Iterator[_Device]:
    from bwvd.cli.probe import contact_trial, serial_trial
    from bwvd.controls.gpio import GpioContact
    from bwvd.controls.input import InputContact
    from bwvd.controls.modem_line import ModemContact
    from bwvd.controls.serial_port import SerialPort

    clock = SystemClock()
    for gpio in config.gpio:
        text = f"gpio: {gpio.chip} line {gpio.line}"
        trial = contact_trial("gpio", text, GpioContact(gpio, clock.monotonic_ns))
        yield _Device("gpio", text, _line_problem(gpio.chip, gpio.line), trial)
    for key in config.input:
        text = f"input.device: {key.device} {key.key}"
        trial = contact_trial("input", text, InputContact(key))
        yield _Device("input", text, _access(key.device, os.R_OK), trial)
    for serial in config.serial:
        text = f"serial.port: {serial.port}"
        problem = _access(serial.port, os.R_OK | os.W_OK) or _tty_problem(serial.port)
        yield _Device("serial", text, problem, serial_trial(text, SerialPort(serial)))
        if serial.button:
            text = f"serial.button: {serial.port} {serial.button}"
            trial = contact_trial("serial", text, ModemContact(serial, clock.monotonic_ns))
            yield _Device("serial", text, problem, trial)


def _indicators(config: Config) -> Iterator[_Device]:
    from bwvd.cli.probe import indicator_trial
    from bwvd.feedback.indicators import indicators

    for indicator in indicators(config):
        area = indicator.name.partition(":")[0]
        yield _Device(area, f"{area}: {indicator.name}", "", indicator_trial(area, indicator))


def _access(path: str, mode: int) -> str:
    """Why this process can't use a device, "" if it can."""
    if not Path(path).exists():
        return "no such device or file"
    return "" if os.access(path, mode) else "no permission"


def _line_problem(chip: str, line: int | str) -> str:
    import gpiod

    from bwvd.service.gpio_chip import chip_path

    try:
        path = chip_path(chip)
    except FileNotFoundError as error:
        return str(error)
    if problem := _access(path, os.R_OK | os.W_OK):
        return problem
    try:
        with gpiod.Chip(path) as opened:
            opened.line_offset_from_id(line)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or f"no such line ({error})"
    return ""


def _tty_problem(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.strerror or str(error)
    try:
        return "" if os.isatty(fd) else "not a serial port"
    finally:
        os.close(fd)


def _profile(config: Config) -> Iterator[Finding]:
    if not config.profile:
        return
    try:
        stat = os.statvfs(config.storage.path)
        size: int | None = stat.f_blocks * stat.f_frsize
    except OSError:
        size = None
    for row in profile_table(config, size):
        text = f"{row.key}: required {row.required}, configured {row.configured}; {row.clause} ({row.source})"
        yield Finding("profile", row.ok is not False, f"{config.profile}: {text}", advice=row.ok is None)
