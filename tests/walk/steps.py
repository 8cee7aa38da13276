"""What may happen in a walk: one frozen value for each thing, so that a walk is a list that reads like a story."""

from __future__ import annotations

import contextlib
import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import trio
from hypothesis import strategies as st

from bwvd.evidence.errors import EvidenceError
from bwvd.evidence.release.handing_in import run_release
from bwvd.evidence.release.receipt import Accepted, Receipt
from bwvd.messages import Order
from bwvd.testing.flash.faults import CHANGING, LOOKING, PowerCut
from bwvd.testing.flash.storage import BLOCK
from tests.walk.world import Broken, World

KINDS = sorted(CHANGING | LOOKING)


class Step(Protocol):
    async def take(self, world: World) -> None: ...


@dataclass(frozen=True)
class Wait:
    s: float

    async def take(self, world: World) -> None:  # noqa: ARG002  of Step
        await trio.sleep(self.s)


# --- people ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """An order as the socket or a serial line brings it; "stop!" asks and confirms in one."""

    order: str

    async def take(self, world: World) -> None:
        await world.order(Order(self.order.rstrip("!")), confirmed=self.order.endswith("!"), text="walk")


@dataclass(frozen=True)
class Button:
    """The wearer's button: pressed, bouncing, held for a stop, shaken in a struggle, or stuck."""

    how: str

    async def take(self, world: World) -> None:
        contact = world.boot.contact
        match self.how:
            case "press":
                await contact.press()
            case "bouncing":
                await contact.chattering_press()
            case "hold":
                await contact.press(3.2)
            case "struggle":
                await contact.storm(1.0, 0.01, seed=1)
            case "stuck":
                contact.move(True)
                contact.stick()
            case _:
                contact.loosen()
                contact.move(False)


# --- devices ---------------------------------------------------------------------------------------------------------

CAMERA: dict[str, Callable[[World], object]] = {
    "unplugged": lambda w: w.boot.camera.unplug(),
    "plugged": lambda w: w.boot.camera.plug(),
    "another": lambda w: w.boot.camera.change(96 if w.boot.camera.number % 2 else 80, 64),
    "reordering": lambda w: w.boot.camera.change(b_frames=2),
    "stalls 1 s": lambda w: w.boot.camera.stall(1),
    "stalls 8 s": lambda w: w.boot.camera.stall(8),
    "late by 2 s": lambda w: w.boot.camera.hold(2),
    "drops 1": lambda w: w.boot.camera.drop(1),
    "drops 9": lambda w: w.boot.camera.drop(9),
    "damages 2": lambda w: w.boot.camera.corrupt(2),
    "jumps": lambda w: w.boot.camera.jump(2),
}
MICROPHONE: dict[str, Callable[[World], object]] = {
    "out": lambda w: w.boot.microphone.unplug(),
    "in": lambda w: w.boot.microphone.plug(),
    "restarts": lambda w: w.boot.microphone.restart(),
    "drops 5": lambda w: w.boot.microphone.drop(5),
    "stalls 4 s": lambda w: w.boot.microphone.stall(4),
}


@dataclass(frozen=True)
class Camera:
    what: str

    async def take(self, world: World) -> None:
        CAMERA[self.what](world)


@dataclass(frozen=True)
class Microphone:
    what: str

    async def take(self, world: World) -> None:
        MICROPHONE[self.what](world)


@dataclass(frozen=True)
class ClockStep:
    s: float

    async def take(self, world: World) -> None:
        world.boot.clock.step(self.s)


@dataclass(frozen=True)
class Battery:
    percent: int

    async def take(self, world: World) -> None:
        world.boot.supply.set(self.percent)


# --- storage ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fails:
    """Operations of the flash fail: the nth of this kind, and as many after it."""

    error: str
    kind: str
    nth: int = 1
    times: int = 1

    async def take(self, world: World) -> None:
        kind = "" if self.kind == "any" else self.kind
        world.volume.fail(getattr(errno, self.error), kind=kind, nth=self.nth, times=self.times)


@dataclass(frozen=True)
class Slow:
    """The next operations of the flash take so long, each."""

    s: float
    times: int = 1

    async def take(self, world: World) -> None:
        world.volume.stall(self.s, times=self.times)


@dataclass(frozen=True)
class ReadOnly:
    async def take(self, world: World) -> None:
        world.volume.read_only_from()


@dataclass(frozen=True)
class Healed:
    """The flash is well again."""

    async def take(self, world: World) -> None:
        world.volume.heal()


@dataclass(frozen=True)
class Room:
    """So many blocks are free from now on; -1 = no end of them."""

    blocks: int

    async def take(self, world: World) -> None:
        used = world.volume._used
        world.volume.capacity = None if self.blocks < 0 else (used + self.blocks) * BLOCK


@dataclass(frozen=True)
class Release:
    """The dock has received the oldest recording, and its receipt comes."""

    async def take(self, world: World) -> None:
        life = world.life
        if not life.listens:
            return
        in_progress = life.daemon.in_progress
        there = {
            path.split("/")[1]: content
            for path, content in world.volume.tree().items()
            if path.startswith("recordings/") and path.endswith("/manifest.jsonl") and content is not None
        }
        names = sorted((name for name in there if name != in_progress()), key=lambda name: name[-6:])
        if not names:
            return
        receipt = Receipt(
            format=1,
            recording=names[0],
            device=life.daemon.config.device.id,
            manifest_sha512=hashlib.sha512(there[names[0]]).hexdigest(),
            received_utc="2026-11-22T12:00:00Z",
            by="dock",
        )
        release = life.daemon.evidence.release(Accepted(receipt, "aa" * 32, "SHA256:key"), in_progress)
        world.releasing.add(names[0])
        with contextlib.suppress(EvidenceError, OSError, PowerCut):  # refused, or cut short and finished later
            await run_release(life.daemon.parts.storage, release)


# --- the process, the power ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crash:
    """An exception in whichever actor comes to the nth checkpoint from now."""

    nth: int

    async def take(self, world: World) -> None:
        world.strikes.fail(self.nth, Broken())


@dataclass(frozen=True)
class Kill:
    """SIGKILL, and systemd's restart."""

    async def take(self, world: World) -> None:
        await world.kill()


@dataclass(frozen=True)
class Restart:
    """Closing in order, and another start."""

    async def take(self, world: World) -> None:
        await world.shut_down()
        await world.restart()


@dataclass(frozen=True)
class PowerOff:
    """The power goes between two operations; `choice` says which of the things that may then be on the medium are."""

    choice: int = 0

    async def take(self, world: World) -> None:
        await world.cut_power(self.choice)


@dataclass(frozen=True)
class PowerOffDuring:
    """The power goes during the nth operation of the flash from now."""

    nth: int

    async def take(self, world: World) -> None:
        world.volume.power_cut_at(self.nth)


def _mostly(*strategies: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.sampled_from([s for weight, s in strategies for _ in range(weight)]).flatmap(lambda s: s)


PEOPLE = _mostly(
    (3, st.just(Ask("press"))),
    (3, st.just(Ask("stop!"))),
    (1, st.sampled_from([Ask("mark"), Ask("stop"), Ask("sleep"), Ask("wake"), Ask("mute"), Ask("unmute")])),
    (1, st.sampled_from(["press", "bouncing", "hold", "struggle", "stuck", "loose"]).map(Button)),
)
WAITS = _mostly(
    (2, st.sampled_from([0.5, 1, 2, 3.3, 7]).map(Wait)),
    (1, st.integers(1, 999).map(lambda ms: Wait(ms / 1000))),
    (1, st.sampled_from([15, 40]).map(Wait)),
)
DEVICES = _mostly(
    (4, st.sampled_from(sorted(CAMERA)).map(Camera)),
    (2, st.sampled_from(sorted(MICROPHONE)).map(Microphone)),
    (1, st.sampled_from([-86_400, -1, 0.05, 3_600]).map(ClockStep)),
    (1, st.sampled_from([3, 80]).map(Battery)),
)
STORAGE = _mostly(
    (
        3,
        st.builds(
            Fails,
            st.sampled_from(["EIO", "ENOSPC", "EROFS"]),
            st.sampled_from(["any", *KINDS]),
            st.integers(1, 40),
            st.sampled_from([1, 2, 30]),
        ),
    ),
    (2, st.builds(Slow, st.sampled_from([0.3, 3, 12]), st.sampled_from([1, 5]))),
    (1, st.just(ReadOnly())),
    (3, st.just(Healed())),
    (2, st.sampled_from([0, 3, 12, 40, -1]).map(Room)),
    (1, st.just(Release())),
)
PROCESS = _mostly(
    (2, st.integers(1, 200).map(Crash)),
    (2, st.just(Kill())),
    (2, st.just(Restart())),
    (2, st.integers(0, 30).map(PowerOff)),
    (2, st.integers(1, 60).map(PowerOffDuring)),
)
STEPS: st.SearchStrategy[Step] = _mostly((5, WAITS), (5, PEOPLE), (3, DEVICES), (3, STORAGE), (2, PROCESS))
