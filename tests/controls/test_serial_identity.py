"""The device behind a serial path: remembered, and no other one is spoken to. Quiet devices of /dev stand for ports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from bwvd.clock import SystemClock
from bwvd.config.schema import Serial
from bwvd.controls.modem_line import ModemContact
from bwvd.controls.ports import ControlLost, ControlRefused
from bwvd.controls.serial_identity import SerialIdentity
from bwvd.controls.serial_port import SerialPort
from tests.controls.test_serial import Recorder, serving
from tests.support.controls_pty import Pty


class Ports:
    """A port's name, what it leads to, and what sysfs tells of that."""

    def __init__(self, folder: Path) -> None:
        self._sys = folder / "sys"
        self._link = folder / "ttyTEST"
        self.path = str(self._link)
        self.identity = SerialIdentity(Serial(port=self.path), self._sys)

    def adapter(self, device: str, socket: str, serial: str = "", *, port: str = "", interface: str = "00") -> None:
        """`device` is a USB adapter in `socket`."""
        usb = self._sys / "devices/usb1" / socket
        tty = usb / f"{socket}:1.{interface}" / f"tty{port}"
        tty.mkdir(parents=True, exist_ok=True)
        for path, text in {
            usb / "idVendor": "0403",
            usb / "idProduct": "6001",
            usb / "serial": serial,
            tty.parent / "bInterfaceNumber": interface,
            tty / "port_number": port,
        }.items():
            path.write_text(text + "\n")
        number = Path(device).stat().st_rdev
        char = self._sys / f"dev/char/{os.major(number)}:{os.minor(number)}"
        char.mkdir(parents=True, exist_ok=True)
        (char / "device").unlink(missing_ok=True)
        (char / "device").symlink_to(tty)

    def leads_to(self, device: str) -> None:
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(device)

    def open(self) -> None:
        """As the adapters do it."""
        self.identity.look()
        fd = os.open(self.path, os.O_RDWR)
        try:
            self.identity.keep(fd)
        finally:
            os.close(fd)


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    return Ports(tmp_path)


def test_an_adapter_is_known_whatever_number_it_gets(ports: Ports) -> None:
    ports.adapter("/dev/null", "1-1", "A50285BI")
    ports.leads_to("/dev/null")
    ports.open()
    ports.adapter("/dev/zero", "1-4", "A50285BI")
    ports.leads_to("/dev/zero")
    ports.open()


@pytest.mark.parametrize(
    ("socket", "serial", "port", "interface", "named"),
    [
        ("1-1", "B77", "", "00", "0403:6001 serial B77 if00"),
        ("1-1", "A50285BI", "", "01", "0403:6001 serial A50285BI if01"),
        ("1-1", "A50285BI", "1", "00", "0403:6001 serial A50285BI if00 port 1"),
        ("1-2", "", "", "00", "0403:6001 at 1-2 if00"),
    ],
)
def test_another_adapter_is_refused_by_name(
    ports: Ports, socket: str, serial: str, port: str, interface: str, named: str
) -> None:
    ports.adapter("/dev/null", "1-1", "A50285BI")
    ports.leads_to("/dev/null")
    ports.open()
    ports.adapter("/dev/zero", socket, serial, port=port, interface=interface)
    ports.leads_to("/dev/zero")
    with pytest.raises(ControlRefused) as raised:
        ports.open()
    first = "the USB device 0403:6001 serial A50285BI if00"
    assert str(raised.value) == f"serial.port: {ports.path} was {first}, and is the USB device {named} now: not opened"
    ports.leads_to("/dev/null")
    ports.adapter("/dev/null", "1-1", "A50285BI")
    ports.open()


def test_a_port_of_the_board_is_known_by_its_number(ports: Ports) -> None:
    ports.leads_to("/dev/null")
    ports.open()
    ports.leads_to("/dev/zero")
    with pytest.raises(ControlRefused, match=r"was the device 1:3, and is the device 1:5 now"):
        ports.open()


def test_what_was_looked_at_and_never_opened_is_not_remembered(ports: Ports) -> None:
    ports.leads_to("/dev/null")
    ports.identity.look()
    ports.leads_to("/dev/zero")
    ports.open()


def test_a_path_that_changes_while_it_is_opened_is_noticed(ports: Ports) -> None:
    ports.leads_to("/dev/null")
    ports.open()
    ports.identity.look()
    with Path("/dev/zero").open("rb") as other, pytest.raises(ControlRefused):
        ports.identity.keep(other.fileno())


async def test_a_terminal_of_a_person_is_neither_read_nor_written(tmp_path: Path) -> None:
    pty, recorder = Pty(tmp_path), Recorder()
    pty.plug()
    terminal = os.open(pty.port, os.O_RDWR | os.O_NOCTTY)
    pty.say(b"RECORD\n")
    assert await pty.hear() == b"RECORD\r\n"  # the terminal's echo
    config = Serial(port=pty.port, button="cts")
    refusal = f"serial.port: {pty.port} is a pseudo-terminal, and serial.pty is false"
    async with serving(SerialPort(config), recorder, SystemClock()):
        assert [detail for _, _, detail in recorder.told()] == [refusal]
    assert os.read(terminal, 100) == b"RECORD\n"
    os.write(terminal, b"ours\n")
    assert await pty.hear() == b"ours\r\n"
    os.close(terminal)
    assert recorder.commands == []
    with pytest.raises(ControlLost) as raised:
        await ModemContact(config, lambda: 0).run(lambda _: None)
    assert str(raised.value) == refusal
    pty.close()


@contextmanager
def logged_in(port: str) -> Iterator[None]:
    """Somebody's shell has the terminal as its own."""
    script = "import fcntl, os, sys, termios, time; os.setsid(); fd = os.open(sys.argv[1], os.O_RDWR);"
    script += "fcntl.ioctl(fd, termios.TIOCSCTTY, 0); print('in', flush=True); time.sleep(60)"
    shell = subprocess.Popen([sys.executable, "-c", script, port], stdout=subprocess.PIPE)
    try:
        assert shell.stdout
        assert shell.stdout.readline() == b"in\n"
        yield
    finally:
        shell.kill()
        shell.communicate()


async def test_a_pseudo_terminal_that_somebody_is_logged_in_with_is_no_line(tmp_path: Path) -> None:
    """Also where pseudo-terminals are allowed: its name may have been a program's before."""
    pty = Pty(tmp_path)
    pty.plug()
    port = SerialPort(Serial(port=pty.port, pty=True))
    with logged_in(pty.port), pytest.raises(ControlRefused) as raised, port.open():
        pass
    assert str(raised.value) == f"serial.port: {pty.port} is somebody's terminal: not opened"
    pty.hang_up()
    pty.plug()  # a program's, under the same name
    with port.open():
        pass
    pty.close()


@pytest.mark.parametrize("stat", ["", "7 (a) b) S 1", "7 (sh) S 1 7 7 x", "7 (a) 1 2 3 4 5 (b) S 1 7 7 0 -1"])
def test_a_process_that_says_nothing_of_a_terminal_has_none(stat: str, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(stat)
    identity = SerialIdentity(Serial(port="/dev/pts/0", pty=True), tmp_path, tmp_path)
    assert not identity._is_a_terminal(136, 0)


@pytest.mark.parametrize(("major", "minor", "number"), [(136, 3, 34_819), (137, 44, 35_116), (136, 0x1FF, 0x1088FF)])
def test_the_kernels_number_of_a_terminal(major: int, minor: int, number: int, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(f"7 (sh) S 1 7 7 {number} 7 4194304 1 2")
    identity = SerialIdentity(Serial(port="/dev/pts/0", pty=True), tmp_path, tmp_path)
    assert identity._is_a_terminal(major, minor)


async def test_a_line_that_comes_back_as_something_else_is_one_fault(tmp_path: Path) -> None:
    pty, recorder = Pty(tmp_path), Recorder()
    pty.plug()
    async with serving(SerialPort(Serial(port=pty.port, pty=True)), recorder, SystemClock()):
        pty.hang_up()
        pty.leads_to("/dev/null")
        with trio.fail_after(10):
            await recorder.has_told(2)
    pty.close()
    *_, (_, active, detail) = recorder.told()
    assert active
    assert detail == f"serial.port: {pty.port} was a pseudo-terminal, and is the device 1:3 now: not opened"
