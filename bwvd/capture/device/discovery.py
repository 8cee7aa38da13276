"""Discovery of what is plugged in: cameras and microphones, with the words that the configuration wants."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from bwvd.messages import Device

# <linux/videodev2.h>: VIDIOC_QUERYCAP and the capabilities that matter here.
_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_CAPTURE = 0x1 | 0x1000  # single- and multi-planar
_DEVICE_CAPS = 0x80000000  # the last field is there, and speaks of this node alone

# Nodes of a Raspberry Pi that carry a ribbon camera's raw data, or process it: libcamera uses them, nobody else can.
_OF_RIBBON_CAMERAS = ("bcm2835-", "unicam", "rp1-cfe", "pispbe", "rpivid", "rpi-hevc")

_PCM = re.compile(r"(\d+)-(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """A camera or microphone of this machine."""

    device: Device
    path: str  # of the node: "/dev/video0", "hw:0,0"
    name: str  # as the driver has it
    source: str  # for `video.source` or `audio.source`; by a link that survives replugging where there is one
    note: str = ""  # what stands in the way of its use


def cameras(root: Path = Path("/")) -> list[FoundDevice]:
    """The V4L2 nodes that give frames. root: of the file system, for tests."""
    found = []
    nodes = _names(root / "sys/class/video4linux")
    links = _links(root / "dev/v4l/by-id") | _links(root / "dev/v4l/by-path")
    best: dict[str, str] = {}
    for link, node in links.items():
        best.setdefault(node, link)
    for node in sorted(nodes, key=lambda name: (len(name), name)):
        path = root / "dev" / node
        gives, note = _gives_frames(path)
        if not gives:
            continue
        shown = f"/dev/{node}"
        name = _text(root / "sys/class/video4linux" / node / "name") or node
        if name.startswith(_OF_RIBBON_CAMERAS):
            continue
        found.append(FoundDevice("camera", shown, name, f"v4l2:{best.get(node, shown)}", note))
    return found


def microphones(root: Path = Path("/")) -> list[FoundDevice]:
    """The ALSA devices that record. root: of the file system, for tests."""
    asound = root / "proc/asound"
    found = []
    for line in _text(asound / "pcm").splitlines():
        match = _PCM.fullmatch(line.strip())
        if match is None or "capture" not in match[3]:
            continue
        card, device = int(match[1]), int(match[2])
        name = match[3].split(":")[0].strip()
        card_id = _text(asound / f"card{card}" / "id") or str(card)
        # `plughw` converts what the card can't do itself; the id survives another order of the cards.
        source = f"alsa:plughw:CARD={card_id},DEV={device}"
        found.append(FoundDevice("microphone", f"hw:{card},{device}", name, source))
    return found


def _gives_frames(path: Path) -> tuple[bool, str]:
    """True if a node captures (others carry metadata, or encode); and what kept us from asking."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return not isinstance(error, FileNotFoundError), os.strerror(error.errno or 0)
    try:
        answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return False, ""
    finally:
        os.close(handle)
    _, _, _, _, capabilities, of_node = _CAPABILITY.unpack(answer)
    return bool((of_node if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE), ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _links(folder: Path) -> dict[str, str]:
    """Links under /dev/v4l, each with the name of the node it leads to."""
    found = {}
    for name in _names(folder):
        try:
            target = (folder / name).readlink()
        except OSError:
            continue
        found[f"/dev/v4l/{folder.name}/{name}"] = target.name
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
