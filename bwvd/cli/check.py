"""`bwvd check`: configuration, keys, storage, devices and controls, looked at before the daemon needs them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from bwvd.capture.address import AUDIO_SCHEMES, VIDEO_SCHEMES, Address, parse_address
from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.config.advice import advice
from bwvd.config.profile import profile_table
from bwvd.config.schema import Config
from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.keys.age import load_recipients
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.keys.own_key import own_key
from bwvd.evidence.keys.sshsig import KeySigner
from bwvd.evidence.release.receipt import unfit
from bwvd.evidence.startup.admission import StorageInUse, StorageRefused, open_storage
from bwvd.text import clean


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str  # "configuration", "keys", "storage", "camera", "microphone", "gpio", "input", "serial", "profile"
    ok: bool
    text: str  # one line that names the key, file or device
    advice: bool = False  # good, but worth knowing

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_all(config: Config) -> list[Finding]:
    """Look at everything that the configuration names. Blocking; opens no camera; an empty storage is laid out."""
    return [
        Finding("configuration", True, f"device {config.device.id}, loop {config.loop.seconds:g} s"),
        *(Finding("configuration", True, line, advice=True) for line in advice(config)),
        *_keys(config),
        *_storage(config),
        *_sources(config),
        *_controls(config),
        *_profile(config),
    ]


def print_findings(findings: list[Finding]) -> None:
    """One line each: what is good, what is advised, what is wrong."""
    for finding in findings:
        mark = "advice" if finding.advice else "good" if finding.ok else "WRONG"
        click.echo(f"{mark:7} {finding.area:14} {clean(finding.text)}")


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


def _storage(config: Config) -> Iterator[Finding]:
    before = _names(config.storage.path)
    try:
        volume = open_storage(config.storage.path, device=config.device.id)
    except StorageInUse as error:
        yield Finding("storage", True, f"{error} (a daemon is running)", advice=True)
    except StorageRefused as error:
        yield Finding("storage", False, str(error))
    else:
        free = volume.free_bytes()
        _hand_over(Path(config.storage.path), _names(config.storage.path) - before)
        volume.close()
        yield Finding("storage", True, f"storage.path: {config.storage.path}, {free / 1e9:.1f} GB free")


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


def _sources(config: Config) -> Iterator[Finding]:
    wanted = [("camera", "video.source", config.video.source, VIDEO_SCHEMES)]
    if config.audio.source not in ("", "video"):
        wanted.append(("microphone", "audio.source", config.audio.source, AUDIO_SCHEMES))
    for area, key, text, schemes in wanted:
        try:
            address = parse_address(text, key, schemes)
        except SourceRefused as error:
            yield Finding(area, False, str(error))
            continue
        problem = ""
        if address.scheme in ("v4l2", "file"):
            problem = _access(address.target, os.R_OK | (os.W_OK if address.scheme == "v4l2" else 0))
        if address.scheme == "alsa":
            problem = _sound_problem(address, config)
        yield Finding(area, not problem, f"{key}: {address.text}" + (f": {problem}" if problem else ""))


def _controls(config: Config) -> Iterator[Finding]:
    for gpio in config.gpio:
        problem = _line_problem(gpio.chip, gpio.line)
        yield Finding("gpio", not problem, f"gpio: {gpio.chip} line {gpio.line}" + (f": {problem}" if problem else ""))
    for key in config.input:
        problem = _access(key.device, os.R_OK)
        yield Finding(
            "input", not problem, f"input.device: {key.device} {key.key}" + (f": {problem}" if problem else "")
        )
    for serial in config.serial:
        problem = _access(serial.port, os.R_OK | os.W_OK) or _tty_problem(serial.port)
        yield Finding("serial", not problem, f"serial.port: {serial.port}" + (f": {problem}" if problem else ""))


def _access(path: str, mode: int) -> str:
    """Why this process can't use a device, "" if it can."""
    if not Path(path).exists():
        return "no such device or file"
    return "" if os.access(path, mode) else "no permission"


def _sound_problem(address: Address, config: Config) -> str:
    """Why a sound card can't be opened, "" if it can: only libasound knows what its names stand for."""
    from bwvd.capture.device.alsa import in_use
    from bwvd.capture.device.open_input import open_input

    try:
        open_input(address, config).close()
    except DeviceLost as error:
        # libav says "Input/output error" of a card that somebody has opened, which may be the daemon
        return "" if in_use() else str(error).removeprefix(f"{address.text}: ")
    return ""


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
