"""`bwvd run` with a ribbon camera: a process of its own beside the daemon, which fails, and ends with it."""

from __future__ import annotations

import fcntl
import time
from functools import partial
from pathlib import Path

import pytest

from bwvd.capture.program.child import LINES
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from bwvd.testing.rpicam_vid import Board, script
from tests.process.test_kill import RATE, Story
from tests.support.children import processes
from tests.support.process import Process, signers_of

pytestmark = pytest.mark.slow

LOOP_S = 3.0
GOP_S = 0.5
KILLS = 4  # one of each kind

VIDEO = f"""\
source = "rpicam:0"
encoder = "copy"
size = "64x48"
rate = {RATE}
"""
CONFIGURATION = f"""\
[video]
{VIDEO}
keyframe_s = {GOP_S}
stamp = false
[loop]
seconds = {LOOP_S}
[recording]
segment_s = {GOP_S}
post_roll_s = 0
"""


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The unit's folder for what lives as long as the daemon: each command line of the program names a file in it."""
    path = tmp_path / "run"
    path.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(path))
    return path


def _program(folder: Path, board: Board) -> str:
    return f'[rpicam]\nprogram = "{script(folder, board)}"\n'


def _none_left(runtime: Path) -> None:
    """What the daemon had started is gone soon behind it."""
    until_s = time.monotonic() + 5
    while left := processes(runtime):
        assert time.monotonic() < until_s, left
        time.sleep(0.02)


def _children(daemon: Process) -> list[int]:
    """Each process that the daemon has started and not reaped: zombies are among them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue  # it has just ended
        _state, parent = rest.rpartition(") ")[2].split()[:2]
        if int(parent) == daemon.process.pid:
            found.append(int(number))
    return found


def _verify(folder: Path) -> tuple[Report, list[records.Gap]]:
    """The only recording, and what it names as missing."""
    (report,) = [
        report for report in verify_paths([folder / "evidence"], signers_of(folder)) if report.kind == "recording"
    ]
    there = signed_records(folder / "evidence" / "recordings" / report.id)
    return report, [record for record in there if isinstance(record, records.Gap)]


def _stop(daemon: Process) -> None:
    assert daemon.ask(cmd="stop")["ok"]
    daemon.wait_until(lambda status: not status["recording"])


@pytest.mark.parametrize("platform", ["vc4", "pisp"])
def test_a_recording_has_the_whole_loop_before_its_press(platform: str, tmp_path: Path, runtime: Path) -> None:
    """Invariants 3 and 4: the sensor's times are so exact that the loop is whole, and nothing is missing after it."""
    text = CONFIGURATION + _program(tmp_path, Board(platform))
    with Process(tmp_path, text) as daemon:
        # The threads of a Pi 5's encoder hold some frames: of the loop's length those have not come yet.
        daemon.wait_for_loop(LOOP_S / 2)
        time.sleep(LOOP_S / 2 + GOP_S)
        assert daemon.ask(cmd="press")["ok"]
        time.sleep(1)
        _stop(daemon)
        assert len(_children(daemon)) == 1
    _none_left(runtime)
    report, gaps = _verify(tmp_path)
    assert (report.verdict, gaps) == ("authentic", [])
    assert report.pre_event_s is not None
    assert LOOP_S <= report.pre_event_s <= LOOP_S + GOP_S + 1 / RATE
    assert report.duration_s == pytest.approx(report.frames / RATE, abs=0.001)


def test_a_kill_at_any_instant_leaves_no_program(
    tmp_path: Path, runtime: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariants 4, 6 and 7: it ends with the daemon that is killed, and the next one has the camera at once."""
    board = Board(lock=str(tmp_path / "lock"))  # as the kernel, it gives the camera to one program
    killed = partial(_none_left, runtime)
    story = Story(tmp_path, VIDEO, "ribbon", more=_program(tmp_path, board), killed=killed)
    figures = story.run(KILLS)
    with capsys.disabled():
        print(f"\nribbon: {figures}")
    assert figures.kills.total() == KILLS


# What the program does wrong while it records, and what the log says of it then: what costs it its life, and what not.
BROKEN = {
    "dies": "was ended by SIGSEGV",
    "hangs": "delivered nothing for 2.5 s",
    "no_lines": "wrote no metadata for 2.5 s",
}
BORNE = {
    "no_line": "frames_without_a_time",
    "no_frame": "times_without_a_frame",
    "floods": "program_says",
}


def test_what_the_program_does_wrong_ends_no_recording(tmp_path: Path, runtime: Path) -> None:
    """Invariants 4 and 5: it is started again, nothing of it is left, and what the camera missed is named."""
    orders = tmp_path / "orders"
    text = CONFIGURATION + _program(tmp_path, Board(orders=str(orders)))
    with Process(tmp_path, text) as daemon:
        daemon.wait_for_loop(LOOP_S)
        assert daemon.ask(cmd="press")["ok"]
        for fault, said in (BORNE | BROKEN).items():
            before = daemon.log().count(said)
            (child,) = _children(daemon)
            orders.write_text(fault)
            _until_said(daemon, said, before + 1)
            _frames_come(daemon)
            (another,) = _children(daemon)
            assert (another != child) == (fault in BROKEN), fault
            assert daemon.status()["recording"], fault
        _stop(daemon)
        log = daemon.log()
    _none_left(runtime)
    report, gaps = _verify(tmp_path)
    assert report.verdict == "authentic"
    assert len([gap for gap in gaps if gap.track in ("video", "both")]) >= len(BROKEN) + len(BORNE) - 1
    assert log.count("frame dropped") <= LINES, "a flood is not logged"


def test_a_camera_that_another_program_has_is_named_and_taken_when_it_is_free(tmp_path: Path, runtime: Path) -> None:
    """Invariant 5: that there is no loop yet is told before anybody presses."""
    lock = tmp_path / "lock"
    text = CONFIGURATION + _program(tmp_path, Board(lock=str(lock)))
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with Process(tmp_path, text) as daemon:
            daemon.wait_until(lambda status: "camera" in status["faults"])
            assert "another program has the camera" in daemon.log()
            fcntl.flock(other, fcntl.LOCK_UN)
            daemon.wait_for_loop(LOOP_S)
            assert daemon.status()["faults"] == []
    _none_left(runtime)


def _until_said(daemon: Process, text: str, times: int) -> None:
    daemon.wait_until(lambda _: daemon.log().count(text) >= times)


def _frames_come(daemon: Process) -> None:
    """Until another group of frames is on the flash, and nothing is wrong."""
    until = daemon.status()["recording"]["segments"] + 2
    daemon.wait_until(lambda status: status["recording"]["segments"] >= until and not status["faults"], 60)
