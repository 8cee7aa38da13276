"""`bwvd install`: units, rules, users and a commented configuration, put in place: a camera's, or a custodian's.

Idempotent: what is there already as it should be is left alone and said to be, so are the files of a Debian package.
An existing configuration is never overwritten: the new one lies beside it as `.new`, if it differs.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bwvd.cli.unit_paths import DROP_IN, HIDDEN, carrier_drop_in, hidden_in, paths_elsewhere, recorder_drop_in
from bwvd.config.load import load
from bwvd.config.schema import ConfigError

DEFAULT_COMMAND = "/opt/bwvd/venv/bin/bwvd"
DROP_INS = ("gpsd", "hardware-encoder", "network-camera", "ribbon-camera")

_CONFIGURATION = "etc/bwvd/bwvd.toml"
_CUSTODY = "etc/bwvd-custody"


class InstallError(Exception):
    """It can't be installed. One line that names the file."""


@dataclass(frozen=True, slots=True)
class _File:
    source: str  # below the shipped folder
    target: str  # below the root
    ours: bool = True  # False: the administrator's, once it is there


_FILES = (
    _File("systemd/bwvd.service", "etc/systemd/system/bwvd.service"),
    _File("systemd/bwvd-offload.service", "etc/systemd/system/bwvd-offload.service"),
    _File("systemd/sysusers.d/bwvd.conf", "etc/sysusers.d/bwvd.conf"),
    _File("systemd/tmpfiles.d/bwvd.conf", "etc/tmpfiles.d/bwvd.conf"),
    _File("systemd/modules-load.d/bwvd.conf", "etc/modules-load.d/bwvd.conf"),
    _File("udev/70-bwvd.rules", "etc/udev/rules.d/70-bwvd.rules"),
    _File("systemd/bwvd.toml", _CONFIGURATION, ours=False),
)

_CUSTODY_FILES = (
    _File("systemd/bwvd-custody.service", "etc/systemd/system/bwvd-custody.service"),
    _File("systemd/sysusers.d/bwvd-custody.conf", "etc/sysusers.d/bwvd-custody.conf"),
    _File("systemd/tmpfiles.d/bwvd-custody.conf", "etc/tmpfiles.d/bwvd-custody.conf"),
    _File("systemd/custody.conf", f"{_CUSTODY}/custody.conf", ours=False),
)


def install(
    root: Path = Path("/"), *, command: str | None = None, drop_ins: Sequence[str] = (), custody: bool = False
) -> list[str]:
    """Install below `root`; blocking.

    Args:
        root: where the file system begins: "/" for this machine, a mounted card otherwise.
        command: what ExecStart runs, as the installed machine will see it; None = this very `bwvd`, if `root` is this
            machine, else DEFAULT_COMMAND.
        drop_ins: of DROP_INS, those that this board needs.
        custody: what the machine needs where recordings arrive, and nothing of a camera's.

    Returns: what was done, line by line, and the commands that come next.

    Raises: InstallError.
    """
    unknown = sorted(set(drop_ins) - set(DROP_INS))
    if unknown:
        raise InstallError(f"no such drop-in: {unknown[0]}; there are {', '.join(DROP_INS)}")
    if custody and drop_ins:
        raise InstallError(f"{drop_ins[0]} is a camera's drop-in, and a custodian has none")
    here = root.resolve() == Path("/")
    if command is None:
        command = _own_command() if here else DEFAULT_COMMAND
    # In a unit % and $ are more than characters, and a relative path is none at all.
    if not command.startswith("/") or any(not letter.isprintable() or letter in " \"'\\%$;" for letter in command):
        raise InstallError(f"{command!r}: ExecStart needs a plain absolute path")
    shipped = shipped_files()
    wanted = list(_CUSTODY_FILES if custody else _FILES)
    wanted += [
        _File(f"systemd/bwvd.service.d/{one}.conf", f"etc/systemd/system/bwvd.service.d/{one}.conf") for one in drop_ins
    ]
    told = [_put(shipped, root, file, command) for file in wanted]
    if not custody:
        told += _put_paths(root)
    hidden = next((folder for folder in HIDDEN if Path(command).is_relative_to(folder)), None)
    if hidden is not None:
        told.append(f"beware: {command} lies in {hidden}, which the service can't see: install bwvd below /opt")
    elif here and not Path(command).exists():
        told.append(f"beware: {command} is not there yet")
    steps = _next_of_custody if custody else _next
    return [*told, "", "next:", *(f"    {line}" for line in steps(root if not here else None))]


def shipped_files() -> Path:
    """The folder with `systemd` and `udev`: in the wheel, or in the source tree of an editable install.

    Raises InstallError.
    """
    package = Path(str(files("bwvd")))
    for folder in (package / "install", package.parent):
        if (folder / "systemd/bwvd.service").is_file():
            return folder
    raise InstallError(f"{package / 'install'}: the units and rules are missing from this installation")


def _own_command() -> str:
    """The `bwvd` beside this interpreter: that of the virtual environment it was installed into."""
    beside = Path(sys.executable).with_name("bwvd")
    return str(beside) if beside.is_file() else DEFAULT_COMMAND


def _put(shipped: Path, root: Path, file: _File, command: str) -> str:
    """Write one file, if it is not there as it should be; says what it did."""
    source, target = shipped / file.source, root / file.target
    try:
        text = source.read_text("utf-8")
        if file.target.endswith(".service"):
            text = _with_command(text, command, Path(file.source).name)
        packaged = root / file.target.replace("etc/", "usr/lib/", 1)
        if not target.exists() and packaged.is_file() and packaged.read_text("utf-8", errors="replace") == text:
            # A copy in /etc would stand in for the package's file, its next version included.
            return f"packaged   {packaged}"
        current = target.read_text("utf-8", errors="replace") if target.exists() else None
        if current == text:
            return f"unchanged  {target}"
        if current is not None and not file.ours:
            beside = target.with_name(target.name + ".new")
            if beside.exists() and beside.read_text("utf-8", errors="replace") == text:
                return f"kept       {target} (the new one is {beside})"
            _write(beside, text)
            return f"kept       {target}; wrote the new one to {beside}"
        _write(target, text)
    except OSError as error:
        raise InstallError(f"{error.filename or target}: {error.strerror}") from error
    return f"{'wrote' if current is None else 'replaced'}{' ' * (6 if current is None else 3)}{target}"


def _put_paths(root: Path) -> Iterator[str]:
    """Open the sandboxes for what the configuration that is there names elsewhere; says what was done."""
    path = root / _CONFIGURATION
    try:
        config = load(path)
    except ConfigError as error:
        yield f"beware: {error}: the units are for the usual paths; run this again once it is put right"
        return
    for key, folder in paths_elsewhere(config):
        if hidden := hidden_in(folder):
            yield f"beware: {key}: {folder} lies in {hidden}, which the service can't see"
    for unit, text in (("bwvd", recorder_drop_in(config)), ("bwvd-offload", carrier_drop_in(config))):
        target = root / f"etc/systemd/system/{unit}.service.d" / DROP_IN
        try:
            current = target.read_text("utf-8", errors="replace") if target.exists() else ""
            if not text and current:
                target.unlink()
                yield f"removed    {target}"
            elif text and current == text:
                yield f"unchanged  {target}"
            elif text:
                _write(target, text)
                yield f"{'replaced' if current else 'wrote'}{' ' * (3 if current else 6)}{target}"
        except OSError as error:
            raise InstallError(f"{error.filename or target}: {error.strerror}") from error


def _with_command(unit: str, command: str, name: str) -> str:
    old = f"ExecStart={DEFAULT_COMMAND} "
    if unit.count(old) != 1:
        raise InstallError(f"{name}: no line that begins with {old!r}")
    return unit.replace(old, f"ExecStart={command} ")


def _write(target: Path, text: str) -> None:
    """Whole or not at all: a machine that loses power here still starts."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)
        beside.rename(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _next(root: Path | None) -> Iterator[str]:
    """The commands that come next; on another machine's file system, those that can be given before it runs."""
    if root is None:
        yield "systemd-sysusers"
        yield "systemd-tmpfiles --create bwvd.conf"
        yield "systemctl daemon-reload"
        yield "systemctl restart systemd-modules-load.service"
        yield "udevadm control --reload && udevadm trigger"
        yield "bwvd keygen /etc/bwvd"
        yield "nano /etc/bwvd/bwvd.toml"
        yield "bwvd check"
        yield "systemctl enable --now bwvd"
        return
    option = f"--root={shlex.quote(str(root))}"
    folder, configuration = (shlex.quote(str(root / name)) for name in ("etc/bwvd", _CONFIGURATION))
    yield f"systemd-sysusers {option}"
    yield f"systemd-tmpfiles {option} --create bwvd.conf"
    yield f"bwvd keygen {folder}"
    yield f"nano {configuration}"
    yield f"systemctl {option} enable bwvd"
    yield "bwvd check                # on the machine itself, once it runs"


def _next_of_custody(root: Path | None) -> Iterator[str]:
    """The same for a custodian's machine: its key is made where it is used."""
    option = f"--root={shlex.quote(str(root))} " if root is not None else ""
    configuration = shlex.quote(str((root or Path("/")) / _CUSTODY / "custody.conf"))
    yield f"systemd-sysusers {option}bwvd-custody.conf"
    yield f"systemd-tmpfiles {option}--create bwvd-custody.conf"
    yield f"nano {configuration}"
    if root is not None:
        yield f"systemctl {option}enable bwvd-custody"
        yield "bwvd help custody         # on the machine itself: its key, the list of signers, credentials"
        return
    yield "systemctl daemon-reload"
    yield "bwvd help custody         # the key, the list of signers, credentials"
    yield "systemctl enable --now bwvd-custody"
