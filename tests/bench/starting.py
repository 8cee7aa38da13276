"""How long it takes from the start of the process until the loop turns."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bwvd.controls.client import Unreachable
from tests.bench.figures import Findings, Row, Spread, at_most
from tests.bench.pairing import Plan
from tests.bench.sources import Clip
from tests.bench.subjects import Bwvd, configuration, decoding, encoding, shown

START_GOAL_S = 0.45
LIMIT_S = 30


def measure(group: str, clip: Clip, plan: Plan, ffmpeg: str, folder: Path) -> Findings:
    """Start both in turn, again and again."""
    folder.mkdir()
    command = [
        ffmpeg,
        "-v",
        "error",
        "-nostdin",
        *decoding(clip),
        *encoding(plan),
        "-f",
        "h264",
        "-flush_packets",
        "1",
        "-",
    ]
    turning, answering, theirs = [], [], []
    text = configuration(clip, plan, encoder="auto", stamp=True)
    (folder / "first").mkdir()
    _start(folder / "first", text)  # makes the byte code that an installed one has
    for number in range(plan.starts):
        one = folder / str(number)
        one.mkdir()
        answered_s, turning_s = _start(one, text)
        answering.append(answered_s)
        turning.append(turning_s)
        theirs.append(_first_byte(command))
    rows = [
        Row(
            group,
            "start to the loop turning",
            "s",
            Spread.of(turning),
            Spread.of(theirs),
            goal=at_most(START_GOAL_S, "s"),
            note="ffmpeg: to its first encoded byte",
            headline=True,
        ),
        Row(group, "start to an answering control socket", "s", Spread.of(answering)),
    ]
    return Findings(rows, compared=[f"{group}: {shown(command)}"])


def _start(folder: Path, text: str) -> tuple[float, float]:
    """Seconds from the start of a process on a new storage, until its control socket answers; and until its status says
    that the loop holds something, less the length of what it holds: the first GOP takes its own time to be filmed.
    """
    answered_s = 0.0
    with Bwvd(folder, text) as bwvd:
        while True:
            asked_s = time.monotonic()
            assert asked_s - bwvd.begun < LIMIT_S, bwvd.log()
            assert bwvd.process.poll() is None, bwvd.log()
            try:
                held_s = bwvd.status()["loop"]["seconds"]
            except Unreachable:
                held_s = 0
            else:
                answered_s = answered_s or time.monotonic() - bwvd.begun
            if held_s:
                return answered_s, asked_s - bwvd.begun - held_s
            # A look every 10 ms costs the daemon little and the figure at most as much.
            time.sleep(0.01)


def _first_byte(command: list[str]) -> float:
    """Seconds from the start of the process to its first encoded byte."""
    begun_s = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(1), "ffmpeg has encoded nothing"
            return time.monotonic() - begun_s
        finally:
            process.kill()
