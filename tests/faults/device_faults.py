"""Camera and microphone are unplugged, stall, damage, lie about the time, or come back as another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from bwvd.capture.source import MediaSource
from bwvd.capture.timestamps import FrameTimes, KernelStamps
from bwvd.capture.video.frame_loss import Losses
from bwvd.clock import NS
from bwvd.media.samples import Batch, Sample
from bwvd.messages import MediaEvent
from tests.faults.kind import OFFSET_S, TICK_S, Kind, at_moment, later, moments
from tests.faults.shift import RATE, World

FRAME_NS: Final = NS // RATE


class CameraBroken(Exception):
    """An error that no adapter names."""


class Stamped:
    """A camera whose stamps are what `stamp` makes of the true time, put right by what puts real cameras' right.

    stamp: the device's stamp of a frame taken at that time (both in ns).
    """

    def __init__(self, source: MediaSource, stamp: Callable[[int], int]) -> None:
        self._source = source
        self._stamp = stamp
        step_ns = NS // RATE
        self._times = FrameTimes(KernelStamps(), step_ns, live=True)
        self._losses = Losses(step_ns, live=True)

    def flush_on_cancel(self, flush: bool) -> None:
        self._source.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def stamped(event: MediaEvent) -> None:
            if isinstance(event, Batch) and event.track.kind == "video":
                event = Batch(event.track, self._placed(event.samples), event.data)
                self._losses.tell(send)
            send(event)

        await self._source.run(stamped)

    def _placed(self, samples: Sequence[Sample]) -> tuple[Sample, ...]:
        found: list[Sample] = []
        for sample in samples:
            arrival_ns = sample.pts_ns
            placed = self._times.place(self._stamp(arrival_ns), None, arrival_ns, arrival_ns)
            self._losses.frame(placed, arrival_ns)
            if found:
                found[-1] = found[-1]._replace(duration_ns=placed.dts_ns - found[-1].dts_ns)
            found.append(sample._replace(pts_ns=placed.pts_ns, dts_ns=placed.dts_ns, duration_ns=NS // RATE))
        return tuple(found)


def _lying(stamp: Callable[[int, int], int]) -> Callable[[World, int], None]:
    """From the nth moment on, for five seconds, stamps are `stamp(true time, moment)`."""

    def strike(world: World, nth: int) -> None:
        since_ns = world.start_ns + round((nth * TICK_S + OFFSET_S) * NS)

        def stamped(true_ns: int) -> int:
            return stamp(true_ns, since_ns) if since_ns <= true_ns < since_ns + 5 * NS else true_ns

        world.around_camera = lambda source: Stamped(source, stamped)
        at_moment(lambda _: None)(world, nth)

    return strike


class Buggy:
    """A camera whose adapter raises what it may not, at a moment."""

    def __init__(self, source: MediaSource, world: World, at_s: float) -> None:
        self._source = source
        self._world = world
        self._at_s = at_s

    def flush_on_cancel(self, flush: bool) -> None:
        self._source.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        async def fail() -> None:
            await self._world.until(self._at_s)
            self._world.strike()
            raise CameraBroken("the camera's adapter has a bug")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            await self._source.run(send)


def _break(world: World, nth: int) -> None:
    world.around_camera = lambda source: Buggy(source, world, nth * TICK_S + OFFSET_S)


def _another(world: World) -> None:
    world.camera.unplug()
    world.camera.change(96, 64)


def _refuse(world: World) -> None:
    world.camera.refuse("video.encoder: not with this camera")
    world.camera.unplug()


def _accept(world: World) -> None:
    world.camera.plug()


def _microphone(do: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        if world.microphone is not None:
            getattr(world.microphone, do)()

    return act


def _hush(world: World) -> None:
    if world.microphone is not None:
        world.microphone.stall(4)


KINDS: Final = [
    Kind(
        "camera-unplug-2s",
        "the camera is unplugged for 2 s",
        moments,
        later(2, lambda world: world.camera.unplug(), lambda world: world.camera.plug()),
        camera=True,
        has_sound=True,
    ),
    Kind(
        "camera-gone",
        "the camera is torn off",
        moments,
        at_moment(lambda world: world.camera.unplug()),
        camera=True,
        heals=False,
    ),
    Kind("camera-stall", "the camera stalls for 4 s", moments, at_moment(lambda w: w.camera.stall(4)), camera=True),
    Kind("camera-hold", "frames come 2 s late, all at once", moments, at_moment(lambda w: w.camera.hold(2))),
    Kind("camera-drop", "a frame is dropped", moments, at_moment(lambda w: w.camera.drop()), camera=True),
    Kind("camera-corrupt", "a frame arrives damaged", moments, at_moment(lambda w: w.camera.corrupt())),
    Kind(
        "camera-jump-forward",
        "its stamps are an hour ahead for 5 s",
        moments,
        _lying(lambda true_ns, _: true_ns + 3600 * NS),
    ),
    Kind("camera-jump-back", "its stamps are an hour behind for 5 s", moments, _lying(lambda t, _: t - 3600 * NS)),
    Kind(
        "camera-repeat",
        "its stamps stand still for 5 s",
        moments,
        _lying(lambda _, since_ns: since_ns // FRAME_NS * FRAME_NS),
    ),
    Kind(
        "camera-another",
        "another camera, of another size, 2 s later",
        moments,
        later(2, _another, lambda world: world.camera.plug()),
        camera=True,
    ),
    Kind(
        "camera-refused",
        "a camera that can't be used, 2 s later",
        moments,
        later(2, _refuse, _accept),
        camera=True,
        heals=False,
    ),
    Kind(
        "camera-bug", "its adapter raises what no adapter may", moments, _break, camera=True, ends=frozenset({"crash"})
    ),
    Kind(
        "camera-end",
        "its stream comes to an end",
        moments,
        at_moment(lambda w: w.camera.end()),
        camera=True,
        heals=False,
        ends=frozenset({"source_ended"}),
    ),
    Kind(
        "microphone-unplug-2s",
        "the microphone is unplugged for 2 s",
        moments,
        later(2, _microphone("unplug"), _microphone("plug")),
        has_sound=True,
    ),
    Kind(
        "microphone-gone",
        "the microphone is torn off",
        moments,
        at_moment(_microphone("unplug")),
        has_sound=True,
        heals=False,
    ),
    Kind("microphone-stall", "the microphone stalls for 4 s", moments, at_moment(_hush), has_sound=True),
    Kind(
        "microphone-end",
        "its stream comes to an end",
        moments,
        at_moment(_microphone("end")),
        has_sound=True,
        heals=False,
    ),
]
