"""`python -m tests.bench.store [--megabytes N] [--rounds N] [--json FILE]`: what carrying away costs, beside rclone.

Segments are put into a folder and into SeaweedFS, by one and by four at once: by our stores, by `rclone copy`, and by
the same requests over httpx if that is installed. Each time a process of its own does it, from its start to its
end, in turn, again and again; the ratio is taken round by round. Needs rclone (Debian) and the extra `engines`.

rclone does not sync what it writes into a folder, and we do: so it stands there twice, once with `sync -f` behind it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.support import seaweed
from tests.support.seaweed import ADMIN, BUCKET, SECRETS, Engine

SEGMENT_BYTES = 1_500_000  # a second at 12 Mbit/s
RATIO_GOAL = 0.8  # of rclone's speed
MEMORY_GOAL_MB = 25.0


@dataclass(frozen=True, slots=True)
class Run:
    """One process that carried the folder away."""

    where: str  # "folder" or "bucket"
    who: str
    at_once: int
    seconds: float
    cpu_s: float
    memory_mb: float  # at its peak, over an idle process

    @property
    def key(self) -> tuple[str, int, str]:
        return self.where, self.at_once, self.who


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Exit code 0, also when a goal is missed; 2 where something is not installed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.store", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="in the folder (default: 300)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write each run as JSON too")
    options = parser.parse_args(arguments)
    if (reason := seaweed.why_not()) or shutil.which("rclone") is None:
        print(reason or "rclone is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="bwvd-bench-store-") as scratch:
        runs = _measure(Path(scratch), options.megabytes, options.rounds)
    _show(runs, options.megabytes)
    if options.json:
        options.json.write_text(json.dumps([asdict(run) for run in runs], indent=1))
    return 0


def _measure(scratch: Path, megabytes: int, rounds: int) -> list[Run]:
    source, digests = scratch / "source", scratch / "digests"
    source.mkdir()
    digests.mkdir()
    for number in range(max(4, megabytes * 1_000_000 // SEGMENT_BYTES)):
        name, content = f"{number:06d}.m4s.age", os.urandom(SEGMENT_BYTES)
        (source / name).write_bytes(content)
        (digests / name).write_text(hashlib.sha256(content).hexdigest())
    idle_mb = _idle_mb()
    runs = []
    with seaweed.running(scratch / "weed") as engine:
        credentials = engine.credentials(ADMIN)  # may make its bucket, and does with the first put
        for turn in range(rounds):
            for at_once in (1, 4):
                for where in ("folder", "bucket"):
                    rivals = ["ours", "rclone", *(["rclone and sync"] if where == "folder" else _httpx())]
                    for who in rivals if turn % 2 == 0 else reversed(rivals):
                        name = f"{who.replace(' ', '-')}-{turn}-{at_once}"
                        run = _run(scratch, source, engine, credentials, where, who, at_once, name, idle_mb)
                        print(f"{where} {who} {at_once}: {run.seconds:.1f} s", file=sys.stderr)
                        runs.append(run)
    return runs


def _httpx() -> list[str]:
    try:
        import httpx  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        return []
    return ["httpx"]


def _run(
    scratch: Path, source: Path, engine: Engine, credentials: Path, where: str, who: str, at_once: int, name: str,
    idle_mb: float,
) -> Run:  # fmt: skip
    folder = scratch / "target" / name
    folder.mkdir(parents=True)
    address = f"file:{folder}" if where == "folder" else f"s3://{BUCKET}/{name}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    environment["RCLONE_CONFIG"] = os.devnull
    if who.startswith("rclone"):
        remote = str(folder) if where == "folder" else f":s3:{BUCKET}/{name}"
        command = ["rclone", "copy", "--transfers", str(at_once), "--checkers", str(at_once), str(source), remote]
        environment |= {
            "RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENDPOINT": engine.endpoint, "RCLONE_S3_REGION": "us-east-1",
            "RCLONE_S3_ACCESS_KEY_ID": ADMIN, "RCLONE_S3_SECRET_ACCESS_KEY": SECRETS[ADMIN],
        }  # fmt: skip
    else:
        command = [sys.executable, "-m", "tests.bench.store_child", who, address, str(source), str(at_once)]
        environment |= {"ENDPOINT": engine.endpoint, "CREDENTIALS": str(credentials)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1000:]}")
    if who == "rclone and sync":
        subprocess.run(["sync", "-f", str(folder)], check=True)
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    peak_mb = float(done.stdout) if done.stdout.strip() else float("nan")
    shutil.rmtree(folder)
    return Run(where, who, at_once, seconds, cpu_s, peak_mb - idle_mb)


def _idle_mb() -> float:
    """What a process of ours has that does nothing: Python and trio."""
    code = "import trio, tests.bench.store_child as child; print(child.peak_mb())"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def _show(runs: list[Run], megabytes: int) -> None:
    table = Table(title=f"{megabytes} MB in segments of {SEGMENT_BYTES / 1e6:g} MB; median, least and most")
    for column in ("to", "at once", "by", "MB/s", "of rclone's", "CPU s/GB", "MB over idle"):
        table.add_column(column, justify="right")
    for key in sorted({run.key for run in runs}):
        where, at_once, who = key
        same = [run for run in runs if run.key == key]
        rclone = [run for run in runs if run.key == (where, at_once, "rclone")]
        ratios = [theirs.seconds / ours.seconds for ours, theirs in zip(same, rclone, strict=True)]
        table.add_row(
            where, str(at_once), who, _spread([megabytes / run.seconds for run in same]), _spread(ratios, 2),
            _spread([run.cpu_s / megabytes * 1000 for run in same], 2),
            _spread([run.memory_mb for run in same]) if who in ("ours", "httpx") else "",
        )  # fmt: skip
    console = Console(width=140)  # a table of this width also where it goes into a file
    console.print(table)
    ours = [run for run in runs if run.who == "ours"]
    console.print(f"goals: at least {RATIO_GOAL} of rclone's speed, at most {MEMORY_GOAL_MB:g} MB over an idle process")
    console.print(f"most memory of ours: {max(run.memory_mb for run in ours):.1f} MB")


def _spread(values: list[float], digits: int = 1) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


if __name__ == "__main__":
    sys.exit(main())
