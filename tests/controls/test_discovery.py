"""The list of what could be a control: from a made-up /sys and /dev, and from this machine's, whatever it has."""

from __future__ import annotations

import struct
import tomllib
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import gpiod
import msgspec
import pytest

from bwvd.config.schema import Gpio, Input, Serial
from bwvd.controls.discovery import Found, list_controls

SECTIONS = {"gpio": Gpio, "input": Input, "serial": Serial}
KEY_RECORD, KEY_A, KEY_POWER = 167, 30, 116


def bitmap(*codes: int) -> str:
    """As the kernel prints a capability bitmap."""
    size = struct.calcsize("l") * 8
    words = [0] * (max(codes) // size + 1)
    for code in codes:
        words[code // size] |= 1 << code % size
    return " ".join(f"{word:x}" for word in reversed(words))


def input_device(root: Path, event: str, name: str, keys: str = "0", switches: str = "0", *, node: bool = True) -> None:
    device = root / "sys/class/input" / event / "device"
    (device / "capabilities").mkdir(parents=True)
    (device / "name").write_text(name + "\n")
    (device / "capabilities/key").write_text(keys + "\n")
    (device / "capabilities/sw").write_text(switches + "\n")
    if node:
        (root / "dev/input").mkdir(parents=True, exist_ok=True)
        (root / "dev/input" / event).touch()


def serial_port(root: Path, name: str, uart: str | None = None) -> None:
    entry = root / "sys/class/tty" / name
    (entry / "device").mkdir(parents=True)
    if uart is not None:
        (entry / "type").write_text(uart)
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev" / name).touch()


def configured(found: Found) -> object:
    """The snippet, read back as the configuration reads it."""
    (table,) = tomllib.loads(found.toml)[found.kind]
    return msgspec.convert(table, SECTIONS[found.kind])


def test_keys_that_a_record_button_has_come_with_a_snippet(tmp_path: Path) -> None:
    input_device(tmp_path, "event10", "USB keyboard", bitmap(KEY_A, KEY_RECORD, *range(2, 29)))
    input_device(tmp_path, "event2", "gpio-keys", bitmap(KEY_POWER, KEY_RECORD), bitmap(14))
    by_path = tmp_path / "dev/input/by-path"
    by_path.mkdir()
    (by_path / "platform-gpio-keys-event").symlink_to("../event2")
    found = list_controls(tmp_path)
    stable = str(by_path / "platform-gpio-keys-event")
    keyboard = str(tmp_path / "dev/input/event10")
    assert [configured(one) for one in found] == [
        Input(device=stable, key="KEY_RECORD"),
        Input(device=stable, key="SW_MUTE_DEVICE", mode="switch"),
        Input(device=keyboard, key="KEY_RECORD", grab=False),
        Input(device=keyboard, key="KEY_ENTER", grab=False),
    ]
    assert all(one.likely and not one.problem for one in found)


def test_a_device_with_few_keys_offers_them_all_and_a_keyboard_none(tmp_path: Path) -> None:
    input_device(tmp_path, "event0", "power", bitmap(KEY_POWER))
    input_device(tmp_path, "event1", "keyboard", bitmap(*range(2, 13)))
    input_device(tmp_path, "event2", "accelerometer")
    found = list_controls(tmp_path)
    assert [(one.where.rpartition("/")[2], one.likely) for one in found] == [
        ("event0 KEY_POWER", False),
        ("event1", False),
    ]
    assert found[1].what == "keyboard: 11 keys, none that a record button has"
    assert found[1].toml == ""


def test_a_device_without_a_file_or_with_a_broken_bitmap(tmp_path: Path) -> None:
    input_device(tmp_path, "event0", "buttons", bitmap(KEY_RECORD), node=False)
    input_device(tmp_path, "event1", "broken", "not hex")
    (found,) = list_controls(tmp_path)
    assert found.problem == "no device file; udev has not made it"


def test_serial_ports_that_are_there(tmp_path: Path) -> None:
    serial_port(tmp_path, "ttyS0", uart="4")
    serial_port(tmp_path, "ttyS1", uart="0")  # a name without a UART
    serial_port(tmp_path, "ttyUSB0")
    (tmp_path / "sys/class/tty/console").mkdir()
    (tmp_path / "sys/class/tty/console/active").write_text("tty0 ttyS0\n")
    (tmp_path / "sys/class/tty/tty1").mkdir()  # a virtual console: no device behind it
    by_id = tmp_path / "dev/serial/by-id"
    by_id.mkdir(parents=True)
    (by_id / "usb-FTDI-port0").symlink_to("../../ttyUSB0")
    console, adapter = list_controls(tmp_path)
    assert (console.where, console.problem) == (str(tmp_path / "dev/ttyS0"), "the kernel's console talks on it")
    assert configured(adapter) == Serial(port=str(by_id / "usb-FTDI-port0"))


class FakeChip:
    lines: list[SimpleNamespace]

    def __init__(self, path: str) -> None:
        if path.endswith("9"):
            raise PermissionError(13, "Permission denied")

    def __enter__(self) -> FakeChip:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get_info(self) -> SimpleNamespace:
        return SimpleNamespace(label="pinctrl-test", num_lines=len(self.lines))

    def get_line_info(self, offset: int) -> SimpleNamespace:
        return self.lines[offset]


def line(offset: int, name: str | None = None, consumer: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, name=name, used=consumer is not None, consumer=consumer)


def test_gpio_lines_by_name_where_the_name_is_theirs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpiod, "Chip", FakeChip)
    FakeChip.lines = [line(0, "REC_BTN"), line(1, "NC"), line(2, "NC"), line(3), line(4, "LED", "led0"), line(5, 'a"b')]
    (tmp_path / "dev").mkdir()
    for name in ("gpiochip0", "gpiochip9"):
        (tmp_path / "dev" / name).touch()
    *lines, forbidden = list_controls(tmp_path)
    chip = str(tmp_path / "dev/gpiochip0")
    assert [configured(one) for one in lines if one.toml] == [
        Gpio(chip=chip, line="REC_BTN"),
        Gpio(chip=chip, line=1),
        Gpio(chip=chip, line=2),
        Gpio(chip=chip, line=3),
        Gpio(chip=chip, line='a"b'),
    ]
    assert [one.where.removeprefix(chip) for one in lines if one.likely] == [" line 0 REC_BTN"]
    assert [one.problem for one in lines if not one.toml] == ["in use by led0"]
    assert forbidden.problem == "not permitted; its group (gpio, as a rule) may"


def test_a_chipset_with_hundreds_of_lines_is_one_entry_and_its_named_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpiod, "Chip", FakeChip)
    FakeChip.lines = [line(offset, "BTN" if offset == 7 else None) for offset in range(500)]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/gpiochip0").touch()
    assert [(one.where.rpartition("/")[2], one.what) for one in list_controls(tmp_path)] == [
        ("gpiochip0 line 7 BTN", "pinctrl-test"),
        ("gpiochip0", "pinctrl-test: 499 free lines without a name"),
    ]


def test_this_machine_whatever_it_has_and_nothing_at_all(tmp_path: Path) -> None:
    for found in list_controls():
        if found.toml:
            configured(found)
        assert asdict(found)["kind"] == found.kind
    assert list_controls(tmp_path) == []
