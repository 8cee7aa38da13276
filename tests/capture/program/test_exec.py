"""Programs as cameras, as real processes: every format, and everything that a program does wrong."""

from __future__ import annotations

import os
import re
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
from bwvd.capture.program.child import Child
from bwvd.capture.source import AudioGate, DeviceLost, SourceRefused
from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Loop, Video
from bwvd.messages import MediaEvent, SourceDown
from bwvd.service.signals_held import HELD
from tests.support.capture_listen import Listener, numbers
from tests.support.children import gone, processes
from tests.support.program_camera import command
from tests.support.source_tree import ROOT
from tests.support.stock import need

RATE, GOP = 50, 10
FORMATS = {"h264": "copy", "nut": "copy", "mpegts": "copy", "yuv4mpegpipe": "libx264"}


def source(text: str, form: str, encoder: str = "copy") -> LibavSource:
    video = Video(source=text, format=form, encoder=encoder, rate=RATE, keyframe_s=GOP / RATE, stamp=False)  # type: ignore[arg-type]  # one of the literals
    return open_camera(Config(video=video, loop=Loop(seconds=5)), SystemClock(), AudioGate())


def ignore(event: MediaEvent) -> None:
    """For a source that has nothing to say, or is not listened to."""


@pytest.fixture
def plug(tmp_path: Path) -> Path:
    path = tmp_path / "plugged in"
    path.touch()
    return path


@pytest.mark.parametrize(("form", "encoder"), [*FORMATS.items(), ("h264", "libx264"), ("nut", "libx264")])
async def test_every_frame_arrives_once_and_in_its_time(form: str, encoder: str, plug: Path) -> None:
    """Invariants 4 and 9: no number is missing, and every time is CLOCK_MONOTONIC's."""
    listener = Listener()
    began_ns = time.monotonic_ns()
    await listener.run(source(command(form, rate=RATE, gop=GOP, plug=plug), form, encoder), 8)
    ended_ns = time.monotonic_ns()
    batches = listener.batches()
    found = numbers(batches)
    assert found == list(range(found[0], found[0] + len(found)))
    times = [sample.pts_ns for batch in batches for sample in batch.samples]
    assert began_ns <= times[0] < times[-1] <= ended_ns
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) * NS / RATE, abs=NS / 4)
    track = batches[0].track
    assert (track.width, track.encoder) == (64, encoder)
    assert track.times == ("arrival" if form in ("h264", "yuv4mpegpipe") else "")
    assert track.source == f"exec:{Path(sys.executable).name}", "without arguments, which may hold a password"
    await gone(plug)


async def test_reordered_frames_keep_the_programs_times(plug: Path) -> None:
    listener = Listener()
    await listener.run(source(command("nut", rate=RATE, gop=GOP, plug=plug, b=2), "nut"), 6)
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    times = sorted(sample.pts_ns for batch in listener.batches() for sample in batch.samples)
    # A busy machine delays a pipe, which moves what follows by a part of each step.
    for before, after in pairwise(times):
        assert after - before == pytest.approx(NS / RATE, rel=0.6)
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) * NS / RATE, rel=0.1)


async def test_b_frames_without_times_are_refused(plug: Path) -> None:
    with trio.fail_after(20), pytest.raises(SourceRefused, match=r"video\.format: .* B-frames"):
        await source(command("h264", rate=RATE, gop=GOP, plug=plug, b=2), "h264").run(ignore)
    await gone(plug)


@pytest.mark.parametrize(
    ("form", "fault", "reason"),
    [
        ("h264", "exit@25", "ended with exit code 3: ERROR: the sensor has gone"),
        ("h264", "close@25", "closed its output"),
        ("h264", "hang@25", "delivered nothing for 2.5 s"),
        ("yuv4mpegpipe", "exit@25", "ended with exit code 3: ERROR: the sensor has gone"),
        ("nut", "exit@100", "ended with exit code 3: ERROR: the sensor has gone"),
        ("nut", "hang@100", "delivered nothing for 2.5 s"),
    ],
)
async def test_a_program_that_fails_is_named_and_started_again(form: str, fault: str, reason: str, plug: Path) -> None:
    """What it gave until then is delivered; it is down once, and up again; none is left running."""
    listener = Listener()
    opened = partial(source, command(form, rate=RATE, gop=GOP, plug=plug, fault=fault), form, FORMATS[form])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run_source, opened, listener.send, clock=SystemClock(), device="camera"))
        with trio.fail_after(30):
            await listener.wait(lambda: len(listener.ups()) == 2)
        nursery.cancel_scope.cancel()
    downs = [event for event in listener.events if isinstance(event, SourceDown)]
    assert reason in downs[0].reason
    before = listener.events[: listener.events.index(downs[0])]
    assert sum(len(batch.samples) for batch in listener.batches() if batch in before) >= 20
    await gone(plug)


async def test_a_program_that_is_killed_is_named(plug: Path) -> None:
    listener = Listener()
    async with trio.open_nursery() as nursery:

        async def kill() -> None:
            await listener.wait_batches(2)
            (pid,) = processes(plug)
            os.kill(pid, signal.SIGKILL)

        nursery.start_soon(kill)
        with trio.fail_after(20), pytest.raises(DeviceLost, match="was ended by SIGKILL"):
            await source(command("h264", rate=RATE, gop=GOP, plug=plug), "h264").run(listener.send)


@pytest.mark.parametrize("form", ["h264", "mpegts", "nut", "yuv4mpegpipe"])
async def test_a_frame_that_was_half_written_is_none(form: str, plug: Path) -> None:
    """Invariant 4: a program that is killed while it writes leaves the beginning of a frame behind."""
    listener = Listener()
    text = command(form, rate=RATE, gop=GOP, plug=plug, fault="torn@100")
    with trio.fail_after(30), pytest.raises(DeviceLost, match="was ended by SIGKILL"):
        await source(text, form, FORMATS[form]).run(listener.send)
    found = numbers(listener.batches())
    assert found[-1] in (98, 99), "number 100 is the torn one"
    assert found == list(range(found[0], found[-1] + 1))


@pytest.mark.parametrize("encoder", ["copy", "libx264"])
@pytest.mark.parametrize("at", [GOP * 3 + 4, GOP * 4])
async def test_half_a_frame_in_the_middle_is_none(at: int, encoder: str, plug: Path) -> None:
    """Invariant 4: raw H.264 goes on behind it as if nothing were missing; it and what refers to it is named."""
    listener = Listener()
    text = command("h264", rate=RATE, gop=GOP, plug=plug, fault=f"half@{at}")
    await listener.run(source(text, "h264", encoder), 8)
    until = (at // GOP + 1) * GOP
    found = numbers(listener.batches())
    assert found == [number for number in range(found[0], found[-1] + 1) if not at <= number < until]
    assert found[0] < at < until < found[-1]
    gaps = [gap for gap in listener.gaps() if gap.cause == "corrupt"]
    assert sum(gap.frames for gap in gaps) == until - at
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    last, first = times[found.index(at - 1)], times[found.index(until)]
    assert gaps[0].from_ns == pytest.approx(last + NS // RATE, abs=NS // RATE // 2)
    assert gaps[-1].to_ns == pytest.approx(first, abs=NS // RATE // 2)


@pytest.mark.parametrize("form", FORMATS)
async def test_a_program_that_waits_for_no_frames_time_is_refused(form: str, plug: Path) -> None:
    """Invariant 9: what comes as fast as it is read was not seen by a camera when it came."""
    rate = 5 if form == "yuv4mpegpipe" else RATE  # we are no faster than our encoder
    text = command(form, rate=rate, gop=GOP, plug=plug, fault="hurry@0")
    with trio.fail_after(30), pytest.raises(SourceRefused, match=r"^video\.source: exec:.* gave 1\d s of video within"):
        await source(text, form, FORMATS[form]).run(ignore)
    await gone(plug)


async def test_a_secret_of_the_command_is_not_in_the_reason(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    says = tmp_path / "says"
    says.write_text('#!/bin/sh\necho "$2 refused hunter2" >&2\nexit 3\n')
    says.chmod(0o755)
    with pytest.raises(DeviceLost, match=r"exit code 3: rtsp://…@host/live refused \*{3}$"):
        await source(f"exec:{says} -i rtsp://admin:hunter2@host/live", "h264").run(ignore)
    assert "hunter2" not in capfd.readouterr().err


@pytest.mark.parametrize("fault", ["flood@25", "binary@25"])
async def test_what_it_writes_to_stderr_costs_no_frame(
    fault: str, plug: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    listener = Listener()
    await listener.run(source(command("h264", rate=RATE, gop=GOP, plug=plug, fault=fault), "h264"), 6)
    found = numbers(listener.batches())
    assert found == list(range(found[0], found[0] + len(found)))
    said = capfd.readouterr().err
    assert len(said.splitlines()) <= 20, "of 20 000"
    assert ("warning 0:" in said) if fault == "flood@25" else ("256 bytes that are no text" in said)


@pytest.mark.parametrize("fault", ["child@5", "deaf@5"])
async def test_all_that_it_started_ends_with_it(fault: str, plug: Path) -> None:
    """Its whole group, and also a program that does not listen to SIGTERM."""
    listener = Listener()
    group = 0

    async def look() -> None:
        nonlocal group
        await listener.wait_batches(2)
        (pid,) = processes(plug)
        group = os.getpgid(pid)
        assert group == pid
        assert group != os.getpgid(0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await listener.run(source(command("h264", rate=RATE, gop=GOP, plug=plug, fault=fault), "h264"), 3)
    # What has been killed is gone when it is its turn to run, on a busy machine a little later.
    with trio.move_on_after(10):
        while _members(group):  # noqa: ASYNC110 - no event tells of a process that is not ours
            await trio.sleep(0.01)
    assert _members(group) == []


def _members(group: int) -> list[int]:
    """The living processes of a group. What nobody reaps is no process of ours any more."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


async def test_stop_is_heard_while_it_writes_nothing(plug: Path) -> None:
    """Sleep, and the end of the daemon, do not wait for a program that hangs; no thread is given up."""
    hangs = source(command("h264", rate=RATE, gop=GOP, plug=plug, fault="hang@0"), "h264")
    began_s = time.monotonic()
    with trio.move_on_after(1):
        await hangs.run(ignore)
    assert time.monotonic() - began_s < 2.9
    assert not hangs.hangs()
    await gone(plug)


@pytest.mark.parametrize(
    ("form", "encoder", "coder"),
    [
        ("yuv4mpegpipe", "libx264", "y4menc"),
        ("h264", "copy", "x264enc tune=zerolatency key-int-max=10 ! video/x-h264,stream-format=byte-stream"),
        ("mpegts", "copy", "x264enc tune=zerolatency key-int-max=10 ! mpegtsmux"),
    ],
)
async def test_gstreamer_is_such_a_program(form: str, encoder: str, coder: str) -> None:
    """As the configuration page shows it, with its own test picture in the place of libcamerasrc."""
    launch = need("gst-launch-1.0")
    start = f"exec:{launch} -q videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate={RATE}/1"
    listener = Listener()
    began_ns = time.monotonic_ns()
    await listener.run(source(f"{start} ! {coder} ! fdsink", form, encoder), 5)
    times = [sample.pts_ns for batch in listener.batches() for sample in batch.samples]
    assert began_ns <= times[0] < times[-1] <= time.monotonic_ns()
    assert all(before < after for before, after in pairwise(times))
    assert (times[-1] - times[0]) / (len(times) - 1) == pytest.approx(NS / RATE, rel=0.25)


async def test_a_program_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(SourceRefused, match=r"^video\.source: /nowhere/at-all: no such program$"):
        await source("exec:/nowhere/at-all --fast", "h264").run(ignore)


async def test_a_program_that_can_not_be_run_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/at-all\n")
    broken.chmod(0o755)
    with pytest.raises(DeviceLost, match=r"exit code 127: .*No such file or directory"):
        await source(f"exec:{broken}", "h264").run(ignore)


@pytest.mark.parametrize("form", FORMATS)
async def test_what_is_no_video_is_named(form: str) -> None:
    """A text, endless zeros and the wrong format are losses with a reason, in time; never an error of ours."""
    for text in ("exec:echo this is no video", "exec:head -c 20000000 /dev/zero"):
        with trio.fail_after(25), pytest.raises(DeviceLost) as lost:
            await source(text, form, FORMATS[form]).run(ignore)
        assert len(str(lost.value).splitlines()) == 1


async def test_it_dies_with_the_daemon_that_is_killed(plug: Path) -> None:
    """SIGKILL: no code of ours runs any more, and the camera is free for the next start."""
    script = (
        "import sys, trio\n"
        "from tests.capture.program.test_exec import source\n"
        "trio.run(source(sys.argv[1], 'h264').run, lambda event: print(type(event).__name__, flush=True))\n"
    )
    text = command("h264", rate=RATE, gop=GOP, plug=plug)
    daemon = await trio.lowlevel.open_process(
        [sys.executable, "-c", script, text], stdout=subprocess.PIPE, cwd=str(ROOT)
    )
    assert daemon.stdout is not None
    with trio.fail_after(20):
        await daemon.stdout.receive_some()
    children = [pid for pid in processes(plug) if pid != daemon.pid]
    assert len(children) == 1
    daemon.kill()
    await daemon.wait()
    with trio.fail_after(5):
        while set(children) & set(processes(plug)):  # noqa: ASYNC110  the same
            await trio.sleep(0.02)


def test_a_program_can_be_told_to_end_whatever_its_starter_holds() -> None:
    """A thread from before the daemon took its signals has them blocked, and what it starts would have them so too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD)
    try:
        child = Child(["cat", "/proc/self/status"], "exec:cat", "video.source", lambda: False)
        try:
            assert child.wait(child.stdout) == [child.stdout]
            status = os.read(child.stdout, 65_536).decode()
        finally:
            child.end()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    (blocked,) = re.findall(r"^SigBlk:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert int(blocked, 16) == 0
