"""The world of a walk: a device that is switched on, killed, cut off and switched on again, and all that was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from unittest import mock

import trio
import trio.testing

from bwvd.capture.source import AudioGate, MediaSource
from bwvd.clock import NS
from bwvd.config.schema import Config, Gestures, Power
from bwvd.controls.slide_switch import gesture_reader
from bwvd.daemon import control_actors, peripherals
from bwvd.daemon.daemon import Daemon, Parts
from bwvd.daemon.process import flatten
from bwvd.evidence.journal import journal
from bwvd.messages import Answer, Command, Event, Order
from bwvd.service import power
from bwvd.service.power_supply import PowerReading
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.contact import VirtualContact
from bwvd.testing.flash.crash import crash_states
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.lamp import VirtualLamp
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.process import Checkpoints
from bwvd.testing.supply import VirtualSupply
from tests.faults.economy import ThriftySigner
from tests.faults.witness import Witness, WitnessedStorage
from tests.support.rig import configuration

RATE: Final = 4  # frames per second
GOP_FRAMES: Final = 4
GOP_S: Final = GOP_FRAMES / RATE
LOOP_S: Final = 5.0
POST_ROLL_S: Final = 1.5
BOOT_NS: Final = 100 * NS  # CLOCK_MONOTONIC when a boot's processes begin
RESTART_S: Final = 0.1  # systemd's default
PATIENCE_S: Final = 900.0  # of virtual time: no end takes so long once nothing is wrong any more
MS: Final = 1_000_000

CONFIG: Final = configuration(
    loop={"seconds": LOOP_S},
    recording={"post_roll_s": POST_ROLL_S, "segment_s": GOP_S, "reminder_s": 20, "stop_confirm_s": 3},
    storage={"reserve_bytes": 65_536, "backlog_bytes": 20_000},
)


class Broken(Exception):
    """A bug of ours, thrown into an actor."""


@dataclass
class Given:
    """An order that was given, and what came back."""

    command: Command
    answers: list[Answer] = field(default_factory=list)


class Boot:
    """From one switching on to the next cut: the clocks, and what is plugged in."""

    def __init__(self, number: int, utc_ns: int | None, camera_number: int) -> None:
        self.id = f"boot-{number}"
        now_ns = round(trio.current_time() * NS)
        first = VirtualClock(mono_ns=BOOT_NS - now_ns)
        self.clock = first if utc_ns is None else VirtualClock(mono_ns=BOOT_NS - now_ns, utc_ns=utc_ns - now_ns)
        self.camera = VirtualCamera(self.clock, rate=RATE, gop_frames=GOP_FRAMES)
        self.camera.number = camera_number
        self.microphone = VirtualMicrophone(self.clock, AudioGate(), rate=8_000)
        self.supply = VirtualSupply(self.clock)
        self.contact = VirtualContact("gpio:record", self.clock)
        self.tone = VirtualLamp("tone:beeper", "tone", now_ns=self.clock.monotonic_ns)


class Life:
    """One process, from its start to its end."""

    def __init__(self, boot: Boot, volume: VirtualVolume) -> None:
        self.boot = boot
        self.storage = WitnessedStorage(volume)
        self.witness = Witness()
        self.events: list[Event] = []
        self.given: list[Given] = []
        self.errors: list[BaseException] = []
        self.ready = False
        self.ended_ns = 0
        self.over = trio.Event()
        self.cut_off = False  # killed, or the power went: nothing could be closed
        self.asked_to_end = False
        self.daemon = self.storage.daemon = Daemon(CONFIG, self._parts())
        self.daemon.hub.sink(self.events.append)
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Whatever ends it is noted, nothing is raised."""
        try:
            with self._scope:
                await self.daemon.run(task_status=_Ready(self))
        except Exception as error:  # noqa: BLE001  whatever it is, the checks judge it
            self.errors += flatten(error)
        except BaseExceptionGroup as group:
            self.errors += flatten(group)
        self.storage.note()
        self.ended_ns = self.boot.clock.monotonic_ns()
        self.over.set()

    async def kill(self) -> None:
        """The process is gone between two instructions; what it would still do is not done."""
        self.cut_off = True
        self.storage.note()
        self.storage.volume.gate.dead = True
        self._scope.cancel()
        await self.over.wait()

    @property
    def listens(self) -> bool:
        """Somebody is there to take an order."""
        return self.ready and not self.over.is_set() and not self.daemon.ending

    def _parts(self) -> Parts:
        boot = self.boot
        return Parts(
            clock=boot.clock,
            boot=boot.id,
            storage=self.storage,
            signer=ThriftySigner(),
            sealer=None,
            camera=lambda _: self.witness.watch(boot.camera),
            microphone=self._open_microphone,
            peripherals=[
                self._button,
                partial(peripherals._feedback, [boot.tone.indicator], False),
                partial(peripherals._power, Config(power=Power(supply="BAT0"))),
                peripherals._clockwatch,
            ],
        )

    def _open_microphone(self, gate: AudioGate) -> MediaSource:
        self.boot.microphone.gate = gate  # the same device, opened by another process
        return self.witness.watch(self.boot.microphone)

    async def _button(self, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        reader = gesture_reader(Gestures(), "button", 20 * MS)
        await control_actors.contact(self.boot.contact, reader, (), daemon, task_status)


class World:
    """Everything that outlives a process, and the process that lives now.

    **Synchronization:** inside one `trio.run` on a MockClock that jumps.
    """

    def __init__(self, nursery: trio.Nursery, strikes: Checkpoints) -> None:
        self.volume = VirtualVolume(trace=True)
        self.strikes = strikes
        self.lives: list[Life] = []
        self.releasing: set[str] = set()  # recordings for which a receipt was accepted
        self.wrong: list[str] = []
        self._nursery = nursery
        self._boots = 0
        self.boot = self._switch_on()

    @property
    def life(self) -> Life:
        return self.lives[-1]

    def _switch_on(self) -> Boot:
        self._boots += 1
        before = self.lives[-1].boot if self.lives else None
        utc_ns = None if before is None else before.clock.read().utc_ns + 20 * NS
        return Boot(self._boots, utc_ns, 0 if before is None else before.camera.number + 1000)

    async def start(self) -> None:
        """Start a process, as systemd does."""
        if self.lives:
            await trio.sleep(RESTART_S)
        del self.volume.moments[:-1]
        self.lives.append(Life(self.boot, self.volume))
        self._nursery.start_soon(self.life.run)
        await self._settle()

    async def _settle(self) -> None:
        """Until everybody waits for something that takes time."""
        await trio.testing.wait_all_tasks_blocked()

    async def ensure_alive(self) -> None:
        """The power that went comes back, and systemd starts again what has ended."""
        life = self.life
        if self.volume.gate.dead and not life.cut_off:
            life.cut_off = True
            with trio.fail_after(PATIENCE_S):
                await life.over.wait()
            self._power_back(0)
        if life.over.is_set():
            await self.restart()

    async def restart(self) -> None:
        """Another process on what the last one left, in the same boot."""
        if self.life.over.is_set() and self.volume is self.life.storage.volume:
            self.volume = self.volume.killed(trace=True)
        await self.start()

    async def shut_down(self) -> None:
        """Close in order; waits for the end as long as it may take."""
        life = self.life
        life.asked_to_end = True
        life.daemon.shut_down("test")
        with trio.move_on_after(PATIENCE_S):
            await life.over.wait()
        if not life.over.is_set():
            self.wrong.append("12: it does not end")
            await life.kill()

    async def kill(self) -> None:
        """SIGKILL: the process is gone, the kernel and its cache are not."""
        if not self.life.over.is_set():
            await self.life.kill()
        await self.restart()

    async def cut_power(self, choice: int) -> None:
        """The power goes between two operations, and comes back; what is on the medium then is one of many things."""
        await self.life.kill()
        self._power_back(choice)
        await self.start()

    def _power_back(self, choice: int) -> None:
        old = self.volume
        states = crash_states(old.moments[-1:], per_moment=24, seed=choice)
        tree = states[choice % len(states)].tree
        self.volume = VirtualVolume.from_state(tree, capacity=old.capacity, trace=True)
        self.boot = self._switch_on()

    async def order(self, order: Order, *, confirmed: bool = False, text: str = "") -> Answer | None:
        """Do what a control does, and wait for the answer; None where nobody listens."""
        life = self.life
        if not life.listens:
            return None
        answered = trio.Event()
        answers: list[Answer] = []

        def reply(answer: Answer) -> None:
            answers.append(answer)
            answered.set()

        command = Command(order, "hand", life.boot.clock.monotonic_ns(), text, confirmed, reply)
        life.given.append(Given(command, answers))
        raised = self.strikes.raised
        life.daemon.post(command)
        with trio.move_on_after(0.5):
            await answered.wait()
        # An error may strike the very task that has just been given the order.
        if not answers and life.listens and self.strikes.raised == raised:
            self.wrong.append(f"5: {order} was not answered")
        return answers[0] if answers else None

    def put_right(self) -> None:
        """Whatever is wrong with the devices is so no more."""
        self.volume.heal()
        self.volume.capacity = None
        boot = self.boot
        boot.camera.plug()
        boot.camera.stall(0)
        boot.camera.hold(0)
        boot.microphone.plug()
        boot.microphone.stall(0)
        boot.supply.set(80)
        boot.contact.loosen()
        boot.contact.move(False)

    @contextmanager
    def adapters(self) -> Iterator[None]:
        """What the product's own peripherals reach for, in virtual time."""

        async def read(_: str) -> PowerReading:
            return await self.boot.supply.read()

        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(peripherals, "open_alarm", return_value=None))
            stack.enter_context(mock.patch.object(power, "read_in_thread", read))
            stack.enter_context(mock.patch.object(journal, "new_storage_id", return_value="5ca1ab1e" * 4))
            yield


class _Ready:
    """`trio.TaskStatus` for a process that nobody waits for."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def started(self, value: object = None) -> None:  # noqa: ARG002  trio's signature
        self._life.ready = True
