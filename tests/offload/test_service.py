"""The carrier as a service: it waits, goes on, tells how things stand, and ends when it is told to."""

from __future__ import annotations

import time
from pathlib import Path

import trio
from trio.testing import MockClock

from bwvd.offload.power_gate import PowerGate
from bwvd.offload.service import News, Service, lock_trouble
from bwvd.offload.state import read_state
from bwvd.service.power_supply import PowerReading
from bwvd.store.errors import StoreUnreachable
from bwvd.store.ports import Lock, Store, StoreFacts
from bwvd.testing.store import Fault, VirtualStore
from tests.support.carried import Camera, carrier_of, give_receipts


class Dock:
    """A store that may not be there."""

    def __init__(self) -> None:
        self.store = VirtualStore()
        self.there = True
        self.tries: list[float] = []

    async def connect(self) -> Store:
        await trio.lowlevel.checkpoint()
        if not self.there:
            raise StoreUnreachable("/mnt/dock: no such folder")
        return self.store


class Bench:
    """A camera with its carrier as a service."""

    def __init__(self, supply: str = "charging", *, manual: bool = False, state: Path | None = None) -> None:
        self.camera, self.dock, self.supply = Camera(), Dock(), supply
        self.carrier = carrier_of(self.camera)
        news = News()
        self.carrier.changed = news.progress
        self.faults = self.carrier.faults
        self.service = Service(
            address="virtual:",
            connect=self.dock.connect,
            carrier=self.carrier,
            clock=self.camera.clock,
            faults=self.faults,
            gate=PowerGate(self._read, self.faults.report, news.ring),
            news=news,
            manual=manual,
            state=state,
        )

    async def _read(self) -> PowerReading:
        await trio.lowlevel.checkpoint()
        return PowerReading(50, self.supply)


async def settle(seconds: float) -> None:
    """Let virtual time pass; what threads do in it takes none of it."""
    for _ in range(20):
        await trio.to_thread.run_sync(time.sleep, 0.001)
        await trio.sleep(seconds / 20)


async def test_a_camera_on_its_charger_empties_itself(autojump_clock: MockClock) -> None:
    """Invariant 16: by receipts alone."""
    bench = Bench()
    for serial in (1, 2):
        bench.camera.record(serial)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await trio.sleep(60)
        assert bench.service.snapshot().stored == 2
        assert len(bench.camera.recordings()) == 2
        give_receipts(bench.dock.store)
        bench.camera.record(3)
        await trio.sleep(600)
        assert len(bench.camera.recordings()) == 1
        state = bench.service.snapshot()
        assert (state.released, state.stored, state.waiting.recordings) == (2, 1, 0)
        nursery.cancel_scope.cancel()


async def test_on_battery_nothing_is_sent_and_a_lost_cable_stops_at_once(autojump_clock: MockClock) -> None:
    bench = Bench("battery")
    bench.camera.record(1, segments=6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await trio.sleep(100)
        assert bench.dock.store.calls == []
        assert bench.service.snapshot().doing == "waiting for external power"
        bench.dock.store.latency_s = 5
        bench.supply = "charging"
        await trio.sleep(30)
        sent = len(bench.dock.store.objects)
        assert 0 < sent < 8
        bench.supply = "battery"
        await trio.sleep(20)
        calls = len(bench.dock.store.calls)
        await trio.sleep(300)
        assert len(bench.dock.store.calls) == calls
        bench.supply = "full"
        await trio.sleep(200)
        assert bench.service.snapshot().stored == 1
        nursery.cancel_scope.cancel()


async def test_a_store_that_is_away_is_a_fault_and_tried_less_and_less_often(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.camera.record(1)
    bench.dock.there = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await trio.sleep(60)
        assert bench.faults.active["offload:store"][0] == "/mnt/dock: no such folder"
        bench.dock.there = True
        await trio.sleep(400)
        assert bench.faults.active == {}
        bench.dock.store.every(Fault.SKEWED)
        await trio.sleep(700)
        assert "21 minutes ahead" in bench.faults.active["offload:store"][0]
        bench.dock.store.mend()
        await trio.sleep(700)
        assert bench.faults.active == {}
        assert bench.service.snapshot().stored == 1
        nursery.cancel_scope.cancel()


async def test_by_hand_alone_nothing_is_done(autojump_clock: MockClock) -> None:
    bench = Bench(manual=True)
    bench.camera.record(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await trio.sleep(100)
        assert bench.dock.store.calls == []
        assert bench.service.snapshot().doing == "manual"
        nursery.cancel_scope.cancel()


async def test_the_state_is_a_file_as_long_as_the_process_runs(autojump_clock: MockClock, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    bench = Bench(state=path)
    bench.camera.record(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await settle(60)
        state = read_state(path, bench.camera.clock.monotonic_ns())
        assert state is not None
        assert (state["stored"], state["faults"], state["power"]) == (1, {}, "charging")
        assert state["age_s"] >= 0
        assert path.stat().st_mode & 0o777 == 0o644
        nursery.cancel_scope.cancel()
    assert not path.exists()


async def test_a_state_that_can_t_be_written_is_a_fault(autojump_clock: MockClock, tmp_path: Path) -> None:
    bench = Bench(state=tmp_path / "away/state.json")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.service.run)
        await settle(20)
        assert "away" in bench.faults.active["offload:state"][0]
        (tmp_path / "away").mkdir()
        await settle(60)
        assert bench.faults.active == {}
        nursery.cancel_scope.cancel()


def test_what_lies_in_the_place_of_a_state_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for content in (b"", b"{}", b'{"store":1}', b"\xff", b"x" * 100_000):
        path.write_bytes(content)
        assert read_state(path, 0) is None
    assert read_state(tmp_path / "nothing", 0) is None


async def test_a_bucket_that_locks_nothing_is_told_and_a_folder_is_not() -> None:
    bench = Bench()
    lock_trouble(StoreFacts("s3://evidence", Lock.NONE), bench.faults)
    assert "s3://evidence locks nothing" in bench.faults.active["offload:lock"][0]
    lock_trouble(StoreFacts("s3://evidence", Lock.OFFERED, detail="governance"), bench.faults)
    assert bench.faults.active["offload:lock"][0] == "governance"
    lock_trouble(StoreFacts("s3://evidence", Lock.UNREADABLE, detail="may not ask"), bench.faults)
    assert bench.faults.active == {}
    lock_trouble(StoreFacts("s3://evidence", Lock.OFFERED), bench.faults)
    lock_trouble(StoreFacts("file:/mnt/dock", Lock.NONE), bench.faults)
    assert bench.faults.active == {}


async def test_a_fault_is_told_once() -> None:
    bench = Bench()
    rung: list[int] = []
    bench.faults._changed = lambda: rung.append(1)
    for _ in range(3):
        bench.faults.report("offload:store", True, "away")
    bench.faults.report("offload:store", False)
    bench.faults.report("offload:store", False)
    assert len(rung) == 2
