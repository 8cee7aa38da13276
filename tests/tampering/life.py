"""The life of a camera: boot after boot of the real daemon on virtual devices, and all that its card held meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from unittest import mock

import pyrage
import trio
import trio.testing

from bwvd.clock import NS
from bwvd.config.schema import Config
from bwvd.daemon.daemon import Daemon, Parts
from bwvd.evidence.format.chain import Signer
from bwvd.evidence.journal import journal
from bwvd.evidence.journal.witness import Remembered
from bwvd.evidence.keys.age import AgeSealer, Sealer
from bwvd.evidence.keys.allowed_signers import AllowedSigners
from bwvd.evidence.release.handing_in import run_release
from bwvd.evidence.release.receipt import accept_receipt
from bwvd.evidence.startup.owner import other_owner
from bwvd.messages import Answer, Command, FaultChanged, Order, State
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.medium import Moment, Tree
from bwvd.testing.flash.storage import BLOCK, VirtualStorage, VirtualVolume
from bwvd.testing.process import without_dice
from bwvd.testing.witness import VirtualWitness
from tests.faults.economy import ThriftySigner
from tests.soak.desk import ALLOWED, receipt_for
from tests.support.evidence_keys import fixed_signer
from tests.support.rig import configuration

RATE: Final = 4  # frames per second
GOP_S: Final = 1.0
BOOT_NS: Final = 100 * NS  # CLOCK_MONOTONIC when a boot's daemon begins
OFF_S: Final = 60  # between two boots
LATER_S: Final = 86_400  # of wall time, to the start that follows upon a life

CONFIG: Final = configuration(
    video={"bitrate": 100_000, "rate": RATE, "keyframe_s": GOP_S},
    loop={"seconds": 2},
    recording={"post_roll_s": 0, "segment_s": GOP_S},
    storage={"reserve_bytes": 65_536, "journal_bytes": 14_000},  # a journal file is its first record and a few entries
)
SECOND_KEY: Final = 7  # seed of the key that a device gets when its key is changed


@dataclass(frozen=True)
class Kept:
    """What is left between two boots: the card, and what the system's disk remembers of its journal."""

    tree: Tree
    remembered: tuple[Remembered, ...]


@dataclass(frozen=True)
class Boot:
    """One run of the daemon: every state that the medium went through, and when the witness was told what."""

    id: str
    signer: Signer
    moments: Sequence[Moment]
    told: Sequence[tuple[int, tuple[Remembered, ...]]]  # after which operation
    wall_ns: int  # UTC at its end

    def cut(self, chosen: random.Random) -> Kept:
        """What a power cut at a moment of this boot may leave."""
        while True:
            at = chosen.randrange(len(self.moments))
            states = crash_states(self.moments[at : at + 1], per_moment=12, seed=chosen.getrandbits(32))
            state = chosen.choice(states)
            if "recordings" in state.tree:  # before that there is no storage
                break
        index = self.moments[at].index
        known = [remembered for operation, remembered in self.told if operation <= index]
        # The disk of the system is written behind the card: it may have come one word less far.
        return Kept(state.tree, known[-2] if len(known) > 1 and chosen.random() < 0.3 else known[-1])


@dataclass
class Life:
    """A card's history; `kept[-1]` is what there is now, the others are what there was after earlier boots."""

    seed: int
    boots: list[Boot] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    releases: int = 0

    @property
    def signer(self) -> Signer:
        """The key in force."""
        return self.boots[-1].signer


class _Witness(VirtualWitness):
    """Keeps when it was told what, by the count of the volume's operations."""

    def __init__(self, remembered: Sequence[Remembered], volume: VirtualVolume) -> None:
        super().__init__()
        self.storages = list(remembered)
        self.told = [(0, tuple(remembered))]
        self._volume = volume

    async def write(self, storages: Sequence[Remembered]) -> None:
        await super().write(storages)
        self.told.append((self._volume.gate.count, tuple(self.storages)))


class _Run:
    """One run of the daemon, and the hand that holds it."""

    def __init__(
        self,
        volume: VirtualVolume,
        witness: VirtualWitness,
        parts: Parts,
        *,
        asleep: bool = False,
        config: Config = CONFIG,
    ) -> None:
        self.volume = volume
        self.faults: dict[str, str] = {}  # that were ever raised, with their first words
        self.daemon = Daemon(config, parts, state=State.ASLEEP if asleep else State.STANDBY)
        self.daemon.hub.sink(self._heard)
        self.witness = witness

    def _heard(self, event: object) -> None:
        if isinstance(event, FaultChanged) and event.active:
            self.faults.setdefault(event.name, event.detail)

    async def order(self, order: Order, *, confirmed: bool = False, text: str = "") -> Answer:
        answered = trio.Event()
        answers: list[Answer] = []

        def reply(answer: Answer) -> None:
            answers.append(answer)
            answered.set()

        now_ns = self.daemon.clock.monotonic_ns()
        self.daemon.post(Command(order, "hand", now_ns, text, confirmed, reply))
        await answered.wait()
        return answers[0]

    async def closed(self) -> None:
        while self.daemon.recorder.current is not None or not self.daemon.writer.idle:  # noqa: ASYNC110  virtual time
            await trio.sleep(0.05)


def parts_of(
    clock: VirtualClock,
    boot: str,
    volume: VirtualVolume,
    witness: VirtualWitness,
    signer: Signer,
    sealer: Sealer | None = None,
) -> Parts:
    """A daemon's parts; the camera draws numbers at RATE."""
    return Parts(
        clock=clock,
        boot=boot,
        storage=VirtualStorage(volume),
        signer=signer,
        sealer=sealer,
        camera=lambda _: VirtualCamera(clock, rate=RATE, gop_frames=round(RATE * GOP_S)),
        witness=witness,
        config_sha256="ab" * 32,
    )


class _Living:
    """Lives one life, as its seed says."""

    def __init__(self, seed: int) -> None:
        self.life = Life(seed)
        self._chosen = random.Random(f"life {seed}")
        self._volume = VirtualVolume(trace=True)
        self._remembered: tuple[Remembered, ...] = ()
        self._sealer = AgeSealer([str(pyrage.x25519.Identity.generate().to_public())]) if seed % 3 == 2 else None

    async def run(self) -> Life:
        chosen = self._chosen
        boots = 3
        changed_at = boots - 1 if self.life.seed % 4 == 3 else boots  # the key, before this boot
        wall_ns = VirtualClock().read().utc_ns
        for number in range(boots):
            signer = ThriftySigner(fixed_signer(SECOND_KEY if number >= changed_at else 1))
            now_ns = round(trio.current_time() * NS)
            clock = VirtualClock(mono_ns=BOOT_NS - now_ns, utc_ns=wall_ns - now_ns)
            volume, witness = self._volume, _Witness(self._remembered, self._volume)
            run = _Run(volume, witness, parts_of(clock, f"boot-{number + 1}", volume, witness, signer, self._sealer))
            async with trio.open_nursery() as nursery:
                await nursery.start(run.daemon.run)
                await run.daemon.camera_up.wait()
                await trio.sleep(3)
                for deed in self._deeds(last=number == boots - 1):
                    await self._do(run, deed)
                run.daemon.shut_down("test")
            wall_ns = clock.read().utc_ns + OFF_S * NS
            boot = Boot(f"boot-{number + 1}", signer, volume.moments, witness.told, wall_ns)
            self.life.boots.append(boot)
            cut = number < boots - 1 and chosen.random() < 0.5
            kept = boot.cut(chosen) if cut else Kept(volume.tree(), tuple(witness.storages))
            self.life.kept.append(kept)
            self._volume = VirtualVolume.from_state(kept.tree, trace=True)
            self._remembered = kept.remembered
        return self.life

    def _deeds(self, *, last: bool) -> Iterator[str]:
        chosen = self._chosen
        yield "record"
        for _ in range(chosen.randint(2, 4)):
            yield chosen.choice(("record", "record", "assign", "release", "sleep", "full"))
        yield "record long" if last else "record"

    async def _do(self, run: _Run, deed: str) -> None:
        chosen = self._chosen
        match deed:
            case "record":
                await run.order(Order.PRESS)
                for _ in range(chosen.randint(1, 3)):
                    await trio.sleep(chosen.uniform(0.6, 2))
                    await run.order(Order.MARK, text=f"door {chosen.randint(1, 99)}")
                await trio.sleep(chosen.uniform(0, 1.5))
                await run.order(Order.STOP, confirmed=True)
                await run.closed()
            case "record long":  # so long that the journal is told how far it has come, once or twice
                await run.order(Order.PRESS)
                await trio.sleep(chosen.uniform(40, 75))
                await run.order(Order.STOP, confirmed=True)
                await run.closed()
            case "assign":
                await run.order(Order.ASSIGN, text=f"officer-{chosen.randint(1, 9999)}")
                await trio.sleep(1)
            case "release":
                await self._release(run)
            case "sleep":
                await run.order(Order.SLEEP)
                await trio.sleep(2)
                await run.order(Order.WAKE)
                await trio.sleep(4)
            case "full":
                used = run.volume.total_bytes() - run.volume.free_bytes()
                run.volume.capacity = used + chosen.randint(4, 12) * BLOCK
                await run.order(Order.PRESS)
                await trio.sleep(4)
                await run.order(Order.STOP, confirmed=True)
                await run.closed()
                run.volume.capacity = None
                await trio.sleep(15)

    async def _release(self, run: _Run) -> None:
        """A custodian has taken the oldest recording over."""
        volume = run.volume
        ended = [
            name for name in volume.names("recordings") if "SHA256SUMS.sig" in volume.names(f"recordings/{name[:-1]}")
        ]
        if not ended:
            return
        recording = ended[0].rstrip("/")
        text, signature = receipt_for(recording, volume.read(f"recordings/{recording}/manifest.jsonl"))
        receivers = [AllowedSigners.parse(ALLOWED.encode(), "receivers")]
        now_s = run.daemon.clock.read().utc_ns / NS
        accepted = accept_receipt(text.encode(), signature.encode(), receivers, now_s)
        await run_release(run.daemon.parts.storage, run.daemon.evidence.release(accepted, lambda: ""))
        self.life.releases += 1
        await trio.sleep(1)


def live(seed: int) -> Life:
    """The life of this seed, the same each time."""
    without_dice(seed)
    ids = random.Random(f"storage {seed}")
    with mock.patch.object(journal, "new_storage_id", side_effect=lambda: ids.randbytes(16).hex()):
        return trio.run(_Living(seed).run, clock=trio.testing.MockClock(autojump_threshold=0))


@dataclass(frozen=True)
class Started:
    """What came of a start with a card: what the device says, and what there is then."""

    kept: Kept
    faults: dict[str, str]
    refused: str = ""  # why it did not start: nothing was written


def start(kept: Kept, signer: Signer, *, wall_ns: int, boot: str = "boot-after", seed: int = 0) -> Started:
    """Start the device with this card, asleep, until all that a start does is done, and end it in order."""

    async def run() -> Started:
        volume = VirtualVolume.from_state(kept.tree)
        if (claim := other_owner(volume, CONFIG.device.id)) is not None:
            return Started(kept, {}, f"{claim.by} says that it belongs to {claim.device}")
        witness = VirtualWitness()
        witness.storages = list(kept.remembered)
        clock = VirtualClock(mono_ns=BOOT_NS, utc_ns=wall_ns)
        one = _Run(volume, witness, parts_of(clock, boot, volume, witness, signer), asleep=True)
        async with trio.open_nursery() as nursery:
            await nursery.start(one.daemon.run)
            await one.daemon.evidence.wait_looked()
            await trio.sleep(1)
            one.daemon.shut_down("test")
        return Started(Kept(volume.tree(), tuple(witness.storages)), one.faults)

    without_dice(seed)
    return trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
