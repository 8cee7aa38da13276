"""One shift of a camera, as a script on the whole daemon with its peripherals, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final
from unittest import mock

import trio
import trio.testing

from bwvd.capture.source import AudioGate, MediaSource
from bwvd.clock import NS
from bwvd.config.schema import Config, Power, Serial
from bwvd.daemon import control_actors, peripherals, position_source
from bwvd.daemon.daemon import Daemon, Parts, Peripheral
from bwvd.daemon.process import flatten
from bwvd.evidence.format.chain import Signer
from bwvd.messages import Answer, Command, Event, Order
from bwvd.service import power
from bwvd.service.power_supply import PowerReading
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.lamp import VirtualLamp
from bwvd.testing.line import VirtualLine
from bwvd.testing.microphone import VirtualMicrophone
from bwvd.testing.process import without_dice
from bwvd.testing.receiver import VirtualReceiver
from tests.faults.economy import ThriftySigner
from tests.faults.witness import Witness, WitnessedStorage
from tests.support.rig import configuration

START_NS: Final = 1_000 * NS  # CLOCK_MONOTONIC when the world begins
RATE: Final = 4  # frames per second
SOUND_RATE: Final = 8_000
GOP_FRAMES: Final = 8
GOP_S: Final = GOP_FRAMES / RATE
LOOP_S: Final = 5 * GOP_S
POST_ROLL_S: Final = 2.0
BACKLOG_BYTES: Final = 4_600  # of media: 23 s of the virtual camera
BACKLOG_WITH_SOUND_BYTES: Final = 100_000  # the same, with the microphone
HUNG_S: Final = 600.0  # of virtual time: no shift lasts so long, whatever goes wrong

# The script, in seconds.
PRESS_S, MARK_S, STOP_S, AGAIN_S, STOP_AGAIN_S, END_S = 13.0, 53.0, 54.0, 58.0, 65.0, 70.0


class Phase(StrEnum):
    """Where in the shift a fault strikes."""

    START = "start"  # up to where every actor listens: recovery, journal, reserve
    STANDBY = "standby"  # the loop fills and turns
    PRESS = "press"  # the press, the pre-event part going to flash
    RECORDING = "recording"
    STOP = "stop"  # asked and confirmed, post-roll, closing
    AGAIN = "again"  # a press soon after a stop, a short recording, its stop
    END = "end"  # closed again, up to shutting down


_ENDS = {
    Phase.STANDBY: PRESS_S,
    Phase.PRESS: PRESS_S + GOP_S + 1,
    Phase.RECORDING: STOP_S,
    Phase.STOP: AGAIN_S,
    Phase.AGAIN: STOP_AGAIN_S + POST_ROLL_S + 1,
    Phase.END: float("inf"),
}


def phase_at(seconds: float) -> Phase:
    """The phase of a moment after the start."""
    return next(phase for phase, end_s in _ENDS.items() if seconds < end_s)


def config(has_sound: bool, has_position: bool) -> Config:
    """A backlog that lasts for half of the longest stall, whether there is sound or not."""
    return configuration(
        gnss={"source": "gpsd://127.0.0.1", "in_standby": True} if has_position else {},
        loop={"seconds": LOOP_S},
        recording={"post_roll_s": POST_ROLL_S, "segment_s": GOP_S, "reminder_s": 20},
        storage={
            "reserve_bytes": 65_536,
            "backlog_bytes": BACKLOG_WITH_SOUND_BYTES if has_sound else BACKLOG_BYTES,
        },
    )


@dataclass
class Given:
    """An order that was given, and what came back."""

    command: Command
    answers: list[Answer] = field(default_factory=list)


class World:
    """A daemon with everything around it, a hand on the button, and all that anybody has seen of it."""

    def __init__(
        self,
        volume: VirtualVolume,
        *,
        boot: str = "boot-1",
        seed: int = 0,
        has_sound: bool = False,
        has_position: bool = False,
        clock: VirtualClock | None = None,
    ) -> None:
        self.volume = volume
        self.boot = boot
        self.seed = seed
        self.has_sound = has_sound
        self.has_position = has_position
        self.clock = clock or VirtualClock(mono_ns=START_NS)
        self.start_ns = START_NS
        self.config = config(has_sound, has_position)
        self.storage = WitnessedStorage(volume)
        self.camera = VirtualCamera(self.clock, rate=RATE, gop_frames=GOP_FRAMES)
        self.microphone: VirtualMicrophone | None = None
        self.around_camera: Callable[[MediaSource], MediaSource] = lambda source: source
        self.around_peripheral: Callable[[str, Peripheral], Peripheral] = lambda _, peripheral: peripheral
        self.signer: Signer = ThriftySigner()
        self.witness = Witness()
        self.light = VirtualLamp("led:red", "light", "red", now_ns=self.clock.monotonic_ns)
        self.tone = VirtualLamp("tone:beeper", "tone", now_ns=self.clock.monotonic_ns)
        self.line = VirtualLine("serial:remote")
        self.receiver = VirtualReceiver(self.clock)
        self.battery: int | None = 80  # percent
        self.instruments: list[trio.abc.Instrument] = []
        self.beside: list[Callable[[], Any]] = []  # async functions that run beside the script
        self.ready_hooks: list[Callable[[], None]] = []
        self.events: list[Event] = []
        self.given: list[Given] = []
        self.statuses: list[dict[str, Any]] = []
        self.started = False
        self.script_done = False
        self.hung = False
        self.cancelled = False
        self.errors: list[BaseException] = []
        self.ended_ns = 0
        self.scope = trio.CancelScope()  # around the whole daemon
        self.struck: Phase | None = None  # when the fault struck; None as long as it has not
        self.struck_ns = 0
        self.survivor: VirtualVolume | None = None  # what a killed process left
        self.daemon: Daemon

    def strike(self) -> None:
        """The fault happens now; only the first time counts."""
        if self.struck is None:
            self.struck = self.phase
            self.struck_ns = self.clock.monotonic_ns()
            self.storage.note()

    # --- the script --------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Since the world began."""
        return trio.current_time()

    @property
    def phase(self) -> Phase:
        return phase_at(self.seconds) if self.started else Phase.START

    def order(self, order: Order, source: str = "hand", *, confirmed: bool = False, text: str = "") -> Given:
        """Do what a control does."""
        answers: list[Answer] = []
        command = Command(order, source, self.clock.monotonic_ns(), text, confirmed, answers.append)
        self.given.append(Given(command, answers))
        self.daemon.post(command)
        return self.given[-1]

    async def until(self, seconds: float) -> None:
        await trio.sleep(max(0.0, seconds - self.seconds))

    async def _script(self) -> None:
        """Loop, press, 40 s, a marker, stop, press again, stop, shut down."""
        steps: list[tuple[float, Callable[[], object]]] = [
            (PRESS_S, partial(self.order, Order.PRESS)),
            (PRESS_S + 20, self.look),
            (MARK_S, partial(self.order, Order.MARK, text="door")),
            (STOP_S, partial(self.order, Order.STOP, confirmed=True)),
            (AGAIN_S, partial(self.order, Order.PRESS)),
            (STOP_AGAIN_S, partial(self.order, Order.STOP, confirmed=True)),
            (END_S - 0.5, self.look),
        ]
        for at_s, step in steps:
            await self.until(at_s)
            step()
        await self.until(END_S)

    async def short_script(self) -> None:
        """After a restart: a press, six seconds, a stop."""
        await self.until(1)
        self.order(Order.PRESS)
        await self.until(7)
        self.order(Order.STOP, confirmed=True)
        await self.until(12)

    def look(self) -> None:
        """`bwvd status`."""
        if hasattr(self.daemon, "writer"):
            self.statuses.append(self.daemon.status())

    # --- the run -----------------------------------------------------------------------------------------------------

    def run(self, script: Callable[[], Any] | None = None) -> None:
        """The whole shift; whatever ends it is noted, nothing is raised."""
        without_dice(self.seed)
        with self._virtual_adapters():
            trio.run(
                self._live,
                script or self._script,
                clock=trio.testing.MockClock(autojump_threshold=0),
                instruments=self.instruments,
            )
        self.storage.note()

    async def _live(self, script: Callable[[], Any]) -> None:
        self.daemon = self.storage.daemon = Daemon(self.config, self._parts())
        self.daemon.hub.sink(self.events.append)

        async def play() -> None:
            await script()
            self.script_done = True
            self.daemon.shut_down("test")

        with trio.move_on_after(HUNG_S) as patience:
            async with trio.open_nursery() as nursery:
                for beside in self.beside:
                    nursery.start_soon(beside)
                nursery.start_soon(self._daemon, nursery.cancel_scope)
                await trio.lowlevel.checkpoint()
                nursery.start_soon(play)
        self.hung = patience.cancelled_caught
        self.ended_ns = self.clock.monotonic_ns()

    async def _daemon(self, end: trio.CancelScope) -> None:
        try:
            with self.scope:
                await self.daemon.run(task_status=_Ready(self))
        except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked at afterwards
            self.errors += flatten(error)
        except BaseExceptionGroup as group:
            self.errors += flatten(group)
        self.cancelled = self.scope.cancelled_caught
        end.cancel()

    def on_ready(self) -> None:
        self.started = True
        for hook in self.ready_hooks:
            hook()

    def _parts(self) -> Parts:
        return Parts(
            clock=self.clock,
            boot=self.boot,
            storage=self.storage,
            signer=self.signer,
            sealer=None,
            camera=lambda _: self.witness.watch(self.around_camera(self.camera)),
            microphone=self._open_microphone if self.has_sound else None,
            peripherals=self._peripherals(),
        )

    def _open_microphone(self, gate: AudioGate) -> MediaSource:
        if self.microphone is None:
            self.microphone = VirtualMicrophone(self.clock, gate, rate=SOUND_RATE)
        return self.witness.watch(self.microphone)

    def _peripherals(self) -> list[Peripheral]:
        """The product's own, on virtual adapters."""
        powered = Config(power=Power(supply="BAT0"))
        found: dict[str, Peripheral] = {
            "serial": partial(control_actors.serial_line, Serial()),
            "feedback": partial(peripherals._feedback, [self.light.indicator, self.tone.indicator], False),
            "power": partial(peripherals._power, powered),
            "clock": peripherals._clockwatch,
        }
        if self.has_position:
            found["position"] = partial(position_source.position, self.config)
        return [self.around_peripheral(name, peripheral) for name, peripheral in found.items()]

    @contextmanager
    def _virtual_adapters(self) -> Iterator[None]:
        async def read(_: str) -> PowerReading:
            await trio.lowlevel.checkpoint()
            return PowerReading(self.battery, "battery")

        with ExitStack() as stack:
            stack.enter_context(mock.patch("bwvd.controls.serial_port.SerialPort", return_value=self.line))
            stack.enter_context(mock.patch.object(peripherals, "open_alarm", return_value=None))
            stack.enter_context(mock.patch.object(power, "read_in_thread", read))
            stack.enter_context(mock.patch.object(position_source, "receiver_of", return_value=self.receiver))
            yield


class _Ready:
    """`trio.TaskStatus` for a daemon that is run beside its script."""

    def __init__(self, world: World) -> None:
        self._world = world

    def started(self, _value: object = None) -> None:
        self._world.on_ready()


def seconds_of(world: World, at_ns: int) -> float:
    """A moment of CLOCK_MONOTONIC in seconds since the world began."""
    return (at_ns - world.start_ns) / NS
