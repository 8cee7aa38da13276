"""Cameras as a stock RTSP server sends them: frames counted, in order, in their times, with their sound; a loss named.

Needs GStreamer's RTSP server and its Python bindings (Debian: gir1.2-gst-rtsp-server-1.0, python3-gi,
gstreamer1.0-plugins-good, -bad, -ugly and gstreamer1.0-libav); skipped where they lack, failed where CI must have them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.capture.source import AudioGate, SourceRefused
from bwvd.capture.video.encoder_choice import EncoderChoice
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Audio, Config, Loop, Video
from tests.streams.cells import SERVER, Cell, Order, cells
from tests.streams.received import Received
from tests.support.capture_listen import Listener

PYTHON = "/usr/bin/python3"
SHORT = 6  # quick cells: those that come first have the most pairs of values that no other has
CHANGE_S, HOLE_S, HOLE_FOR_S, END_S = 2.0, 3.2, 0.8, 5.8  # after the camera began
SLOW = 3  # times as long, of a camera of one frame a second
TRIES = 3  # of a cell: a machine that has no time for server and camera delays both, and their frames
REFUSED_S = 15  # within so long a stream is named that can't be taken

WHOLE = [cell for cell in cells() if cell.form != "open groups" or cell.path == "encoded"]
QUICK = [cell for cell in WHOLE if cell.form != "1 a second"][:SHORT]
pytestmark = pytest.mark.streams


@pytest.fixture(scope="module", autouse=True)
def _stock() -> None:
    asked = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    if subprocess.run([PYTHON, "-c", asked], check=False, capture_output=True).returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("GStreamer's RTSP server is not installed")


@asynccontextmanager
async def served(order: Order) -> AsyncIterator[str]:
    """The address at which a stock server sends that."""
    process = await trio.lowlevel.open_process(
        [PYTHON, str(SERVER), order.text()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        with trio.fail_after(30):
            port = (await process.stdout.receive_some(32)).decode().strip()
        yield f"rtsp://127.0.0.1:{port}/live"
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


async def taken(config: Config, seconds: float, choice: EncoderChoice | None = None) -> Listener:
    """So much of what the server sends, as capture delivers it."""
    gate, listener = AudioGate(), Listener()
    gate.open(0)

    def held_s() -> float:
        batches = listener.batches()
        return (batches[-1].end_ns - batches[0].start_ns) / NS if batches else 0.0

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_camera(config, SystemClock(), gate, choice).run, listener.send)
            await listener.wait(lambda: held_s() >= seconds)
            nursery.cancel_scope.cancel()
    return listener


@pytest.mark.parametrize(
    "cell",
    [pytest.param(cell, id=str(cell), marks=pytest.mark.short if cell in QUICK else ()) for cell in WHOLE],
)
async def test_each_frame_is_there_once_in_its_order_and_its_time_and_a_loss_is_named(cell: Cell) -> None:
    """Invariant 4, of what a stock server sends."""
    for left in reversed(range(TRIES)):
        try:
            await look_at(cell)
        except AssertionError:
            if not left:
                raise
        else:
            return


async def look_at(cell: Cell) -> None:
    """Take so much of a cell that its change and its loss are in it, and judge it."""
    slower = SLOW if cell.form == "1 a second" else 1
    begin = cell.frame_at(HOLE_S * slower)
    gone = (begin, begin + max(cell.frame_at(HOLE_FOR_S), 1))
    order = Order(
        cell,
        hole=gone if cell.transport == "tcp" else (0, 0),
        lost=gone if cell.transport == "udp" else (0, 0),
        change=cell.frame_at(CHANGE_S) if cell.form == "change" else 0,
    )
    async with served(order) as url:
        listener = await taken(configured(url, cell), END_S * slower)
    received = Received.of(cell, listener)
    received.check_order()
    received.check_missing(range(*gone))
    if cell.transport == "udp" and cell.codec != "mjpeg":
        assert "packets_lost" in {gap.cause for gap in listener.gaps()}
    if cell.audio != "none":
        received.check_sound()
    if cell.form == "change" and cell.path == "copied":
        assert [(batch.track.width, batch.track.height) for batch in listener.batches()[-1:]] == [(384, 256)]


@pytest.mark.parametrize(("serves", "used"), [("udp", "udp"), ("both", "tcp")])
async def test_auto_is_tcp_and_udp_where_the_camera_takes_no_other(serves: str, used: str) -> None:
    """And again where it is opened again."""
    cell, choice = Cell("h264", "plain", "copied", "pcma", "udp"), EncoderChoice()
    async with served(Order(cell, transport=serves)) as url:
        for _ in range(2):
            listener = await taken(configured(url, cell, "auto"), 2, choice)
            assert choice.transport == used
            assert listener.gaps() == []


@pytest.mark.parametrize("codec", [pytest.param("h264", marks=pytest.mark.short), "hevc"])
async def test_open_groups_are_named(codec: str) -> None:
    """A recording that began at one of their key frames would lack the leading frames, which refer to the group before:
    it would not be exact, and it is said instead what to set."""
    cell = Cell(codec, "open groups", "copied", "pcma", "tcp")
    async with served(Order(cell)) as url:
        refused = pytest.RaisesExc(SourceRefused, match="its groups of pictures are open")
        with trio.fail_after(REFUSED_S), pytest.RaisesGroup(refused):
            await taken(configured(url, cell), 60)
