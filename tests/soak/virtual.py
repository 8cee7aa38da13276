"""Days of the daemon at work in minutes: the same plan, on virtual devices and in virtual time."""

from __future__ import annotations

import gc
import io
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
import trio.testing

from bwvd.clock import NS
from bwvd.daemon.reload import reload_configuration
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.handing_in import run_release
from bwvd.evidence.release.receipt import accept_receipt
from bwvd.messages import Order
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clip import numbered_video
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.medium import ROOT, FolderNode
from bwvd.testing.flash.storage import VirtualVolume
from tests.soak.desk import ALLOWED, Desk, receipt_for
from tests.soak.plan import Deed, plan
from tests.soak.sample import anonymous
from tests.soak.trend import FEWEST, Trend, trend
from tests.soak.verdict import LIMIT_MB_H, warm_up_s
from tests.support.recorded import Recorded, has_begun
from tests.support.rig import Rig, configuration

RATE = 1  # frames a second, in long groups: what is done at each press, fault and commit counts, not the pictures
GOP_FRAMES = 4
CYCLE = 60  # numbers; then they come again, so that all coded pictures can be made beforehand
LOOP_S = 30.0
POST_ROLL_S, SHORTER_POST_ROLL_S = 2.0, 1.5  # as configured, and after a reload
SWEEP_EVERY_S = 120.0
SETTLE_S = 20.0  # without a deed, before anything is counted
COUNT_EVERY = 3  # sweeps: then it is put to rest first, so that recordings may be longer than from sweep to sweep
LISTENERS = 40
# How much an hour may bring, of some 60 thousand objects and 250 thousand blocks: a leak of one a deed would be 500.
OBJECTS_H = 100
BLOCKS_H = 1000

_ORDERS = {
    "press": (Order.PRESS, "button"),
    "mark": (Order.MARK, "socket"),
    "stop": (Order.STOP, "socket"),
    "sleep": (Order.SLEEP, "socket"),
    "wake": (Order.WAKE, "socket"),
    "mute": (Order.MUTE, "socket"),
    "unmute": (Order.UNMUTE, "socket"),
    "signal_record": (Order.RECORD, "signal:USR1"),
    "signal_mark": (Order.MARK, "signal:USR2"),
}


class CyclingCamera(VirtualCamera):
    """A virtual camera whose numbers go round."""

    @property
    def number(self) -> int:
        return self._number

    @number.setter
    def number(self, value: int) -> None:
        self._number = value % CYCLE


class ForgettingVolume(VirtualVolume):
    """A virtual volume that lets go of what nobody can reach any more; made for days."""

    def forget(self) -> None:
        """Drop files whose removal is certain, and the log of operations."""
        self.gate.log.clear()
        self.gate._faults[:] = [fault for fault in self.gate._faults if fault.times > 0]
        waiting = {
            change.inode for node in self._nodes.values() if isinstance(node, FolderNode) for change in node.changes
        }
        certain = {
            inode for node in self._nodes.values() if isinstance(node, FolderNode) for inode in node.certain.values()
        }
        kept = {ROOT, *self._linked, *waiting, *certain, *(inode for inode, open_ in self._handles.items() if open_)}
        for inode in self._nodes.keys() - kept:
            del self._nodes[inode]
            self._live.pop(inode, None)
            self._blocks.pop(inode, None)
        for inode in [inode for inode, open_ in self._handles.items() if not open_]:
            del self._handles[inode]

    def _add(self, node: Any) -> int:
        # Inodes are counted where nothing is ever taken out; here a number must not be given twice.
        self._next = max(getattr(self, "_next", 0), len(self._nodes))
        inode, self._next = self._next, self._next + 1
        self._nodes[inode] = node
        if isinstance(node, FolderNode):
            self._live[inode] = {}
        self._take(inode, 1 if isinstance(node, FolderNode) else -(-node.size // 4096))
        return inode

    @property
    def nodes(self) -> int:
        return len(self._nodes)


@dataclass(frozen=True, slots=True)
class Count:
    """At rest: in standby, no deed, everything written."""

    at_s: float
    objects: int  # that the garbage collector knows
    blocks: int  # that the interpreter has allocated
    tasks: int
    listeners: int
    nodes: int  # of the volume
    bytes: int  # in the volume
    anonymous: int  # bytes of the process


@dataclass
class VirtualSoak:
    """Args:

    seconds: of virtual time. folder: a real one, for the configuration that is read again.
    """

    seconds: float
    seed: int
    folder: Path
    counts: list[Count] = field(default_factory=list)
    deeds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    released: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        self.volume = ForgettingVolume()
        self.camera = CyclingCamera(self.clock, rate=RATE, gop_frames=GOP_FRAMES)
        video = numbered_video(64, 48, RATE, 0)  # as the camera asks for it
        for first, length in itertools.product(range(CYCLE), range(1, GOP_FRAMES + 1)):
            video.gop(tuple((first + number) % CYCLE for number in range(length)))
        config = configuration(
            loop={"seconds": LOOP_S},
            recording={
                "post_roll_s": POST_ROLL_S,
                "stop_confirm_s": 3,
                "reminder_s": 30,
                "segment_s": GOP_FRAMES / RATE,
            },
            storage={"journal_bytes": 65_536, "reserve_bytes": 1 << 20},
            video={"rate": RATE, "keyframe_s": GOP_FRAMES / RATE},
        )
        self.rig = Rig(config=config, clock=self.clock, volume=self.volume, camera=self.camera)
        self.desk = Desk(self.folder, RATE, CYCLE, LOOP_S, SHORTER_POST_ROLL_S, excused=self._was_away)
        self._receivers = [AllowedSigners.parse(ALLOWED.encode(), "receivers")]
        self._away: list[tuple[int, int]] = []
        self._officers = itertools.count(1)
        self._sweeps = 0
        self._looked_at: set[str] = set()
        self._file = self.folder / "bwvd.toml"

    async def run(self) -> None:
        """All of it, under an autojump clock."""
        deeds = plan(self.seed)
        deed = next(deeds)
        async with self.rig.running(), trio.open_nursery() as lasting:
            begun_s = trio.current_time()
            sweep_s = SWEEP_EVERY_S
            while deed.at_s < self.seconds:
                if deed.at_s >= sweep_s:
                    await trio.sleep_until(begun_s + sweep_s)
                    sweep_s += SWEEP_EVERY_S
                    await self._sweep()
                    continue
                await trio.sleep_until(begun_s + deed.at_s)
                await self._do(deed, lasting)
                deed = next(deeds)
            lasting.cancel_scope.deadline = trio.current_time() + 30
            await self.rig.stop()
            await self.rig.closed()
            await trio.sleep(20)
            await self._sweep()
        self.problems += self.desk.problems

    # --- deeds -------------------------------------------------------------------------------------------------------

    async def _do(self, deed: Deed, lasting: trio.Nursery) -> None:
        self.deeds[deed.kind] += 1
        daemon = self.rig.daemon
        match deed.kind:
            case "assign":
                await self.rig.order(Order.ASSIGN, text=f"officer-{next(self._officers)}")
            case "stall":
                self.volume.stall(deed.length_s, kind="sync")
            case "slow":
                lasting.start_soon(self._slow, deed.length_s)
            case "sync_error":
                self.volume.fail(5, kind="sync")
            case "camera_away":
                lasting.start_soon(self._take_camera, deed.length_s)
            case "freeze":
                now_ns = self.clock.monotonic_ns()
                self.camera.stall(deed.length_s)
                self._away.append((now_ns - NS, now_ns + round((deed.length_s + 1) * NS)))
            case "crowd" | "noise":
                lasting.start_soon(self._listen, deed.length_s)
            case "reload":
                self._file.write_text(f"[recording]\npost_roll_s = {SHORTER_POST_ROLL_S}\n")
                reload_configuration(daemon, self._file)
            case "bad_reload":
                self._file.write_text("[recording]\nnonsense = 1\n")
                reload_configuration(daemon, self._file)
                self._file.write_text(f"[recording]\npost_roll_s = {POST_ROLL_S}\n")
                reload_configuration(daemon, self._file)
            case "clock_step":
                self.clock.step(3600 if self.deeds["clock_step"] % 2 else -3600)
            case _:
                order, source = _ORDERS[deed.kind]
                answer = await self.rig.order(order, source=source, confirmed=order is Order.STOP)
                self.outcomes[f"{deed.kind}: {answer.text}"] += 1
                if order in (Order.PRESS, Order.RECORD) and not answer.ok:
                    self.problems.append(f"a press was refused: {answer.text}")

    async def _slow(self, seconds: float) -> None:
        self.volume.gate.latency.per_operation["sync"] = 0.3
        await trio.sleep(seconds)
        self.volume.gate.latency.per_operation.clear()

    async def _take_camera(self, seconds: float) -> None:
        began_ns = self.clock.monotonic_ns()
        self.camera.unplug()
        await trio.sleep(seconds)
        self.camera.plug()
        self._away.append((began_ns - NS, self.clock.monotonic_ns() + 8 * NS))

    async def _listen(self, seconds: float) -> None:
        channels = [self.rig.daemon.hub.listen(f"client {number}") for number in range(LISTENERS)]
        await trio.sleep(seconds)
        for channel in channels:
            channel.close()

    def _was_away(self, from_ns: int, to_ns: int) -> bool:
        """Taken away or frozen during the whole span; one may follow upon the other."""
        for began_ns, ended_ns in sorted(self._away):
            if began_ns <= from_ns:
                from_ns = max(from_ns, ended_ns)
        return to_ns <= from_ns

    # --- the dock ----------------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Come to rest, look at all that has ended, release it, and count."""
        daemon = self.rig.daemon
        if self._sweeps % COUNT_EVERY == 0:
            await self.rig.order(Order.WAKE)
            await self.rig.stop()
        self._sweeps += 1
        await trio.sleep(SETTLE_S)
        current = daemon.recorder.current
        for recording in self.rig.recordings():
            names = self.volume.names(f"recordings/{recording}")
            if (current is not None and recording == current.recording) or "SHA256SUMS.sig" not in names:
                continue
            if recording not in self._looked_at:
                self._looked_at.add(recording)
                self._look(recording)
            text, signature = receipt_for(recording, self.volume.read(f"recordings/{recording}/manifest.jsonl"))
            now_s = self.clock.read().utc_ns / NS
            accepted = accept_receipt(text.encode(), signature.encode(), self._receivers, now_s)
            assert self.rig.storage is not None
            try:
                await run_release(self.rig.storage, daemon.evidence.release(accepted, lambda: ""))
            except OSError:
                continue  # a sync that was to fail was the release's: again at the next sweep
            self.released += 1
            self._looked_at.discard(recording)
        self.rig.events.clear()
        del self._away[:-50]
        if current is None and daemon.writer.idle and not daemon.hub.faults:
            await trio.testing.wait_all_tasks_blocked()
            self._count()

    def _look(self, recording: str) -> None:
        """The chain must be whole, each of its signatures good, and each file what its record says."""
        folder = f"recordings/{recording}"
        reader = ChainReader(io.BytesIO(self.volume.read(f"{folder}/manifest.jsonl")), "manifest.jsonl")
        found = [one.record for one in reader]
        known = [record for record in found if isinstance(record, records.ManifestRecord)]
        if reader.problems or reader.torn is not None:
            self.problems.append(f"{recording}: {reader.problems or reader.torn}")
        self.desk.seen += 1
        self.desk.verdicts["recovered" if isinstance(known[-1], records.Recovered) else "closed"] += 1
        if not has_begun(known):
            self.desk.unbegun += 1
            return
        self.desk.count(Recorded.of(recording, known, lambda name: self.volume.read(f"{folder}/{name}")))

    def _count(self) -> None:
        self.volume.forget()
        daemon = self.rig.daemon
        gc.collect()
        self.counts.append(
            Count(
                at_s=trio.current_time(),
                objects=len(gc.get_objects()),
                blocks=sys.getallocatedblocks(),
                tasks=trio.lowlevel.current_statistics().tasks_living,
                listeners=sum(one.send.statistics().open_receive_channels for one in daemon.hub._listeners),
                nodes=self.volume.nodes,
                bytes=sum(len(content or b"") for content in self.volume.tree().values()),
                anonymous=anonymous(),
            )
        )


@dataclass(frozen=True)
class VirtualResult:
    """The whole answer. Slopes are an hour of virtual time."""

    hours: float
    seed: int
    took_s: float
    deeds: dict[str, int]
    outcomes: dict[str, int]
    recordings: int
    released: int
    verdicts: dict[str, int]
    frames: int
    lost: int
    absent: int
    objects: Trend
    blocks: Trend
    memory_mb: Trend
    tasks: list[int]  # every number of tasks, listeners, nodes that was seen at rest
    listeners: list[int]
    nodes: list[int]
    most_bytes: int  # in the volume
    counts: int
    problems: list[str]

    @property
    def good(self) -> bool:
        grows = self.objects.judge(OBJECTS_H), self.blocks.judge(BLOCKS_H), self.memory_mb.judge(LIMIT_MB_H)
        steady = len(self.tasks) == len(self.listeners) == 1
        whole = not self.lost and not self.problems and self.recordings == self.released > 0
        return "grows" not in grows and self.counts >= FEWEST and steady and whole

    def __str__(self) -> str:
        lines = [
            f"Soak         {self.hours:g} h of virtual time in {self.took_s:.0f} s, seed {self.seed}: "
            + ", ".join(f"{number} {kind}" for kind, number in sorted(self.deeds.items())),
            f"Objects      {self.objects}, blocks {self.blocks}, memory {self.memory_mb} MB an hour",
            f"Tasks        {self.tasks}, listeners {self.listeners}, at {self.counts} moments of rest",
            f"Storage      at most {self.most_bytes} bytes in {max(self.nodes, default=0)} files and folders",
            f"Recordings   {self.recordings} looked at, {self.released} released",
            f"Frames       {self.frames} decoded, {self.lost} lost; {self.absent} while the camera was away, all named",
            *(f"Problem      {problem}" for problem in self.problems[:20]),
            f"Verdict      {'good' if self.good else 'not good'}",
        ]
        return "\n".join(lines)


def virtual_soak(hours: float, seed: int, folder: Path) -> VirtualResult:
    """All of it in a trio run of its own."""
    begun_s = time.monotonic()
    soak = VirtualSoak(hours * 3600, seed, folder)
    trio.run(soak.run, clock=trio.testing.MockClock(autojump_threshold=0))
    settled = [count for count in soak.counts if count.at_s >= warm_up_s(soak.seconds)]

    def slope(value: Callable[[Count], float]) -> Trend:
        return trend([count.at_s / 3600 for count in settled], [value(count) for count in settled])

    return VirtualResult(
        hours=hours,
        seed=seed,
        took_s=time.monotonic() - begun_s,
        deeds=dict(soak.deeds),
        outcomes=dict(soak.outcomes),
        recordings=soak.desk.seen,
        released=soak.released,
        verdicts=dict(soak.desk.verdicts),
        frames=soak.desk.frames,
        lost=soak.desk.lost,
        absent=soak.desk.absent,
        objects=slope(lambda count: count.objects),
        blocks=slope(lambda count: count.blocks),
        memory_mb=slope(lambda count: (count.anonymous - count.bytes) / 1e6),  # the volume is no memory of a device's
        tasks=sorted({count.tasks for count in settled}),
        listeners=sorted({count.listeners for count in settled}),
        nodes=sorted({count.nodes for count in settled}),
        most_bytes=max((count.bytes for count in soak.counts), default=0),
        counts=len(settled),
        problems=soak.problems,
    )
