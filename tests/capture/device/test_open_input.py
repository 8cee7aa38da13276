"""Opening devices: what is asked of a driver, and what is said when it is not there."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from bwvd.capture.address import parse_address
from bwvd.capture.device import open_input as module
from bwvd.capture.device.alsa import CONFIGURATION, in_use
from bwvd.capture.device.discovery import FoundDevice
from bwvd.capture.device.open_input import open_input
from bwvd.capture.source import DeviceLost, SourceRefused
from bwvd.cli.check import check_all
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES, Audio, Config, Keys, Video

WITHOUT_ALSA_VARIABLES = {name: value for name, value in os.environ.items() if not name.startswith("ALSA_")}


@dataclass
class Driver:
    """A V4L2 driver as libav shows it: which formats it has, and how fast each is. Stands in for `av.open`."""

    rates: dict[str, int]  # "" is what it gives unasked
    asked: list[str] = field(default_factory=list)
    open_count: int = 0

    def __call__(self, target: str, mode: str, format: str, options: dict[str, str]) -> Any:  # noqa: A002 - av.open's
        assert (mode, format) == ("r", "v4l2")
        pixel_format = options.get("input_format", "")
        self.asked.append(pixel_format)
        if pixel_format not in self.rates:
            raise av.error.ArgumentError(errno.EINVAL, "Invalid argument", target)
        self.open_count += 1
        return _Opened(self, self.rates[pixel_format])


class _Opened:
    def __init__(self, driver: Driver, rate: int) -> None:
        self.streams = self
        self.video = [self]
        self.average_rate = Fraction(rate)
        self._driver = driver

    def close(self) -> None:
        self._driver.open_count -= 1

    def demux(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize(
    ("rates", "video", "asked", "rate"),
    [
        ({"": 30, "mjpeg": 30}, Video(), [""], 30),
        ({"": 10, "mjpeg": 30}, Video(), ["", "mjpeg"], 30),
        ({"": 10, "mjpeg": 15}, Video(), ["", "mjpeg", ""], 10),
        ({"": 10}, Video(), ["", "mjpeg", ""], 10),
        ({"": 10, "yuyv422": 10}, Video(pixel_format="yuyv422"), ["yuyv422"], 10),
        ({"": 30, "h264": 30}, Video(encoder="copy"), ["h264"], 30),
    ],
)
def test_a_camera_is_asked_for_the_format_that_is_fast_enough(
    monkeypatch: pytest.MonkeyPatch, rates: dict[str, int], video: Video, asked: list[str], rate: int
) -> None:
    driver = Driver(rates)
    monkeypatch.setattr(av, "open", driver)
    opened = open_input(parse_address("v4l2:/dev/null", "video.source", VIDEO_SCHEMES), Config(video=video))
    assert driver.asked == asked
    assert opened.streams.video[0].average_rate == rate
    assert driver.open_count == 1


def test_a_size_that_the_camera_has_not_is_refused_with_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "open", Driver({}))
    address = parse_address("v4l2:/dev/null", "video.source", VIDEO_SCHEMES)
    with pytest.raises(SourceRefused, match=r"^video\.size, video\.rate or video\.pixel_format: v4l2:/dev/null does"):
        open_input(address, Config(video=Video(size="99x99")))


def test_absent_devices_are_lost_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is there instead: a camera in another port has another name."""
    camera = parse_address("v4l2:/dev/nosuchcamera", "video.source", VIDEO_SCHEMES)
    monkeypatch.setattr(module, "cameras", list)
    with pytest.raises(DeviceLost, match=r"^v4l2:/dev/nosuchcamera: no such device; there is no camera$"):
        open_input(camera, Config())
    there = [FoundDevice("camera", "/dev/video2", "USB Camera", "v4l2:/dev/v4l/by-id/x")]
    monkeypatch.setattr(module, "cameras", lambda: there)
    with pytest.raises(DeviceLost, match=r"no such device; there is v4l2:/dev/v4l/by-id/x \(USB Camera\)$"):
        open_input(camera, Config())
    microphone = parse_address("alsa:nosuchcard", "audio.source", AUDIO_SCHEMES)
    with pytest.raises(DeviceLost, match=r"^alsa:nosuchcard: [^\n]+$"):
        open_input(microphone, Config(audio=Audio(rate=16_000)))


def test_something_that_is_no_camera_is_no_camera(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.write_bytes(b"")
    with pytest.raises(DeviceLost, match=r"Inappropriate ioctl for device$"):
        open_input(parse_address(f"v4l2:{path}", "video.source", VIDEO_SCHEMES), Config())


def test_a_sound_card_is_opened_and_its_unix_time_understood(tmp_path: Path) -> None:
    """ALSA's null device: real libasound, in a process of its own because it reads its configuration once."""
    config = tmp_path / "asound.conf"
    config.write_text("pcm.silence { type null }\n")
    script = textwrap.dedent(
        """
        import time, trio
        from bwvd.capture.device.libav_source import open_microphone
        from bwvd.capture.source import AudioGate
        from bwvd.clock import SystemClock
        from bwvd.config.schema import Audio, Config
        from bwvd.messages import Batch

        async def main():
            gate = AudioGate()
            gate.open(0)
            events = []
            source = open_microphone(Config(audio=Audio(source="alsa:silence")), SystemClock(), gate)
            source.flush_on_cancel(True)
            began = time.monotonic_ns()
            with trio.move_on_after(0.7):
                await source.run(events.append)
            ended = time.monotonic_ns()
            batches = [event for event in events if isinstance(event, Batch)]
            assert type(events[0]).__name__ == "SourceUp", events
            assert batches and began - 10**8 < batches[0].start_ns, batches
            # The null device gives sound faster than time passes: what would lie in the future is left out.
            assert batches[-1].end_ns < ended + 400_000_000, (batches[-1].end_ns - ended)

        trio.run(main)
        """
    )
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(config)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path(CONFIGURATION).exists(), reason=f"no {CONFIGURATION}, where libasound's own devices are")
def test_the_systems_own_sound_devices_are_found() -> None:
    """The copy of libasound in PyAV's wheels looks for them where it was built, and knows none."""
    script = textwrap.dedent(
        """
        from bwvd.capture.address import parse_address
        from bwvd.capture.device.open_input import open_input
        from bwvd.config.schema import AUDIO_SCHEMES, Config

        open_input(parse_address("alsa:null", "audio.source", AUDIO_SCHEMES), Config()).container.close()
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=WITHOUT_ALSA_VARIABLES, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_whether_a_sound_card_is_held(tmp_path: Path) -> None:
    status = tmp_path / "card0/pcm1c/sub0/status"
    status.parent.mkdir(parents=True)
    status.write_text("closed\n")
    assert not in_use(tmp_path)
    status.write_text("state: RUNNING\nowner_pid   : 440\n")
    assert in_use(tmp_path)


def test_checking_opens_the_sound_card() -> None:
    config = Config(audio=Audio(source="alsa:nosuchcard"), keys=Keys(signing="/nonexistent"))
    (found,) = [finding for finding in check_all(config) if finding.area == "microphone"]
    assert not found.ok
    assert found.text.startswith("audio.source: alsa:nosuchcard")
