"""The power is cut, again and again, at moments of every kind, on both file systems; and what is there afterwards."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from bwvd.evidence.format.recording_id import serial_of
from tests.machine.installed import LOOP_S, POST_ROLL_S, READY_S, SEGMENT_S, STORAGE, Installed
from tests.machine.results import Results
from tests.machine.watch import Said, Watch

PHASES = ("recording", "commit", "stop", "standby", "press", "recovery")
# Invariant 6: at most a segment and a commit are not acknowledged; an emulated machine takes its time for a commit.
LOSS_S = SEGMENT_S + 1.5
BACKLOG_S = 1.5  # so long the loop takes to reach the card after a press, about
LONGEST_BACKLOG_S = 6.0  # and so long it may take an emulated processor; until it is there, no bound is in force
BOOT_EVERY = 6  # cuts: then the machine boots, and the daemon starts by itself; in between it is thawed
STARTED_S = 8.0  # a first guess how long the daemon takes to start


@dataclass(slots=True)
class Told:
    """What the daemon said of a recording before the power went."""

    id: str
    pressed_s: float  # ours, when it had answered
    first_s: float = 0.0  # how long it was when it was first seen: the loop, and what came until then
    committed_s: float = 0.0
    segments: int = 0
    captured_s: float | None = None  # at the cut; None: it had closed, or was on its way to
    lived_s: float = 0.0  # from the press to the cut
    cut: str = ""


@dataclass
class Story:
    """One card, and one cut after another."""

    subject: Installed
    chance: random.Random
    filesystem: str
    known: dict[str, Told] = field(default_factory=dict)
    phases: Counter[str] = field(default_factory=Counter)
    hows: Counter[str] = field(default_factory=Counter)
    verdicts: dict[str, str] = field(default_factory=dict)
    lost_s: list[float] = field(default_factory=list)
    boots: int = 0
    start_s: float = STARTED_S
    frames: dict[str, int] = field(default_factory=dict)

    def run(self, cuts: int) -> None:
        """So many cuts, each followed by a start on what it left, and a look at everything."""
        for number in range(cuts):
            phase = PHASES[number % len(PHASES)]
            with Watch(self.subject.machine) as watch:
                watch.until(_loop_is_full, READY_S, what="standby with a full loop")
                if phase == "recovery":  # there has to be something to recover
                    self._cut_recording(watch)
                else:
                    getattr(self, f"_cut_{phase}")(watch)
            if phase == "recovery":
                self._cut_recovery(by_boot=number // len(PHASES) % 2 == 0)
            self.power_on(by_boot=number % BOOT_EVERY == 0)
            self._look()

    # --- cuts --------------------------------------------------------------------------------------------------------

    def _cut_standby(self, watch: Watch) -> None:
        time.sleep(self.chance.uniform(0, 1))
        self._cut("standby", watch)

    def _cut_press(self, watch: Watch) -> None:
        self._press()
        time.sleep(self.chance.uniform(0, BACKLOG_S))
        self._cut("press", watch)

    def _cut_recording(self, watch: Watch) -> None:
        self._press()
        watch.until(_is_recording, what="recording")
        time.sleep(self.chance.uniform(BACKLOG_S, 2 * BACKLOG_S + SEGMENT_S))
        self._cut("recording", watch)

    def _cut_commit(self, watch: Watch) -> None:
        self._press()
        said = watch.until(lambda status: _segments(status) > 0, what="a segment")
        assert said.status is not None
        before = _segments(said.status) + self.chance.randrange(2, 5)
        watch.until(lambda status: _segments(status) >= before, what=f"{before} segments")
        time.sleep(self.chance.uniform(0, 0.3))
        self._cut("commit", watch)

    def _cut_stop(self, watch: Watch) -> None:
        self._press()
        watch.until(lambda status: _segments(status) > 0, what="a segment")
        assert self.subject.ask(cmd="stop")["ok"]
        time.sleep(self.chance.uniform(0, POST_ROLL_S + 1.5))
        self._cut("stop", watch)

    def _cut_recovery(self, *, by_boot: bool) -> None:
        """While the daemon starts: it is still importing, or recovers, or opens its devices."""
        machine = self.subject.machine
        if by_boot:
            machine.start(wait=False)
            self.boots += 1
            machine.wait_ssh()
            machine.until("systemctl is-active bwvd | grep -E '^(activating|active)$'", 200)
        else:
            self.power_on(by_boot=False, start=False)
            machine.sh("systemctl start --no-block bwvd")
        time.sleep(self.chance.uniform(0.3, 1.0) * self.start_s)
        self._cut("recovery", None)

    def _press(self) -> None:
        answer = self.subject.ask(cmd="press")
        assert answer["ok"], answer
        self.known[answer["recording"]] = Told(answer["recording"], time.monotonic())

    def _cut(self, phase: str, watch: Watch | None) -> None:
        keep = self.chance.random() < 0.5
        at_s = time.monotonic()
        self.subject.machine.cut(keep_written=keep)
        self.phases[phase] += 1
        self.hows["keep-written" if keep else "cut"] += 1
        if watch is None:
            return
        heard = [said for said in watch.heard if said.heard_s <= at_s and said.status is not None]
        for said in heard:
            self._note(said)
        if not self.known:
            return
        newest = list(self.known.values())[-1]
        if newest.cut:
            return
        newest.cut = phase
        newest.lived_s = at_s - newest.pressed_s
        last = heard[-1]
        assert last.status is not None
        if last.status["state"] == "recording" and last.status["recording"]:
            newest.captured_s = last.status["recording"]["seconds"] + at_s - last.heard_s

    def _note(self, said: Said) -> None:
        assert said.status is not None
        recording = said.status["recording"]
        if recording and recording["id"] in self.known:
            told = self.known[recording["id"]]
            told.first_s = told.first_s or recording["seconds"]
            told.committed_s = max(told.committed_s, recording["committed_s"])
            told.segments = max(told.segments, recording["segments"])

    # --- and after ---------------------------------------------------------------------------------------------------

    def power_on(self, *, by_boot: bool, start: bool = True) -> None:
        machine = self.subject.machine
        if by_boot:
            machine.start()
            self.boots += 1
            assert machine.sh("systemctl is-enabled bwvd") == "enabled"
        else:
            machine.thaw()
            # a start of the machine has another boot id
            machine.sh(
                "tr -d '\\n' < /proc/sys/kernel/random/uuid > /run/boot_id && "
                "mount --bind /run/boot_id /proc/sys/kernel/random/boot_id"
            )
            machine.sh(f"systemctl start {STORAGE[1:].replace('/', '-')}.mount")
            if start:
                machine.sh("systemctl start bwvd", limit_s=READY_S)
        if start:
            self.subject.standby(loop_s=0)
            shown = machine.sh(
                "systemctl show bwvd -p ExecMainStartTimestampMonotonic -p ActiveEnterTimestampMonotonic --value"
            ).split()
            self.start_s = abs(int(shown[1]) - int(shown[0])) / 1e6

    def _look(self) -> None:
        """Everything on the card, against what was said of it."""
        reports = {report["id"]: report for report in self.subject.verify()}
        for name, verdict in self.verdicts.items():
            assert reports[name]["verdict"] == verdict, f"{name} was {verdict}: {reports[name]}"
            assert reports[name]["frames"] == self.frames[name]
        for name in sorted(reports.keys() - self.verdicts.keys()):
            self.verdicts[name], self.frames[name] = reports[name]["verdict"], reports[name]["frames"]
        for told in self.known.values():
            self._look_at(told, reports.get(told.id))
        serials = [serial_of(name) for name in sorted(reports)]
        assert serials == list(range(1, len(serials) + 1)), "a number is missing, or was given twice"

    def _look_at(self, told: Told, report: dict[str, Any] | None) -> None:
        if report is None:
            assert told.committed_s == 0, f"{told} was acknowledged, and is gone"
            assert told.lived_s < LONGEST_BACKLOG_S, f"{told}: nothing of it is there"
            return
        kept_s = report["duration_s"]
        assert kept_s >= told.committed_s - 0.002, f"{told}: what was acknowledged is gone: {kept_s:.3f} s"
        assert report["segments"] >= told.segments, f"{told}: what was acknowledged is gone: {report}"
        in_force = 0 < told.first_s <= told.committed_s or told.lived_s >= LONGEST_BACKLOG_S
        if told.captured_s is not None and in_force:
            lost_s = told.captured_s - kept_s
            self.lost_s.append(lost_s)
            assert lost_s <= LOSS_S, f"{told} has {kept_s:.3f} s"
            told.captured_s = None  # it is counted

    def __str__(self) -> str:
        verdicts = Counter(self.verdicts.values())
        return (
            f"{dict(self.phases)}; {dict(self.hows)}; {self.boots} whole boots; recordings: {dict(verdicts)}; "
            f"lost at most {max(self.lost_s, default=0):.2f} s of {len(self.lost_s)}, nothing acknowledged"
        )


def _loop_is_full(status: dict[str, Any]) -> bool:
    return bool(status["state"] == "standby" and status["loop"]["seconds"] >= LOOP_S)


def _is_recording(status: dict[str, Any]) -> bool:
    return bool(status["state"] == "recording" and status["recording"])


def _segments(status: dict[str, Any]) -> int:
    return int((status["recording"] or {"segments": 0})["segments"])


@pytest.mark.parametrize("filesystem", ["ext4", "f2fs"])
def test_power_cuts(
    filesystem: str, standby: Installed, seed: str, results: Results, pytestconfig: pytest.Config
) -> None:
    """Invariants 4, 6, 7 and 8, on a real kernel: whenever the power goes, what was acknowledged is there, the rest is
    less than a segment and a commit, all of it verifies, and the daemon is in standby again by itself."""
    cuts = max(1, pytestconfig.getoption("--cuts") // 2)
    machine = standby.machine
    standby.new_card(filesystem)
    machine.sh(f"umount {STORAGE}")
    machine.freeze()
    story = Story(standby, random.Random(f"{seed} {filesystem}"), filesystem)
    try:
        story.power_on(by_boot=False)
        story.run(cuts)
    except BaseException:
        results.add(f"power cuts, {filesystem}, seed {seed}", story.phases.total(), f"FAILED; {story}")
        raise
    finally:
        if machine.on:
            machine.cut()  # what was thawed is over: its memory goes with another disk than what is booted next
    results.add(f"power cuts, {filesystem}, seed {seed}", story.phases.total(), str(story))
    assert story.phases.total() >= cuts
