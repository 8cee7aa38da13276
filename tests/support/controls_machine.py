"""Simulated hardware of a real kernel: a GPIO chip (gpio-sim), a key (uinput). Needs root and the kernel's modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CONFIGFS = Path("/sys/kernel/config")
UINPUT = Path("/dev/uinput")
APPEARS_S = 10.0


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _load(module: str) -> None:
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", module], check=False, capture_output=True)


def _wait_for(path: Path) -> None:
    """udev makes the files; nothing tells us when it has."""
    until = time.monotonic() + APPEARS_S
    while not os.access(path, os.R_OK):
        assert time.monotonic() < until, f"{path} does not appear"
        time.sleep(0.01)


class GpioSim:
    """A chip with the label `bwvd-sim`, whose line 0 is a button to ground with a pull-up."""

    label = "bwvd-sim"
    line = "record"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "bank0/line0").mkdir(parents=True)
        (folder / "bank0/num_lines").write_text("2")
        (folder / "bank0/label").write_text(self.label)
        (folder / "bank0/line0/name").write_text(self.line)
        self.plug()

    def plug(self) -> None:
        (self._folder / "live").write_text("1")
        device = (self._folder / "dev_name").read_text().strip()
        self.chip = (self._folder / "bank0/chip_name").read_text().strip()
        self._pull = Path("/sys/devices/platform", device, self.chip, "sim_gpio0/pull")
        self.move(down=False)
        _wait_for(Path("/dev") / self.chip)

    def unplug(self) -> None:
        (self._folder / "live").write_text("0")

    def move(self, down: bool) -> None:
        self._pull.write_text("pull-down" if down else "pull-up")

    def close(self) -> None:
        if (self._folder / "live").read_text().strip() == "1":
            self.unplug()
        for folder in ("bank0/line0", "bank0", ""):
            (self._folder / folder).rmdir()


@contextmanager
def gpio_sim() -> Iterator[GpioSim]:
    _load("gpio-sim")
    parent = CONFIGFS / "gpio-sim"
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        _missing("no gpio-sim: the kernel module, configfs and root are needed")
    sim = GpioSim(parent / "bwvd")
    try:
        yield sim
    finally:
        sim.close()


class UinputKey:
    """An input device with KEY_RECORD and SW_MUTE_DEVICE, behind a link that stays."""

    def __init__(self, link: Path) -> None:
        self.path = link
        self._device: Any = None
        self.plug()

    def plug(self) -> None:
        from evdev import UInput, ecodes

        self._device = UInput({ecodes.EV_KEY: [ecodes.KEY_RECORD, ecodes.KEY_A], ecodes.EV_SW: [14]}, name="bwvd key")
        node = Path(self._device.device.path)
        _wait_for(node)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(node)

    def unplug(self) -> None:
        self._device.close()
        self._device = None

    def move(self, down: bool) -> None:
        from evdev import ecodes

        self.write(ecodes.EV_KEY, ecodes.KEY_RECORD, int(down))

    def write(self, kind: int, code: int, value: int) -> None:
        self._device.write(kind, code, value)
        self._device.syn()

    def close(self) -> None:
        if self._device is not None:
            self.unplug()


@contextmanager
def uinput_key(folder: Path) -> Iterator[UinputKey]:
    _load("uinput")
    if not os.access(UINPUT, os.W_OK):
        _missing("no /dev/uinput: the kernel module and root are needed")
    key = UinputKey(folder / "event-bwvd")
    try:
        yield key
    finally:
        key.close()
