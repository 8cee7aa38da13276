"""The start: controls listen before the storage is in order, and what they hear until then is not lost."""

from __future__ import annotations

import math
from functools import partial

import pytest
import trio
import trio.testing

from bwvd.config.schema import Gestures
from bwvd.controls.contact_actor import run_contact
from bwvd.controls.slide_switch import gesture_reader
from bwvd.daemon import peripherals
from bwvd.daemon.daemon import COMMAND_BOUND, Daemon
from bwvd.evidence.flash.volume import Volume
from bwvd.evidence.format import records
from bwvd.messages import Answer, Command, FaultChanged, Order
from bwvd.testing.contact import VirtualContact
from bwvd.testing.flash.storage import VirtualVolume
from bwvd.testing.lamp import VirtualLamp
from tests.support.rig import Rig, configuration

RECOVERY_S = 20.0


async def _button(contact: VirtualContact, daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
    reader = gesture_reader(Gestures(), "button", 20_000_000)
    await run_contact(contact, reader, daemon.post, daemon.clock, daemon.hub.publish, task_status=task_status)


def slow_rig() -> Rig:
    volume = VirtualVolume()
    volume.stall(RECOVERY_S, kind="sync")
    return Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}), volume=volume)


def journal(volume: Volume) -> bytes:
    return volume.read("journal.jsonl")


async def test_a_press_while_the_storage_is_put_in_order_is_recorded(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: the button that is pressed as the camera is switched on."""
    rig = slow_rig()
    contact = VirtualContact("gpio:record", rig.clock)
    rig.peripherals = [partial(_button, contact)]
    pressed_ns = 0

    async def press() -> None:
        nonlocal pressed_ns
        await trio.sleep(RECOVERY_S / 2)
        assert not rig.daemon.started
        assert rig.daemon.status()["recording"] is None
        assert rig.daemon.summary() == "starting"
        pressed_ns = rig.clock.monotonic_ns()
        await contact.press(0.2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(press)
        async with rig.running() as daemon:
            assert trio.current_time() >= RECOVERY_S
            await trio.sleep(5)
            assert daemon.recorder.current is not None
    (recording,) = rig.recordings()
    opening = rig.manifest(recording)[0]
    assert isinstance(opening, records.Open)
    assert opening.press.stamp.mono_ns == pressed_ns
    assert opening.pre_event.got_s == 0
    assert opening.pre_event.reason == "started"
    assert b'"event":"press"' in journal(rig.volume)


async def test_an_end_that_is_asked_for_meanwhile_comes_when_the_start_is_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = slow_rig()

    async def end() -> None:
        await trio.sleep(RECOVERY_S / 2)
        rig.daemon.shut_down("SIGTERM")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        async with rig.running():
            assert trio.current_time() >= RECOVERY_S
    assert trio.current_time() < RECOVERY_S + 5
    assert rig.recordings() == []
    assert b'"event":"shutdown"' in journal(rig.volume)


async def test_a_fault_from_before_the_journal_is_in_it(autojump_clock: trio.testing.MockClock) -> None:
    rig = slow_rig()
    contact = VirtualContact("gpio:record", rig.clock, present=False)
    rig.peripherals = [partial(_button, contact)]
    async with rig.running():
        await trio.sleep(1)
    faults = [event.name for event in rig.events if isinstance(event, FaultChanged)]
    assert "control:gpio:record" in faults
    assert journal(rig.volume).count(b'"name":"control:gpio:record"') == 1


async def test_no_flood_of_markers_makes_a_press_busy(autojump_clock: trio.testing.MockClock) -> None:
    rig = slow_rig()
    answers: list[Answer] = []

    async def flood() -> None:
        await trio.sleep(1)
        for order in [Order.MARK] * 2 * COMMAND_BOUND + [Order.PRESS]:
            rig.daemon.post(Command(order, "test", rig.clock.monotonic_ns(), reply=answers.append))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        async with rig.running() as daemon:
            await trio.sleep(3)
            assert daemon.recorder.current is not None
    assert answers[-1].ok
    assert [answer.text for answer in answers].count("busy") == COMMAND_BOUND


async def test_a_press_is_answered_where_the_start_fails(autojump_clock: trio.testing.MockClock) -> None:
    volume = VirtualVolume()
    rig = Rig(volume=volume)
    answers: list[Answer] = []

    async def presses(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        daemon.post(Command(Order.PRESS, "test", daemon.clock.monotonic_ns(), reply=answers.append))
        volume.read_only_from(1)
        task_status.started()
        await trio.sleep_forever()

    rig.peripherals = [presses]
    with pytest.RaisesGroup(OSError, allow_unwrapped=True, flatten_subgroups=True):
        async with rig.running():
            pass
    assert [answer.text for answer in answers] == ["ending"]


async def test_a_press_during_a_start_that_fails_is_heard_and_entered(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: audible, and journalled where the journal can be opened."""
    volume = VirtualVolume()
    async with Rig(volume=volume).running():
        await trio.sleep(1)
    volume.fail(5, kind="sync_dir", path="recordings", times=math.inf)
    rig = Rig(volume=volume)
    tone = VirtualLamp("tone:beeper", "tone", now_ns=rig.clock.monotonic_ns)

    async def presses(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        daemon.post(Command(Order.PRESS, "gpio:record", daemon.clock.monotonic_ns()))
        task_status.started()
        await trio.sleep_forever()

    rig.peripherals = [partial(peripherals._feedback, [tone.indicator], False), presses]
    with pytest.RaisesGroup(OSError, allow_unwrapped=True, flatten_subgroups=True):
        async with rig.running():
            pass
    assert journal(volume).count(b'"event":"refused"') == 1
    assert b'"source":"gpio:record"' in journal(volume)
    assert any(level for _, level in tone.history), "nobody heard it"


async def test_a_start_that_fails_enters_nothing_into_a_new_journal(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 13: the next start has to find a storage without its journal as this one did."""
    volume = VirtualVolume.from_state({"recordings": None})
    volume.fail(5, kind="sync_dir", path="recordings", times=math.inf)
    rig = Rig(volume=volume)

    async def presses(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        daemon.post(Command(Order.PRESS, "gpio:record", daemon.clock.monotonic_ns()))
        task_status.started()
        await trio.sleep_forever()

    rig.peripherals = [presses]
    with pytest.RaisesGroup(OSError, allow_unwrapped=True, flatten_subgroups=True):
        async with rig.running():
            pass
    assert b'"type":"entry"' not in journal(volume)


async def test_the_green_light_blinks_when_the_loop_turns(autojump_clock: trio.testing.MockClock) -> None:
    """What the wearer waits for before the first press; not while the storage is put in order."""
    rig = slow_rig()
    green = VirtualLamp("led:green", "light", "green", now_ns=rig.clock.monotonic_ns)
    rig.peripherals = [partial(peripherals._feedback, [green.indicator], False)]
    began_ns = rig.clock.monotonic_ns()
    async with rig.running() as daemon:
        await trio.sleep(10)
        daemon.shut_down("asked")
        ended_ns = rig.clock.monotonic_ns()
    blinks_s = [(at_ns - began_ns) / 1e9 for at_ns, level in green.history if level and at_ns < ended_ns]
    assert len(blinks_s) >= 3
    assert blinks_s[0] >= RECOVERY_S
