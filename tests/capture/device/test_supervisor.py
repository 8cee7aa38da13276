"""A device that is kept delivering: lost, found again, refused, ended, asleep and awake; in virtual time."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import trio

from bwvd.capture.device.supervisor import ASLEEP, BACKOFF, MOST_HUNG, TRIAL_S, WEDGED_S, CaptureSwitch, run_source
from bwvd.capture.source import DeviceLost, DeviceWedged, SourceRefused
from bwvd.clock import NS
from bwvd.media.samples import Batch
from bwvd.messages import Device, MediaEvent, MediaGap, SourceDown, SourceUp
from bwvd.recorder.recent_gaps import RecentGaps
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from tests.support.capture_listen import Listener, numbers


def downs(listener: Listener) -> list[SourceDown]:
    return [event for event in listener.events if isinstance(event, SourceDown)]


def shape(listener: Listener) -> list[str]:
    """The kinds of the events, repetitions taken together."""
    found: list[str] = []
    for event in listener.events:
        name = type(event).__name__
        if not found or found[-1] != name:
            found.append(name)
    return found


class Openings:
    """A source that never comes up, and remembers when it was tried."""

    def __init__(self, clock: VirtualClock, errors: list[Exception] | None = None) -> None:
        self.clock = clock
        self.errors = errors or []
        self.times: list[float] = []

    def flush_on_cancel(self, flush: bool) -> None:
        pass

    async def run(
        self,
        send: Callable[[MediaEvent], None],  # noqa: ARG002 - of MediaSource
    ) -> None:
        await trio.lowlevel.checkpoint()
        self.times.append(trio.current_time())
        raise self.errors.pop(0) if self.errors else DeviceLost("cam: No such file or directory")


async def test_an_absent_camera_is_tried_ever_more_rarely_and_told_once(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    source = Openings(clock)
    with trio.move_on_after(20):
        await run_source(lambda: source, listener.send, clock=clock, device="camera")
    waits = [round(b - a, 3) for a, b in zip(source.times, source.times[1:], strict=False)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert [(down.device, down.reason, down.final) for down in downs(listener)] == [
        ("camera", "cam: No such file or directory", False)
    ]


async def test_while_a_device_is_away_only_a_new_refusal_is_news(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    errors = [DeviceLost("a"), DeviceLost("b"), SourceRefused("c"), DeviceLost("a"), SourceRefused("c")]
    source = Openings(clock, list(errors))
    with trio.move_on_after(30):
        await run_source(lambda: source, listener.send, clock=clock, device="microphone")
    assert [down.reason for down in downs(listener)] == ["a", "c"]


async def test_a_camera_that_is_unplugged_and_plugged_in_again_goes_on(autojump_clock: trio.abc.Clock) -> None:
    """Invariant 4: what was taken until the plug was pulled arrives, and then what was taken from the next opening."""
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    async with trio.open_nursery() as nursery:
        delivers = trio.Event()
        nursery.start_soon(
            lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera", delivers=delivers)
        )
        await delivers.wait()
        assert shape(listener) == ["SourceUp"]
        await trio.sleep(2.55)
        camera.unplug()
        await trio.sleep(4)
        camera.plug()
        await trio.sleep(5)
        camera.flush_on_cancel(True)
        nursery.cancel_scope.cancel()
    assert shape(listener) == ["SourceUp", "Batch", "SourceDown", "SourceUp", "Batch"]
    assert numbers(listener.batches()) == list(range(camera.number))
    (down,) = downs(listener)
    assert down.at_ns == 1_002_550_000_000
    last = [batch for batch in listener.batches() if batch.start_ns < down.at_ns][-1]
    assert len(last.samples) == 6
    tracks = [up.track for up in listener.ups()]
    assert tracks[0] is not tracks[1]
    assert tracks[0].init == tracks[1].init


async def test_the_backoff_begins_anew_once_the_camera_has_delivered(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    camera.unplug()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera"),
        )
        await trio.sleep(30)
        camera.plug()
        await trio.sleep(10)
        camera.unplug()
        await trio.sleep(0.05)
        camera.plug()
        before = trio.current_time()
        while len(listener.ups()) < 2:
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(0.01)
        assert trio.current_time() - before < 0.5
        nursery.cancel_scope.cancel()


async def test_a_stalled_camera_is_lost_after_three_seconds_and_comes_back(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera"))
        await trio.sleep(2)
        camera.stall(5)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert [down.reason for down in downs(listener)] == ["virtual:camera delivered nothing for 3 s"]
    found = numbers(listener.batches())
    assert found == list(range(len(found)))
    assert shape(listener) == ["SourceUp", "Batch", "SourceDown", "SourceUp", "Batch"]


async def test_the_end_of_a_file_is_final(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera"))
            await trio.sleep(2.5)
            camera.end()
    assert [(down.final, down.device) for down in downs(listener)] == [(True, "camera")]
    assert isinstance(listener.events[-1], SourceDown)
    assert camera.openings == 1


async def test_a_refusal_at_the_first_opening_comes_out_and_later_counts_as_a_loss(
    autojump_clock: trio.abc.Clock,
) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    camera.refuse("video.source: no such codec")
    with pytest.raises(SourceRefused, match="no such codec"):
        await run_source(lambda: camera, listener.send, clock=clock, device="camera")
    assert listener.events == []

    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera"))
        await trio.sleep(1.5)
        camera.refuse("video.source: no such codec")
        camera.unplug()
        await trio.sleep(0.1)
        camera.plug()
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert [down.reason for down in downs(listener)] == [
        "virtual:camera: No such device",
        "video.source: no such codec",
    ]


class Changing:
    """A camera that delivers for so long, and is then found not to be what it should."""

    def __init__(self, camera: VirtualCamera, seconds: float, error: Exception | None = None) -> None:
        self._camera = camera
        self._seconds = seconds
        self._error = error or SourceRefused("video.source: cam: its key frames lie 12 s apart")

    def flush_on_cancel(self, flush: bool) -> None:
        self._camera.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        with trio.move_on_after(self._seconds):
            await self._camera.run(send)
        raise self._error


async def test_a_refusal_before_the_first_group_of_pictures_comes_out(autojump_clock: trio.abc.Clock) -> None:
    """A camera whose groups are too long is up before that is known: the configuration has to be put right."""
    clock, listener = VirtualClock(), Listener()
    source = Changing(VirtualCamera(clock, rate=10, gop_frames=10), 0.5)
    with pytest.raises(SourceRefused, match="12 s apart"):
        await run_source(lambda: source, listener.send, clock=clock, device="camera")
    assert shape(listener) == ["SourceUp"]


def faults_of(listener: Listener) -> list[tuple[bool, str]]:
    """What the recorder says of a listener's camera."""
    lately, found = RecentGaps(30 * NS), []
    for event in listener.events:
        match event:
            case SourceUp(on_trial=True):
                lately.back(event.device, 0)
            case SourceUp():
                over, was_told = lately.up(event.device, 0)
                found += [over] if was_told else []
            case SourceDown():
                found += [fault for fault in [lately.down(event)] if fault is not None]
    return [(fault.active, fault.detail) for fault in found]


@pytest.mark.parametrize("good_s", [0.5, 2.5, 20])
async def test_a_camera_that_breaks_a_rule_at_each_opening_is_one_fault(
    autojump_clock: trio.abc.Clock, good_s: float
) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    seconds = [5.0] + [good_s] * 12 + [math.inf]
    reason = "video.source: cam: its key frames lie 12 s apart"
    with trio.move_on_after(12 * (good_s + 5) + 5):
        await run_source(lambda: Changing(camera, seconds.pop(0)), listener.send, clock=clock, device="camera")
    assert camera.openings >= 12
    assert len(downs(listener)) == camera.openings - 1, "each loss is told to who counts on the pictures"
    assert faults_of(listener) == [(True, reason)]


@pytest.mark.parametrize("good_s", [1.5, 4, 20])
async def test_a_camera_that_comes_and_goes_is_one_lasting_fault(autojump_clock: trio.abc.Clock, good_s: float) -> None:
    """A loose plug: lost twice soon after it came back, it has to stay before anybody is told that all is well."""
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    seconds = [60.0] + [good_s] * 12 + [math.inf]
    reason = "cam: No such device"
    began_s = trio.current_time()

    def opened() -> Changing:
        return Changing(camera, seconds.pop(0), DeviceLost(reason))

    with trio.move_on_after(60 + 12 * (good_s + 0.3) + TRIAL_S + 2):
        await run_source(opened, listener.send, clock=clock, device="camera")
    assert faults_of(listener) == [(True, reason), (False, "")] * 3
    assert len(downs(listener)) == 13, "each loss is told to who counts on the pictures"
    ups_s = [60 + 0.2 + number * (good_s + 0.2) for number in range(12)]
    told_s = [down.at_ns / NS - 1_000 - began_s for down in downs(listener)[1:]]
    assert [round(at_s - up_s - good_s, 1) for at_s, up_s in zip(told_s, ups_s, strict=True)] == [0.0] * 12, (
        "it is opened again as soon as ever"
    )


async def test_one_that_delivers_for_long_enough_after_a_refusal_is_acquitted(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    seconds = [5.0, 2.5, 2.5, 100, 5]
    reason = "video.source: cam: its key frames lie 12 s apart"
    with trio.move_on_after(112):
        await run_source(lambda: Changing(camera, seconds.pop(0)), listener.send, clock=clock, device="camera")
    assert faults_of(listener) == [(True, reason), (False, ""), (True, reason)]
    kinds = [event.on_trial for event in listener.events if isinstance(event, SourceUp)]
    assert kinds == [False, True, True, True, False, True]


async def test_a_camera_that_has_delivered_and_changes_is_lost_and_tried_again(autojump_clock: trio.abc.Clock) -> None:
    """A file that is gone when it begins anew, a network camera whose settings somebody changes in the middle of a
    recording: what was good enough at the start is no reason to end the daemon, and with it the sound."""
    clock, listener = VirtualClock(), Listener()
    camera = VirtualCamera(clock, rate=10, gop_frames=10)
    with trio.move_on_after(10):
        await run_source(lambda: Changing(camera, 2.5), listener.send, clock=clock, device="camera")
    assert [down.reason for down in downs(listener)] == ["video.source: cam: its key frames lie 12 s apart"] * 3
    assert not any(down.final for down in downs(listener))
    assert camera.openings == 4


async def test_any_other_error_comes_out(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    with pytest.raises(ZeroDivisionError):
        await run_source(
            lambda: Openings(clock, [ZeroDivisionError()]), lambda _: None, clock=clock, device="microphone"
        )


@pytest.mark.parametrize("flush", [False, True])
async def test_sleep_closes_the_camera_and_wake_opens_it(autojump_clock: trio.abc.Clock, flush: bool) -> None:
    """Asleep the camera is closed; what was in the making is wiped, or delivered where a recording runs."""
    clock, listener, switch = VirtualClock(), Listener(), CaptureSwitch()
    cameras: list[VirtualCamera] = []

    def opened() -> VirtualCamera:
        cameras.append(VirtualCamera(clock, rate=10, gop_frames=10))
        return cameras[-1]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_source(opened, listener.send, clock=clock, device="camera", switch=switch))
        await trio.sleep(1.55)
        switch.flush(flush)
        switch.off()
        await trio.testing.wait_all_tasks_blocked()
        assert [(down.reason, down.asked) for down in downs(listener)] == [(ASLEEP, True)]
        assert sum(len(batch.samples) for batch in listener.batches()) == (16 if flush else 10)
        await trio.sleep(60)
        assert len(cameras) == 1
        woken_ns = clock.monotonic_ns()
        switch.on()
        await trio.sleep(2.5)
        nursery.cancel_scope.cancel()
    assert len(cameras) == 2
    assert listener.batches()[-1].start_ns >= woken_ns
    assert listener.batches()[-1].start_ns <= woken_ns + 2 * NS


async def test_a_device_that_is_off_at_the_start_is_closed(autojump_clock: trio.abc.Clock) -> None:
    clock, listener, switch = VirtualClock(), Listener(), CaptureSwitch(on=False)
    camera = VirtualCamera(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera", switch=switch)
        )
        await trio.sleep(10)
        assert listener.events == []
        assert camera.openings == 0
        nursery.cancel_scope.cancel()


async def test_waking_does_not_wait_for_the_backoff(autojump_clock: trio.abc.Clock) -> None:
    clock, switch = VirtualClock(), CaptureSwitch()
    source = Openings(clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            lambda: run_source(lambda: source, lambda _: None, clock=clock, device="camera", switch=switch)
        )
        await trio.sleep(30)
        switch.off()
        await trio.sleep(30)
        tried = len(source.times)
        switch.on()
        await trio.sleep(0.1)
        assert len(source.times) == tried + 1
        nursery.cancel_scope.cancel()


async def test_a_source_that_is_both_takes_both_down(autojump_clock: trio.abc.Clock) -> None:
    clock, listener = VirtualClock(), Listener()

    class Both(VirtualCamera):
        async def run(self, send: Callable[[MediaEvent], None]) -> None:
            def both(event: MediaEvent) -> None:
                send(event)
                if isinstance(event, SourceUp):
                    send(SourceUp("microphone", event.track))

            await super().run(both)

    camera = Both(clock, rate=10, gop_frames=10)
    with trio.move_on_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: run_source(lambda: camera, listener.send, clock=clock, device="camera"))
            await trio.sleep(1.05)
            camera.unplug()
    assert {down.device for down in downs(listener)} == {"camera", "microphone"}
    assert len(downs(listener)) == 2
    assert {type(event) for event in listener.events} <= {SourceUp, SourceDown, Batch, MediaGap}


# --- a thread that never comes back ----------------------------------------------------------------------------------


class Driver:
    """A device whose driver hangs: `hang` lists, for each opening, what becomes of it."""

    def __init__(self, clock: VirtualClock, openings: list[str]) -> None:
        self.clock = clock
        self.openings = openings
        self.sources: list[HangingSource] = []
        self.maker = VirtualCamera(clock, rate=10, gop_frames=10)

    def open(self) -> HangingSource:
        fate = self.openings.pop(0) if self.openings else "busy"
        self.sources.append(HangingSource(self, fate))
        return self.sources[-1]


class HangingSource:
    """One opening: "busy" at once; "hangs" after some seconds of video; "opens" and delivers nothing; "good"."""

    def __init__(self, driver: Driver, fate: str) -> None:
        self.driver = driver
        self.fate = fate
        self.hanging = False

    def hangs(self) -> bool:
        return self.hanging

    def flush_on_cancel(self, flush: bool) -> None:
        self.driver.maker.flush_on_cancel(flush)

    async def run(self, send: Callable[[MediaEvent], None]) -> None:
        if self.fate == "busy":
            await trio.sleep(0.01)
            raise DeviceLost("cam: Device or resource busy")
        if self.fate == "opens":
            try:
                await trio.sleep_forever()
            finally:
                self.hanging = True
        with trio.move_on_after(3.05 if self.fate == "hangs" else float("inf")):
            await self.driver.maker.run(send)
        self.hanging = True
        raise DeviceLost("cam delivered nothing for 3 s")


async def ends_wedged(openings: list[str], *, device: Device = "camera", switch: CaptureSwitch | None = None) -> Driver:
    """Run until the device is found wedged; the time that took is trio's."""
    clock = VirtualClock()
    driver = Driver(clock, openings)
    with pytest.raises(DeviceWedged, match=f"^{device}: a thread hangs in its driver"):
        await run_source(driver.open, lambda _: None, clock=clock, device=device, switch=switch)
    return driver


async def test_a_device_that_stays_busy_while_a_thread_hangs_in_it_is_wedged(autojump_clock: trio.abc.Clock) -> None:
    began = trio.current_time()
    driver = await ends_wedged(["hangs"])
    assert WEDGED_S <= trio.current_time() - began - 3.05 <= WEDGED_S + BACKOFF.limit_s + 1
    assert len(driver.sources) > 3, "it was tried again and again"


async def test_one_that_opens_and_delivers_nothing_while_a_thread_hangs_is_wedged(
    autojump_clock: trio.abc.Clock,
) -> None:
    began = trio.current_time()
    driver = await ends_wedged(["hangs", "opens"])
    assert trio.current_time() - began - 3.05 <= WEDGED_S + 1
    assert len(driver.sources) == 2


async def test_one_thread_that_hangs_is_tolerated_where_the_device_delivers_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    clock, listener = VirtualClock(), Listener()
    driver = Driver(clock, ["hangs", "busy", "busy", "good"])
    with trio.move_on_after(60) as scope:
        await run_source(driver.open, listener.send, clock=clock, device="camera")
    assert scope.cancelled_caught
    assert len(listener.ups()) == 2
    assert len(listener.batches()) > 50


async def test_many_threads_that_hang_are_not(autojump_clock: trio.abc.Clock) -> None:
    """Each keeps its memory: a device that hangs once a minute would use it all up in a day."""
    driver = await ends_wedged(["hangs"] * 10)
    assert len(driver.sources) == MOST_HUNG


async def test_a_thread_that_comes_back_frees_the_device(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    driver = Driver(clock, ["hangs"])
    with trio.move_on_after(120) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: run_source(driver.open, lambda _: None, clock=clock, device="camera"))
            await trio.sleep(3.05 + WEDGED_S - 1)
            driver.sources[0].hanging = False
    assert scope.cancelled_caught, "it is only absent, and may be so for hours"


async def test_a_busy_device_in_which_no_thread_hangs_is_only_lost(autojump_clock: trio.abc.Clock) -> None:
    clock = VirtualClock()
    with trio.move_on_after(300) as scope:
        await run_source(Driver(clock, []).open, lambda _: None, clock=clock, device="camera")
    assert scope.cancelled_caught


async def test_a_microphone_waits_for_the_end_of_the_recording(autojump_clock: trio.abc.Clock) -> None:
    switch = CaptureSwitch()
    switch.flush(True)  # a recording runs
    began = trio.current_time()

    async def stop() -> None:
        await trio.sleep(100)
        switch.flush(False)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        driver = await ends_wedged(["hangs"], device="microphone", switch=switch)
        ended = trio.current_time()
    assert 100 <= ended - began <= 102
    assert len(driver.sources) < 15, "no thread after the other is lost in it meanwhile"


async def test_sleep_gives_a_wedged_device_no_time_out(autojump_clock: trio.abc.Clock) -> None:
    """Closed, it need not deliver; opened again, it has its ten seconds."""
    clock, switch = VirtualClock(), CaptureSwitch()
    driver = Driver(clock, ["hangs"])
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with pytest.raises(DeviceWedged):
                await run_source(driver.open, lambda _: None, clock=clock, device="camera", switch=switch)

        nursery.start_soon(run)
        await trio.sleep(3.05 + WEDGED_S / 2)
        switch.off()
        await trio.sleep(600)
        switch.on()
        woken = trio.current_time()
    assert trio.current_time() - woken >= WEDGED_S
