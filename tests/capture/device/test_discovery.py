"""What is plugged in, read from trees as the kernel makes them, and from a machine that has nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.capture.address import parse_address
from bwvd.capture.device.discovery import FoundDevice, cameras, microphones
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Two cameras with a metadata node, one of them with stable links, and two sound cards."""
    for node, name in (("video0", "UVC Camera"), ("video1", "UVC Camera"), ("video10", "bcm2835-codec")):
        folder = tmp_path / "sys/class/video4linux" / node
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
    dev = tmp_path / "dev"
    (dev / "v4l/by-id").mkdir(parents=True)
    (dev / "v4l/by-path").mkdir(parents=True)
    (dev / "v4l/by-id/usb-Cam_0001-video-index0").symlink_to("../../video0")
    (dev / "v4l/by-path/platform-usb-0:1:1.0-video-index0").symlink_to("../../video0")
    for node in ("video0", "video1", "video10"):
        (dev / node).write_bytes(b"")
    asound = tmp_path / "proc/asound"
    for card, name in ((0, "vc4hdmi"), (1, "Device")):
        (asound / f"card{card}").mkdir(parents=True)
        (asound / f"card{card}/id").write_text(f"{name}\n")
    (asound / "pcm").write_text(
        "00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1\n"
        "01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
        "garbage\n"
    )
    return tmp_path


def test_a_machine_without_anything_has_an_empty_list(tmp_path: Path) -> None:
    assert cameras(tmp_path) == []
    assert microphones(tmp_path) == []


def test_microphones_are_named_by_their_card(machine: Path) -> None:
    assert microphones(machine) == [
        FoundDevice("microphone", "hw:1,0", "USB Audio", "alsa:plughw:CARD=Device,DEV=0"),
    ]


def test_cameras_are_those_that_capture_by_the_link_that_stays(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel is asked what a node can do; its answer is played here, byte for byte as VIDIOC_QUERYCAP gives it."""
    capture, metadata, codec = 0x04200001, 0x04A00000, 0x04208000

    def queried(handle: int, request: int, room: bytes) -> bytes:
        assert request == 0x80685600
        assert len(room) == 104
        node = Path(f"/proc/self/fd/{handle}").readlink().name
        of_node = {"video0": capture, "video1": metadata, "video10": codec}[node]
        head = b"uvcvideo".ljust(16, b"\0") + b"UVC Camera".ljust(32, b"\0") + b"usb".ljust(32, b"\0")
        return head + b"".join(n.to_bytes(4, "little") for n in (0, capture | metadata | 0x80000000, of_node, 0, 0, 0))

    monkeypatch.setattr("bwvd.capture.device.discovery.fcntl.ioctl", queried)
    found = cameras(machine)
    assert found == [
        FoundDevice("camera", "/dev/video0", "UVC Camera", "v4l2:/dev/v4l/by-id/usb-Cam_0001-video-index0"),
    ]


def test_a_node_that_is_no_camera_is_left_out(machine: Path) -> None:
    """Ordinary files answer no ioctl."""
    assert cameras(machine) == []


def test_what_is_listed_can_be_configured(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bwvd.capture.device.discovery._gives_frames", lambda _: (True, "Permission denied"))
    for found in cameras(machine):
        assert parse_address(found.source, "video.source", VIDEO_SCHEMES).target.startswith("/dev/")
        assert found.note == "Permission denied"
    for found in microphones(machine):
        assert parse_address(found.source, "audio.source", AUDIO_SCHEMES).target.startswith("plughw:")


def test_the_machine_this_runs_on_can_be_listed() -> None:
    assert all(found.device == "camera" for found in cameras())
    assert all(found.device == "microphone" for found in microphones())
