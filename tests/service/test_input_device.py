"""Input devices as the kernel has them: beside another's reading of the same interface, and without any device."""

from __future__ import annotations

import errno
import fcntl
import importlib.util
import os
import struct
import tomllib
from pathlib import Path

import pytest

from bwvd.service.input_codes import KEYS, SWITCHES, names
from bwvd.service.input_device import _EFFECT_SIZE, _EVIOCGRAB, _EVIOCSFF, EV_LED, InputDevice, read_events
from tests.support.source_tree import ROOT

python_evdev = pytest.mark.skipif(
    importlib.util.find_spec("evdev") is None, reason="python-evdev has no wheel for this machine"
)


def test_no_dependency_has_to_be_compiled_on_a_board() -> None:
    """Nor is one asked of some machines only: what is tried on one is what runs on the other."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [line for line in wanted if "evdev" in line or ";" in line]


@python_evdev
def test_names_have_the_numbers_that_python_evdev_gives_them() -> None:
    from evdev import ecodes

    ours = KEYS | SWITCHES
    theirs = {
        name: code
        for name, code in ecodes.ecodes.items()
        if name.startswith(("KEY_", "BTN_", "SW_")) and not name.endswith(("_MAX", "_CNT"))
    }
    assert len(set(ours) & set(theirs)) > 600
    assert {name: code for name, code in ours.items() if name in theirs} == {
        name: code for name, code in theirs.items() if name in ours
    }


def test_the_name_of_a_number_that_has_several_is_the_shortest() -> None:
    keys, switches = names(KEYS), names(SWITCHES)
    assert keys[0x100] == "BTN_0"
    assert keys[113] == "KEY_MUTE"
    assert keys[167] == "KEY_RECORD"
    assert switches[14] == "SW_MUTE_DEVICE"
    assert set(keys) == set(KEYS.values())


def test_events_of_a_descriptor() -> None:
    read, write = os.pipe2(os.O_NONBLOCK)
    try:
        with pytest.raises(BlockingIOError):
            read_events(read)
        os.write(write, struct.pack("@llHHi", 7, 5, 1, 167, 1) + struct.pack("@llHHi", 7, 6, 0, 0, -1))
        assert [tuple(event) for event in read_events(read)] == [(7, 5, 1, 167, 1), (7, 6, 0, 0, -1)]
        os.close(write)
        write = -1
        assert read_events(read) == []
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the numbers of a 64-bit kernel")
def test_requests_have_the_kernels_numbers() -> None:
    """Of <linux/input.h> on x86-64 and on 64-bit ARM, as a C compiler gives them."""
    assert (_EFFECT_SIZE, _EVIOCSFF, _EVIOCGRAB) == (48, 0x40304580, 0x40044590)


def test_a_device_that_repeats_its_keys_tells_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel knows no codes of some types (EV_REP, EV_PWR): asked for those it answers EINVAL."""
    bits = {0: 1 << 0 | 1 << 1 | 1 << 0x11 | 1 << 0x14 | 1 << 0x16, 1: 1 << 167 | 1 << 0x2FF, 0x11: 1 << 8}

    def kernel(_fd: int, request: int, argument: bytes) -> bytes:
        kind = (request & 0xFF) - 0x20
        if kind not in bits:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        assert request >> 30 == 2
        assert request >> 16 & 0x3FFF == len(argument)
        return bits[kind].to_bytes(len(argument), "little")

    monkeypatch.setattr(fcntl, "ioctl", kernel)
    device = InputDevice("/dev/null")
    try:
        assert device.capabilities() == {1: [167, 0x2FF], 0x11: [8]}
    finally:
        device.close()


def test_one_that_may_only_be_read_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `input` members find a device whose rights are 0640."""
    really = os.open

    def refuses_to_write(path: str, flags: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return really(path, flags)

    monkeypatch.setattr(os, "open", refuses_to_write)
    monkeypatch.setattr(fcntl, "ioctl", lambda _fd, _request, argument: argument)
    device = InputDevice("/dev/null")
    try:
        with pytest.raises(PermissionError, match="may not be written to"):
            device.write(EV_LED, 8, 1)
        with pytest.raises(PermissionError, match="may not be written to"):
            device.upload_rumble(100)
    finally:
        device.close()


@pytest.mark.parametrize("path", ["/dev/null", __file__])
def test_what_is_no_input_device_is_closed_again(path: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="Inappropriate ioctl"):
        InputDevice(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
