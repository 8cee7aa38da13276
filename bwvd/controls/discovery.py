"""Discovery of what could be a control on this board, each with what to write in the configuration. For `bwvd devices`.

It needs no rights: what may not be opened is named by what sysfs tells everybody, with the reason.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bwvd.service.evdev_library import evdev

NAMED_ONLY_FROM = 64  # a chip with more lines than a header has pins is listed by its named ones

# Keys that a recording button has had on boards, headsets and remotes, the likeliest first.
_LIKELY_KEYS = [
    re.compile(pattern)
    for pattern in (
        "KEY_RECORD",
        "KEY_CAMERA",
        "KEY_VIDEO",
        r"KEY_PROG\d",
        r"KEY_MACRO\d*",
        "KEY_VOICECOMMAND",
        "KEY_PLAYPAUSE",
        r"BTN_\d",
        r"SW_\w+",
        "KEY_VOLUME(UP|DOWN)",
        "KEY_ENTER",
    )
]
_LIKELY_LINE = re.compile(r"rec|btn|button|key|switch|ptt", re.IGNORECASE)
_KEYBOARD = "KEY_A"
_FEW_KEYS = 8  # a device with no more keys than this is made of buttons


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that could be a control."""

    kind: Literal["gpio", "input", "serial"]
    where: str  # the device, and the line or key in it
    what: str  # what is known of it
    toml: str  # what to write in the configuration; "" if it can't be used
    likely: bool = False  # it looks like a record button
    problem: str = ""  # why it can't be used as it is


def list_controls(root: Path = Path("/")) -> list[Found]:
    """Everything under `root`'s /dev and /sys. Blocking, but quick; never raises for what is absent or forbidden."""
    return [*_gpio(root), *_input(root), *_serial(root)]


def _table(name: str, **values: str | int | bool) -> str:
    return "\n".join(
        [f"[[{name}]]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())]
    )


def _natural(paths: Iterable[Path]) -> list[Path]:
    """In the order of their numbers: event2 before event10."""
    return sorted(
        paths, key=lambda path: [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]
    )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _stable_name(device: Path, folders: Iterable[Path]) -> Path:
    """A link that survives another order of detection, if udev has made one; else the device itself."""
    for folder in folders:
        try:
            links = sorted(folder.iterdir())
        except OSError:
            continue
        for link in links:
            if link.resolve() == device.resolve():
                return link
    return device


# --- GPIO -------------------------------------------------------------------------------------------------------------


def _gpio(root: Path) -> Iterator[Found]:
    import gpiod

    for path in _natural((root / "dev").glob("gpiochip*")):
        try:
            with gpiod.Chip(str(path)) as chip:
                info = chip.get_info()
                lines = [chip.get_line_info(offset) for offset in range(info.num_lines)]
        except OSError as error:
            yield Found("gpio", str(path), "", "", problem=_problem(error, "gpio"))
            continue
        named = len(lines) > NAMED_ONLY_FROM
        hidden = 0
        for line in lines:
            if named and not line.name and not line.used:
                hidden += 1
                continue
            name = line.name or ""  # None, where libgpiod's own annotation says str
            where = f"{path} line {line.offset}" + (f" {name}" if name else "")
            if line.used:
                yield Found("gpio", where, info.label, "", problem=f"in use by {line.consumer or 'the kernel'}")
                continue
            unique = name and sum(other.name == name for other in lines) == 1
            toml = _table("gpio", chip=str(path), line=name if unique else line.offset)
            yield Found("gpio", where, info.label, toml, likely=bool(_LIKELY_LINE.search(name)))
        if hidden:
            yield Found("gpio", str(path), f"{info.label}: {hidden} free lines without a name", "")


# --- input devices ----------------------------------------------------------------------------------------------------


def _input(root: Path) -> Iterator[Found]:
    for entry in _natural((root / "sys/class/input").glob("event*")):
        device = root / "dev/input" / entry.name
        name = _read(entry / "device/name")
        codes = [_bits(_read(entry / "device/capabilities" / kind)) for kind in ("key", "sw")]
        if not any(codes):
            continue
        try:
            keys = [*_names("KEY", codes[0]), *_names("SW", codes[1])]
        except OSError as error:  # nothing here can name them
            yield Found("input", str(device), name, "", problem=str(error.strerror))
            continue
        if not keys:
            continue
        problem = "" if os.access(device, os.R_OK) else _missing_right(device, "input")
        stable = _stable_name(device, (root / "dev/input/by-id", root / "dev/input/by-path"))
        likely = sorted(filter(_is_likely, keys), key=_likelihood)
        offered = likely or (keys if len(keys) <= _FEW_KEYS else [])
        for key in offered:
            values: dict[str, str | bool] = {"device": str(stable), "key": key}
            if key.startswith("SW_"):
                values["mode"] = "switch"
            if _KEYBOARD in keys:
                values["grab"] = False  # the rest of it is somebody's keyboard
            yield Found("input", f"{device} {key}", name, _table("input", **values), key in likely, problem)
        if not offered:
            what = f"{name}: {len(keys)} keys, none that a record button has"
            yield Found("input", str(device), what, "", problem=problem)


def _likelihood(key: str) -> int:
    """The place of a key among those that a record button has had; their number if it is not among them."""
    places = (place for place, pattern in enumerate(_LIKELY_KEYS) if pattern.fullmatch(key))
    return next(places, len(_LIKELY_KEYS))


def _is_likely(key: str) -> bool:
    return _likelihood(key) < len(_LIKELY_KEYS)


def _bits(text: str) -> list[int]:
    """The set bits of a capability bitmap in sysfs: words of a C long in hex, the most significant first."""
    size = struct.calcsize("l") * 8
    try:
        words = [int(word, 16) for word in text.split()]
    except ValueError:
        return []
    number = sum(word << size * place for place, word in enumerate(reversed(words)))
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def _names(kind: Literal["KEY", "SW"], codes: list[int]) -> list[str]:
    """The kernel's names; one where there are several, none where there is none. OSError without python-evdev."""
    ecodes = evdev("ecodes")
    known = ecodes.keys if kind == "KEY" else ecodes.SW
    names = [known.get(code) for code in codes]
    return [name if isinstance(name, str) else min(name, key=len) for name in names if name]


# --- serial ports -----------------------------------------------------------------------------------------------------

_NO_UART = "0"  # PORT_UNKNOWN of <linux/serial_core.h>: the driver made a name and found nothing behind it


def _serial(root: Path) -> Iterator[Found]:
    consoles = _read(root / "sys/class/tty/console/active").split()
    for entry in _natural((root / "sys/class/tty").glob("*")):
        if not (entry / "device").exists() or _read(entry / "type") == _NO_UART:
            continue
        device = root / "dev" / entry.name
        problem = ""
        if entry.name in consoles:
            problem = "the kernel's console talks on it"
        elif not os.access(device, os.R_OK | os.W_OK):
            problem = _missing_right(device, "dialout")
        stable = _stable_name(device, (root / "dev/serial/by-id", root / "dev/serial/by-path"))
        driver = (entry / "device/driver").resolve().name if (entry / "device/driver").exists() else ""
        yield Found("serial", str(device), driver, _table("serial", port=str(stable)), problem=problem)


# --- problems ---------------------------------------------------------------------------------------------------------


def _missing_right(device: Path, group: str) -> str:
    if not device.exists():
        return "no device file; udev has not made it"
    return f"not permitted; its group ({group}, as a rule) may"


def _problem(error: OSError, group: str) -> str:
    if isinstance(error, PermissionError):
        return f"not permitted; its group ({group}, as a rule) may"
    return error.strerror or str(error)
