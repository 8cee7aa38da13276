"""Nothing of the loop is found anywhere: the camera shows a known clip, and the disks are searched for its samples."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import pytest

from tests.machine.installed import CONFIGURATION, LOOP_S, Installed
from tests.machine.results import Results

STANDBY_S = 600.0
RATE = 10
CLIP_FRAMES = 150
RUN_BYTES = 24  # a run of so many bytes of compressed pictures is not found by chance
PIECE_BYTES = 1 << 23
IN_STANDBY = "/run/bed-clip.h264"  # in RAM

CAMERA = CONFIGURATION.replace('"v4l2:/dev/bwvd/camera"', '"v4l2:/dev/video9"').replace(
    "bitrate = 400_000", 'encoder = "copy"\npixel_format = "h264"'
)


def _clip(path: Path, seed: int) -> None:
    """Noise, as a camera delivers H.264: start codes, the parameter sets before each key frame, no B-frames.

    Another seed makes another clip: what one test has recorded is still on the card when the next one looks.
    """
    graph = f"testsrc2=size=320x180:rate={RATE},noise=alls=30:allf=t:all_seed={seed}"
    with av.open(graph, "r", format="lavfi") as pictures, av.open(str(path), "w", format="h264") as camera:
        stream = camera.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 320, 180, "yuv420p", RATE
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "30"}
        for frame, _ in zip(pictures.decode(video=0), range(CLIP_FRAMES), strict=False):
            camera.mux(stream.encode(frame.reformat(format="yuv420p")))
        camera.mux(stream.encode(None))


def _runs(clip: Path) -> list[bytes]:
    """Out of every coded picture of the clip, three runs of bytes."""
    found = []
    with av.open(str(clip), "r") as container:
        for packet in container.demux(video=0):
            data = bytes(packet)
            if len(data) >= 4 * RUN_BYTES:
                found += [data[at : at + RUN_BYTES] for at in (len(data) // 4, len(data) // 2, len(data) - RUN_BYTES)]
    assert len(found) >= CLIP_FRAMES
    return found


def _pieces(disk: Path) -> Iterator[bytes]:
    """What was ever written to a disk, in pieces that overlap by a run; holes of its file are left out."""
    with disk.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:  # from here on there is nothing
                    return
                raise
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            while at < hole:
                yield os.pread(file.fileno(), min(PIECE_BYTES, hole - at) + RUN_BYTES - 1, at)
                at += min(PIECE_BYTES, hole - at)


def _found(runs: list[bytes], *disks: Path) -> int:
    """How many of the runs lie somewhere on the disks."""
    wanted = set(runs)
    for disk in disks:
        for piece in _pieces(disk):
            wanted -= {run for run in wanted if run in piece}
    return len(set(runs)) - len(wanted)


@contextmanager
def _known_camera(subject: Installed, clip: Path) -> Iterator[None]:
    machine = subject.machine
    machine.put(clip, to="/run")
    machine.sh(f"mv /run/{clip.name} {IN_STANDBY}; bed camera loop {IN_STANDBY} {RATE}")
    subject.configure(CAMERA)
    machine.sh("systemctl restart bwvd", limit_s=200)
    try:
        subject.standby()
        yield
    finally:
        if not machine.on:
            machine.start()
        subject.configure()
        machine.sh(f"systemctl restart bwvd; bed camera noloop; rm -f {IN_STANDBY}", limit_s=200)


@pytest.mark.parametrize(("end", "clip_seed"), [("cut", 1), ("stop", 2)], ids=["cut", "stop"])
def test_nothing_of_the_loop_is_written(
    end: str, clip_seed: int, standby: Installed, tmp_path: Path, results: Results
) -> None:
    """Invariant 1: not on the card, not on the system's disk (where swap, cores and logs would be); and after a press
    the same search finds it."""
    machine = standby.machine
    clip = tmp_path / "clip.h264"
    _clip(clip, clip_seed)
    runs = _runs(clip)
    disks = [machine.card.image, *machine.disks]
    with _known_camera(standby, clip):
        begun_s = time.monotonic()
        seen = standby.status()["video"]["frames"]
        while time.monotonic() < begun_s + STANDBY_S:
            time.sleep(5)
            assert standby.status()["state"] == "standby"
        passed = standby.status()["video"]["frames"] - seen
        assert passed > 10 * LOOP_S
        if end == "cut":
            machine.cut(keep_written=True)
        else:
            machine.stop()
        assert _found(runs, *disks) == 0, "what was not asked for was written down"
        # and now with a press
        machine.start()
        machine.put(clip, to="/run")
        machine.sh(f"mv /run/{clip.name} {IN_STANDBY}; bed camera loop {IN_STANDBY} {RATE}")
        machine.sh("systemctl restart bwvd", limit_s=200)
        standby.standby()
        assert standby.ask(cmd="press")["ok"]
        standby.until(lambda now: (now["recording"] or {}).get("segments", 0) > 3)
        standby.stop_recording()
        machine.stop()
        there = _found(runs, *disks)
        assert there > len(runs) // 2, "the search does not find what is there"
    results.add(
        f"{STANDBY_S:.0f} s of standby, then {end}",
        1,
        f"0 of {len(runs)} runs of bytes found; after a press {there}",
    )
