"""A camera that opens and does not deliver what was asked for: found within the time that the daemon gives it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from bwvd.cli.probe import camera_trial
from bwvd.media.samples import Batch, Kind, Sample, Track
from bwvd.messages import MediaEvent, SourceUp
from tests.support.rig import configuration

VIDEO = Track("video", "h264", 90_000, b"", "rtsp://camera/", "copy", width=1280, height=720, rate=30.0)
AUDIO = Track("audio", "aac", 48_000, b"", "rtsp://camera/", "copy", rate=48_000.0, channels=1)
TRACKS: dict[Kind, Track] = {"video": VIDEO, "audio": AUDIO}


class Camera:
    """Opens, gives a batch of each of `kinds`, and then nothing more."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self._kinds = kinds

    async def run(self, take: Callable[[MediaEvent], None]) -> None:
        await trio.lowlevel.checkpoint()
        take(SourceUp("camera", VIDEO))
        for kind in self._kinds:
            take(Batch(TRACKS[kind], (Sample(0, 8, 0, 0, 1, True),), bytearray(8)))
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("sound", "given", "missing"),
    [
        ("", ("video",), ""),
        ("", (), "video"),
        ("video", ("video", "audio"), ""),
        ("video", ("video",), "audio"),
        ("video", (), "audio and video"),
    ],
)
async def test_what_a_camera_must_give(
    sound: str,
    given: tuple[Kind, ...],
    missing: str,
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bwvd.cli.probe.open_camera", lambda *_: Camera(given))
    config = configuration(video={"source": "rtsp://camera/"}, audio={"source": sound})
    found = await camera_trial(config, "rtsp://camera/")()
    assert [one.ok for one in found] == [not missing]
    if missing:
        assert f"gave no {missing} within" in found[0].text
