"""Frames and the times that rpicam-vid writes beside them, put together whatever is missing; the board; the clocks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bwvd.capture.program.rpicam_cameras import RibbonCamera, encodes, list_cameras, parse_list
from bwvd.capture.program.rpicam_input import BootTime, command, gives_raw
from bwvd.capture.program.rpicam_times import MOST_LINE, FramesAndLines, MetadataLines
from bwvd.config.schema import Config, Rpicam, Video
from bwvd.testing.rpicam_vid import Board, parse, script

STEP, LATE = 33_333_333, 40_000_000


@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.binary(max_size=50).filter(lambda b: b"\n" not in b))
def test_stamps_are_found_however_the_lines_are_cut(cuts: list[int], noise: bytes) -> None:
    block = b"FocusFoM=1\nSensorTimestamp=%d\nAeState=2\n" + b"x" + noise + b"\n\n"
    data = b"".join(block.replace(b"%d", str(n * STEP).encode()) for n in range(1, 9))
    lines, found, at = MetadataLines(), [], 0
    while at < len(data):
        found += lines.feed(data[at : at + cuts[at % len(cuts)]])
        at += cuts[at % len(cuts)]
    assert found == [n * STEP for n in range(1, 9)]


def test_what_is_no_metadata_takes_no_memory_and_gives_no_time() -> None:
    lines = MetadataLines()
    for _ in range(64):
        assert lines.feed(b"\xff" * MOST_LINE) == []
    assert lines.feed(b"\n\nSensorTimestamp=soon\n\n\n\nSensorTimestamp=99999999999999999999\n\n") == [None, None, None]


@given(
    st.sets(st.integers(2, 38), max_size=6), st.lists(st.integers(1, 3), min_size=40, max_size=40), st.integers(0, 9)
)
def test_a_missing_line_moves_no_other_time(missing: set[int], turns: list[int], jitter_ms: int) -> None:
    """Invariants 4 and 9: each frame has its own time or none, in whatever bursts frames and lines are read."""
    pairs, found = FramesAndLines(STEP), {}
    number = 0
    for turn in turns:
        if number >= 40:
            break
        burst = range(number, min(number + turn, 40))
        number = burst.stop
        for frame in burst:
            arrival = frame * STEP + LATE + jitter_ms * 1_000_000 * (frame % 2)
            pairs.frames.append((str(frame).encode(), arrival, True))
        pairs.lines.extend(frame * STEP for frame in burst if frame not in missing)
        for timed in pairs.take(held_at_ns=None, all_frames=False):
            found[int(timed.data)] = timed.stamp_ns
    assert found == {frame: None if frame in missing else frame * STEP for frame in range(number)}
    assert pairs.lineless == len(missing & set(range(number)))


def test_a_line_of_the_frame_that_is_held_is_kept_for_it() -> None:
    pairs = FramesAndLines(STEP)
    for frame in range(3):
        pairs.frames.append((b"", frame * STEP + LATE, True))
        pairs.lines.append(frame * STEP)
        pairs.take(held_at_ns=None, all_frames=False)
    pairs.frames.append((b"3", 3 * STEP + LATE, False))  # and its line is missing
    pairs.lines.append(4 * STEP)
    (timed,) = pairs.take(held_at_ns=4 * STEP + LATE, all_frames=False)
    assert (timed.data, timed.stamp_ns) == (b"3", None)
    assert list(pairs.lines) == [4 * STEP]


def test_of_frames_that_are_read_at_once_the_beat_tells_which_has_no_line() -> None:
    pairs = FramesAndLines(STEP)
    for frame in range(3):
        pairs.frames.append((b"", frame * STEP + LATE, True))
        pairs.lines.append(frame * STEP)
        pairs.take(held_at_ns=None, all_frames=False)
    at = 6 * STEP + LATE  # we were not let run
    pairs.frames.extend((b"", at, False) for _ in range(3, 6))
    pairs.lines.extend(frame * STEP for frame in (3, 5, 6))
    found = pairs.take(held_at_ns=at, all_frames=False)
    assert [timed.stamp_ns for timed in found] == [3 * STEP, None, 5 * STEP]
    assert list(pairs.lines) == [6 * STEP]


def test_a_line_without_a_frame_is_left_out() -> None:
    pairs = FramesAndLines(STEP)
    for frame in (0, 1, 2):
        pairs.frames.append((b"", frame * STEP + LATE, True))
        pairs.lines.append(frame * STEP)
        pairs.take(held_at_ns=None, all_frames=True)
    pairs.frames.append((b"4", 4 * STEP + LATE, False))
    pairs.lines.extend([3 * STEP, 4 * STEP])
    (timed,) = pairs.take(held_at_ns=None, all_frames=True)
    assert timed.stamp_ns == 4 * STEP
    assert (pairs.frameless, len(pairs.lines)) == (1, 0)


def test_the_time_asleep_is_taken_off_and_a_slow_reading_does_not_count() -> None:
    """Invariant 9: CLOCK_BOOTTIME goes on while the board sleeps."""
    readings = iter([(1000, 51_100, 1200), (9000, 60_000, 11_000), (20_000, 70_010, 20_020), (0, 9 * 10**9, 20)])
    clock = BootTime(lambda: next(readings))
    assert [clock.ahead_ns() for _ in range(4)] == [50_000, 50_000, 50_000, 9 * 10**9 - 10]


def test_the_real_clocks_agree() -> None:
    assert BootTime().ahead_ns() >= -1_000


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["bcm2835-codec-decode", "bcm2835-codec-encode"], True),
        (["bcm2835-isp-capture0"], True),
        (["pispbe-input", "rp1-cfe-csi2_ch0"], False),
        (["HD Webcam C920"], False),
        ([], False),
    ],
)
def test_the_board_says_who_encodes(names: list[str], expected: bool, tmp_path: Path) -> None:
    for number, name in enumerate(names):
        node = tmp_path / f"sys/class/video4linux/video{number}"
        node.mkdir(parents=True)
        (node / "name").write_text(f"{name}\n")
    assert encodes(tmp_path) == expected
    for encoder, raw in (("copy", False), ("auto", not expected), ("libx264", True)):
        assert gives_raw(Config(video=Video(source="rpicam:0", encoder=encoder)), tmp_path) == raw


@pytest.mark.parametrize("raw", [False, True])
def test_the_command_is_one_that_rpicam_vid_understands(raw: bool) -> None:
    video = Video(source="rpicam:1", size="1536x864", rate=25, bitrate=6_000_000, keyframe_s=2)
    config = Config(video=video, rpicam=Rpicam(options=["--hflip", "--ev", "-0.5"]))
    options = parse(command("rpicam-vid", 1, config, raw, "/run/50%/frames.h264", "/run/metadata")[1:])
    expected = {
        "timeout": "0", "camera": "1", "width": "1536", "height": "864", "framerate": "25", "flush": "true",
        "output": "/run/50%%/frames.h264", "metadata": "/run/metadata", "metadata-format": "txt", "hflip": "true",
        "ev": "-0.5",
    }  # fmt: skip
    assert {name: options.get(name) for name in expected} == expected
    assert options["codec"] == ("yuv420" if raw else "h264")
    coded = {"inline": "true", "bitrate": "6000000", "intra": "50", "libav-video-codec-opts": "bf=0"}
    assert all(options.get(name) == (None if raw else value) for name, value in coded.items())


def test_cameras_are_read_from_its_list(tmp_path: Path) -> None:
    camera = RibbonCamera(0, "imx708_wide", "4608x2592 10-bit RGGB", "/base/soc/i2c0mux/i2c@1/imx708@1a")
    assert list_cameras(script(tmp_path, Board())) == [camera]
    assert list_cameras(script(tmp_path, Board(plug="/nowhere/at/all"))) == []
    modes = "    Modes: 'x' : 1x1 [2 fps - (0, 0)/1x1 crop]"
    two = f"Available cameras\n----\n0 : ov5647 (/base/a)\n{modes}\n1 : imx\x1b[0m [2x2] (/b)"
    assert [(one.index, one.model) for one in parse_list(two)] == [(0, "ov5647"), (1, "imx\\x1b[0m")]
