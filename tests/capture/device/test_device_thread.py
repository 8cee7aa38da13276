"""The device's thread: asked to stop, waited for, and given up where its driver is wedged."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref

import pytest
import trio

from bwvd.capture.device.device_thread import ThreadChannel, run_thread
from bwvd.capture.source import DeviceLost, Stopped
from bwvd.clock import SystemClock
from bwvd.messages import MediaEvent, MediaGap

CLOCK = SystemClock()
GAP = MediaGap("video", 0, 0, "test", 0)


async def run(work: object, deliver: object = None, *, silence_s: float = 30, stop_s: float = 2.0) -> None:
    await run_thread(
        "device",
        work,  # type: ignore[arg-type]  # each test gives its own
        deliver or (lambda _: None),  # type: ignore[arg-type]  # a lambda that takes anything
        clock=CLOCK,
        silence_s=silence_s,
        stop_s=stop_s,
    )


async def test_events_arrive_on_trios_thread_in_order_and_one_hop_carries_many() -> None:
    hops: list[list[MediaEvent]] = []
    home = threading.get_ident()

    def deliver(events: list[MediaEvent]) -> None:
        assert threading.get_ident() == home
        hops.append(events)

    def work(line: ThreadChannel) -> None:
        for count in (0, 1, 3):
            for number in range(count):
                line.put(MediaGap("video", number, 0, "test", 0))
            line.hop()

    await run(work, deliver)
    assert [[event.from_ns for event in hop if isinstance(event, MediaGap)] for hop in hops] == [[0], [0, 1, 2]]


async def test_what_the_work_raises_comes_out() -> None:
    def work(_: ThreadChannel) -> None:
        raise DeviceLost("device: unplugged")

    with pytest.raises(DeviceLost, match="unplugged"):
        await run(work)


async def test_a_cancelled_thread_may_deliver_on_its_way_out() -> None:
    hops: list[list[MediaEvent]] = []
    began = trio.Event()

    def deliver(events: list[MediaEvent]) -> None:
        hops.append(events)
        began.set()

    def work(line: ThreadChannel) -> None:
        line.put(GAP)
        line.hop()
        with pytest.raises(Stopped):
            line.wait_until(CLOCK.monotonic_ns() + 60_000_000_000)
        line.put(GAP)
        line.hop()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, work, deliver)
            await began.wait()
            nursery.cancel_scope.cancel()
    assert len(hops) == 2


async def test_a_wedged_thread_is_given_up_and_nothing_of_it_arrives_later() -> None:
    hops: list[list[MediaEvent]] = []
    began, freed, late = threading.Event(), threading.Event(), threading.Event()

    def work(line: ThreadChannel) -> None:
        began.set()
        freed.wait()  # the driver
        line.put(GAP)
        try:
            line.hop()
        finally:
            late.set()

    before = time.monotonic()
    with trio.move_on_after(0.1) as scope:
        await run(work, hops.append, stop_s=0.2)
    assert scope.cancelled_caught
    assert began.is_set()
    assert 0.25 < time.monotonic() - before < 2
    freed.set()
    with trio.fail_after(5):
        await trio.to_thread.run_sync(late.wait)
    assert hops == []


async def test_a_silent_device_is_lost() -> None:
    freed = threading.Event()

    def work(_: ThreadChannel) -> None:
        freed.wait()

    before = time.monotonic()
    with pytest.raises(DeviceLost, match=r"^device delivered nothing for 0\.3 s$"):
        await run(work, silence_s=0.3, stop_s=0.1)
    assert 0.35 < time.monotonic() - before < 2
    freed.set()


async def test_a_device_that_delivers_is_not_silent_and_neither_is_one_that_waits_for_its_time() -> None:
    def work(line: ThreadChannel) -> None:
        for _ in range(5):
            time.sleep(0.1)
            line.alive()
        line.wait_until(CLOCK.monotonic_ns() + 600_000_000)

    await run(work, silence_s=0.35, stop_s=0.1)


async def test_a_delivery_that_fails_ends_the_thread_with_its_error() -> None:
    def deliver(_: list[MediaEvent]) -> None:
        raise RuntimeError("recorder")

    def work(line: ThreadChannel) -> None:
        line.put(GAP)
        line.hop()

    with pytest.raises(RuntimeError, match="recorder"):
        await run(work, deliver)


@pytest.mark.parametrize("silent", [True, False])
async def test_what_a_wedged_thread_has_made_is_taken_over(silent: bool) -> None:
    """It hangs in its driver, where it touches nothing of ours; what it does when it comes back concerns nobody."""
    hops: list[list[MediaEvent]] = []
    freed, over = threading.Event(), threading.Event()
    lines: list[ThreadChannel] = []
    asked: list[bool] = []
    afterwards: list[str] = []

    def work(line: ThreadChannel) -> None:
        lines.append(line)
        line.put(GAP)
        try:
            line.away()
            try:
                freed.wait()  # the driver
            finally:
                line.back()
            afterwards.append("went on")
        finally:
            over.set()

    def salvage(was_silent: bool) -> None:
        asked.append(was_silent)
        lines[0].put(GAP)

    with trio.move_on_after(0.2 if not silent else 30):
        with pytest.raises(DeviceLost) if silent else contextlib.nullcontext():
            await run_thread(
                "device",
                work,
                hops.append,
                clock=CLOCK,
                silence_s=0.3 if silent else 30,
                stop_s=0.1,
                salvage=salvage,
            )
    assert asked == [silent]
    assert hops == [[GAP, GAP]]
    freed.set()
    with trio.fail_after(5):
        await trio.to_thread.run_sync(over.wait)
    assert afterwards == []
    assert len(hops) == 1


async def test_a_thread_that_is_not_in_its_driver_keeps_what_it_made() -> None:
    """It may be in the middle of it: better to lose that than to deliver half of it."""
    freed = threading.Event()
    asked: list[bool] = []

    def work(_: ThreadChannel) -> None:
        freed.wait()

    with pytest.raises(DeviceLost):
        await run_thread("device", work, lambda _: None, clock=CLOCK, silence_s=0.3, stop_s=0.1, salvage=asked.append)
    freed.set()
    assert asked == []


class Held:
    """Stands for what a device's thread has: buffers, encoders, the threads of libraries."""


async def test_what_a_lost_device_had_is_gone_at_once() -> None:
    """Not when the collector looks: a daemon that makes little rubbish waits long for that."""
    known: list[weakref.ref[Held]] = []

    def work(_: ThreadChannel) -> None:
        held = Held()
        known.append(weakref.ref(held))
        raise DeviceLost("unplugged")

    gc.disable()
    try:
        for _ in range(3):
            with contextlib.suppress(DeviceLost):
                await run(work)
        # The worker's thread forgets its last job when it has the next one, or ends.
        with contextlib.suppress(DeviceLost):
            await run(work)
        assert [reference() for reference in known[:3]] == [None, None, None]
    finally:
        gc.enable()
