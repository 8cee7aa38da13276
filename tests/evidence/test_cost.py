"""What hashing, signing and sealing cost, and that none of it holds up trio's thread."""

from __future__ import annotations

import gc
import hashlib
import os
import statistics
import time
from functools import partial
from pathlib import Path

import pyrage
import pytest
import trio

from bwvd.capture.device.libav_source import open_camera
from bwvd.clock import SystemClock
from bwvd.evidence.flash.posix import PosixStorage, PosixVolume
from bwvd.evidence.format.chain import MANIFEST_NAMESPACE, Chain
from bwvd.evidence.format.records import Segment, Stamp
from bwvd.evidence.keys.age import AgeSealer
from bwvd.messages import Order
from tests.support.rig import KEY, Rig, configuration

SECOND_BYTES = 500_000  # one second at 4 Mbit/s
ALLOWED_CORE = 0.01
ALLOWED_STEP_MS = 5.0


def _sealer() -> AgeSealer:
    return AgeSealer([str(pyrage.x25519.Identity.generate().to_public()) for _ in range(2)])


def test_evidence_costs_less_than_a_hundredth_of_a_core(capsys: pytest.CaptureFixture[str]) -> None:
    """CPU seconds of hashing twice, sealing to two recipients and signing, for each second of 4 Mbit/s."""
    sealer = _sealer()
    chain = Chain(KEY, MANIFEST_NAMESPACE)
    stamp = Stamp(mono_ns=0, utc="2026-11-22T07:15:03.250Z", quality="synchronised")
    costs = []
    for number in range(1, 61):
        plain = os.urandom(SECOND_BYTES)
        begun = time.process_time()
        plain_sha256 = hashlib.sha256(plain).hexdigest()
        stored = sealer.seal(plain)
        sha256 = hashlib.sha256(stored).hexdigest()
        chain.line(
            Segment(
                n=chain.n,
                segment=number,
                file=f"{number:06d}.m4s.age",
                bytes=len(stored),
                sha256=sha256,
                plain_bytes=len(plain),
                plain_sha256=plain_sha256,
                epoch=1,
                pts_ns=0,
                duration_ns=1_000_000_000,
                frames=30,
                audio_frames=47,
                gops=1,
                stamp=stamp,
            )
        )
        costs.append(time.process_time() - begun)
    typical = statistics.median(costs)
    with capsys.disabled():
        print(f"\nhash, seal, sign: {typical:.2%} of a core at 4 Mbit/s (median of {len(costs)})")
    assert typical <= ALLOWED_CORE


class _Steps(trio.abc.Instrument):
    """The CPU time of every step that a task takes on trio's thread."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.task = ""
        self._begun: float | None = None  # None: inside the step that began the measuring

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  trio's signature
        self._begun = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._begun is None:
            return
        took_ms = (time.thread_time() - self._begun) * 1000
        if took_ms > self.longest_ms:
            self.longest_ms, self.task = took_ms, task.name


@pytest.mark.slow
async def test_no_step_on_trios_thread_is_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A press with ten seconds in the loop, sealed and signed: muxing, hashing and sealing are elsewhere."""
    clock = SystemClock()
    (tmp_path / "evidence").mkdir()
    volume = PosixVolume(tmp_path / "evidence")
    config = configuration(
        video={"source": "lavfi:testsrc2=size=1280x720:rate=30", "encoder": "libx264"},
        loop={"seconds": 10},
        recording={"post_roll_s": 0},
        storage={"reserve_bytes": 1 << 20},
    )
    rig = Rig(config=config, clock=clock, volume=volume, storage=PosixStorage(volume), sealer=_sealer())
    rig.open_camera = partial(open_camera, config, clock)
    steps = _Steps()
    async with rig.running() as daemon:
        await daemon.camera_up.wait()
        await trio.sleep(11)
        # What the whole test session has left in memory is not this daemon's to collect.
        gc.collect()
        gc.freeze()
        trio.lowlevel.add_instrument(steps)
        assert (await rig.order(Order.PRESS)).ok
        await trio.sleep(3)
        await rig.stop()
        await rig.wait_for(lambda: daemon.recorder.current is None and daemon.writer.idle)
        trio.lowlevel.remove_instrument(steps)
        gc.unfreeze()
    volume.close()
    with capsys.disabled():
        print(f"\nlongest step on trio's thread: {steps.longest_ms:.2f} ms of CPU ({steps.task})")
    assert steps.longest_ms <= ALLOWED_STEP_MS
