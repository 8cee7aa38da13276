"""The same work done by both: CPU, memory, switches and bytes of standby and of recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import accounting
from tests.bench.figures import Findings, Goal, Row, Spread, times_ffmpeg
from tests.bench.flushes import flushes_per_s
from tests.bench.pairing import FILLED, Plan, Watched, watch
from tests.bench.sources import RATE, Clip
from tests.bench.subjects import (
    COPYING,
    NOWHERE,
    Bwvd,
    Ffmpeg,
    configuration,
    decoding,
    encoding,
    media_in,
    playing,
    segments,
    shown,
)

MEMORY_ABOVE_MB = 5.0  # at most, of ffmpeg's
KEEPS_UP = 0.97  # of the frames that a source has: one that delivers fewer has not done the same work


@dataclass(frozen=True, slots=True)
class Work:
    """What both do."""

    group: str
    clip: Clip
    encoder: str  # the daemon's
    reading: list[str]  # ffmpeg's way to do the same
    coding: list[str]
    standby_goal: Goal
    recording_goal: Goal
    note: str = ""  # on what both read


def encoded(group: str, clip: Clip, plan: Plan) -> Work:
    goal = times_ffmpeg(0.65)
    note = f"4:2:2 of {clip.frame_kb:.0f} kB a frame"
    return Work(group, clip, "libx264", decoding(clip), encoding(plan), goal, goal, note)


def copied(group: str, clip: Clip) -> Work:
    return Work(group, clip, "copy", playing(clip), COPYING, times_ffmpeg(0.75), times_ffmpeg(1.2))


def measure(work: Work, plan: Plan, ffmpeg: str, folder: Path) -> Findings:
    """Both do the work in the same seconds: first the standby, then the recording."""
    found = Findings()
    folder.mkdir()
    standby = [ffmpeg, "-v", "error", "-nostdin", *work.reading, *work.coding, *NOWHERE]
    recording = [ffmpeg, "-v", "error", "-nostdin", *work.reading, *work.coding, *segments(plan)]
    found.compared = [f"{work.group}, standby: {shown(standby)}", f"{work.group}, recording: {shown(recording)}"]
    text = configuration(work.clip, plan, encoder=work.encoder)
    with Bwvd(folder, text) as bwvd:
        with Ffmpeg(standby, folder / "standby") as theirs:
            bwvd.wait_for_loop(plan.loop_s * FILLED)
            time.sleep(plan.settle_s)
            rows, by_thread = _standby(work, plan, bwvd, theirs)
            found.rows += rows
            found.threads.append({"group": work.group, "wakeups_per_s": by_thread})
        with Ffmpeg(recording, folder / "recording") as theirs:
            identity = bwvd.press()
            bwvd.wait_steady(plan.keyframe_s)
            time.sleep(plan.settle_s)
            found.rows += _recording(work, plan, bwvd, theirs, identity)
    return found


def _standby(work: Work, plan: Plan, bwvd: Bwvd, theirs: Ffmpeg) -> tuple[list[Row], dict[str, float]]:
    windows, begun_s, frames = plan.windows, time.monotonic(), bwvd.frames()
    both = watch([bwvd.pid, theirs.pid], windows, plan.window_s)
    theirs.check_alive()
    status = bwvd.status()
    kept_up = _kept_up(bwvd.frames() - frames, time.monotonic() - begun_s, plan)
    rows = _rows(work.group, "standby", both, work.standby_goal, _noted(work.note, kept_up))
    loop_mb = status["loop"]["bytes"] / 1e6
    ours_mb, theirs_mb = (accounting.peak_kb(pid) * 1024 / 1e6 for pid in (bwvd.pid, theirs.pid))
    rows.append(
        Row(
            work.group,
            "standby: peak memory less the loop",
            "MB",
            Spread.of([ours_mb - loop_mb]),
            Spread.of([theirs_mb]),
            goal=Goal(MEMORY_ABOVE_MB, "above", f"≤ ffmpeg's + {MEMORY_ABOVE_MB:g} MB"),
            digits=1,
            note=f"VmHWM; {ours_mb:.1f} MB with a loop of {loop_mb:.1f} MB",
            headline=True,
        )
    )
    private = [accounting.private_kb(pid) for pid in (bwvd.pid, theirs.pid)]
    if private[0] is not None and private[1] is not None:
        ours_mb, theirs_mb = private[0] * 1024 / 1e6 - loop_mb, private[1] * 1024 / 1e6
        note = "USS: what would be free again if it ended; libraries that others use as well are left out"
        what = "standby: private memory less the loop"
        rows.append(Row(work.group, what, "MB", Spread.of([ours_mb]), Spread.of([theirs_mb]), digits=1, note=note))
    return rows, both[0].by_thread


def _recording(work: Work, plan: Plan, bwvd: Bwvd, theirs: Ffmpeg, identity: str) -> list[Row]:
    begun_s, frames = time.monotonic(), bwvd.frames()
    both = watch([bwvd.pid, theirs.pid], plan.windows, plan.window_s)
    theirs.check_alive()
    kept_up = _kept_up(bwvd.frames() - frames, time.monotonic() - begun_s, plan)
    rows = _rows(work.group, "recording", both, work.recording_goal, _noted(work.note, kept_up))
    ours_mb, theirs_mb = (accounting.peak_kb(pid) * 1024 / 1e6 for pid in (bwvd.pid, theirs.pid))
    rows.append(Row(work.group, "recording: peak memory", "MB", Spread.of([ours_mb]), Spread.of([theirs_mb]), digits=1))
    seconds = plan.window_s
    flushes = flushes_per_s(bwvd.pid, seconds, bwvd.folder), flushes_per_s(theirs.pid, seconds, theirs.folder)
    if flushes[0] is not None and flushes[1] is not None:
        note = "fsync and fdatasync, counted by strace"
        ours, other = Spread.of([flushes[0]]), Spread.of([flushes[1]])
        rows.append(Row(work.group, "recording: flushes", "1/s", ours, other, digits=1, note=note))
    else:
        before, at_s = bwvd.status()["storage"]["commits"], time.monotonic()
        time.sleep(seconds)
        commits = (bwvd.status()["storage"]["commits"] - before) / (time.monotonic() - at_s)
        note = "the daemon's own count, without strace: a commit flushes segment, directory and manifest"
        rows.append(Row(work.group, "recording: commits", "1/s", Spread.of([commits]), digits=1, note=note))
    bwvd.stop()
    theirs.end()
    rows += _bytes(work, both, bwvd.folder / "evidence" / "recordings" / identity, theirs.folder)
    return rows


def _rows(group: str, when: str, both: Sequence[Watched], goal: Goal, note: str) -> list[Row]:
    ours, theirs = both
    return [
        Row(
            group,
            f"{when}: CPU",
            "% of a core",
            ours.core,
            theirs.core,
            paired=True,
            goal=goal,
            note=note,
            headline=True,
        ),
        Row(group, f"{when}: voluntary switches", "1/s", ours.voluntary, theirs.voluntary, paired=True, digits=1),
        Row(group, f"{when}: involuntary switches", "1/s", ours.involuntary, theirs.involuntary, digits=1),
    ]


def _noted(read: str, kept_up: str) -> str:
    return "; ".join(note for note in (kept_up, read) if note)


def _kept_up(frames: int, span_s: float, plan: Plan) -> str:
    """Says so where the daemon did not get through its frames: then it has done less than it should have."""
    share = frames / (span_s * RATE)
    return "" if share >= KEEPS_UP or plan.quick else f"only {share:.0%} of the frames: the machine was too busy"


def _bytes(work: Work, both: Sequence[Watched], ours: Path, theirs: Path) -> list[Row]:
    """Bytes in files, and bytes that the kernel took for storage, for each byte of video."""
    per_file = []
    for folder in (ours, theirs):
        # Everything that the recording put down, over the samples in it.
        names = [path for path in folder.iterdir() if path.name not in ("progress", "log", "strace")]
        whole = folder.parent / f"{folder.name}.whole.mp4"
        pieces = [folder / "init.mp4", *sorted(folder.glob("*.m4s"))]
        with whole.open("wb") as out:
            for piece in pieces:
                out.write(piece.read_bytes())
        media, frames = media_in(whole)
        whole.unlink()
        per_file.append((sum(path.stat().st_size for path in names) / media, media / frames * RATE))
    rows = [
        Row(
            work.group,
            "recording: bytes in files per byte of video",
            "",
            Spread.of([per_file[0][0]]),
            Spread.of([per_file[1][0]]),
            digits=4,
        )
    ]
    written = [watched.stored for watched in both]
    if written[0] is not None and written[1] is not None:
        spreads = [Spread.of([value / a_second for value in one.values]) for one, (_, a_second) in zip(
            (written[0], written[1]), per_file, strict=True
        )]  # fmt: skip
        rows.append(
            Row(
                work.group,
                "recording: bytes to storage per byte of video",
                "",
                spreads[0],
                spreads[1],
                digits=2,
                note="pages that became dirty (/proc/PID/io), also when the same one does again and again",
            )
        )
    return rows
