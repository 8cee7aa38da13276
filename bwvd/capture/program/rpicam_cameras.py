"""Ribbon cameras as rpicam-vid lists them, and the board that they are on."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bwvd.text import one_line

PROGRAMS = ("rpicam-vid", "libcamera-vid")  # the second is the name that it had before 2024
LIST_S = 10.0  # a board of 512 MB takes two
# Nodes of drivers that are there only where the board encodes H.264 itself (Raspberry Pi 4, 3, Zero 2 W).
_ENCODING = ("bcm2835-codec-encode", "bcm2835-isp")

_CAMERA = re.compile(r"(\d+) : (\S+) (?:\[(.*?)\] )?\((.*)\)")


@dataclass(frozen=True, slots=True)
class RibbonCamera:
    """One line of `rpicam-vid --list-cameras`."""

    index: int
    model: str  # of its sensor: "imx708_wide"
    shape: str  # size, bits and colours: "4608x2592 10-bit RGGB"
    path: str  # its place: "/base/soc/i2c0mux/i2c@1/imx708@1a"


class NoList(Exception):
    """The cameras can't be listed. The text is one line."""


def program(configured: str = "") -> str | None:
    """The path of rpicam-vid; None where it is not installed. configured: its name or path, where one is given."""
    names = (configured,) if configured else PROGRAMS
    return next((path for name in names if (path := shutil.which(name)) is not None), None)


def parse_list(text: str) -> list[RibbonCamera]:
    """The cameras in what `--list-cameras` prints."""
    matches = (_CAMERA.fullmatch(line.strip()) for line in text.splitlines())
    return [
        RibbonCamera(int(match[1]), one_line(match[2]), one_line(match[3] or ""), one_line(match[4]))
        for match in matches
        if match is not None
    ]


def list_cameras(path: str) -> list[RibbonCamera]:
    """Ask the program at `path`. Blocking, up to `LIST_S`. Raises: NoList."""
    try:
        done = subprocess.run(  # noqa: S603 - what the configuration, which is root's, says
            [path, "--list-cameras"], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIST_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoList(f"{path} --list-cameras did not answer within {LIST_S:g} s") from error
    except OSError as error:
        raise NoList(f"{path}: {error.strerror}") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NoList(f"{path} --list-cameras ended with exit code {done.returncode}: {one_line(last)}")
    return parse_list(done.stdout.decode(errors="replace"))


def encodes(root: Path = Path("/")) -> bool:
    """True if the board has a hardware encoder that rpicam-vid uses. root: of the file system, for tests."""
    for name in root.glob("sys/class/video4linux/video*/name"):
        try:
            if name.read_text(errors="replace").startswith(_ENCODING):
                return True
        except OSError:
            continue
    return False
