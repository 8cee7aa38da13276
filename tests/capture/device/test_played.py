"""The pace of what is played: how late its batches come, on a clock that moves only where somebody waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bwvd.capture.address import parse_address
from bwvd.capture.device.demux import Job, Reading
from bwvd.capture.device.device_thread import ThreadChannel
from bwvd.capture.source import AudioGate
from bwvd.capture.video.encoder_choice import EncoderCall, EncoderChoice
from bwvd.clock import NS
from bwvd.config.schema import AUDIO_SCHEMES, VIDEO_SCHEMES, Audio, Config, Video
from bwvd.media.samples import Batch, Kind
from bwvd.recorder.gop_builder import AUDIO_WAIT_NS
from bwvd.testing.clip import numbered_clip
from bwvd.testing.clock import VirtualClock

MARGIN_NS = NS // 20  # for what a machine with little to spare adds
SOUND = "anoisesrc=amplitude=0.1:sample_rate=48000:duration=6"


class Patience(ThreadChannel):
    """The channel of a thread that never sleeps: where it would, time passes. What crosses is kept, with its time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.clock = VirtualClock(seconds=lambda: self.now_s)
        self.came: list[tuple[int, Batch]] = []
        super().__init__(self.clock, lambda _: None)
        self.begin()

    def wait_until(self, due_ns: int) -> None:
        self.now_s += max(0, due_ns - self.clock.monotonic_ns()) / NS

    def hop(self) -> None:
        now_ns = self.clock.monotonic_ns()
        self.came += [(now_ns, event) for event in self.take_waiting() if isinstance(event, Batch)]


def _played(kinds: tuple[Kind, ...], config: Config) -> dict[Kind, list[tuple[int, Batch]]]:
    """Play a source to its end; returns when each batch came, in ns."""
    channel, gate = Patience(), AudioGate()
    gate.open(0)
    key, text, schemes = ("video.source", config.video.source, VIDEO_SCHEMES)
    if "video" not in kinds:
        key, text, schemes = ("audio.source", config.audio.source, AUDIO_SCHEMES)
    job = Job(
        address=parse_address(text, key, schemes),
        config=config,
        clock=channel.clock,
        gate=gate,
        kinds=kinds,
        flush=lambda: True,
        choice=EncoderChoice(),
        call=EncoderCall(),
    )
    Reading(job, channel).run()
    return {kind: [one for one in channel.came if one[1].track.kind == kind] for kind in kinds}


def test_audio_of_its_own_source_is_in_time_for_the_gops_of_a_camera() -> None:
    """Invariant 4: a GOP that comes at its very end waits for its audio, and not in vain."""
    batches = _played(("audio",), Config(audio=Audio(source=f"lavfi:{SOUND}")))["audio"]
    assert len(batches) > 15
    until_ns = batches[0][1].start_ns
    for came_ns, batch in batches[:-1]:
        assert came_ns - until_ns < AUDIO_WAIT_NS - MARGIN_NS, "so far it went while it was waited for"
        until_ns = batch.end_ns


@pytest.mark.parametrize("rate", [25, 30, 50])
def test_audio_of_a_file_is_in_time_for_its_gops(tmp_path: Path, rate: int) -> None:
    """Invariant 4: both come of one reading, a piece at a time."""
    clip = tmp_path / "clip.mkv"
    numbered_clip(clip, 6 * rate, rate=rate, gop_s=0.5, audio=True)
    config = Config(video=Video(source=f"file:{clip}", encoder="copy"), audio=Audio(source="video"))
    found = _played(("video", "audio"), config)
    assert len(found["video"]) >= 12
    for came_ns, gop in found["video"][:-1]:
        heard_ns = next(at_ns for at_ns, batch in found["audio"] if batch.end_ns >= gop.end_ns)
        assert heard_ns - came_ns < AUDIO_WAIT_NS - MARGIN_NS


def test_a_gop_comes_soon_after_its_end(tmp_path: Path) -> None:
    """Invariant 5: what a press finds missing in the loop is what the camera is making, and a fifth of a second."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, 180, rate=30, gop_s=0.5)
    batches = _played(("video",), Config(video=Video(source=f"file:{clip}", encoder="copy")))["video"]
    assert len(batches) == 12
    assert all(-NS // 1000 <= came_ns - batch.end_ns <= NS // 4 for came_ns, batch in batches)
    assert all(batch.end_ns <= came_ns for came_ns, batch in batches[:-1]), "nothing is played before its time"
