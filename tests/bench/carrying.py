"""`python -m tests.bench.carrying [--megabytes N] [--rounds N] [--seconds N] [--json FILE]`: the carrier beside rclone.

A card with closed recordings is carried away by `bwvd offload --once` and copied by `rclone copy`, to a folder and to
SeaweedFS, in turn, again and again, each from the start of its process to its end; the ratio is taken round by round.
rclone does not sync what it writes into a folder, and we do: so it stands there twice, once with `sync -f` behind it.

Then a recording: in each round one without a carrier, and one beside a carrier with the unit's priorities that has
never done, on the same disk as the card; into the bucket also by one that can't ask the recorder, and so goes on at
full speed. The store is not on that disk, as it would not be: folder and SeaweedFS are in memory, and SeaweedFS, which
would not be on the camera's processor either, has the carrier's priority. With `--on-disk` it is there, and has the
recorder's. Told are commits, and frames that are missing. Needs rclone and ffmpeg (Debian), and the extra `engines`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import trio
from rich.console import Console
from rich.table import Table

from tests.bench.pairing import FULL
from tests.bench.sources import Clip, Clips
from tests.bench.store import MEMORY_GOAL_MB, RATIO_GOAL
from tests.bench.subjects import Bwvd, configuration
from tests.fleet.cameras import MEMORY, Load, fill_card
from tests.support import seaweed
from tests.support.s3_client import Client
from tests.support.seaweed import ADMIN, BUCKET, SECRETS, Engine

SEGMENT_BYTES = 1_500_000  # a second at 12 Mbit/s
SEGMENTS = 50  # of a recording
UNASKED = "bucket, recorder not asked"
BESIDE = ("nothing", "folder", "bucket", UNASKED)
COMMIT_GOAL = 2.0  # times as long at the 99th percentile, beside a carrier
KEYFRAME_S = 0.5
CARRIER = ("nice", "-n", "10", "ionice", "-c", "idle")  # as its unit runs it


@dataclass(frozen=True, slots=True)
class Run:
    """One process that carried the card away."""

    where: str  # "folder" or "bucket"
    who: str
    seconds: float
    cpu_s: float
    memory_mb: float  # at its peak, over an idle process


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording."""

    beside: str  # of BESIDE
    commits: int
    p50_ms: float
    p99_ms: float
    missing: int  # frames that the source had and the recording has not
    carried: int  # bytes meanwhile


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 0, also when a goal is missed; 2 where something is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.carrying", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="on the card (default: 300)")
    parser.add_argument("--rounds", type=int, default=5, help="how often (default: 5)")
    parser.add_argument("--seconds", type=int, default=60, help="of each recording; 0 = none (default: 60)")
    parser.add_argument("--on-disk", action="store_true", help="beside a recording, the store on the recorder's disk")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write each run as JSON too")
    options = parser.parse_args(arguments)
    ffmpeg = shutil.which("ffmpeg")
    if (reason := seaweed.why_not()) or shutil.which("rclone") is None or ffmpeg is None:
        print(reason or "rclone or ffmpeg is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bwvd-bench-carrying-") as scratch:
        site = Site(Path(scratch), options.megabytes)
        with seaweed.running(site.scratch / "weed") as site.engine:
            site.make_bucket()
            runs = [run for turn in range(0 if options.on_disk else options.rounds) for run in _round(site, turn)]
        recorded = []
        if options.seconds:
            clip = Clips(site.scratch, ffmpeg, KEYFRAME_S).h264("1280x720", 20)
            recorded = _beside(site, clip, options.rounds, options.seconds, on_disk=options.on_disk)
    console = Console(width=140)  # a table of this width also where it goes into a file
    if runs:
        _show_runs(console, runs, site.megabytes)
    _show_recorded(console, recorded)
    if options.json:
        told = {"runs": [asdict(run) for run in runs], "recorded": [asdict(one) for one in recorded]}
        options.json.write_text(json.dumps(told, indent=1))
    return 0


class Site:
    """The card, and where it is carried to."""

    engine: Engine

    def __init__(self, scratch: Path, megabytes: int) -> None:
        self.scratch = scratch
        self.card = scratch / "card"
        count = max(1, round(megabytes * 1e6 / SEGMENT_BYTES / SEGMENTS))
        fill_card(self.card, Load(count, SEGMENTS, SEGMENT_BYTES))
        self.megabytes = sum(path.stat().st_size for path in self.card.rglob("*") if path.is_file()) / 1e6
        self.idle_mb = _idle_mb()
        self.targets = scratch / "target"

    def make_bucket(self) -> None:
        trio.run(Client(self.engine, ADMIN).ask, "PUT", f"/{BUCKET}")

    def target(self, where: str, name: str) -> str:
        """A new place, as rclone would name it without its remote."""
        if where == "bucket":
            return f"{BUCKET}/{name}"
        folder = self.targets / name
        folder.mkdir(parents=True)
        return str(folder)

    def offload(self, where: str, name: str, socket: str = "nobody.sock") -> list[str]:
        """`bwvd offload --once` to a new place; `socket`: of the recorder that may be recording."""
        target = self.target(where, name)
        config = self.scratch / f"{name}.toml"
        store = f'store = "file:{target}"\n'
        if where == "bucket":
            credentials = self.engine.credentials(ADMIN)
            store = f'store = "s3://{target}"\nendpoint = "{self.engine.endpoint}"\ncredentials = "{credentials}"\n'
        config.write_text(
            f'[storage]\npath = "{self.card}"\n[socket]\npath = "{self.scratch / socket}"\n'
            f"[offload]\n{store}release = false\n"
        )
        return [sys.executable, "-m", "tests.bench.carrying_child", "offload", "--once", "--json", "-c", str(config)]

    def rclone(self, where: str, name: str) -> list[str]:
        remote = "" if where == "folder" else ":s3:"
        copy = ["rclone", "copy", "--transfers", "4", "--checkers", "4", str(self.card)]
        return [*copy, f"{remote}{self.target(where, name)}"]

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
        return ours | {
            "RCLONE_CONFIG": os.devnull, "RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENDPOINT": self.engine.endpoint,
            "RCLONE_S3_REGION": "us-east-1", "RCLONE_S3_ACCESS_KEY_ID": ADMIN,
            "RCLONE_S3_SECRET_ACCESS_KEY": SECRETS[ADMIN],
        }  # fmt: skip

    def clear(self, name: str) -> None:
        shutil.rmtree(self.targets / name, ignore_errors=True)


def _round(site: Site, turn: int) -> Iterator[Run]:
    for where in ("folder", "bucket"):
        rivals = ["ours", "rclone", *(["rclone and sync"] if where == "folder" else [])]
        for who in rivals if turn % 2 == 0 else reversed(rivals):
            name = f"{where}-{who.replace(' ', '-')}-{turn}"
            os.sync()  # what the one before has left to the disk is not for this one to wait for
            run = _carry(site, where, who, name)
            print(f"{where} {who}: {run.seconds:.1f} s", file=sys.stderr)
            yield run
            site.clear(name)


def _carry(site: Site, where: str, who: str, name: str) -> Run:
    command = site.offload(where, name) if who == "ours" else site.rclone(where, name)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, env=site.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-1000:]}")
    if who == "rclone and sync":
        subprocess.run(["sync", "-f", str(site.targets / name)], check=True)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak_mb = float(done.stderr.split()[-1]) if who == "ours" else float("nan")
    return Run(where, who, seconds, cpu_s, peak_mb - site.idle_mb)


def _idle_mb() -> float:
    """What a process of ours has that does nothing: Python and trio."""
    code = "import trio, tests.bench.store_child as child; print(child.peak_mb())"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


# --- beside a recording ----------------------------------------------------------------------------------------------


def _beside(site: Site, clip: Clip, rounds: int, seconds: int, *, on_disk: bool) -> list[Recorded]:
    where = site.scratch if on_disk or not MEMORY.is_dir() else MEMORY
    with tempfile.TemporaryDirectory(prefix="bwvd-bench-", dir=where) as place:
        site.targets = Path(place) / "target"
        with seaweed.running(Path(place) / "weed") as site.engine:
            for thread in Path(f"/proc/{site.engine.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), 0 if on_disk else 10)
            site.make_bucket()
            return [_record(site, clip, beside, turn, seconds) for turn in range(rounds) for beside in _turned(turn)]


def _turned(turn: int) -> Sequence[str]:
    return BESIDE if turn % 2 == 0 else BESIDE[::-1]


def _record(site: Site, clip: Clip, beside: str, turn: int, seconds: int) -> Recorded:
    plan = replace(FULL, keyframe_s=KEYFRAME_S, loop_s=5.0)
    folder = site.scratch / f"recorder-{beside.replace(', ', '-').replace(' ', '-')}-{turn}"
    folder.mkdir()
    with Bwvd(folder, configuration(clip, plan, encoder="copy")) as bwvd:
        bwvd.wait_for_loop(4)
        with _carriers(site, beside, turn, bwvd.socket) as carried:
            recording = bwvd.press()
            time.sleep(seconds)  # what is measured is how long it takes
            status = bwvd.status()
            bwvd.stop()
    took, gaps = status["storage"]["commit_ms"], _gaps(folder / "evidence/recordings" / recording)
    one = Recorded(
        beside, status["recording"]["segments"], took["p50"], took["p99"], status["video"]["dropped"] + gaps, carried[0]
    )
    print(f"recording beside {beside}: p99 {one.p99_ms:.1f} ms, {one.missing} missing", file=sys.stderr)
    return one


def _gaps(folder: Path) -> int:
    """Gap records of a recording."""
    return sum(json.loads(line).get("type") == "gap" for line in (folder / "manifest.jsonl").read_text().splitlines())


@contextmanager
def _carriers(site: Site, beside: str, turn: int, socket: str) -> Iterator[list[int]]:
    """Carry the card away again and again, to new places, until the end; how many bytes of cards that are through."""
    carried, ended = [0], threading.Event()
    asked, to = (socket, beside) if beside != UNASKED else ("nobody.sock", "bucket")

    def work() -> None:
        for number in itertools.count():
            name = f"beside-{to}-{'asked' if asked == socket else 'unasked'}-{turn}-{number}"
            command = [*CARRIER, *site.offload(to, name, asked)]
            with subprocess.Popen(
                command, env=site.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process:
                while process.poll() is None and not ended.wait(0.05):
                    pass
                killed = process.poll() is None
                process.kill()
                said = process.communicate()[0]  # some lines, which a pipe holds
            site.clear(name)
            if killed:
                return
            assert process.returncode == 0, said
            carried[0] += round(site.megabytes * 1e6)

    thread = threading.Thread(target=work)
    if beside != "nothing":
        thread.start()
    try:
        yield carried
    finally:
        ended.set()
        if beside != "nothing":
            thread.join()


# --- what is shown ---------------------------------------------------------------------------------------------------


def _show_runs(console: Console, runs: list[Run], megabytes: float) -> None:
    table = Table(title=f"{megabytes:.0f} MB in segments of {SEGMENT_BYTES / 1e6:g} MB; median, least and most")
    for column in ("to", "by", "MB/s", "of rclone's", "CPU s/GB", "MB over idle"):
        table.add_column(column, justify="right")
    for where, who in sorted({(run.where, run.who) for run in runs}):
        same = [run for run in runs if (run.where, run.who) == (where, who)]
        rclone = [run for run in runs if (run.where, run.who) == (where, "rclone")]
        table.add_row(
            where, who, _spread([megabytes / run.seconds for run in same]),
            _spread([theirs.seconds / ours.seconds for ours, theirs in zip(same, rclone, strict=True)], 2),
            _spread([run.cpu_s / megabytes * 1000 for run in same], 2),
            _spread([run.memory_mb for run in same]) if who == "ours" else "",
        )  # fmt: skip
    console.print(table)
    console.print(f"goals: at least {RATIO_GOAL} of rclone's speed, at most {MEMORY_GOAL_MB:g} MB over an idle process")


def _show_recorded(console: Console, recorded: list[Recorded]) -> None:
    if not recorded:
        return
    table = Table(title="A recording, 720p30 of 4 Mbit/s, beside a carrier; median, least and most")
    for column in ("beside", "commits", "p50 ms", "p99 ms", "p99 of alone", "frames missing", "MB carried"):
        table.add_column(column, justify="right")
    alone = [one for one in recorded if one.beside == "nothing"]
    for beside in BESIDE:
        same = [one for one in recorded if one.beside == beside]
        table.add_row(
            beside, str(sum(one.commits for one in same)), _spread([one.p50_ms for one in same]),
            _spread([one.p99_ms for one in same]),
            _spread([one.p99_ms / other.p99_ms for one, other in zip(same, alone, strict=True)], 2),
            str(sum(one.missing for one in same)), f"{sum(one.carried for one in same) / 1e6:.0f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"goals: no frame missing, at most {COMMIT_GOAL:g} times as long a commit at the 99th percentile")


def _spread(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
