"""`bwvd run` killed at any instant, again and again on the same storage, and what is there after the next start."""

from __future__ import annotations

import json
import os
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import pytest

from bwvd.clock import NS
from bwvd.evidence.export.catalogue import signed_records
from bwvd.evidence.format import records
from bwvd.evidence.format.recording_id import serial_of
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from bwvd.testing.clip import numbered_clip
from bwvd.testing.picture import frame_number
from tests.support.process import Process, signers_of

PLAIN_KILLS = 6  # two of each kind
COMPLETE_KILLS = 100  # over all cameras

LOOP_S = 3.0
GOP_S = 0.5
RATE = 15
CLIP_FRAMES = 1500
WINDOW_S = 2.5  # after a press
BACKLOG_S = 1.0  # so long may the loop take to reach the flash after a press; what lives then is the steady state
# Invariant 6: at most a segment and a commit are not acknowledged. A commit may wait for a GOP that is not whole.
LOSS_S = GOP_S + 0.5

CONFIGURATION = """\
[video]
{camera}
keyframe_s = {gop_s}
stamp = false
[loop]
seconds = {loop_s}
[recording]
segment_s = {gop_s}
post_roll_s = 0
"""


@dataclass
class Recording:
    """What the daemon said of a recording before it was killed."""

    id: str
    pressed_s: float
    committed_s: float = 0.0
    captured_s: float = 0.0  # at the kill, or when a stop was asked
    asked_to_stop: bool = False
    lived_s: float = 0.0  # from the press to the kill


@dataclass
class Figures:
    """What all kills have come to."""

    kills: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    never_begun: int = 0
    lost_s: list[float] = field(default_factory=list)  # where the loop had had the time to reach the flash
    early_lost_s: list[float] = field(default_factory=list)  # and where not

    def __str__(self) -> str:
        return (
            f"{self.kills.total()} kills {dict(self.kills)}; verdicts {dict(self.verdicts)}; ends {dict(self.ends)}; "
            f"{self.never_begun} pressed and killed before anything was written; "
            f"lost at most {max(self.lost_s, default=0):.3f} s of {len(self.lost_s)} recordings, "
            f"{max(self.early_lost_s, default=0):.3f} s of {len(self.early_lost_s)} killed within {BACKLOG_S:g} s"
        )


class Story:
    """One storage, and one kill after another."""

    def __init__(
        self, folder: Path, camera: str, seed: str, *, more: str = "", killed: Callable[[], None] = lambda: None
    ) -> None:
        """camera: what stands in [video]. more: tables beside it. killed: called after each kill."""
        self.folder = folder
        self.text = CONFIGURATION.format(camera=camera, gop_s=GOP_S, loop_s=LOOP_S) + more
        self._killed = killed
        self.chance = random.Random(seed)
        self.figures = Figures()
        self.known: dict[str, Recording] = {}
        self._verified: set[str] = set()
        self._numbered = "lavfi:" not in camera

    def run(self, kills: int, kinds: tuple[str, ...] = ("standby", "recording", "closing", "starting")) -> Figures:
        """So many kills, each followed by a start on what it left."""
        for number in range(kills):
            kind = kinds[number % len(kinds)]
            with Process(self.folder, self.text) as bwvd:
                if kind == "starting":
                    # Recovery is cut too: imports take the first second, and what comes then is done again.
                    time.sleep(self.chance.uniform(0.3, 2.0))
                    self._kill(bwvd, None, kind)
                    continue
                self._look(bwvd)
                match kind:
                    case "standby":
                        time.sleep(self.chance.uniform(0, GOP_S))
                        self._kill(bwvd, None, kind)
                    case "recording":
                        self._kill(bwvd, self._record(bwvd, self.chance.uniform(0, WINDOW_S)), kind)
                    case "closing":
                        recording = self._record(bwvd, self.chance.uniform(0, WINDOW_S / 2))
                        self._ask_to_stop(bwvd, recording)
                        time.sleep(self.chance.uniform(0, 0.7))  # the GOP that holds the end, the close, the sums
                        self._kill(bwvd, recording, kind)
        with Process(self.folder, self.text) as bwvd:
            self._look(bwvd)
        self.figures.verdicts.update(report.verdict for report in self._verify() if report.kind == "recording")
        return self.figures

    # --- before the kill ---------------------------------------------------------------------------------------------

    def _record(self, bwvd: Process, for_s: float) -> Recording:
        answer = bwvd.ask(cmd="press")
        assert answer["ok"], answer
        recording = Recording(answer["recording"], time.monotonic())
        self.known[recording.id] = recording
        until_s = recording.pressed_s + for_s
        while True:
            self._note(bwvd, recording)
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return recording
            time.sleep(min(left_s, 0.02))

    def _note(self, bwvd: Process, recording: Recording) -> None:
        said = bwvd.status()["recording"]
        assert said["id"] == recording.id
        recording.committed_s = said["committed_s"]
        recording.captured_s = said["seconds"] - time.monotonic()  # plus the time at which it ends

    def _ask_to_stop(self, bwvd: Process, recording: Recording) -> None:
        with socket.socket(socket.AF_UNIX) as client:  # whose answer nobody waits for
            client.connect(bwvd.socket)
            client.sendall(json.dumps({"cmd": "stop"}).encode() + b"\n")
            recording.captured_s += time.monotonic()
            recording.asked_to_stop = True

    def _kill(self, bwvd: Process, recording: Recording | None, kind: str) -> None:
        killed_s = bwvd.kill()
        self.figures.kills[kind] += 1
        self._killed()
        if recording is not None:
            recording.lived_s = killed_s - recording.pressed_s
            if not recording.asked_to_stop:
                recording.captured_s += killed_s

    # --- after the next start ----------------------------------------------------------------------------------------

    def _look(self, bwvd: Process) -> None:
        """When the loop turns and the journal has told of the recovery, everything on the storage is looked at."""
        bwvd.wait_until(lambda status: status["loop"]["seconds"] >= LOOP_S and not status["storage"]["journal_waiting"])
        reports = {report.id: report for report in self._verify() if report.kind == "recording"}
        for name in sorted(reports.keys() - self._verified):
            self._verified.add(name)
            self._look_at(reports[name])
        for recording in self.known.values():
            if recording.id not in reports:
                assert recording.committed_s == 0, f"{recording} was acknowledged, and is gone"
                assert recording.lived_s < BACKLOG_S, f"{recording}: nothing of it is there"
        self.figures.never_begun = len(self.known.keys() - reports.keys())
        serials = [serial_of(name) for name in sorted(reports)]
        assert serials == list(range(1, len(serials) + 1)), "a number is missing, or was given twice"

    def _verify(self) -> list[Report]:
        """The whole storage: signatures, hashes, serial numbers, the journal, and what they say of each other."""
        reports = verify_paths([self.folder / "evidence"], signers_of(self.folder))
        for report in reports:
            assert report.verdict in ("authentic", "recovered"), (report.id, report.findings)
        return reports

    def _look_at(self, report: Report) -> None:
        """One recording that was killed, against what was said of it before."""
        folder = self.folder / "evidence" / "recordings" / report.id
        recording = self.known[report.id]
        there = list(signed_records(folder))
        self.figures.ends["recovered" if report.recovered else report.end] += 1
        assert not [record for record in there if isinstance(record, records.Gap)]
        segments = [record for record in there if isinstance(record, records.Segment)]
        for before, after in pairwise(segments):
            assert abs(before.pts_ns + before.duration_ns - after.pts_ns) <= 1_000_000, (report.id, before, after)
        kept_s = (segments[-1].pts_ns + segments[-1].duration_ns) / NS if segments else 0.0
        assert kept_s >= recording.committed_s - 0.001, f"{recording} has {kept_s:.3f} s: what was acknowledged is gone"
        times = [time_s for time_s, _ in self._frames(folder)]
        assert len(times) == report.frames
        assert all(abs(after - before - 1 / RATE) < 0.001 for before, after in pairwise(times)), (report.id, times)
        numbers = [number for _, number in self._frames(folder) if number is not None]
        assert all(after == (before + 1) % CLIP_FRAMES for before, after in pairwise(numbers)), (report.id, numbers)
        lost_s = recording.captured_s - kept_s
        if recording.lived_s < BACKLOG_S:
            self.figures.early_lost_s.append(lost_s)
        else:
            self.figures.lost_s.append(lost_s)
            assert lost_s <= LOSS_S, f"{recording} has {kept_s:.3f} s"

    def _frames(self, folder: Path) -> Iterator[tuple[float, int | None]]:
        """Time of every frame of the presentation that recovery made, with its number where the pictures have one."""
        if not (folder / "index.m3u8").exists():
            return
        media = folder / "init.mp4", *sorted(folder.glob("*.m4s"))
        whole = self.folder / "whole.mp4"
        whole.write_bytes(b"".join(path.read_bytes() for path in media))
        with av.open(str(whole), "r") as container:
            for frame in container.decode(video=0):
                assert frame.time is not None
                yield frame.time, frame_number(frame) if self._numbered else None


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In RAM where the system has a place there: a kill leaves the page cache either way, power cuts are tested
    elsewhere, and how long this machine's disk stalls for others is not ours to bound."""
    shared = Path("/dev/shm")  # noqa: S108  not a name that anybody could have put there: mkdtemp makes it
    if not (shared.is_dir() and os.access(shared, os.W_OK)):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="bwvd-kill-", dir=shared) as name:
        yield Path(name)


def _drawn(_folder: Path) -> str:
    return f'source = "lavfi:testsrc2=size=320x180:rate={RATE}"\nsize = "320x180"'


def _copied(folder: Path) -> str:
    clip = folder / "clip.mp4"
    numbered_clip(clip, CLIP_FRAMES, rate=RATE, gop_s=GOP_S)
    return f'source = "file:{clip}?loop=1"\nencoder = "copy"'


CAMERAS = {"encoded": _drawn, "copied": _copied}


def _told(camera: str, figures: Figures, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{camera}: {figures}")


@pytest.mark.slow
def test_a_few_kills(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invariants 4, 6 and 7: what was acknowledged is there, nothing inside is missing, and all of it verifies."""
    figures = Story(folder, _copied(folder), "a few").run(PLAIN_KILLS, ("recording", "closing", "starting"))
    _told("copied", figures, capsys)
    assert figures.kills.total() == PLAIN_KILLS


@pytest.mark.complete
@pytest.mark.parametrize("camera", CAMERAS)
def test_many_kills(camera: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Invariants 4, 6 and 7: the same, a hundred times."""
    seed = os.environ.get("BWVD_SEED", camera)
    story = Story(folder, CAMERAS[camera](folder), seed)
    try:
        story.run(COMPLETE_KILLS // len(CAMERAS))
    finally:
        _told(camera, story.figures, capsys)
    assert story.figures.kills.total() == COMPLETE_KILLS // len(CAMERAS)
