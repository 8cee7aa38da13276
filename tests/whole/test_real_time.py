"""The daemon in real time, on real files and libav: the seam, the latency of a press, the cost of standby."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import av
import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config
from bwvd.controls.pending_answer import PendingAnswer
from bwvd.daemon.daemon import Daemon, Parts
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.flash.posix import PosixStorage
from bwvd.evidence.format import records
from bwvd.evidence.startup.admission import open_storage
from bwvd.messages import Answer, Command, Order, Recorded
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import frame_number
from tests.support.desk import verify_recording
from tests.support.process import Process
from tests.support.rig import KEY, configuration

pytestmark = pytest.mark.slow

PRESSES = 10
LOOP_S = 2
RATE = 30
CLIP_FRAMES = 3000


def _numbers(folder: Path) -> list[int]:
    data = bytearray()
    for record in signed_records(folder):
        if isinstance(record, records.Open):
            data += base64.b64decode(record.init)
        if isinstance(record, records.Segment):
            data += (folder / record.file).read_bytes()
    with av.open(io.BytesIO(bytes(data)), "r") as container:
        return [frame_number(frame) for frame in container.decode(video=0)]


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[Daemon]:
    clock = SystemClock()
    volume = open_storage(config.storage.path, device=config.device.id)
    parts = Parts(
        clock=clock,
        boot="boot",
        storage=PosixStorage(volume),
        signer=KEY,
        sealer=None,
        camera=partial(open_camera, config, clock),
    )
    daemon = Daemon(config, parts)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(daemon.run)
            await daemon.camera_up.wait()
            yield daemon
            daemon.shut_down("test")
    finally:
        volume.close()


async def _order(daemon: Daemon, order: Order, *, confirmed: bool = False) -> Answer:
    pending = PendingAnswer()
    daemon.post(Command(order, "test", daemon.clock.monotonic_ns(), "", confirmed, pending.give))
    return await pending.wait()


@pytest.mark.parametrize("kind", ["copied file", "encoded lavfi"])
async def test_the_seam_in_real_time(kind: str, tmp_path: Path) -> None:
    """Invariants 3 and 4: no frame missing, doubled or reordered, and [loop, loop + 1 GOP] before each press."""
    clip = tmp_path / "clip.mp4"
    numbered_clip(clip, CLIP_FRAMES, rate=RATE, gop_s=0.4, b_frames=2 if kind == "copied file" else 0)
    source = f"file:{clip}?loop=1" if kind == "copied file" else f"lavfi:movie={clip}"
    (tmp_path / "evidence").mkdir()
    config = configuration(
        video={
            "source": source,
            "encoder": "copy" if kind == "copied file" else "libx264",
            "stamp": False,
            "keyframe_s": 0.4,
            "size": "64x48",
        },
        loop={"seconds": LOOP_S},
        recording={"post_roll_s": 0, "segment_s": 0.4},
        storage={"path": str(tmp_path / "evidence"), "reserve_bytes": 1 << 20},
    )
    chance = random.Random(kind)
    async with _running(config) as daemon:
        await trio.sleep(LOOP_S + 1)
        for _ in range(PRESSES):
            closed = daemon.hub.listen("test")
            await trio.sleep(chance.uniform(0.3, 1.3))
            assert (await _order(daemon, Order.PRESS)).ok
            await trio.sleep(chance.uniform(0.0, 0.8))
            await _order(daemon, Order.STOP, confirmed=True)
            async for event in closed:
                if isinstance(event, Recorded) and event.closed:
                    break
            closed.close()
    folders = sorted((tmp_path / "evidence" / "recordings").iterdir())
    assert len(folders) == PRESSES
    longest_gop_s = 0.4 + 2 / RATE
    for folder in folders:
        report = verify_recording(folder)
        assert report.verdict == "authentic", report.findings
        assert report.gaps == 0
        opening = next(iter(signed_records(folder)))
        assert isinstance(opening, records.Open)
        late_s = (opening.press.handled_mono_ns - opening.press.stamp.mono_ns) / NS
        assert LOOP_S - late_s <= opening.pre_event.got_s <= LOOP_S + longest_gop_s
        assert opening.pre_event.got_s >= LOOP_S or opening.pre_event.reason == "late_press"
        numbers = _numbers(folder)
        assert numbers == [(numbers[0] + i) % CLIP_FRAMES for i in range(report.frames)]


# --- a whole process -------------------------------------------------------------------------------------------------


SYNTHETIC = """\
[video]
source = "lavfi:testsrc2=size=1280x720:rate=30"
bitrate = 4_000_000
[loop]
seconds = {loop_s}
[recording]
post_roll_s = 0
"""


def test_standby_writes_nothing_and_holds_the_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invariant 1: ten seconds of standby put no byte into storage; memory is what opening took, and the loop."""
    with Process(tmp_path, SYNTHETIC.format(loop_s=10)) as bwvd:
        bwvd.wait_for_loop(1)
        opened_kb = bwvd.proc("status")["VmRSS"]
        bwvd.wait_for_loop(9.5)
        # The last look of the socket is behind us; from here nobody asks anything.
        # A process that forbids dumps shows its /proc/PID/io to root alone.
        before = bwvd.proc("io") if os.geteuid() == 0 else {}
        files = {path: path.stat().st_mtime_ns for path in (tmp_path / "evidence").rglob("*")}
        time.sleep(10)
        after = bwvd.proc("io") if os.geteuid() == 0 else {}
        assert after.get("write_bytes", 0) - before.get("write_bytes", 0) == 0
        assert {path: path.stat().st_mtime_ns for path in (tmp_path / "evidence").rglob("*")} == files
        loop = bwvd.status()["loop"]
        assert isinstance(loop, dict)
        now_kb = bwvd.proc("status")["VmRSS"]
        written = after.get("wchar", 0) - before.get("wchar", 0)
        allowed_kb = 1.25 * (opened_kb + loop["bytes"] / 1024)
        with capsys.disabled():
            print(
                f"\nstandby: RSS {now_kb} kB of {allowed_kb:.0f} allowed, {after['wchar'] - before['wchar']} B written"
            )
        assert now_kb <= allowed_kb
        # What is written at all wakes trio's threads: eight bytes a time into an eventfd or a socket pair, no media.
        assert written < 4096


def test_a_press_is_on_flash_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invariant 6: the first segment is committed within 100 ms of a press, the whole loop within a second."""
    first_ms: list[float] = []
    whole_ms: list[float] = []
    with Process(tmp_path, SYNTHETIC.format(loop_s=30)) as bwvd:
        bwvd.wait_for_loop(29.5, limit_s=90)
        for _ in range(5):
            pressed = time.monotonic()
            assert bwvd.ask(cmd="press")["ok"]
            while not (recording := bwvd.status()["recording"]) or recording["committed_s"] < 29:
                assert time.monotonic() - pressed < 20
            whole_ms.append((time.monotonic() - pressed) * 1000)
            bwvd.ask(cmd="stop")
            while bwvd.status()["recording"]:
                time.sleep(0.05)
        storage = bwvd.status()["storage"]
        assert isinstance(storage, dict)
        first_ms = [storage["press_to_commit_ms"]["p50"], storage["press_to_commit_ms"]["p99"]]
    with capsys.disabled():
        print(f"\npress to first commit: p50 {first_ms[0]} ms, p99 {first_ms[1]} ms")
        print(f"press to the whole loop on flash: p50 {statistics.median(whole_ms):.0f} ms, max {max(whole_ms):.0f} ms")
    assert first_ms[0] <= 100
    assert statistics.median(whole_ms) <= 1000


def test_start_to_loop_turning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the start of the process to a turning loop: imports, keys, storage, journal, camera.

    The first GOP is whole after a second of its own: that second is the camera's, not ours. The best of three, because
    a shared machine may be busy with something else.
    """
    began_s = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Process(folder, SYNTHETIC.format(loop_s=10)) as bwvd:
            began_s.append(bwvd.wait_for_loop(0.5) - 1.0)
        if began_s[-1] <= 1.5:
            break
    with capsys.disabled():
        print(f"\nstart to loop turning: {min(began_s):.2f} s, and the first GOP's own second")
    assert min(began_s) <= 1.5


def test_what_it_logs_is_json_without_media(tmp_path: Path) -> None:
    """Invariant 1: no log line holds media; each is one JSON object with a stable event name."""
    with Process(tmp_path, SYNTHETIC.format(loop_s=5)) as bwvd:
        bwvd.wait_for_loop(3)
        bwvd.ask(cmd="record")
        time.sleep(1)
    for line in (tmp_path / "log").read_text().splitlines():
        entry = json.loads(line)
        assert entry["event"].replace("_", "").isalnum()
        assert len(line) < 1000
    assert (tmp_path / "log").stat().st_size < 20_000
