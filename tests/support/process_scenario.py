"""Faults against a real `bwvd run`: a scene to play them in, and a stage that plays several at once.

What such a test does is mostly to wait, for ten seconds that a stall lasts, so all that were selected begin together
when the first one's turn comes; each test then tells how its own ended. None of them competes with another test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bwvd.clock import NS
from bwvd.evidence.format import records
from bwvd.evidence.verify.paths import verify_paths
from bwvd.evidence.verify.report import Report
from tests.support.heavy_clip import HEIGHT, WIDTH, heavy_clip
from tests.support.process import Process, signers_of
from tests.support.process_levers import Levers
from tests.support.recorded import Recorded

RATE = 20
GOP_FRAMES = 10
GOP_S = GOP_FRAMES / RATE
BITRATE = 4_000_000
CLIP_FRAMES = 800  # 40 s: no scene lasts until it begins anew
LOOP_S = 2.5
AT_ONCE = 10  # scenes: they share the processors, and each daemon takes one for a second to start

CONFIGURATION = """\
[video]
source = "file:{clip}?loop=1"
encoder = "copy"
keyframe_s = {gop_s}
size = "{width}x{height}"
rate = {rate}
bitrate = {bitrate}
stamp = false
[loop]
seconds = {loop_s}
max_bytes = {loop_bytes}
[recording]
segment_s = {gop_s}
post_roll_s = 0
[storage]
path = "{storage}"
reserve_bytes = 1048576
backlog_bytes = {backlog}
"""

Play = Callable[["Scene"], None]


class Scene:
    """A folder with a camera of 4 Mbit/s, and the daemon that runs on it. The storage may lie elsewhere."""

    def __init__(self, folder: Path, clip: Path) -> None:
        self.folder = folder
        self.storage = folder / "evidence"
        self.clip = clip
        self.bwvd: Process
        self.levers = Levers(folder / "levers")
        self.levers.threads = -1

    @contextmanager
    def daemon(self, backlog: int = 67_108_864) -> Iterator[Process]:
        """`bwvd run`, its loop full; SIGTERM at the end. Again on the same scene: the next start."""
        text = CONFIGURATION.format(
            clip=self.clip,
            gop_s=GOP_S,
            width=WIDTH,
            height=HEIGHT,
            rate=RATE,
            bitrate=BITRATE,
            loop_s=LOOP_S,
            loop_bytes=min(backlog, 67_108_864),
            storage=self.storage,
            backlog=backlog,
        )
        with Process(self.folder, text, ("tests.support.process_levers", str(self.folder / "levers"))) as self.bwvd:
            self.bwvd.wait_for_loop(LOOP_S)
            yield self.bwvd

    def press(self) -> str:
        """Press; returns the recording's id."""
        answer = self.bwvd.ask(cmd="press")
        assert answer["ok"], answer
        return str(answer["recording"])

    def stop(self, limit_s: float = 30) -> None:
        """Stop, and wait until the recording is closed on flash."""
        answer = self.bwvd.ask(cmd="stop")
        assert answer["ok"], answer
        self.settled(limit_s)

    def settled(self, limit_s: float = 30) -> dict[str, Any]:
        """Nothing is recorded, and nothing waits to be written."""

        def true(status: dict[str, Any]) -> bool:
            storage = status["storage"]
            return status["state"] == "standby" and not storage["backlog_bytes"] and not storage["journal_waiting"]

        return self.bwvd.wait_until(true, limit_s)

    def verified(self) -> list[Report]:
        """All of the storage, every verdict a good one; recordings only."""
        reports = verify_paths([self.storage], signers_of(self.folder))
        for report in reports:
            assert report.good, (report.id, report.verdict, report.findings)
        return [report for report in reports if report.kind == "recording"]

    def recorded(self, recording: str) -> Recorded:
        return Recorded.read(self.storage / "recordings" / recording)

    def whole(self, recording: str) -> Recorded:
        """The recording, from which no frame is missing (invariant 4)."""
        found = self.recorded(recording)
        assert found.holes(RATE, CLIP_FRAMES) == []
        assert found.gaps == []
        return found

    def follow(self, recordings: Sequence[Recorded]) -> None:
        """Each goes on where the one before ended, without a frame between them."""
        for before, after in pairwise(recordings):
            assert after.opening.continues == before.id
            joined = Recorded(before.id, before.opening, [], [before.frames[-1], after.frames[0]], [])
            assert joined.holes(RATE, CLIP_FRAMES) == []


def bits_per_s(found: Recorded) -> float:
    """Of the media in a recording's segments."""
    segments = [record for record in found.manifest if isinstance(record, records.Segment)]
    return sum(segment.plain_bytes for segment in segments) * 8 * NS / sum(s.duration_ns for s in segments)


def watch(bwvd: Process, seconds: float, every_s: float = 0.25) -> Iterator[dict[str, Any]]:
    """The daemon's status again and again for so long: it answers, whatever goes on."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        yield bwvd.status()
        time.sleep(every_s)


# --- the stage -------------------------------------------------------------------------------------------------------


class _Stage:
    def __init__(self, plays: Sequence[Play], folder: Path) -> None:
        clip = folder / "clip.mp4"
        heavy_clip(clip, CLIP_FRAMES, rate=RATE, gop_s=GOP_S, bitrate=BITRATE)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            self.outcomes: dict[Play, Future[None]] = {}
            for number, play in enumerate(plays):
                place = folder / f"{number:02d}"
                place.mkdir()
                self.outcomes[play] = pool.submit(play, Scene(place, clip))
            wait(self.outcomes.values())


_STAGE = pytest.StashKey[_Stage]()


def scenario(play: Play) -> Callable[[pytest.FixtureRequest, pytest.TempPathFactory], None]:
    """Make a test of a play."""

    def test(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
        stash = request.session.stash
        if _STAGE not in stash:
            functions = [item.function for item in request.session.items if isinstance(item, pytest.Function)]
            plays = [function.play for function in functions if hasattr(function, "play")]
            stash[_STAGE] = _Stage(plays, tmp_path_factory.mktemp("scenes"))
        stash[_STAGE].outcomes[play].result()

    test.__name__, test.__doc__, test.__module__ = play.__name__, play.__doc__, play.__module__
    test.play = play  # type: ignore[attr-defined]  # by which the stage knows what is to be played
    return test
