"""Receivers that are plugged in: gpsd on its port, and lines that say by themselves that a receiver is behind them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from bwvd.config.load import parse
from bwvd.position.discovery import FoundReceiver, gpsd_release, list_receivers
from bwvd.testing.receiver import GREETING


def plugged(root: Path, name: str, *, by_id: str = "", **descriptor: str) -> None:
    """A tty in a tree of /sys and /dev, on a USB device with these words."""
    usb = root / "sys/devices/usb1/1-1" / name
    tty = usb / "1-1:1.0"
    tty.mkdir(parents=True)
    for word, text in descriptor.items():
        (usb / word).write_text(f"{text}\n")
    entry = root / "sys/class/tty" / name
    entry.mkdir(parents=True)
    (entry / "device").symlink_to(tty)
    (root / "dev").mkdir(exist_ok=True)
    (root / "dev" / name).write_bytes(b"")
    if by_id:
        (root / "dev/serial/by-id").mkdir(parents=True, exist_ok=True)
        (root / "dev/serial/by-id" / by_id).symlink_to(root / "dev" / name)


def test_lines_that_say_what_they_are(tmp_path: Path) -> None:
    """Others are not named, and none is opened: an adapter may be anybody's, a modem for example."""
    plugged(tmp_path, "ttyACM0", by_id="usb-u-blox_GNSS-if00", idVendor="1546", product="u-blox GNSS receiver")
    plugged(tmp_path, "ttyACM1", idVendor="1546")
    plugged(tmp_path, "ttyUSB0", idVendor="067b", manufacturer="Prolific", product="USB-Serial Controller")
    plugged(tmp_path, "ttyUSB1", idVendor="10c4", product="GPS Mouse")
    plugged(tmp_path, "ttyUSB2", idVendor="0403", product="FT232R USB UART")
    plugged(tmp_path, "ttyUSB3", idVendor="2c7c", product="LTE Modem with gpstracker")
    (tmp_path / "dev/gps0").symlink_to("ttyUSB2")
    assert list_receivers(tmp_path, gpsd=lambda: None) == [
        FoundReceiver(
            f"{tmp_path}/dev/ttyACM0",
            "u-blox GNSS receiver",
            f"serial:{tmp_path}/dev/serial/by-id/usb-u-blox_GNSS-if00",
        ),
        FoundReceiver(f"{tmp_path}/dev/ttyACM1", "u-blox", f"serial:{tmp_path}/dev/ttyACM1"),
        FoundReceiver(f"{tmp_path}/dev/ttyUSB1", "GPS Mouse", f"serial:{tmp_path}/dev/ttyUSB1"),
        FoundReceiver(f"{tmp_path}/dev/ttyUSB2", "FT232R USB UART", f"serial:{tmp_path}/dev/ttyUSB2"),
    ]


def test_what_gpsd_reads_is_gpsds_and_the_kernels_class_is_no_line(tmp_path: Path) -> None:
    plugged(tmp_path, "ttyACM0", idVendor="1546")
    (tmp_path / "sys/class/gnss/gnss0").mkdir(parents=True)
    (tmp_path / "sys/class/gnss/gnss0/type").write_text("UBX\n")
    gpsd, line, kernel = list_receivers(tmp_path, gpsd=lambda: "3.25")
    assert (gpsd.what, gpsd.source, gpsd.problem) == ("gpsd 3.25", "gpsd://127.0.0.1:2947", "")
    assert line.problem == "gpsd runs, and may be reading it"
    assert (kernel.what, kernel.source) == ("receiver that speaks UBX", "")
    for one in (gpsd, line):
        assert parse(f'[gnss]\nsource = "{one.source}"\n', "a test").gnss.source == one.source


def test_nothing_is_there(tmp_path: Path) -> None:
    assert list_receivers(tmp_path, gpsd=lambda: None) == []


@pytest.mark.parametrize(
    ("greeting", "release"),
    [(GREETING, "3.25"), (b"SSH-2.0-OpenSSH\n", None), (b'{"class":"VERSION"}\n', None), (b"[1]\n", None), (b"", None)],
)
def test_who_answers_on_gpsds_port(greeting: bytes, release: str | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        assert gpsd_release(server.getsockname()[1]) == release
        thread.join()


def test_nobody_answers_on_gpsds_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert gpsd_release(port) is None
