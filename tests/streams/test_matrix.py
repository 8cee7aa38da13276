"""Cameras as a stock RTSP server sends them: frames counted, in order, in their times, with their sound; a loss named.

Needs GStreamer's RTSP server and its Python bindings (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi,
gstreamer1.0-plugins-good, -bad, -ugly and gstreamer1.0-libav); skipped where they lack, failed where CI must have them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceRefused
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Audio, Config, Loop, Video
from bwvd.testing.picture import frame_number
from tests.streams.cells import SERVER, Cell, Order, cells
from tests.streams.received import Received, watch_clocks
from tests.support.capture_listen import Listener, decode_video

PYTHON = "/usr/bin/python3"
SHORT = 6  # quick cells: those that come first have the most pairs of values that no other has
BEFORE_S = 1.0  # of the stream that are there before anything is done to it
AFTER_CHANGE_S, GONE_S, TAIL_S = 1.2, 0.8, 1.8  # from a change to the loss, the loss, and what follows it
SLOW = 3  # times as long, of a camera of one frame a second
REFUSED_S = 15  # within so long a stream is named that can't be taken

WHOLE = [cell for cell in cells() if cell.form != "open groups" or cell.path == "encoded"]
QUICK = [cell for cell in WHOLE if cell.form != "1 a second"][:SHORT]
pytestmark = pytest.mark.streams


@pytest.fixture(scope="module", autouse=True)
def _stock() -> None:
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([PYTHON, "-c", asked], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("GStreamer's RTSP server is not installed")


async def said(process: trio.Process) -> str:
    """The next line that a server prints."""
    assert process.stdout is not None
    line = b""
    with trio.fail_after(30):
        while not line.endswith(b"\n"):
            more = await process.stdout.receive_some(1)
            assert more, "the server has ended"
            line += more
    return line.decode()


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    url: str
    process: trio.Process

    async def strike(self) -> range:
        """Let it do now what was ordered; the frames that are gone. None of them has been made yet."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(b"now\n")
        first, last = (await said(self.process)).split()
        return range(int(first), int(last))


@asynccontextmanager
async def served(order: Order) -> AsyncIterator[Served]:
    """A stock server that sends that."""
    process = await trio.lowlevel.open_process(
        [PYTHON, str(SERVER), order.text()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = (await said(process)).strip()
        yield Served(f"rtsp://127.0.0.1:{port}/live", process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def configured(url: str, cell: Cell, transport: str = "") -> Config:
    return Config(
        video=Video(
            source=url,
            encoder="copy" if cell.path == "copied" else "libx264",
            preset="" if cell.path == "copied" else "ultrafast",
            stamp=False,
            rtsp_transport=transport or cell.transport,  # type: ignore[arg-type]  # of TRANSPORTS
        ),
        audio=Audio(source="video" if cell.audio != "none" else ""),
        loop=Loop(seconds=30),
    )


def held_s(listener: Listener) -> float:
    """How much of the stream has come."""
    batches = listener.batches()
    return (batches[-1].end_ns - batches[0].start_ns) / NS if batches else 0.0


@asynccontextmanager
async def taking(config: Config, choice: EncoderChoice | None = None) -> AsyncIterator[Listener]:
    """What the server sends, as capture delivers it."""
    gate, listener = AudioGate(), Listener()
    gate.open(0)
    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_camera(config, SystemClock(), gate, choice).run, listener.send)
            yield listener
            nursery.cancel_scope.cancel()


async def taken(config: Config, seconds: float, choice: EncoderChoice | None = None) -> Listener:
    """So much of it."""
    async with taking(config, choice) as listener:
        await listener.wait(lambda: held_s(listener) >= seconds)
    return listener


@pytest.mark.parametrize(
    "cell",
    [pytest.param(cell, id=str(cell), marks=pytest.mark.short if cell in QUICK else ()) for cell in WHOLE],
)
async def test_each_frame_is_there_once_in_its_order_and_its_time_and_a_loss_is_named(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 4, of what a stock server sends.

    A machine without time for both delays server, network and us, by any amount: so nothing is done to a stream before
    it is here, and what is waited for is told by the frames' own numbers. How far late packets have moved the camera's
    clock is told by that clock.
    """
    clock = watch_clocks(monkeypatch)
    slower = SLOW if cell.form == "1 a second" else 1
    changes = cell.form == "change"
    after = cell.frame_at(AFTER_CHANGE_S) if changes else 1
    order = Order(cell, (after, max(cell.frame_at(GONE_S), 1)), loses=cell.transport == "udp", changes=changes)
    async with served(order) as server, taking(configured(server.url, cell)) as listener:
        await listener.wait(lambda: held_s(listener) >= BEFORE_S)
        gone = await server.strike()
        (begun_ns, frame), *_ = decode_video(listener.batches()[:1])
        until_ns = begun_ns + (gone.stop - frame_number(frame)) * cell.step_ns + TAIL_S * slower * NS
        await listener.wait(lambda: listener.batches()[-1].end_ns >= until_ns)
    received = Received.of(cell, listener, clock)
    received.check_order()
    received.check_missing(gone)
    if cell.transport == "udp" and cell.codec != "mjpeg":
        assert "packets_lost" in {gap.cause for gap in listener.gaps()}
    if cell.audio != "none":
        received.check_sound()
    if changes and cell.path == "copied":
        assert [(batch.track.width, batch.track.height) for batch in listener.batches()[-1:]] == [(384, 256)]


@pytest.mark.parametrize(("serves", "used"), [("udp", "udp"), ("both", "tcp")])
async def test_auto_is_tcp_and_udp_where_the_camera_takes_no_other(serves: str, used: str) -> None:
    """And again where it is opened again."""
    cell, choice = Cell("h264", "plain", "copied", "pcma", "udp"), EncoderChoice()
    async with served(Order(cell, transport=serves)) as server:
        for _ in range(2):
            listener = await taken(configured(server.url, cell, "auto"), 2, choice)
            assert choice.transport == used
            assert listener.gaps() == []


@pytest.mark.parametrize("codec", [pytest.param("h264", marks=pytest.mark.short), "hevc"])
async def test_open_groups_are_named(codec: str) -> None:
    """A recording that began at one of their key frames would lack the leading frames, which refer to the group before:
    it would not be exact, and it is said instead what to set."""
    cell = Cell(codec, "open groups", "copied", "pcma", "tcp")
    async with served(Order(cell)) as server:
        refused = pytest.RaisesExc(SourceRefused, match="its groups of pictures are open")
        with trio.fail_after(REFUSED_S), pytest.RaisesGroup(refused):
            await taken(configured(server.url, cell), 60)
