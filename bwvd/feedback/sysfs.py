"""One device's folder under /sys: its attributes, read and written whole."""

from __future__ import annotations

import os
from pathlib import Path

from bwvd.feedback.ports import IndicatorLost


class Attributes:
    """The attributes of one device. Every failure is an IndicatorLost that names the indicator and the file.

    Files are opened anew for each write: a handle would outlive the device that it was opened on.
    """

    def __init__(self, folder: Path, label: str) -> None:
        self._folder = folder
        self._label = label

    def read(self, attribute: str) -> str:
        path = self._folder / attribute
        try:
            return path.read_text("utf-8", errors="replace").strip()
        except OSError as error:
            raise self._lost(path, error) from error

    def write(self, attribute: str, value: int | str) -> None:
        path = self._folder / attribute
        try:
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            try:
                os.write(fd, str(value).encode("ascii"))
            finally:
                os.close(fd)
        except OSError as error:
            raise self._lost(path, error) from error

    def has(self, attribute: str) -> bool:
        return (self._folder / attribute).exists()

    def _lost(self, path: Path, error: OSError) -> IndicatorLost:
        return IndicatorLost(f"{self._label}: {path}: {error.strerror}")


def plain_name(name: str, label: str) -> str:
    """`name` if it can only mean an entry of a class folder, never a way out of it. Raises IndicatorLost."""
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise IndicatorLost(f"{label}: {name!r} is not the name of a device")
    return name
