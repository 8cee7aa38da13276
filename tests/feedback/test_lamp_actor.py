"""From events to lamps, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from bwvd.clock import NS, SystemClock
from bwvd.config.schema import Config, Led
from bwvd.feedback.event_patterns import ShuttingDown
from bwvd.feedback.indicators import indicators
from bwvd.feedback.lamp_actor import run_feedback
from bwvd.messages import (
    Assigned,
    ClockStepped,
    Event,
    FaultChanged,
    LowStorage,
    Muted,
    Order,
    Pressed,
    Recorded,
    Reminder,
    State,
    StateChanged,
    StopAsked,
    StopNotConfirmed,
)
from bwvd.service.backoff import Backoff
from bwvd.service.pulse import Ledger
from bwvd.testing.clock import VirtualClock
from bwvd.testing.lamp import VirtualLamp


def changed(before: State, state: State) -> StateChanged:
    return StateChanged(state, before, 0, "test")


STANDBY = changed(State.ASLEEP, State.STANDBY)
RECORDING = changed(State.STANDBY, State.RECORDING)


def pressed(order: Order, outcome: str) -> Pressed:
    return Pressed(order, "gpio:record", 0, 0, outcome)


@dataclass
class Camera:
    """The lamps of one camera with their actor running."""

    lamps: dict[str, VirtualLamp]
    events: trio.MemorySendChannel[Event | ShuttingDown]
    clock: VirtualClock
    faults: list[tuple[float, str, bool, str]] = field(default_factory=list)

    def fault(self, name: str, active: bool, detail: str) -> None:
        self.faults.append((trio.current_time(), name, active, detail))

    async def show(self, *events: Event | ShuttingDown) -> None:
        """Send, and let the lamps follow."""
        for event in events:
            self.events.send_nowait(event)
        await trio.testing.wait_all_tasks_blocked()

    def levels(self) -> dict[str, int]:
        return {name: lamp.level for name, lamp in self.lamps.items() if lamp.level}

    async def tones(self, seconds: float = 3) -> list[int]:
        """What is heard from now on for a while."""
        before = len(self.lamps["tone"].history)
        already = [self.lamps["tone"].level]
        await trio.sleep(seconds)
        return [level for level in already + [level for _, level in self.lamps["tone"].history[before:]] if level]


@asynccontextmanager
async def camera(*names: str, stealth: bool = False) -> AsyncIterator[Camera]:
    send, receive = trio.open_memory_channel[Event | ShuttingDown](64)
    lamps = {
        name: VirtualLamp(name, name if name in {"tone", "haptic"} else "light", name)
        for name in names or ("red", "green", "amber", "haptic", "tone")
    }
    made = Camera(lamps, send, VirtualClock())
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: run_feedback(
                receive,
                [lamp.indicator for lamp in lamps.values()],
                made.clock,
                made.fault,
                stealth=stealth,
                backoff=Backoff(first_s=1, factor=2, limit_s=8, reset_after_s=60),
                task_status=task_status,
            )
        )
        try:
            yield made
        finally:
            nursery.cancel_scope.cancel()


async def test_a_press_lights_red_and_is_heard_and_felt_at_once(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(STANDBY)
        await trio.sleep(7.5)
        pressed_at = trio.current_time()
        await bwc.show(pressed(Order.PRESS, "recording"), RECORDING)
        assert bwc.levels() == {"red": 1, "haptic": 1, "tone": 880}
        assert trio.current_time() == pressed_at
        assert await bwc.tones() == [880, 1318]
        assert bwc.levels() == {"red": 1}


async def test_standby_wakes_up_only_for_its_blink(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(STANDBY)
        await trio.sleep(301)
        assert len(bwc.lamps["green"].history) == 2 * 101
        assert bwc.lamps["green"].writes == 2 * 101  # no write that changes nothing
        assert bwc.lamps["red"].writes == 0


@pytest.mark.parametrize(
    ("events", "heard"),
    [
        ([pressed(Order.PRESS, "refused")], [220, 220, 220]),
        ([pressed(Order.PRESS, "marker")], [1760]),
        ([pressed(Order.RECORD, "already")], [880, 1318]),
        ([pressed(Order.STOP, "already")], []),
        ([pressed(Order.STOP, "ignored")], []),
        ([Reminder(0)], [988, 988]),
        ([LowStorage(30, 0)], [494, 392]),
        ([LowStorage(0, 0)], [494, 392, 330]),
        ([FaultChanged("audio", True, 0)], [330, 247]),
        ([FaultChanged("audio", False, 0)], []),
        ([Muted(True, 0, "socket")], [440, 330]),
        ([Muted(False, 0, "socket")], [330, 440]),
        ([StopNotConfirmed(0)], [880, 880, 1318]),
        ([changed(State.RECORDING, State.POST_ROLL)], [1318, 988]),
        ([changed(State.POST_ROLL, State.RECORDING)], [880, 1318]),
        ([changed(State.POST_ROLL, State.STANDBY)], [1318, 988, 659]),
        ([changed(State.STANDBY, State.ASLEEP)], [880, 659]),
        ([changed(State.ASLEEP, State.STANDBY)], [659, 880]),
        ([RECORDING, RECORDING], [880, 1318]),
        ([changed(State.RECORDING, State.RECORDING)], []),
        ([ShuttingDown(0)], [988, 659, 440]),
        ([Recorded("r", 1, 0, closed=False), ClockStepped(0, 1, "free"), Assigned("A7", 0, "socket")], []),
    ],
)
async def test_each_event_has_its_sound(
    autojump_clock: MockClock, events: list[Event | ShuttingDown], heard: list[int]
) -> None:
    """Invariant 5: what a press led to, or why not, is heard."""
    async with camera() as bwc:
        await bwc.show(*events)
        assert await bwc.tones() == heard


async def test_a_stop_question_is_asked_until_it_is_answered_or_lapses(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(RECORDING)
        await trio.sleep(10)
        for answer in (
            [changed(State.RECORDING, State.POST_ROLL)],
            [pressed(Order.RECORD, "already")],
            [StopNotConfirmed(0)],
        ):
            await bwc.show(changed(State.POST_ROLL, State.RECORDING))
            await trio.sleep(5)
            now_ns = bwc.clock.monotonic_ns()
            await bwc.show(pressed(Order.STOP, "stop_asked"), StopAsked(now_ns, now_ns + 5 * NS))
            assert await bwc.tones(2.1) == [880, 1108, 1318] * 2 + [880]
            await bwc.show(*answer)
            assert 1108 not in await bwc.tones(20)


async def test_a_stop_question_that_nobody_ends_runs_out_by_itself(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(RECORDING)
        await trio.sleep(5)
        now_ns = bwc.clock.monotonic_ns()
        await bwc.show(StopAsked(now_ns, now_ns + 5 * NS))
        await trio.sleep(5)
        before = bwc.lamps["red"].writes
        assert await bwc.tones(60) == []
        assert bwc.lamps["red"].writes == before


async def test_the_fault_light_goes_out_with_the_last_fault(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(FaultChanged("camera", True, 0), FaultChanged("audio", True, 0))
        await trio.sleep(10)
        await bwc.show(FaultChanged("camera", False, 0))
        before = len(bwc.lamps["amber"].history)
        await trio.sleep(10)
        assert len(bwc.lamps["amber"].history) == before + 20  # two blinks each two seconds
        await bwc.show(FaultChanged("audio", False, 0))
        before = len(bwc.lamps["amber"].history)
        await trio.sleep(10)
        assert len(bwc.lamps["amber"].history) == before
        assert bwc.levels() == {}


async def test_a_fault_is_heard_once_however_often_it_is_told(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(FaultChanged("camera", True, 0))
        await trio.sleep(5)
        await bwc.show(FaultChanged("camera", True, 0))
        assert await bwc.tones() == []


async def test_stealth_shows_nothing_at_all(autojump_clock: MockClock) -> None:
    async with camera(stealth=True) as bwc:
        await bwc.show(STANDBY, RECORDING, FaultChanged("camera", True, 0), pressed(Order.PRESS, "refused"))
        await trio.sleep(60)
        assert all(lamp.history == [] for lamp in bwc.lamps.values())
        assert all(lamp.opened == 1 for lamp in bwc.lamps.values())  # held, so that nothing else lights them


async def test_a_lost_lamp_is_a_fault_and_comes_back(autojump_clock: MockClock) -> None:
    async with camera("red", "tone") as bwc:
        await bwc.show(RECORDING)
        await trio.sleep(100)
        bwc.lamps["tone"].unplug()
        await bwc.show(pressed(Order.PRESS, "marker"))
        assert bwc.faults == [(100, "indicator:tone", True, "tone: No such device")]
        await trio.sleep(10)  # tried after 1, 2, 4 more seconds: one fault, not four
        assert len(bwc.faults) == 1
        bwc.lamps["tone"].plug()
        await trio.sleep(8)
        assert bwc.faults[1:] == [(115, "indicator:tone", False, "")]
        await bwc.show(pressed(Order.PRESS, "marker"))
        assert bwc.levels() == {"red": 1, "tone": 1760}


async def test_another_light_takes_over_the_recording_light(autojump_clock: MockClock) -> None:
    async with camera("red", "green") as bwc:
        await bwc.show(RECORDING)
        await trio.sleep(5)
        assert bwc.levels() == {"red": 1}
        bwc.lamps["red"].unplug()
        await bwc.show(FaultChanged("storage", True, 0))  # needs the red lamp, which has no amber one beside it
        assert bwc.faults[0][1:3] == ("indicator:red", True)
        await trio.sleep(0.1)
        assert bwc.levels() == {"green": 1}
        bwc.lamps["red"].plug()
        await trio.sleep(2)
        assert bwc.levels() == {"red": 1}
        assert bwc.faults[1][1:3] == ("indicator:red", False)


async def test_a_lamp_that_is_absent_at_the_start_is_a_fault_and_nobody_waits_for_it(
    autojump_clock: MockClock,
) -> None:
    absent, there = VirtualLamp("led:absent"), VirtualLamp("led:there")
    absent.unplug()
    faults: list[tuple[str, bool, str]] = []
    send, receive = trio.open_memory_channel[Event | ShuttingDown](8)
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: run_feedback(
                receive,
                [absent.indicator, there.indicator],
                VirtualClock(),
                lambda *fault: faults.append(fault),
                task_status=task_status,
            )
        )
        send.send_nowait(RECORDING)
        await trio.sleep(1)
        assert there.level == 1
        assert faults == [("indicator:led:absent", True, "led:absent: No such file or directory")]
        send.close()  # the orderly end: the nursery closes by itself
    assert there.level == 0


async def test_what_waits_is_shown_as_it_stands_not_step_by_step(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(*[STANDBY, RECORDING] * 20, changed(State.RECORDING, State.POST_ROLL))
        assert bwc.levels() == {"red": 1, "haptic": 1, "tone": 1318}
        assert bwc.lamps["red"].writes == 1


async def test_the_end_is_dark_and_lets_go(autojump_clock: MockClock) -> None:
    async with camera() as bwc:
        await bwc.show(RECORDING, FaultChanged("audio", True, 0))
        lamps = bwc.lamps.values()
    assert all(lamp.level == 0 for lamp in lamps)
    for lamp in lamps:
        lamp.open()  # not held any more


async def test_a_mistake_in_an_adapter_ends_the_actor(autojump_clock: MockClock) -> None:
    """Only IndicatorLost is a loss; anything else is not hidden."""

    def broken(level: int) -> None:
        raise ZeroDivisionError(level)

    lamp = VirtualLamp("led:red", "light", "red")
    lamp.set = broken  # type: ignore[method-assign] # a bug, injected
    send, receive = trio.open_memory_channel[Event | ShuttingDown](8)
    send.send_nowait(RECORDING)
    with pytest.raises(ZeroDivisionError):
        await run_feedback(receive, [lamp.indicator], VirtualClock(), lambda *_: None)
    assert lamp.level == 0


async def test_the_watchdog_sees_it_idle_while_it_waits(autojump_clock: MockClock) -> None:
    ledger = Ledger(lambda: round(trio.current_time() * NS))
    send, receive = trio.open_memory_channel[Event | ShuttingDown](8)
    async with trio.open_nursery() as nursery:
        with ledger.pulse("feedback") as pulse:
            nursery.start_soon(lambda: run_feedback(receive, [], VirtualClock(), lambda *_: None, pulse=pulse))
            await trio.sleep(1)
            send.send_nowait(STANDBY)
            await trio.sleep(100)
            assert ledger.stuck() == []
            send.close()


async def test_on_real_time_and_a_sysfs_tree(tmp_path: Path) -> None:
    folder = tmp_path / "class/leds/red"
    folder.mkdir(parents=True)
    (folder / "max_brightness").write_text("1\n")
    (folder / "brightness").write_text("0\n")
    send, receive = trio.open_memory_channel[Event | ShuttingDown](8)
    config = Config(led=[Led(name="red", colour="red")])
    async with trio.open_nursery() as nursery:
        await nursery.start(
            lambda task_status: run_feedback(
                receive,
                indicators(config, sysfs=tmp_path),
                SystemClock(),
                lambda *fault: pytest.fail(str(fault)),
                task_status=task_status,
            )
        )
        sent = trio.current_time()
        send.send_nowait(RECORDING)
        await trio.testing.wait_all_tasks_blocked()
        assert (folder / "brightness").read_text() == "1"
        assert trio.current_time() - sent < 0.1
        send.close()
    assert (folder / "brightness").read_text() == "0"
