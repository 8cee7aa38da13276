"""The end: what is around the core goes on until the last byte is on the flash, however the end came."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from bwvd.daemon import peripherals
from bwvd.daemon.daemon import Daemon
from bwvd.daemon.process import PATIENCE_S, _ask_for_patience
from bwvd.evidence.format import records
from bwvd.messages import Pressed
from bwvd.testing.lamp import VirtualLamp
from tests.support.rig import Rig, configuration

STALL_S = 25.0


class Broken(Exception):
    """What no peripheral may raise."""


def rig_with(*around: object) -> Rig:
    rig = Rig(config=configuration(loop={"seconds": 5}, recording={"post_roll_s": 0}))
    rig.peripherals = list(around)  # type: ignore[arg-type]  # each is a peripheral
    return rig


async def stalled(rig: Rig) -> None:
    """A recording of which the flash has taken nothing for twenty seconds, and takes nothing for five more."""
    await trio.sleep(7)
    assert (await rig.press()).ok
    await trio.sleep(3)
    rig.volume.stall(STALL_S, kind="sync")  # type: ignore[attr-defined]  # a virtual one
    await trio.sleep(STALL_S - 5)


async def test_what_is_around_the_core_outlives_the_writer(autojump_clock: trio.testing.MockClock) -> None:
    left: list[int] = []

    async def lamp(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            left.append(daemon.backlog.bytes)
            left.append(int(not daemon.writer.idle))

    rig = rig_with(lamp)
    async with rig.running():
        await stalled(rig)
    assert left == [0, 0]


async def test_a_press_during_the_drain_is_refused_aloud(autojump_clock: trio.testing.MockClock) -> None:
    """Invariant 5: who presses while the last of it is written hears that it is too late, and the journal has it."""
    rig = rig_with()
    async with trio.open_nursery() as nursery, rig.running() as daemon:
        await stalled(rig)

        async def press() -> None:
            await daemon.wait_ending()
            await trio.sleep(3)
            assert not daemon.writer.idle
            assert (await rig.press()).text == "ending"

        nursery.start_soon(press)
    refused = [event for event in rig.events if isinstance(event, Pressed) and event.outcome == "refused"]
    assert [event.reason for event in refused] == ["ending"]
    assert b'"reason":"ending"' in rig.volume.read("journal.jsonl")


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    there.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    there.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    yield there
    there.close()


def told(manager: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found += manager.recv(4096).decode().splitlines()
        except BlockingIOError:
            return found


@pytest.mark.parametrize("where", ["around", "camera", "asked"])
async def test_the_manager_is_told_and_the_watchdog_fed_until_the_last_sync(
    autojump_clock: trio.testing.MockClock, manager: socket.socket, where: str
) -> None:
    fail = trio.Event()

    async def fails(daemon: Daemon, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await fail.wait()
        raise Broken("a bug")

    rig = rig_with(peripherals._service, fails)
    said: list[str] = []
    began_s = 0.0

    async def scene() -> None:
        nonlocal began_s
        async with rig.running() as daemon:
            await stalled(rig)
            told(manager)
            said.clear()
            began_s = trio.current_time()
            # Each of them, the last one too: it is behind that one that nobody is fed any more.
            rig.volume.stall(3, kind="sync", path="journal.jsonl", times=1000)  # type: ignore[attr-defined]  # as above
            if where == "around":
                fail.set()
            elif where == "camera":
                daemon._take_media(None)  # type: ignore[arg-type]  # what no source sends: the recorder fails on it
            else:
                daemon.shut_down("asked")
            await daemon.wait_ending()
            await daemon.wait_closed()

    async def listen() -> None:
        while True:
            await trio.sleep(0.5)
            said.extend(told(manager))

    async with trio.open_nursery() as around:
        around.start_soon(listen)  # the kernel keeps ten of them
        if where == "asked":
            await scene()
        else:
            with pytest.RaisesGroup(pytest.RaisesExc(BaseException), allow_unwrapped=True, flatten_subgroups=True):
                await scene()
        around.cancel_scope.cancel()
    said += told(manager)
    lasted_s = trio.current_time() - began_s
    assert lasted_s > 4
    assert said.count("STOPPING=1") == 1
    assert said.count("WATCHDOG=1") >= int(lasted_s) - 1  # once a second
    (recording,) = rig.recordings()
    closing = rig.manifest(recording)[-1]
    assert isinstance(closing, records.Close)
    assert closing.reason == ("shutdown" if where == "asked" else "crash")


@pytest.mark.parametrize("where", ["around", "recorder", "writer", "journal"])
async def test_an_end_by_a_bug_is_announced_when_it_begins(
    autojump_clock: trio.testing.MockClock, manager: socket.socket, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """While the flash still holds up what is being written: a slow end that nobody knows of is taken for a hang."""
    fail = trio.Event()

    async def fails(*_: object, task_status: trio.TaskStatus[None] | None = None) -> None:
        if task_status is not None:
            task_status.started()
            await fail.wait()
        raise Broken("a bug")

    rig = rig_with(peripherals._service, fails)
    announced_s = began_s = 0.0

    async def scene() -> None:
        nonlocal announced_s, began_s
        async with rig.running() as daemon:
            await stalled(rig)
            if where == "writer":  # it is not waiting for the flash itself, else its bug would come behind that
                await trio.sleep(10.5)
                rig.volume.stall(STALL_S, kind="sync", path="journal.jsonl")  # type: ignore[attr-defined]  # as above
                daemon.evidence.enter("test")
                await trio.sleep(0.01)
            told(manager)
            began_s = trio.current_time()
            match where:
                case "around":
                    fail.set()
                case "recorder":
                    daemon._take_media(None)  # type: ignore[arg-type]  # what no source sends
                case "writer":
                    monkeypatch.setattr(daemon.writer, "_take", fails)
                case "journal":
                    monkeypatch.setattr(daemon.evidence._actor, "_attempt", fails)
                    daemon.evidence.enter("test")
            with trio.CancelScope(shield=True):  # the daemon's end comes to us as a cancellation
                await rig.wait_for(lambda: "STOPPING=1" in told(manager))
                announced_s = trio.current_time()

    with pytest.RaisesGroup(pytest.RaisesExc(BaseException), allow_unwrapped=True, flatten_subgroups=True):
        await scene()
    assert announced_s - began_s < 1.5, "with the next group of pictures at the latest"
    assert trio.current_time() - announced_s > 3, "and the flash took longer than that"


async def test_the_manager_is_asked_for_patience_until_the_last_sync(autojump_clock: trio.testing.MockClock) -> None:
    """Else its TimeoutStopSec, meant for what hangs, kills a daemon that writes its last commits to a slow flash."""
    asked: list[float] = []

    class Manager:
        def extend(self, seconds: float) -> None:
            asked.append(trio.current_time() + seconds)

    rig = rig_with()
    ending_s = 0.0
    async with trio.open_nursery() as nursery:
        async with rig.running() as daemon:
            nursery.start_soon(_ask_for_patience, Manager(), [daemon])  # type: ignore[arg-type]  # stands in for it
            await trio.sleep(60)
            assert asked == asked[:1], "a camera that delivers needs no patience"
            await stalled(rig)
            rig.volume.stall(100, kind="sync")  # type: ignore[attr-defined]  # the rig's own
            daemon.shut_down("asked")
            ending_s = trio.current_time()
        nursery.cancel_scope.cancel()
    during = [until_s for until_s in asked if until_s > ending_s + 1]
    assert trio.current_time() > ending_s + 50
    assert all(after - before <= PATIENCE_S / 3 + 0.1 for before, after in pairwise(during))
    assert during[-1] > trio.current_time(), "the last one holds to the end"


async def test_the_last_that_the_lamps_say_is_that_all_is_safe(autojump_clock: trio.testing.MockClock) -> None:
    """The light goes on until the last frame is on the flash, and then says for a moment that it is."""
    rig = rig_with()
    lights = [
        VirtualLamp(f"led:{colour}", "light", colour, now_ns=rig.clock.monotonic_ns)
        for colour in ("red", "green", "amber")
    ]
    rig.peripherals = [partial(peripherals._feedback, [light.indicator for light in lights], False)]
    _, green, amber = lights
    async with rig.running() as daemon:
        await stalled(rig)
        daemon.shut_down("asked")
        begun_ns = rig.clock.monotonic_ns()
        await daemon.wait_closed()
        safe_ns = rig.clock.monotonic_ns()
    assert safe_ns - begun_ns > 4e9
    flickers = [at_ns for at_ns, level in amber.history if level and at_ns > begun_ns]
    assert max(flickers) > safe_ns - 1e9
    assert max(flickers) <= safe_ns
    assert sum(1 for at_ns, level in green.history if level and at_ns >= safe_ns) == 3
    assert [lamp.level for lamp in lights] == [0, 0, 0]


async def test_a_gauge_that_hangs_is_a_fault_and_no_end(
    autojump_clock: trio.testing.MockClock, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr("bwvd.service.power.read_in_thread", hangs)
    config = configuration(power={"supply": "BAT0"})
    rig = rig_with(partial(peripherals._power, config), peripherals._service)
    async with rig.running() as daemon:
        await trio.sleep(100)
        assert "stuck:power" in daemon.hub.faults
        told(manager)
        await trio.sleep(8)
        assert told(manager).count("WATCHDOG=1") >= 7
