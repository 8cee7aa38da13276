"""A serial line's actor: on the virtual line for its timing, on a real terminal for everything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from bwvd.clock import NS, Clock, SystemClock
from bwvd.config.schema import Serial
from bwvd.controls.ports import ControlLost, ControlRefused
from bwvd.controls.serial import WAITING_ANSWERS, Port, run_serial
from bwvd.controls.serial_port import SerialPort
from bwvd.controls.serial_protocol import ERR_BURST, ERR_REFILL_NS, LineReader, Ordered
from bwvd.messages import Answer, Command, Event, FaultChanged, Muted, Order, Recorded, State, StateChanged
from bwvd.testing.clock import VirtualClock
from bwvd.testing.line import VirtualLine
from bwvd.testing.process import without_dice
from tests.support.controls_pty import Pty

MockClock = trio.testing.MockClock
RECORDING = StateChanged(State.RECORDING, State.STANDBY, 0, "gpio:record", "X-1")
STATUS: Mapping[str, Any] = {"state": "standby", "recording": None}


@dataclass
class Recorder:
    """Takes commands; answers them at once, or when asked to."""

    answers: bool = True
    commands: list[Command] = field(default_factory=list)
    faults: list[FaultChanged] = field(default_factory=list)
    _told: trio.Event = field(default_factory=trio.Event)

    def report(self, fault: FaultChanged) -> None:
        self.faults.append(fault)
        self._told.set()
        self._told = trio.Event()

    async def has_told(self, count: int) -> None:
        while len(self.faults) < count:
            await self._told.wait()

    def send(self, command: Command) -> None:
        self.commands.append(command)
        if self.answers:
            command.answer(Answer(ok=True, text=f"done {command.order}"))

    def told(self) -> list[tuple[str, bool, str]]:
        return [(fault.name, fault.active, fault.detail) for fault in self.faults]


@asynccontextmanager
async def serving(
    port: Port, recorder: Recorder, clock: Clock | None = None
) -> AsyncIterator[trio.MemorySendChannel[Event]]:
    events, tell = trio.open_memory_channel[Event](10)
    async with trio.open_nursery() as nursery, events:
        await nursery.start(
            run_serial, port, recorder.send, clock or VirtualClock(), recorder.report, lambda: STATUS, tell
        )
        yield events
        nursery.cancel_scope.cancel()


async def test_requests_are_answered_in_order(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder):
        line.say(b"RECORD\r\nMARK red car\nBOOM\rSTATUS\nPING\nHELP\nSTOP\n")
        assert await line.lines(7) == [
            "OK done record",
            "OK done mark",
            "ERR unknown command",
            "OK state=standby recording=- seconds=- loop=- minutes_left=- faults=-",
            "OK",
            "OK RECORD, STOP, MARK text, SLEEP, WAKE, MUTE, UNMUTE, OFFICER id, HELP, PING, STATUS",
            "OK done stop",
        ]
    assert [(command.order, command.text, command.confirmed, command.source) for command in recorder.commands] == [
        (Order.RECORD, "", False, "serial:virtual"),
        (Order.MARK, "red car", False, "serial:virtual"),
        (Order.STOP, "", True, "serial:virtual"),
    ]


async def test_a_command_never_waits_for_the_answer_of_another(autojump_clock: MockClock) -> None:
    """Invariant 5: also when the recorder is silent, and when the line takes no answers."""
    line, recorder = VirtualLine(), Recorder(answers=False)
    async with serving(line, recorder):
        line.stall()
        line.say(b"RECORD\n" * (WAITING_ANSWERS + 50))
        await trio.testing.wait_all_tasks_blocked()
        assert len(recorder.commands) == WAITING_ANSWERS + 50


async def test_a_recorder_that_does_not_answer_is_said(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder(answers=False)
    async with serving(line, recorder):
        line.say(b"RECORD\n")
        assert await line.lines(1) == ["ERR no answer"]
        assert trio.current_time() == pytest.approx(10)


async def test_a_flood_of_noise_is_not_answered_with_a_flood(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder):
        for seed in range(60):
            line.noise(4096, seed)
        await trio.testing.wait_all_tasks_blocked()
        assert 1 <= line.heard.count(b"\r\n") <= ERR_BURST
        await trio.sleep(20)
        line.heard.clear()
        line.say(b"\r\nPING\r\n")
        assert "OK" in await line.lines(1) + await line.lines(1)
    assert recorder.commands == []


async def test_a_line_that_echoes_everything_comes_to_rest(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder):
        line.say(b"hello\n")
        with trio.move_on_after(60):
            while True:
                line.say(await line.hear())
        assert line.heard.count(b"ERR") <= ERR_BURST + 60 * NS // ERR_REFILL_NS + 1
    assert recorder.commands == []


async def test_a_lost_line_is_a_fault_until_it_is_back(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(present=False), Recorder()
    async with serving(line, recorder) as events:
        assert recorder.told() == [("control:serial:virtual", True, "serial:virtual: no such file or directory")]
        for _ in range(100):
            await events.send(RECORDING)  # nobody listens; the sender is not held up
        line.plug()
        await trio.sleep(1)
        assert recorder.told()[1:] == [("control:serial:virtual", False, "")]
        await events.send(RECORDING)
        assert await line.lines(1) == ["EVT state recording X-1"]
        line.hang_up()
        await trio.sleep(60)
        line.plug()
        await trio.sleep(11)
        line.say(b"PING\n")
        assert await line.lines(1) == ["OK"]
    assert [active for _, active, _ in recorder.told()] == [True, False, True, True, False]
    assert not line.is_open


async def test_events_and_answers_do_not_mix(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder) as events:
        for index in range(50):
            line.say(b"PING\n")
            await events.send(Recorded(str(index), 1, 0, closed=False))
        lines = await line.lines(100)
    assert sorted(lines) == sorted(["OK"] * 50 + [f"EVT opened {index}" for index in range(50)])


@pytest.mark.parametrize("flood", [1, 50])
async def test_a_line_that_fails_on_writing_while_it_gives_data_is_reopened(
    autojump_clock: MockClock, flood: int
) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder):
        line.fail_writes()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(line.flood, 5, data=b"PING\r\nRECORD\r\n" * flood))
        assert recorder.told()[:1] == [("control:serial:virtual", True, "serial:virtual: input/output error")]
        assert line.opened > 1
        assert Order.RECORD in {command.order for command in recorder.commands}
        line.fail_writes(False)
        await trio.sleep(11)
        line.say(b"PING\n")
        assert await line.lines(1) == ["OK"]
    assert not recorder.faults[-1].active


async def test_an_event_that_can_not_be_written_has_the_line_reopened(autojump_clock: MockClock) -> None:
    line, recorder = VirtualLine(), Recorder()
    async with serving(line, recorder) as events:
        line.fail_writes()
        await events.send(RECORDING)
        await trio.sleep(0.1)
        assert recorder.told() == [("control:serial:virtual", True, "serial:virtual: input/output error")]
        line.fail_writes(False)
        await trio.sleep(1)
        await events.send(RECORDING)
        assert await line.lines(1) == ["EVT state recording X-1"]


class Flooded:
    """A line that gives a request at each look and takes nothing: its answer fails in the very tick of the next one."""

    name = "serial:flooded"
    requests = 0

    @contextmanager
    def open(self) -> Iterator[Flooded]:
        yield self

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        self.requests += 1
        return b"PING\r\n"

    async def send(self, data: bytes) -> None:  # noqa: ARG002 - CommandLine's
        await trio.lowlevel.checkpoint()
        raise ControlLost(f"{self.name}: input/output error")


@pytest.mark.parametrize("seed", range(8))
async def test_a_request_in_the_tick_of_a_failed_answer_ends_nothing(autojump_clock: MockClock, seed: int) -> None:
    without_dice(seed)
    line, recorder = Flooded(), Recorder()
    async with serving(line, recorder):
        await trio.sleep(600)
    assert line.requests > 30
    assert {detail for _, active, detail in recorder.told() if active} == {"serial:flooded: input/output error"}


# --- a real terminal --------------------------------------------------------------------------------------------------


async def test_a_real_line_hangs_up_and_returns(tmp_path: Path) -> None:
    pty, recorder = Pty(tmp_path), Recorder()
    fault = f"control:serial:{pty.port}"
    with trio.fail_after(20):
        async with serving(SerialPort(Serial(port=pty.port, pty=True)), recorder, SystemClock()) as events:
            assert recorder.told() == [(fault, True, f"{pty.port}: No such file or directory")]
            pty.plug()
            await events.send(Muted(True, 0, "nobody hears this"))
            await recorder.has_told(2)
            pty.say(b"RECORD\r\n")
            assert await pty.lines(1) == ["OK done record"]
            pty.hang_up()
            await recorder.has_told(3)
            pty.plug()
            await recorder.has_told(4)
            pty.say(b"\xff\xfe\nSTOP\n")
            assert await pty.lines(2) == ["ERR not printable ASCII", "OK done stop"]
            await events.send(RECORDING)
            assert await pty.lines(1) == ["EVT state recording X-1"]
    pty.close()
    assert [active for _, active, _ in recorder.told()][-2:] == [True, False]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([b"\n", b"RECORD\r\n", b"mark x\n"])), max_size=12))
def test_any_bytes_on_a_real_line(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    """What comes through is what the parser makes of the same bytes: a terminal changes nothing on the way."""
    noise = b"".join(pieces)
    pty, recorder = Pty(tmp_path_factory.mktemp("pty")), Recorder()

    async def speak() -> None:
        with trio.fail_after(20):
            async with serving(SerialPort(Serial(port=pty.port, pty=True)), recorder, SystemClock()):
                pty.say(noise + b"\r\n\r\nPING\r\n")
                heard = b""
                while not heard.endswith(b"OK\r\n"):
                    heard += await pty.hear()
                assert heard.count(b"ERR") <= ERR_BURST + 1

    pty.plug()
    try:
        trio.run(speak)
    finally:
        pty.close()
    expected = [said for said in LineReader().feed(noise + b"\r\n") if isinstance(said, Ordered)]
    assert [(command.order, command.text) for command in recorder.commands] == [
        (said.order, said.text) for said in expected
    ]


def test_what_is_no_serial_port_is_said_in_one_line(tmp_path: Path) -> None:
    cases = {
        __file__: (ControlRefused, f"serial.port: {__file__} is not a serial port"),
        str(tmp_path): (ControlRefused, f"serial.port: {tmp_path} is not a serial port"),
        "/dev/null": (ControlRefused, "serial.port: /dev/null is not a serial port"),
        "/nonexistent": (ControlLost, "/nonexistent: No such file or directory"),
        "/dev/tty\0": (ControlRefused, "serial.port: /dev/tty\0: embedded null byte"),
    }
    for port, (error, text) in cases.items():
        with pytest.raises(error) as raised, SerialPort(Serial(port=port)).open():
            pass
        assert str(raised.value).replace("null character", "null byte") == text  # by Python's version


async def test_a_folder_as_a_port_is_a_fault_at_run(autojump_clock: MockClock, tmp_path: Path) -> None:
    recorder = Recorder()
    async with serving(SerialPort(Serial(port=str(tmp_path))), recorder):
        await trio.sleep(100)
    assert recorder.told() == [(f"control:serial:{tmp_path}", True, f"serial.port: {tmp_path} is not a serial port")]
