"""Cameras as a stock RTSP server sends them: frames counted, in order, in their times, and a loss named.

Needs GStreamer's RTSP server and its Python bindings (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi,
gstreamer1.0-plugins-good, -bad, -ugly and gstreamer1.0-libav); skipped where they lack, failed where CI must have them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Audio, Config, Loop, Video
from tests.support.capture_listen import Listener, decode_video

PYTHON = "/usr/bin/python3"
SECONDS = 4
X264 = "x264enc threads=1 bitrate=300 speed-preset=ultrafast"
X265 = "x265enc bitrate=300 speed-preset=ultrafast option-string=pools=none:frame-threads=1"

AUDIO = {
    "none": "",
    "aac": "audio/x-raw,rate=48000,channels=2 ! voaacenc ! rtpmp4gpay name=pay1 pt=97",
    "pcma": "audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1",
    "opus": "audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay name=pay1 pt=97",
}


@dataclass(frozen=True)
class Sent:
    """What the server sends."""

    coded: str  # from raw frames to RTP
    rate: str = "15/1"
    encoder: str = "copy"

    def launch(self, audio: str) -> str:
        video = "videotestsrc is-live=true pattern=ball ! valve name=hole drop-mode=forward-sticky-events ! "
        video += f"video/x-raw,format=I420,width=320,height=240,framerate={self.rate} ! {self.coded}"
        sound = f" audiotestsrc is-live=true ! {AUDIO[audio]}" if AUDIO[audio] else ""
        return f"( {video}{sound} )"

    @property
    def step_ns(self) -> float:
        over, under = self.rate.split("/")
        return NS * int(under) / int(over)


H264 = f"{X264} tune=zerolatency key-int-max=15 ! rtph264pay name=pay0 pt=96"
SLICES = f"{X264} tune=zerolatency key-int-max=15 option-string=slices=4"
SLICES += " ! rtph264pay name=pay0 pt=96 config-interval=-1"  # parameter sets before each slice of a key frame
KINDS = {
    "h264": Sent(H264),
    "h264 encoded": Sent(H264, encoder="libx264"),
    "hevc": Sent(f"{X265} tune=zerolatency key-int-max=15 ! rtph265pay name=pay0 pt=96"),
    "mjpeg": Sent("jpegenc ! rtpjpegpay name=pay0", encoder="libx264"),
    "b-frames": Sent(
        f"{X264} bframes=3 b-adapt=false rc-lookahead=5 key-int-max=15 ! video/x-h264,profile=main"
        " ! rtph264pay name=pay0 pt=96"
    ),
    "slices": Sent(SLICES),
    "slices encoded": Sent(SLICES, encoder="libx264"),
    "1 a second": Sent(f"{X264} tune=zerolatency key-int-max=1 ! rtph264pay name=pay0 pt=96", rate="1/1"),
    "59.94 a second": Sent(f"{X264} tune=zerolatency key-int-max=60 ! rtph264pay name=pay0 pt=96", rate="60000/1001"),
}
SHORT = {("h264", "pcma"), ("b-frames", "none"), ("slices", "none"), ("mjpeg", "aac")}
TOGETHER = [
    pytest.param(kind, audio, marks=pytest.mark.short if (kind, audio) in SHORT else ())
    for kind in KINDS
    for audio in AUDIO
    if audio == "none" or kind in ("h264", "hevc", "mjpeg") or (kind, audio) in SHORT
]

pytestmark = pytest.mark.streams


@pytest.fixture(scope="module", autouse=True)
def _stock() -> None:
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([PYTHON, "-c", asked], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("GStreamer's RTSP server is not installed")


@asynccontextmanager
async def served(launch: str) -> AsyncIterator[str]:
    """The address at which a stock server sends that."""
    server = Path(__file__).with_name("rtsp_server.py")
    process = await trio.lowlevel.open_process(
        [PYTHON, str(server), launch], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            port = (await process.stdout.receive_some(32)).decode().strip()
        yield f"rtsp://127.0.0.1:{port}/live"
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def taken(url: str, sent: Sent, audio: str, seconds: float) -> Listener:
    """So much of what the server sends, as capture delivers it."""
    gate, listener = AudioGate(), Listener()
    gate.open(0)
    config = Config(
        video=Video(source=url, encoder=sent.encoder, stamp=False),
        audio=Audio(source="video" if audio != "none" else ""),
        loop=Loop(seconds=30),
    )

    def held_s() -> float:
        samples = [sample for batch in listener.batches() for sample in batch.samples]
        return (samples[-1].dts_ns - samples[0].dts_ns) / NS if samples else 0.0

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_camera(config, SystemClock(), gate).run, listener.send)
            await listener.wait(lambda: held_s() >= seconds)
            nursery.cancel_scope.cancel()
    return listener


@pytest.mark.parametrize(("kind", "audio"), TOGETHER)
async def test_each_frame_is_there_once_in_its_order_and_its_time(kind: str, audio: str) -> None:
    """Invariant 4, of what a stock server sends."""
    sent = KINDS[kind]
    async with served(sent.launch(audio).replace("valve name=hole", "valve")) as url:
        listener = await taken(url, sent, audio, SECONDS)
    batches = listener.batches()
    samples = sorted((sample for batch in batches for sample in batch.samples), key=lambda sample: sample.pts_ns)
    steps = [after.pts_ns - before.pts_ns for before, after in pairwise(samples)]
    assert median(steps) == pytest.approx(sent.step_ns, abs=NS / 1_000)
    assert max(steps) < 1.5 * sent.step_ns, "none is missing"
    assert min(steps) > 0.5 * sent.step_ns, "and none is there twice"
    assert len(decode_video(batches)) == len(samples), "each is a whole frame"
    assert listener.gaps() == []
    if audio != "none":
        heard = listener.batches("audio")
        assert heard[-1].end_ns - heard[0].start_ns > (SECONDS - 1.5) * NS


@pytest.mark.short
async def test_a_loss_is_named() -> None:
    """Invariant 4: the server leaves out 0.7 s."""
    sent = KINDS["h264"]
    async with served(sent.launch("none")) as url:
        listener = await taken(url, sent, "none", 8)
    samples = [sample for batch in listener.batches() for sample in batch.samples]
    ((before, after),) = [(a, b) for a, b in pairwise(samples) if b.pts_ns - a.pts_ns > 3 * sent.step_ns]
    (gap,) = [gap for gap in listener.gaps() if gap.frames > 3]
    assert gap.kind == "video"
    assert gap.from_ns == pytest.approx(before.pts_ns + sent.step_ns, abs=NS / 50)
    assert gap.to_ns == after.pts_ns
    assert gap.frames == pytest.approx((after.pts_ns - before.pts_ns) / sent.step_ns - 1, abs=1)
