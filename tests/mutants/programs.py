"""Mutants of what a camera's program gives: frames, their times, and its end (invariants 4 and 9)."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROGRAMS = (
    Mutant(
        "believe that a program's frames are whole",
        4,
        "capture/program/whole_frames.py",
        "self._lost = any(frame.is_corrupt for frame in",
        "self._lost = not all(True for frame in",
        ("capture/program/test_whole_frames.py",),
    ),
    Mutant(
        "keep half a frame",
        4,
        "capture/program/exec_input.py",
        "packet.is_corrupt = True",
        "packet.is_corrupt = False",
        ("capture/program/test_exec.py",),
    ),
    Mutant(
        "count a time without a frame as nothing",
        4,
        "capture/program/rpicam_times.py",
        "self.frameless += lines - frames",
        "self.frameless += 0",
        ("capture/program/test_rpicam_times.py",),
    ),
    Mutant(
        "give a frame the next line, whichever is missing",
        9,
        "capture/program/rpicam_times.py",
        "place = least + offs.index(min(offs))",
        "place = least",
        ("capture/program/test_rpicam_times.py",),
    ),
    Mutant(
        "take the sensor's time for CLOCK_MONOTONIC",
        9,
        "capture/program/rpicam_input.py",
        "        return self._ahead_ns\n",
        "        return 0\n",
        ("capture/program/test_rpicam_times.py",),
    ),
    Mutant(
        "end a frame with each slice",
        4,
        "capture/program/annexb.py",
        "slice_begins = kind in _PICTURE and bool(first & 0x80)",
        "slice_begins = kind in _PICTURE",
        ("capture/program/test_annexb.py",),
    ),
    Mutant(
        "leave the camera's program running when the daemon is killed",
        1,
        "capture/program/child.py",
        "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n",
        "",
        ("capture/program/test_rpicam.py",),
    ),
    Mutant(
        "ask each frame for its matrix",
        2,
        "capture/video/presentation.py",
        "turn = before.turn if before is not None and known else turn_of(frame)",
        "turn = turn_of(frame)",
        ("capture/video/test_presentation.py",),
    ),
)
