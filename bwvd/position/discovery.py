"""Discovery of satellite receivers, each with what to write in the configuration. For `bwvd devices`.

No line is opened: what is behind it may be somebody else's modem. What a device is, its vendor has written into its USB
descriptor, gpsd's rules into a link's name, and the kernel into its own class of receivers. gpsd is asked on its port,
where it greets whoever comes.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bwvd.position.receiver import GPSD_PORT
from bwvd.text import one_line

GREETING_S = 1.0
GREETING_BYTES = 4096
# Vendors who make nothing but receivers. An adapter's vendor says nothing of what is plugged into it.
_VENDORS = {"1546": "u-blox"}
_SAYS_SO = re.compile(r"\b(gps|gnss|glonass|galileo|beidou|navilock|globalsat)\b", re.IGNORECASE)
_LINK = re.compile(r"gps\d*")  # that gpsd's udev rules make


@dataclass(frozen=True, slots=True)
class FoundReceiver:
    """A place that `gnss.source` could name."""

    where: str
    what: str
    source: str  # for `gnss.source`; "" = it can't be named
    problem: str = ""


def list_receivers(root: Path = Path("/"), gpsd: Callable[[], str | None] | None = None) -> list[FoundReceiver]:
    """Everything under `root`'s /dev and /sys, and gpsd. Blocking, a second at the most; what is absent raises nothing.

    gpsd: its release, or None where it does not answer; by default asked on its port.
    """
    release = (gpsd or gpsd_release)()
    found = []
    if release is not None:
        source = f"gpsd://127.0.0.1:{GPSD_PORT}"
        found.append(FoundReceiver(source.removeprefix("gpsd://"), f"gpsd {release}", source))
    taken = "gpsd runs, and may be reading it" if release is not None else ""
    return [*found, *_lines(root, taken), *_kernel(root)]


def gpsd_release(port: int = GPSD_PORT) -> str | None:
    """What gpsd says of itself to whoever connects; None where nobody answers, or somebody else does. Blocking."""
    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        with socket.create_connection(("127.0.0.1", port), GREETING_S) as connection:
            greeting = connection.recv(GREETING_BYTES)
        said = msgspec.json.decode(greeting.partition(b"\n")[0])
        if isinstance(said, dict) and said.get("class") == "VERSION" and isinstance(said.get("release"), str):
            return one_line(said["release"])[:40]
    return None


def _lines(root: Path, taken: str) -> Iterator[FoundReceiver]:
    """Serial lines behind which a receiver is."""
    links = _links(root / "dev", _LINK)
    by_id = _links(root / "dev/serial/by-id", re.compile(".*"))
    for entry in sorted((root / "sys/class/tty").glob("*")):
        if not (entry / "device").exists():
            continue
        device = root / "dev" / entry.name
        names = _usb(entry / "device")
        vendor = _VENDORS.get(names.get("idVendor", ""), "")
        said = " ".join(filter(None, (names.get("manufacturer", ""), names.get("product", ""))))
        link = links.get(device.resolve())
        if not vendor and not _SAYS_SO.search(said) and link is None:
            continue
        what = said or vendor or f"gpsd's rules call it {link}"
        stable = by_id.get(device.resolve(), device)
        yield FoundReceiver(str(device), what, f"serial:{stable}", taken)


def _kernel(root: Path) -> Iterator[FoundReceiver]:
    """Receivers of the kernel's class `gnss`, which are no serial lines."""
    for entry in sorted((root / "sys/class/gnss").glob("gnss*")):
        kind = _read(entry / "type") or "unknown"
        yield FoundReceiver(
            str(root / "dev" / entry.name), f"receiver that speaks {kind}", "", "no serial line: let gpsd read it"
        )


def _links(folder: Path, pattern: re.Pattern[str]) -> dict[Path, Path]:
    """Links by what they lead to."""
    found: dict[Path, Path] = {}
    with suppress(OSError):
        for link in sorted(folder.iterdir()):
            if link.is_symlink() and pattern.fullmatch(link.name):
                found.setdefault(link.resolve(), link)
    return found


def _usb(tty: Path) -> dict[str, str]:
    """The USB descriptor's words, of the device that a tty belongs to; nothing for one on a board."""
    start = tty.resolve()
    for folder in (start, *start.parents):
        if vendor := _read(folder / "idVendor"):
            return {"idVendor": vendor, **{name: _read(folder / name) for name in ("manufacturer", "product")}}
    return {}


def _read(path: Path) -> str:
    """Of a device, as sysfs tells it: the device's own text."""
    try:
        return one_line(path.read_text("utf-8", "replace"))[:100]
    except OSError:
        return ""
