"""A ribbon camera through rpicam-vid: a verified fake of it, as a real process with real FIFOs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio

from bwvd.capture.device.libav_source import LibavSource, open_camera
from bwvd.capture.device.supervisor import run_source
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Loop, Rpicam, Video
from bwvd.media.samples import Batch
from bwvd.messages import MediaEvent, SourceDown
from bwvd.testing.rpicam_vid import LATE_S, Board, script
from tests.capture.program.test_exec import ignore
from tests.support.capture_listen import Listener, numbers
from tests.support.children import gone, processes
from tests.support.source_tree import ROOT

RATE, GOP = 50, 10


def camera(
    folder: Path,
    board: Board,
    *,
    encoder: str = "copy",
    target: str = "0",
    options: tuple[str, ...] = (),
    size: str = "64x48",
) -> LibavSource:
    video = Video(source=f"rpicam:{target}", size=size, encoder=encoder, rate=RATE, keyframe_s=GOP / RATE, stamp=False)
    rpicam = Rpicam(program=script(folder, board), options=list(options))
    return open_camera(Config(video=video, rpicam=rpicam, loop=Loop(seconds=5)), SystemClock(), AudioGate())


def left_in(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208  names are enough


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit's folder for what lives as long as the daemon."""
    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(path))
    return path


@pytest.mark.parametrize(
    ("platform", "encoder"),
    [("vc4", "copy"), ("pisp", "copy"), ("vc4", "libx264"), ("pisp", "auto")],
)
async def test_every_frame_has_the_time_at_which_the_sensor_began_it(
    platform: str, encoder: str, tmp_path: Path, runtime: Path
) -> None:
    """Invariants 4 and 9: no number is missing, and the times are the kernel's own, without the jitter of a pipe."""
    listener = Listener()
    began_ns = time.monotonic_ns()
    await listener.run(camera(tmp_path, Board(platform), encoder=encoder), 6)
    ended_ns = time.monotonic_ns()
    found = numbers(listener.batches())
    assert found == list(range(len(found)))
    assert listener.gaps() == []
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    assert began_ns < times[0] < times[-1] < ended_ns
    # Whole ticks of 1/90000 s, in which an encoder of ours counts, are the only difference.
    for before, after in pairwise(times):
        assert after - before == pytest.approx(NS / RATE, abs=12_000)
    track = listener.batches()[0].track
    assert (track.width, track.height, track.source) == (64, 48, "rpicam:0")
    assert track.encoder == ("copy" if encoder == "copy" else track.encoder)
    assert left_in(runtime) == []


async def test_a_frame_does_not_wait_for_the_next_one(tmp_path: Path) -> None:
    """What tells a frame's end is its metadata: a parser of H.264 alone would be late by the time of a frame."""
    come: list[int] = []
    listener = Listener()

    def send(event: MediaEvent) -> None:
        if isinstance(event, Batch):
            come.append(time.monotonic_ns() - event.samples[-1].dts_ns)
        listener.send(event)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera(tmp_path, Board()).run, send)
        with trio.fail_after(20):
            await listener.wait_batches(12)
        nursery.cancel_scope.cancel()
    # A group is sent with the next one's key frame: one frame later, read out and encoded.
    assert min(come) < (2 * NS / RATE + LATE_S * NS) + NS / RATE / 2


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_a_frame_that_the_sensor_lost_is_named(encoder: str, tmp_path: Path) -> None:
    """Invariant 4: the kernel's times show it."""
    listener = Listener()
    await listener.run(camera(tmp_path, Board(fault="dropped", at=24, count=2), encoder=encoder), 6)
    (gap,) = listener.gaps()
    assert (gap.cause, gap.frames) == ("dropped_by_device", 2)
    assert gap.to_ns - gap.from_ns == pytest.approx(2 * NS / RATE, abs=NS / 500)


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
async def test_a_frame_without_a_time_is_named_and_moves_no_other(
    encoder: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    await listener.run(camera(tmp_path, Board(fault="no_line", at=24), encoder=encoder), 6)
    found = numbers(listener.batches())
    assert found == list(range(len(found)))
    assert {gap.cause for gap in listener.gaps()} == {"timestamps"}
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    for number, (before, after) in enumerate(pairwise(times)):
        tolerance = NS / RATE if number in (23, 24) else 12_000
        assert after - before == pytest.approx(NS / RATE, abs=tolerance)
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) * NS / RATE, abs=12_000)
    assert "frames_and_times_differ" in capfd.readouterr().err


async def test_a_time_without_a_frame_is_a_frame_that_was_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    await listener.run(camera(tmp_path, Board(fault="no_frame", at=24), encoder="libx264"), 6)
    found = numbers(listener.batches())
    assert found == [number for number in range(found[-1] + 1) if number != 24]
    (gap,) = listener.gaps()
    assert (gap.cause, gap.frames) == ("dropped_by_device", 1)
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    assert times[-1] - times[0] == pytest.approx(found[-1] * NS / RATE, abs=12_000)
    assert "times_without_a_frame=1" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("timeout", "delivered nothing for 2.5 s: ERROR: Device timeout detected"),
        ("dies", "was ended by SIGSEGV"),
        ("hangs", "delivered nothing for 2.5 s"),
        ("no_lines", "wrote no metadata for 2.5 s"),
    ],
)
async def test_a_camera_that_fails_is_named_and_started_again(
    fault: str, reason: str, tmp_path: Path, runtime: Path
) -> None:
    listener = Listener()
    opened = partial(camera, tmp_path, Board(fault=fault, at=25))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_source, opened, listener.send, clock=SystemClock(), device="camera"))
        with trio.fail_after(30):
            await listener.wait(lambda: len(listener.ups()) == 2)
        nursery.cancel_scope.cancel()
    downs = [event for event in listener.events if isinstance(event, SourceDown)]
    assert reason in downs[0].reason
    before = listener.events[: listener.events.index(downs[0])]
    assert sum(len(batch.samples) for batch in listener.batches() if batch in before) >= 20
    assert left_in(runtime) == []
    await gone(runtime)


async def test_a_flood_of_messages_costs_no_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    await listener.run(camera(tmp_path, Board(fault="floods", at=25)), 6)
    found = numbers(listener.batches())
    assert found == list(range(len(found)))
    assert len(capfd.readouterr().err.splitlines()) <= 25


async def test_frames_that_it_had_no_time_for_are_lost_and_no_frame_is_old(tmp_path: Path, runtime: Path) -> None:
    """Invariants 3 and 4: a board that falls behind has no buffer for what its sensor gives: the loop ends now."""
    listener = Listener()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(camera(tmp_path, Board()).run, listener.send)
        with trio.fail_after(20):
            await listener.wait_batches(2)
            (child,) = processes(runtime)
            os.kill(child, signal.SIGSTOP)
            await trio.sleep(2)
            os.kill(child, signal.SIGCONT)
            await listener.wait(listener.gaps)
        nursery.cancel_scope.cancel()
    (gap,) = listener.gaps()
    assert gap.cause == "stalled"
    assert gap.to_ns - gap.from_ns > NS


async def test_a_camera_in_use_is_named_and_taken_when_it_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    board = Board(lock=str(lock))
    words = [script(tmp_path, board), "--timeout", "0", "--codec", "yuv420", "--output", "-"]
    other = await trio.lowlevel.open_process(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert other.stderr is not None
    with trio.fail_after(20):
        await other.stderr.receive_some()  # it has the camera
        with pytest.raises(DeviceLost, match=r"another program has the camera: ERROR: .* failed to acquire camera"):
            await camera(tmp_path, board).run(ignore)
        other.kill()
        await other.wait()
    listener = Listener()
    await listener.run(camera(tmp_path, board), 2)


@pytest.mark.parametrize(
    ("target", "board", "reason"),
    [
        ("0", Board(plug="/nowhere/at/all"), "no camera is attached, or its ribbon cable is not seated"),
        ("1", Board(), "there is no camera of this number"),
        ("imx219", Board(), "no such camera; there is imx708_wide"),
        ("imx219", Board(plug="/nowhere/at/all"), "no such camera; there is none"),
    ],
)
async def test_a_camera_that_is_not_there_is_named(target: str, board: Board, reason: str, tmp_path: Path) -> None:
    with trio.fail_after(20), pytest.raises(DeviceLost, match=reason):
        await camera(tmp_path, board, target=target).run(ignore)


async def test_a_camera_may_be_named_by_its_sensor(tmp_path: Path) -> None:
    listener = Listener()
    await listener.run(camera(tmp_path, Board(), target="imx708_wide"), 2)
    assert listener.batches()[0].track.source == "rpicam:imx708_wide"


async def test_without_the_program_it_is_a_mistake() -> None:
    config = Config(video=Video(source="rpicam:0"), rpicam=Rpicam(program="/nowhere/rpicam-vid"))
    with pytest.raises(SourceRefused, match=r"video\.source: rpicam:0: no such program: /nowhere/rpicam-vid"):
        await open_camera(config, SystemClock(), AudioGate()).run(ignore)


async def test_raw_frames_whose_rows_are_padded_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"video\.size: .* a multiple of 64 wide, not 100"):
        await camera(tmp_path, Board(), encoder="libx264", size="100x48").run(ignore)


async def test_more_options_are_passed_on(tmp_path: Path) -> None:
    """And one that this rpicam-vid does not have is told in its own words."""
    listener = Listener()
    await listener.run(camera(tmp_path, Board(), options=("--hflip", "--awb", "daylight", "--ev=-0.5")), 2)
    with pytest.raises(DeviceLost, match=r"does not know an option: ERROR: .* unrecognised option '--sideways'"):
        await camera(tmp_path, Board(), options=("--sideways",)).run(ignore)


async def test_it_ends_with_its_source_and_leaves_nothing(tmp_path: Path, runtime: Path) -> None:
    """No process, no zombie, no file, no descriptor; also where it does not want to end."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  names are enough
    for board in (Board(), Board(fault="hangs", at=12)):
        listener = Listener()
        await listener.run(camera(tmp_path, board), 1)
        assert processes(runtime) == []
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)  # noqa: ASYNC222  it does not wait
    assert left_in(runtime) == []
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # noqa: PTH208  trio may have opened one of its own


def blocks(pid: int, number: signal.Signals) -> bool:
    """Whether a process has blocked a signal, as the fake does when it hangs."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [mask] = [int(line.split()[1], 16) for line in lines if line.startswith("SigBlk:")]
    return bool(mask >> (number - 1) & 1)


async def test_it_dies_with_the_daemon_that_is_killed(tmp_path: Path, runtime: Path) -> None:
    """Invariant 1: what a camera sees goes nowhere when nobody is left to hold it."""
    script_text = (
        "import sys, trio\n"
        "from pathlib import Path\n"
        "from bwvd.testing.rpicam_vid import Board\n"
        "from tests.capture.program.test_rpicam import camera\n"
        "run = camera(Path(sys.argv[1]), Board(fault='hangs', at=10)).run\n"
        "trio.run(run, lambda event: print(type(event).__name__, flush=True))\n"
    )
    daemon = await trio.lowlevel.open_process(
        [sys.executable, "-c", script_text, str(tmp_path)], stdout=subprocess.PIPE, cwd=str(ROOT)
    )
    assert daemon.stdout is not None
    with trio.fail_after(20):
        await daemon.stdout.receive_some()
    children = [pid for pid in processes(runtime) if pid != daemon.pid]
    assert len(children) == 1
    assert left_in(runtime) == [], "both ends are open: the folder is gone while it runs"
    # One that hangs does not see that nobody reads any more, and is no stopped one, which the kernel hangs up on.
    with trio.fail_after(20):
        while not blocks(children[0], signal.SIGTERM):  # noqa: ASYNC110  it tells nobody that it hangs
            await trio.sleep(0.02)
    daemon.send_signal(signal.SIGKILL)
    await daemon.wait()
    with trio.fail_after(5):
        while set(children) & set(processes(runtime)):  # noqa: ASYNC110  a process of another tells nobody of its end
            await trio.sleep(0.02)
