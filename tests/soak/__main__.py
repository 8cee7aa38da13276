"""Soak: `python -m tests.soak --hours N [--seed S] [--virtual] [--json] [--keep FOLDER]`.

Runs `bwvd run` for N hours of real time and does to it what a seed says: presses, stops, marks, sleeps; storage that
stalls, is slow, fails; a camera that is taken away; crowds and nonsense at its socket; reloads; clock steps; freezing.
Recordings are verified, decoded frame by frame, received and released, so that the storage stays small. Exit code 0:
memory flat, descriptors and threads constant, no frame lost. 1: not, or too short a run to tell. 2: usage.

With --virtual the same plan runs on virtual devices in virtual time: an hour takes seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bwvd.evidence.verify.paths import verify_paths
from bwvd.log import configure
from tests.soak.device import Device
from tests.soak.plan import plan
from tests.soak.sample import Sample, take
from tests.soak.verdict import (
    LIMIT_MB_H,
    Constant,
    Memory,
    constant,
    cpu_share,
    memory,
    switches_a_minute,
    warm_up_s,
)
from tests.soak.virtual import VirtualResult, virtual_soak
from tests.support.process import signers_of

SAMPLE_EVERY_S = 10.0
SWEEP_EVERY_S = 45.0
SHORTEST_H = 0.02
LOOP_S = 30.0
SHOWN = 20  # problems


@dataclass
class Soak:
    """What has been seen so far."""

    device: Device
    seconds: float
    seed: int
    samples: list[Sample] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Start the daemon, live through all of it, end the daemon. Problems are kept, not raised."""
        self.device.begin()
        try:
            self._live()
        finally:
            code = self.device.end()
        if code != 0:
            self.problems.append(f"the daemon ended with exit code {code}")
        # What a failed sync left without its sums gets them at the next start, and the last recording its look.
        self.device.begin()
        time.sleep(4)
        self.device.desk.sweep("", self.device.process.ask)
        self.device.end()
        for report in verify_paths([self.device.folder / "evidence"], signers_of(self.device.folder)):
            if not report.good:
                self.problems.append(f"{report.id or report.path}: {report.verdict}: {report.findings[0].what}")
        self.problems += [*self.device.problems, *self.device.desk.problems]

    def _live(self) -> None:
        begun_s = time.monotonic()
        deeds = plan(self.seed)
        deed = next(deeds)
        sample_s, sweep_s = begun_s, begun_s + SWEEP_EVERY_S
        while (now_s := time.monotonic()) < begun_s + self.seconds:
            if self.device.process.process.poll() is not None:
                self.problems.append(f"the daemon is gone: {self.device.process.log()[-2000:]}")
                return
            self.device.attend()
            if now_s >= begun_s + deed.at_s:
                self.device.do(deed)
                deed = next(deeds)
            elif now_s >= sample_s:
                self._sample(now_s - begun_s)
                sample_s += SAMPLE_EVERY_S
            elif now_s >= sweep_s and not self.device.disturbed:
                self._sweep()
                sweep_s = time.monotonic() + SWEEP_EVERY_S
            else:
                due_s = min(begun_s + deed.at_s, sample_s, self.device.next_s(), now_s + 1)
                time.sleep(max(0.0, due_s - now_s))

    def _sample(self, at_s: float) -> None:
        disturbed = self.device.disturbed
        status = self.device.status()
        self.samples.append(take(self.device.process.process.pid, at_s, status, undisturbed=not disturbed))

    def _sweep(self) -> None:
        status = self.device.status()
        if status is not None:
            recording = status["recording"]
            self.device.desk.sweep(recording["id"] if recording else "", self.device.process.ask)


@dataclass(frozen=True)
class Result:
    """The whole answer."""

    hours: float
    seed: int
    memory: Memory
    descriptors: Constant
    threads: Constant
    switches_a_minute: float
    cpu: float
    recordings: int
    released: int
    frames: int
    lost: int
    absent: int
    verdicts: dict[str, int]
    syncs: int
    longest_sync_s: float
    deeds: dict[str, int]
    outcomes: dict[str, int]
    problems: list[str]
    samples: int

    @property
    def good(self) -> bool:
        flat = self.memory.judge() == "flat"
        steady = self.descriptors.judge() == self.threads.judge() == "constant"
        return flat and steady and not self.lost and not self.problems and self.recordings > 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "good": self.good,
            "verdicts_of": {
                "memory": self.memory.judge(),
                "descriptors": self.descriptors.judge(),
                "threads": self.threads.judge(),
            },
            **asdict(self),
        }

    def __str__(self) -> str:
        memory, problems = self.memory, self.problems
        deeds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.deeds.items()))
        slopes = f"RSS {memory.rss}, PSS {memory.pss}"
        lines = [
            f"Soak         {self.hours:.2f} h, seed {self.seed}: {deeds}",
            f"Memory       {memory.judge()}: {memory.anonymous} MB/h (limit {LIMIT_MB_H:g}); {slopes}",
            f"             from {memory.first_mb:.1f} to {memory.last_mb:.1f} MB, peak {memory.peak_mb:.1f}",
            f"Descriptors  {self.descriptors.judge()}: {_counts(self.descriptors)}",
            f"Threads      {self.threads.judge()}: {_counts(self.threads)}",
            f"Cost         {self.cpu:.1%} of a core, {self.switches_a_minute:.0f} context switches a minute",
            f"Storage      {self.syncs} syncs, the longest {self.longest_sync_s:.1f} s",
            f"Recordings   {self.recordings} looked at ({_words(self.verdicts)}), {self.released} released",
            f"Frames       {self.frames} decoded, {self.lost} lost; {self.absent} while the camera was away, all named",
            *(f"Problem      {problem}" for problem in problems[:SHOWN]),
            *([f"Problem      and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []),
            f"Verdict      {'good' if self.good else 'not good'}",
        ]
        return "\n".join(lines)


def _counts(found: Constant) -> str:
    return f"at rest {', '.join(map(str, found.least)) or '?'}, at most {found.most}"


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))


def judge(soak: Soak) -> Result:
    """Everything that was seen, in figures."""
    settled = [sample for sample in soak.samples if sample.at_s >= warm_up_s(soak.seconds)]
    desk, levers = soak.device.desk, soak.device.levers
    return Result(
        hours=soak.seconds / 3600,
        seed=soak.seed,
        memory=memory(settled),
        descriptors=constant(settled, lambda sample: sample.descriptors),
        threads=constant(settled, lambda sample: sample.threads),
        switches_a_minute=switches_a_minute(settled),
        cpu=cpu_share(settled),
        recordings=desk.seen,
        released=desk.released,
        frames=desk.frames,
        lost=desk.lost,
        absent=desk.absent,
        verdicts=dict(desk.verdicts),
        syncs=int(levers.syncs),
        longest_sync_s=levers.longest_s,
        deeds=dict(soak.device.deeds),
        outcomes=dict(soak.device.outcomes),
        problems=soak.problems,
        samples=len(soak.samples),
    )


def soak(folder: Path, hours: float, seed: int, loop_s: float = LOOP_S) -> tuple[Result, list[Sample]]:
    """The whole of it, in an empty folder. Blocking."""
    one = Soak(Device(folder, loop_s), hours * 3600, seed)
    one.run()
    return judge(one), one.samples


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description="Hours of the daemon at work, and of faults."
    )
    parser.add_argument("--hours", type=float, required=True, help="how long, of real time; fractions are welcome")
    parser.add_argument("--seed", type=int, default=1, help="what happens, and when (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON document, samples included")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="a new folder to work in, which is kept")
    parser.add_argument("--virtual", action="store_true", help="on virtual devices, in virtual time")
    asked = parser.parse_args(arguments)
    if not asked.hours >= SHORTEST_H:
        parser.error(f"--hours must be at least {SHORTEST_H:g}")
    if asked.keep is None:
        with tempfile.TemporaryDirectory(prefix="bwvd-soak-") as name:
            return work(Path(name).resolve(), asked)
    try:
        asked.keep.mkdir(parents=True)
    except OSError as error:
        parser.error(f"--keep: {asked.keep}: {error.strerror}")
    return work(asked.keep.resolve(), asked)


def work(folder: Path, asked: argparse.Namespace) -> int:
    """Soak in an empty folder and print the answer; returns the exit code."""
    result: Result | VirtualResult
    if asked.virtual:
        configure("error")  # days of log lines are nobody's
        result = virtual_soak(asked.hours, asked.seed, folder)
        document = {"good": result.good, **asdict(result)}
    else:
        result, samples = soak(folder, asked.hours, asked.seed)
        document = {**result.as_dict(), "series": [sample.as_dict() for sample in samples]}
    print(json.dumps(document, indent=1) if asked.json else result)
    return 0 if result.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
