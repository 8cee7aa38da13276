"""An integrator's own adapters, held against the published suites: theirs pass, and a wrong one is found out.

What stands here is what somebody outside would write; it uses nothing but `bwvd.testing` and the Protocols.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.capture.source import MediaSource
from bwvd.clock import Clock
from bwvd.controls.ports import ControlLost, Edge
from bwvd.evidence.flash.posix import PosixVolume
from bwvd.media.samples import Batch
from bwvd.messages import Fix, MediaEvent
from bwvd.position.gpsd import Gpsd
from bwvd.position.receiver import Language
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.conformance import contact as conformance_contact
from bwvd.testing.conformance import receiver as conformance_receiver
from bwvd.testing.conformance import source as conformance_source
from bwvd.testing.conformance import storage as conformance_storage
from bwvd.testing.receiver import VirtualReceiver, as_gpsd

# --- a camera that comes over a link of its own -----------------------------------------------------------------------


class TunnelledCamera:
    """A camera behind a link: everything that it sends passes through `relay`."""

    def __init__(self, device: VirtualCamera, relay: Callable[[MediaEvent], MediaEvent | None]) -> None:
        self._device = device
        self._relay = relay

    def flush_on_cancel(self, flush: bool) -> None:
        self._device.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        def relayed(event: MediaEvent) -> None:
            passed = self._relay(event)
            if passed is not None:
                send(passed)

        await self._device.run(relayed)


def _try_camera(check: conformance_source.Check, relay: Callable[[MediaEvent], MediaEvent | None]) -> None:
    async def main() -> None:
        clock: Clock = VirtualClock()
        device = VirtualCamera(clock, rate=25, gop_frames=10)

        def make() -> MediaSource:
            return TunnelledCamera(device, relay)

        await check(conformance_source.Subject(make, clock, end=device.end, unplug=device.unplug, plug=device.plug))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("check", conformance_source.VIDEO_CHECKS, ids=lambda check: check.__name__)
def test_a_camera_of_ones_own(check: conformance_source.Check) -> None:
    _try_camera(check, lambda event: event)


def _without_the_last_sample(event: MediaEvent) -> MediaEvent:
    return Batch(event.track, event.samples[:-1], event.data) if isinstance(event, Batch) else event


def _a_second_early(event: MediaEvent) -> MediaEvent:
    if not isinstance(event, Batch):
        return event
    moved = (s._replace(pts_ns=s.pts_ns - 10**9, dts_ns=s.dts_ns - 10**9) for s in event.samples)
    return Batch(event.track, tuple(moved), event.data)


def _damaged(event: MediaEvent) -> MediaEvent:
    if isinstance(event, Batch):
        event.data[:] = bytes(len(event.data))
    return event


@pytest.mark.parametrize("relay", [_without_the_last_sample, _a_second_early, _damaged])
def test_a_wrong_camera_is_found_out(relay: Callable[[MediaEvent], MediaEvent]) -> None:
    failed = []
    for check in conformance_source.VIDEO_CHECKS:
        try:
            _try_camera(check, relay)
        except Exception:  # noqa: BLE001  a check fails by assertion, by libav's refusal, or in a group of either
            failed.append(check.__name__)
    assert failed


# --- a storage that is one folder deeper ------------------------------------------------------------------------------


class DeeperVolume(PosixVolume):
    """A storage of one's own: here the real one, in a folder below the mount point."""

    def __init__(self, mount: Path) -> None:
        (mount / "evidence").mkdir()
        super().__init__(mount / "evidence")


class OverwritingVolume(DeeperVolume):
    """A wrong one: a name that is there is taken again."""

    def make_dir(self, path: str) -> None:
        if path.rstrip("/") not in [name.rstrip("/") for name in self.names("")]:
            super().make_dir(path)


def _try_volume(check: Callable[[conformance_storage.Subject], None], volume: PosixVolume) -> None:
    def plant(path: str, kind: str) -> None:
        if kind == "link":
            (volume.root / path).symlink_to("/")
        else:
            os.mkfifo(volume.root / path)

    with volume:
        check(conformance_storage.Subject(volume, plant))


@pytest.mark.parametrize("check", conformance_storage.CHECKS, ids=lambda check: check.__name__)
def test_a_storage_of_ones_own(check: Callable[[conformance_storage.Subject], None], tmp_path: Path) -> None:
    _try_volume(check, DeeperVolume(tmp_path))


def test_a_wrong_storage_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no OSError for 'd'"):
        _try_volume(conformance_storage.a_name_is_created_once, OverwritingVolume(tmp_path))


# --- a button that is read by asking ----------------------------------------------------------------------------------


class PolledButton:
    """A button of one's own: a level that is looked at every millisecond."""

    def __init__(self, clock: Clock) -> None:
        self.name = "polled:record"
        self.down = False
        self.present = True
        self.is_open = False
        self.forget = 0  # movements that nobody will see
        self._clock = clock

    async def run(
        self, edge: Callable[[Edge], None], *, task_status: trio.TaskStatus[bool] = trio.TASK_STATUS_IGNORED
    ) -> None:
        if not self.present:
            raise ControlLost(f"{self.name}: no such device")
        self.is_open = True
        try:
            was = self.down
            task_status.started(was)
            while True:
                await trio.sleep(0.001)
                if not self.present:
                    raise ControlLost(f"{self.name}: unplugged")
                if self.down != was:
                    was = self.down
                    lost, self.forget = self.forget, 0
                    edge(Edge(was, self._clock.monotonic_ns(), lost))
        finally:
            self.is_open = False


@pytest.mark.parametrize("check", conformance_contact.CHECKS, ids=lambda check: check.__name__)
async def test_a_button_of_ones_own(check: Callable[..., object], autojump_clock: trio.testing.MockClock) -> None:
    clock = VirtualClock()
    button = PolledButton(clock)

    def set_present(present: bool) -> None:
        button.present, button.down = present, False

    await check(  # type: ignore[misc]  # every check is a coroutine function
        conformance_contact.Subject(
            button,
            lambda down: setattr(button, "down", down),
            lambda edges: setattr(button, "forget", edges),
            lambda: set_present(False),
            lambda: set_present(True),
            lambda: button.is_open,
            clock.monotonic_ns,
        )
    )


# --- a receiver with a reader of one's own ----------------------------------------------------------------------------


class Reader(Gpsd):
    """What a reader of one's own makes of the lines: here gpsd's, and `change` of what comes out."""

    def __init__(self, change: Callable[[Fix | None, Fix | None], Fix | None]) -> None:
        super().__init__()
        self._change = change
        self._last: Fix | None = None

    def take(self, line: bytes, at_ns: int) -> Fix | None:
        fix, last = super().take(line, at_ns), self._last
        self._last = fix or last
        return self._change(fix, last)


class ReadReceiver(VirtualReceiver):
    """A receiver that is read by one's own."""

    change: Callable[[Fix | None, Fix | None], Fix | None]

    def language(self) -> Language:
        return Reader(self.change)


async def _try_receiver(
    check: Callable[[conformance_receiver.Subject], Awaitable[None]],
    change: Callable[[Fix | None, Fix | None], Fix | None],
) -> None:
    receiver = ReadReceiver(VirtualClock(), every_s=0)
    receiver.change = change

    def soon(do: Callable[..., object]) -> Callable[..., Awaitable[None]]:
        async def done(*given: object) -> None:
            do(*given)
            await trio.lowlevel.checkpoint()

        return done

    await check(
        conformance_receiver.Subject(
            receiver,
            soon(receiver.tell),
            soon(receiver.hang_up),
            soon(receiver.plug),
            as_gpsd,
            soon(receiver.say),
        )
    )


@pytest.mark.parametrize("check", conformance_receiver.CHECKS, ids=lambda check: check.__name__)
async def test_a_receiver_of_ones_own(
    check: Callable[[conformance_receiver.Subject], Awaitable[None]], autojump_clock: trio.testing.MockClock
) -> None:
    await _try_receiver(check, lambda fix, _: fix)


@pytest.mark.parametrize(
    "change",
    [
        lambda fix, last: fix or last,
        lambda fix, _: fix and replace(fix, longitude=abs(fix.longitude)),
        lambda fix, _: fix and replace(fix, altitude_m=fix.altitude_m or 0.0),
        lambda fix, _: fix and replace(fix, utc="2026-11-22T07:15:03.000Z"),
    ],
    ids=["the last one again", "no west", "a height of 0", "a time of its own"],
)
async def test_a_wrong_receiver_is_found_out(
    change: Callable[[Fix | None, Fix | None], Fix | None], autojump_clock: trio.testing.MockClock
) -> None:
    failed = []
    for check in conformance_receiver.CHECKS:
        try:
            await _try_receiver(check, change)
        except (AssertionError, ValueError, trio.TooSlowError):
            failed.append(check.__name__)
    assert failed
