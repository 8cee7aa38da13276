"""Cameras without python-evdev: everything else works, and what needs it says so in one line."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from bwvd.config.schema import Input
from bwvd.controls.discovery import list_controls
from bwvd.controls.input import InputContact
from bwvd.controls.ports import ControlRefused
from bwvd.feedback.evdev_output import InputLamp
from bwvd.feedback.ports import IndicatorLost
from bwvd.service.evdev_library import NEEDED, evdev
from tests.support.source_tree import ROOT


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("evdev", "evdev.ecodes"):
        monkeypatch.setitem(sys.modules, name, None)


def test_no_dependency_has_to_be_compiled_on_a_board() -> None:
    """Nor is one asked of some machines only: what is tried on one is what runs on the other."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert not [line for line in wanted if "evdev" in line or ";" in line]


def test_it_names_what_is_missing(without: None) -> None:
    with pytest.raises(OSError, match="needs python-evdev"):
        evdev()


async def test_a_button_is_refused(without: None) -> None:
    """Invariant 12: refused, which is told, and not opened again and again."""
    contact = InputContact(Input(device="/dev/input/event0", key="KEY_RECORD"))
    with pytest.raises(ControlRefused) as refused:
        await contact.run(lambda _edge: None)
    assert str(refused.value) == f"input.device: /dev/input/event0: {NEEDED}"


def test_a_lamp_is_lost(without: None) -> None:
    """Invariant 12."""
    with pytest.raises(IndicatorLost) as lost:
        InputLamp("led", "led", "red", device="/dev/input/event0", event_type=0x11, code=8, what="LED")
    assert str(lost.value) == f"led: /dev/input/event0: {NEEDED}"


def test_a_device_is_listed_without_its_keys(without: None, tmp_path: Path) -> None:
    entry = tmp_path / "sys/class/input/event0/device"
    (entry / "capabilities").mkdir(parents=True)
    (entry / "name").write_text("gpio-keys\n")
    (entry / "capabilities/key").write_text("1\n")
    (found,) = list_controls(tmp_path)
    assert (found.kind, found.what, found.problem) == ("input", "gpio-keys", NEEDED)
