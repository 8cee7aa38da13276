"""What is recorded meanwhile comes first: beside it the carrier sends little, a file at a time (invariant 10)."""

from __future__ import annotations

import datetime

import pytest
import trio
from trio.testing import MockClock

from bwvd.controls.client import Unreachable
from bwvd.offload.pace import ASK_EVERY_S, AT_ONCE, WHILE_RECORDING_MBIT, Pacer, socket_recording
from bwvd.store import names
from bwvd.store.ports import Body, Put
from bwvd.testing.clock import VirtualClock
from bwvd.testing.store import VirtualStore
from tests.support.carried import Camera, carrier_of


class Timed(VirtualStore):
    """A store that notes when bytes came, and how many files were under way at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[tuple[float, int]] = []  # when a file of a recording was stored, and its bytes
        self.under_way: list[tuple[float, int]] = []
        self._now = 0

    async def put(
        self, name: str, body: Body, *, size: int, sha256: bytes, retain_until: datetime.datetime | None = None
    ) -> Put:
        self._now += 1
        self.under_way.append((trio.current_time(), self._now))
        try:
            return await super().put(name, body, size=size, sha256=sha256, retain_until=retain_until)
        finally:
            self._now -= 1
            if isinstance(names.parsed(name), names.RecordingFile):
                self.came.append((trio.current_time(), size))

    def most_at_once(self, begin_s: float, end_s: float) -> int:
        return max(count for at, count in self.under_way if begin_s <= at <= end_s)

    def bytes_between(self, begin_s: float, end_s: float) -> int:
        return sum(size for at, size in self.came if begin_s <= at <= end_s)


class Recorder:
    """What the recorder says when it is asked."""

    def __init__(self) -> None:
        self.begin_s, self.end_s, self.asked = 0.0, 0.0, 0
        self.down = False

    async def recording(self) -> bool:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.down:
            raise Unreachable("s.sock: nobody answers")
        return self.begin_s <= trio.current_time() < self.end_s


def a_card() -> Camera:
    camera = Camera()
    for serial in range(1, 9):
        camera.record(serial, segments=20)
    return camera


async def test_beside_a_recording_one_file_goes_at_a_time_and_little_a_second(autojump_clock: MockClock) -> None:
    """From a second behind its beginning on, and at full speed again when it has ended."""
    camera, store, recorder = a_card(), Timed(), Recorder()
    recorder.begin_s, recorder.end_s = 2.0, 5.0
    store.latency_s = 0.05
    carrier = carrier_of(camera)
    carrier.pacer = Pacer(0, camera.clock, recorder.recording, beside_mbit=0.5)
    await carrier.round(store)
    ended = trio.current_time()
    assert ended > recorder.end_s + ASK_EVERY_S + 1
    assert store.most_at_once(0, recorder.begin_s) == AT_ONCE
    slow = recorder.begin_s + ASK_EVERY_S + 0.1, recorder.end_s - 0.1
    assert store.most_at_once(*slow) == 1
    took = slow[1] - slow[0]
    largest = max(size for _, size in store.came)
    assert 0 < store.bytes_between(*slow) <= 0.5 * 125_000 * (took + 0.25) + largest
    assert store.most_at_once(recorder.end_s + ASK_EVERY_S, ended) == AT_ONCE
    assert recorder.asked <= ended / ASK_EVERY_S + 1
    assert carrier.book.all_stored()


@pytest.mark.parametrize("down", [True, False])
async def test_a_recorder_that_is_down_or_does_not_record_costs_nothing(autojump_clock: MockClock, down: bool) -> None:
    camera, recorder = a_card(), Recorder()
    recorder.down = down
    took = []
    for ask in (None, recorder.recording):
        store, began = Timed(), trio.current_time()
        store.latency_s = 0.05
        carrier = carrier_of(camera)
        carrier.pacer = Pacer(0, camera.clock, ask)
        await carrier.round(store)
        took.append(trio.current_time() - began)
    assert took[0] == pytest.approx(took[1], rel=0.02)


async def test_the_lower_limit_holds(autojump_clock: MockClock) -> None:
    recorder = Recorder()
    recorder.end_s = 1e9
    for max_mbit, rate in ((4, 4), (100, WHILE_RECORDING_MBIT), (0, WHILE_RECORDING_MBIT)):
        pacer, began = Pacer(max_mbit, VirtualClock(), recorder.recording), trio.current_time()
        for _ in range(100):
            await pacer.before(100_000)
        took = trio.current_time() - began
        assert 100 * 100_000 * 8 / took / 1e6 == pytest.approx(rate, rel=0.1)
        assert pacer.beside_a_recording


async def test_nobody_at_the_socket_is_no_recording(tmp_path: object) -> None:
    with pytest.raises(Unreachable):
        await socket_recording(f"{tmp_path}/nobody.sock")()
