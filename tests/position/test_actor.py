"""The actor: what it tells while the loop turns, while something is recorded, asleep; receivers that come and go."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import pyrage
import pytest
import trio
from trio.testing import MockClock

from bwvd.cli.printing import position_words
from bwvd.clock import NS, Reading, SystemClock
from bwvd.config.schema import Gnss
from bwvd.daemon.position_source import position
from bwvd.evidence.errors import ExportRefused
from bwvd.evidence.export.gpx import export_gpx
from bwvd.evidence.format import records
from bwvd.evidence.format.chain_reader import ChainReader
from bwvd.evidence.keys.age import AgeSealer
from bwvd.messages import Fix, Located, Order, State
from bwvd.position import actor
from bwvd.position.actor import Position
from bwvd.position.held import Begun
from bwvd.position.receiver import Feed, GpsdReceiver, LineReceiver
from bwvd.position.watch import FASTEST_M_S, FIRST_FIX_S, LOST_AFTER_S, PositionWatch, Told
from bwvd.testing.camera import VirtualCamera
from bwvd.testing.clock import VirtualClock
from bwvd.testing.receiver import Solution, VirtualReceiver, as_gpsd, sentence
from tests.support.desk import SIGNERS
from tests.support.rig import Rig, configuration
from tests.support.stock import need

HERE = (52.33, 4.8933)


class Bench:
    """The actor, and what it tells."""

    def __init__(
        self, *, every_s: float = 1.0, in_standby: bool = False, speaks: Literal["gpsd", "nmea"] = "gpsd"
    ) -> None:
        self.clock = VirtualClock()
        self.receiver = VirtualReceiver(self.clock, "virtual:receiver", speaks=speaks)
        self.state = State.STANDBY
        self.begun: Begun | None = None
        self.told: list[Located] = []
        self.faults: dict[str, str] = {}
        self.actor = Position(
            config=Gnss(source="virtual:", every_s=every_s, in_standby=in_standby),
            receiver=self.receiver,
            clock=self.clock,
            state=lambda: self.state,
            locate=self.told.append,
            fault=self._fault,
            held_from=lambda: self.clock.monotonic_ns() - 30 * NS,
            begun=lambda: self.begun if self.state is State.RECORDING else None,
        )

    def record(self, number: str = "one") -> None:
        """A press: the recording's first frame is 30 s old."""
        self.state = State.RECORDING
        self.begun = Begun(number, self.clock.monotonic_ns() - 30 * NS)

    def _fault(self, name: str, active: bool, detail: str) -> None:
        if active:
            self.faults[name] = detail
        else:
            self.faults.pop(name, None)


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.actor.run)
        yield
        nursery.cancel_scope.cancel()


async def test_a_position_each_second_and_no_oftener_than_asked(autojump_clock: MockClock) -> None:
    bench, slow = Bench(), Bench(every_s=10.0)
    async with running(bench), running(slow):
        await trio.sleep(100.5)
    assert bench.told[0].fix is slow.told[0].fix is None  # that there is none yet
    assert 98 <= len(bench.told[1:]) <= 100
    assert 9 <= len(slow.told[1:]) <= 11


async def test_what_was_before_the_press_goes_into_the_recording_only_if_asked(autojump_clock: MockClock) -> None:
    """Invariant 1: positions are of the loop, and turn with it."""
    for asked in (False, True):
        bench = Bench(in_standby=asked)
        async with running(bench):
            await trio.sleep(100.5)
            bench.told.clear()
            bench.record()
            await trio.sleep(1)
        fixes = [one.fix.at_ns for one in bench.told if one.fix is not None]
        assert len(fixes) == (31 if asked else 1)
        assert fixes == sorted(fixes)
        assert fixes[-1] - fixes[0] <= 30 * NS


@pytest.mark.parametrize("ends", ["turns", "unplugged"])
async def test_positions_are_held_for_no_longer_than_frames(autojump_clock: MockClock, ends: str) -> None:
    """Invariant 2: an hour of standby leaves the loop's seconds of positions, and none where the receiver is gone."""
    bench = Bench(in_standby=True)
    async with running(bench):
        await trio.sleep(3600)
        assert 28 <= len(bench.actor._held) <= 31
        if ends == "unplugged":
            bench.receiver.hang_up()
            await trio.sleep(100)
            assert not bench.actor._held


async def test_asleep_nothing_is_kept(autojump_clock: MockClock) -> None:
    """Invariant 1."""
    bench = Bench(in_standby=True)
    async with running(bench):
        await trio.sleep(20.5)
        bench.state = State.ASLEEP
        await trio.sleep(5)
        assert bench.told[-1].fix is None
        assert bench.actor.last is None
        bench.told.clear()
        bench.record()
        await trio.sleep(1)
        assert len(bench.told) == 1


async def test_asleep_no_way_is_judged(autojump_clock: MockClock) -> None:
    """Invariant 2: where somebody went with a camera that sleeps nobody is told, not even how far it was."""
    bench = Bench()
    async with running(bench):
        await trio.sleep(20.5)
        bench.state = State.ASLEEP
        await trio.sleep(5)
        bench.receiver.jump(100_000)
        here = Solution(*HERE)
        bench.receiver.say(as_gpsd(here) + as_gpsd(here.moved(50_000)))  # both are there before it is looked again
        await trio.sleep(5)
        assert bench.actor._watch.last is None
        assert bench.faults == {}
        bench.state = State.STANDBY
        await trio.sleep(5)
    assert bench.faults == {}
    assert bench.actor.last is not None


async def test_a_receiver_that_has_no_fix_from_the_start_is_told(autojump_clock: MockClock) -> None:
    """Invariant 12: a receiver below a roof has never lost anything, and gives nothing; asleep it is not looked for."""
    bench = Bench()
    bench.receiver.lose_fix()
    async with running(bench):
        await trio.sleep(FIRST_FIX_S - 2)
        assert bench.faults == {}
        await trio.sleep(4)
        assert bench.faults == {"gnss_fix": "no fix in the first 120 s"}
        bench.state = State.ASLEEP
        await trio.sleep(FIRST_FIX_S * 3)
        bench.state = State.STANDBY
        await trio.sleep(FIRST_FIX_S - 2)
        bench.receiver.lose_fix(False)
        await trio.sleep(3)
    assert bench.faults == {}


async def test_a_lost_fix_is_told_and_not_the_last_one(autojump_clock: MockClock) -> None:
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.lose_fix()
        await trio.sleep(LOST_AFTER_S + 2)
        assert bench.faults == {"gnss_fix": "no fix for 10 s"}
        assert bench.told[-1].fix is None
        bench.receiver.lose_fix(False)
        await trio.sleep(2)
        assert bench.faults == {}
        assert bench.told[-1].fix is not None


async def test_a_receiver_that_is_gone_is_opened_again(autojump_clock: MockClock) -> None:
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.hang_up()
        await trio.sleep(100)
        assert bench.faults["gnss"] == "virtual:receiver: hung up"
        assert bench.told[-1].fix is None
        assert bench.receiver.opened < 12
        bench.receiver.plug()
        await trio.sleep(actor.AGAIN.limit_s + 3)
        assert bench.faults == {}
        bench.receiver.hush()
        await trio.sleep(actor.SILENT_S + 3)
        assert bench.faults["gnss"] == "virtual:receiver: silent for 15 s"


async def test_a_jump_is_a_fault_for_a_while_and_stays_in_the_track(autojump_clock: MockClock) -> None:
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.jump(111_195)
        await trio.sleep(2)
        assert re.fullmatch(r"jumped: 11119\d m in 1.0 s", bench.faults["gnss_doubt"])
        assert all(one.fix is not None for one in bench.told[1:])
        await trio.sleep(actor.DOUBT_S + 1)
        assert bench.faults == {}


@pytest.mark.parametrize("speaks", ["gpsd", "nmea"])
async def test_a_line_that_is_noisy_slow_and_torn_loses_no_more_than_what_was_torn(
    speaks: Literal["gpsd", "nmea"], autojump_clock: MockClock
) -> None:
    bench = Bench(speaks=speaks)
    bench.receiver.dribble(7)
    async with running(bench):
        for second in range(20):
            await trio.sleep(1.5)
            bench.receiver.tear() if second % 5 == 4 else bench.receiver.noise(50, seed=second)
            await trio.sleep(0.5)
    assert bench.faults == {}
    # Torn, or glued to noise that has no end of a line: one of two.
    assert len(bench.told) >= 20
    said = {(round(one.latitude, 6), round(one.longitude, 6)) for _, one in bench.receiver.said}
    assert {(round(fix.latitude, 6), round(fix.longitude, 6)) for fix in fixes(bench)} <= said


async def test_what_another_release_says_is_no_position_and_is_told(autojump_clock: MockClock) -> None:
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.be_foreign()
        await trio.sleep(LOST_AFTER_S + 2)
        assert bench.faults == {"gnss_fix": "no fix for 10 s"}
        assert bench.told[-1].fix is None
        assert len(fixes(bench)) == 5
        bench.receiver.be_foreign(False)
        await trio.sleep(2)
        assert bench.faults == {}


async def test_a_receivers_wrong_time_is_told_for_as_long_as_it_is_wrong(autojump_clock: MockClock) -> None:
    """Invariant 9: nothing goes by it."""
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.deceive(3600)
        await trio.sleep(3)
        assert re.fullmatch(r"the receiver says 20\S+Z, 3600 s ahead of the clock", bench.faults["gnss_doubt"])
        times = [fix.at_ns for fix in fixes(bench)]
        assert [b - a for a, b in itertools.pairwise(times)] == [NS] * (len(times) - 1)
        bench.receiver.deceive(0)
        await trio.sleep(3)
        assert bench.faults == {}


async def test_a_position_that_comes_late_is_of_when_it_came(autojump_clock: MockClock) -> None:
    bench = Bench()
    bench.receiver.delay(2.0)
    async with running(bench):
        await trio.sleep(10.5)
    said = {round(one.latitude, 9): at_ns for at_ns, one in bench.receiver.said}
    assert [fix.at_ns - said[round(fix.latitude, 9)] for fix in fixes(bench)] == [2 * NS] * 8
    assert bench.faults == {}


async def test_a_silent_receiver_s_position_is_lost_as_soon_as_any(autojump_clock: MockClock) -> None:
    """Invariant 9: what it said last is no position after 10 s, whether it goes on speaking or not."""
    bench = Bench()
    async with running(bench):
        await trio.sleep(5.5)
        bench.receiver.hush()
        await trio.sleep(LOST_AFTER_S + 1.6)
        assert bench.faults == {"gnss_fix": "no fix for 10 s"}
        assert bench.told[-1].fix is None


async def test_positions_from_before_a_press_need_no_other_one_behind_it(autojump_clock: MockClock) -> None:
    """Who goes into a house and presses there has no fix any more: the last ones are those that count."""
    bench = Bench(in_standby=True)
    async with running(bench):
        await trio.sleep(20.5)
        bench.receiver.lose_fix()
        await trio.sleep(LOST_AFTER_S + 4)
        bench.told.clear()
        bench.record()
        await trio.sleep(1.5)
        assert len(fixes(bench)) >= 15
        times = [one.at_ns for one in bench.told]
        assert times == sorted(times)
        assert bench.told[-1].fix is None


async def test_a_press_soon_after_a_stop_has_positions_of_its_own(autojump_clock: MockClock) -> None:
    """Invariant 3: the new recording has its own pre-event part, also where the last one holds the same seconds."""
    bench = Bench(in_standby=True)
    async with running(bench):
        await trio.sleep(60.5)
        for number in ("one", "two"):
            bench.told.clear()
            bench.record(number)
            await trio.sleep(5)
            bench.state = State.STANDBY
            first_ns = bench.clock.monotonic_ns() - 35 * NS
            assert len(fixes(bench)) >= 34
            assert all(fix.at_ns >= first_ns for fix in fixes(bench))
            await trio.sleep(0.2)


async def test_what_was_lost_in_the_loop_is_lost_in_the_recording(autojump_clock: MockClock) -> None:
    bench = Bench(in_standby=True)
    async with running(bench):
        await trio.sleep(40.5)
        bench.receiver.lose_fix()
        await trio.sleep(LOST_AFTER_S + 2)
        bench.receiver.lose_fix(False)
        await trio.sleep(5)
        bench.told.clear()
        bench.record()
        await trio.sleep(1)
    kinds = [key for key, _ in itertools.groupby(one.fix is None for one in bench.told)]
    assert kinds == [False, True, False]


def fixes(bench: Bench) -> list[Fix]:
    return [one.fix for one in bench.told if one.fix is not None]


def test_a_receivers_time_against_the_clock() -> None:
    """Invariant 9: it changes nothing but what is told."""
    fix = Fix(0, "2026-11-22T07:15:03.000Z", *HERE, None, 5.0, 2, None)
    utc_ns = 1_795_331_703 * NS
    for quality, off_s, told in (
        ("synchronised", 0, [Told.FOUND]),
        ("synchronised", 60, [Told.FOUND, Told.CLOCK]),
        ("free", 3600, [Told.FOUND]),
    ):
        watch = PositionWatch()
        news = watch.take(fix, Reading(0, utc_ns + off_s * NS, quality, None))
        assert [one.what for one in news] == told
        after = watch.take(replace(fix, at_ns=NS), Reading(NS, utc_ns, "synchronised", None))
        assert [one.what for one in after] == ([Told.CLOCK_OVER] if Told.CLOCK in told else [])


def test_who_goes_fast_does_not_jump() -> None:
    watch = PositionWatch()
    reading = Reading(0, 0, "free", None)
    for second in range(100):
        metres = second * FASTEST_M_S * 0.9
        fix = Fix(second * NS, "", HERE[0] + metres / 111_195, HERE[1], None, 5.0, 2, None)
        assert [one.what for one in watch.take(fix, reading)] == ([Told.FOUND] if second == 0 else [])


class Line:
    """A receiver on a line, in pieces as a driver gives them."""

    def __init__(self) -> None:
        self.second = 0

    async def receive(self) -> bytes:
        await trio.sleep(0.5)
        self.second += 1
        time = f"0715{self.second // 2 % 60:02}.00"
        if self.second % 2:
            return sentence(f"GPGGA,{time},5219.8000,N,00453.6000,E,1,08,1.1,12.4,M,45.0,M,,")[:30]
        text = sentence(f"GPRMC,{time},A,5219.8000,N,00453.6000,E,0.50,84.4,221126,,,A")
        return b"\xff\x00\r\n" + text


async def test_a_receiver_on_a_line_that_is_torn_now_and_then(autojump_clock: MockClock) -> None:
    bench = Bench()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Feed]:
        yield Line()

    bench.actor.receiver = LineReceiver("serial:/dev/ttyACM0", opened)
    async with running(bench):
        await trio.sleep(20.5)
    assert bench.faults == {}
    assert 15 <= len(bench.told) <= 21
    fix = bench.told[-1].fix
    assert fix is not None
    assert (fix.latitude, fix.mode) == (52.33, 2)


# --- in a recording --------------------------------------------------------------------------------------------------


async def recorded(
    rig: Rig, *, receiver: bool = True, fixes: bool = True, asleep: bool = False, standby_s: float = 10
) -> list[records.Position]:
    def made(_: object) -> VirtualReceiver:
        virtual = VirtualReceiver(rig.clock)
        virtual.lose_fix(not fixes)
        return virtual

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bwvd.daemon.position_source.receiver_of", made)
        rig.peripherals = [partial(position, rig.config)] if receiver else []
        async with rig.running():
            await trio.sleep(standby_s)
            if asleep:
                await rig.order(Order.SLEEP)
                await trio.sleep(10)
            await rig.order(Order.RECORD)
            await trio.sleep(10)
            await rig.order(Order.STOP, confirmed=True)
            await trio.sleep(20)
    return [record for record in manifest(rig) if isinstance(record, records.Position)]


def manifest(rig: Rig) -> list[object]:
    (folder,) = rig.volume.names("recordings")
    data = rig.volume.read(f"recordings/{folder}manifest.jsonl")
    return [one.record for one in ChainReader(io.BytesIO(data), "m")]


def press_of(rig: Rig) -> records.Press:
    opening = manifest(rig)[0]
    assert isinstance(opening, records.Open)
    return opening.press


async def test_the_manifest_has_the_fix_at_the_press_and_one_each_second(autojump_clock: MockClock) -> None:
    rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}))
    found = await recorded(rig)
    assert 10 <= len(found) <= 24
    assert all(one.fix is not None and not one.sealed for one in found)
    times = [one.at_ns for one in found]
    assert times == sorted(times)
    assert found[0].fix is not None
    assert abs(found[0].fix.latitude - HERE[0]) < 0.001


@pytest.mark.parametrize("standby_s", [3.1, 6.1])
async def test_a_position_of_the_first_group_of_pictures_is_there(standby_s: float, autojump_clock: MockClock) -> None:
    """The loop is empty until its first group is whole: what is told meanwhile is of frames that it will hold."""
    gnss = {"source": "gpsd://127.0.0.1", "in_standby": True}
    rig = Rig(config=configuration(loop={"seconds": 10}, gnss=gnss))
    rig.camera = VirtualCamera(rig.clock, gop_frames=90)
    found = await recorded(rig, standby_s=standby_s)
    assert {1, 2, 3} <= {round(one.at_ns / NS) for one in found if one.fix is not None}


async def test_in_an_encrypted_recording_they_are_sealed(autojump_clock: MockClock) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(identity.to_public())])
    rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}), sealer=sealer)
    found = await recorded(rig)
    assert len(found) >= 10
    assert all(one.fix is None and one.sealed for one in found)
    (folder,) = rig.volume.names("recordings")
    assert b"latitude" not in rig.volume.read(f"recordings/{folder}manifest.jsonl")
    plain = json.loads(pyrage.decrypt(base64.b64decode(found[0].sealed), [identity]))
    assert abs(json.loads(plain["fix"])["latitude"] - HERE[0]) < 0.001


async def test_the_press_itself_says_where_it_was(autojump_clock: MockClock) -> None:
    """In the record of the press, with how old the position was then; the journal, which is never sealed, has none."""
    rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}))
    first = (await recorded(rig))[0]
    press = press_of(rig)
    assert press.position is not None
    assert press.position.known == "known"
    assert press.position.fix is not None
    assert abs(press.position.fix.latitude - HERE[0]) < 0.001
    assert press.position.age_s is not None
    assert 0 <= press.position.age_s <= 1
    assert press.position.age_s == pytest.approx(
        (press.stamp.mono_ns - press.position.fix.stamp.mono_ns) / NS, abs=1e-3
    )
    assert first.fix is not None
    assert press.position.fix.stamp.mono_ns == first.fix.stamp.mono_ns
    journal = rig.volume.read("journal.jsonl")
    assert b'"press"' in journal
    assert b"52.33" not in journal
    assert b"latitude" not in journal


async def test_in_an_encrypted_recording_the_press_seals_it_and_says_its_age_alone(autojump_clock: MockClock) -> None:
    identity = pyrage.x25519.Identity.generate()
    sealer = AgeSealer([str(identity.to_public())])
    rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}), sealer=sealer)
    await recorded(rig)
    said = press_of(rig).position
    assert said is not None
    assert (said.known, said.fix) == ("sealed", None)
    assert said.age_s is not None
    plain = json.loads(pyrage.decrypt(base64.b64decode(said.sealed), [identity]))
    assert abs(json.loads(plain["fix"])["latitude"] - HERE[0]) < 0.001
    (folder,) = rig.volume.names("recordings")
    for name in (f"recordings/{folder}manifest.jsonl", "journal.jsonl"):
        assert b"52.33" not in rig.volume.read(name)


async def test_a_press_without_a_fix_says_that_there_was_none(autojump_clock: MockClock) -> None:
    """Nothing is guessed: one that came behind the press, before the first frame did, is not where the press was."""
    for asleep in (False, True):
        rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}))
        found = await recorded(rig, fixes=asleep, asleep=asleep)
        assert press_of(rig).position == records.PressPosition(fix=None)
        assert any(one.fix is not None for one in found) is asleep


async def test_without_a_receiver_the_press_is_written_as_before(autojump_clock: MockClock) -> None:
    """Old recordings and new ones without a receiver have the same lines: nothing is said of a position."""
    rig = Rig(config=configuration(loop={"seconds": 5}))
    assert await recorded(rig, receiver=False) == []
    assert press_of(rig).position is None
    assert b"position" not in msgspec.json.encode(press_of(rig))


async def test_the_status_says_what_the_receiver_gives_and_not_where(autojump_clock: MockClock) -> None:
    """Invariant 1: whoever may ask how things stand need not know where the camera is."""
    rig = Rig(config=configuration(gnss={"source": "gpsd://127.0.0.1:2947"}))
    receiver = VirtualReceiver(rig.clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bwvd.daemon.position_source.receiver_of", lambda _: receiver)
        rig.peripherals = [partial(position, rig.config)]
        async with rig.running() as daemon:
            await trio.sleep(10)
            status = daemon.status()
            said = status["position"]
            assert said["age_s"] <= 1.1
            assert {name: said[name] for name in ("source", "receiver", "mode", "satellites", "error_m")} == {
                "source": "gpsd://127.0.0.1:2947", "receiver": "answers", "mode": 3, "satellites": 8, "error_m": 5.0,
            }  # fmt: skip
            assert "52.3" not in str(status)
            receiver.lose_fix()
            await trio.sleep(LOST_AFTER_S + 2)
            said = daemon.status()["position"]
            assert (said["receiver"], said["mode"], said["age_s"]) == ("answers", 0, None)
            receiver.hang_up()
            await trio.sleep(2)
            assert daemon.status()["position"]["receiver"] == "lost"
    assert position_words(said) == "gpsd://127.0.0.1:2947: no position"
    async with Rig(config=configuration()).running() as daemon:
        assert daemon.status()["position"] is None


async def test_a_track_for_a_map(autojump_clock: MockClock, tmp_path: Path) -> None:
    from bwvd.testing.flash.storage import VirtualVolume

    identity = pyrage.x25519.Identity.generate()
    for sealer in (None, AgeSealer([str(identity.to_public())])):
        rig = Rig(config=configuration(loop={"seconds": 5}, gnss={"source": "gpsd://127.0.0.1"}), sealer=sealer)
        await recorded(rig)
        root = tmp_path / ("sealed" if sealer else "plain")
        assert isinstance(rig.volume, VirtualVolume)
        for name, content in rig.volume.tree().items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        (folder,) = (root / "recordings").iterdir()
        out = root / "track.gpx"
        if sealer is not None:
            with pytest.raises(ExportRefused, match="give --identity"):
                export_gpx(folder, out, signers=SIGNERS)
            assert not out.exists()
        export_gpx(folder, out, signers=SIGNERS, identities=[identity])
        text = out.read_text()
        assert 10 <= text.count("<trkpt ") <= 24
        assert text.count("<trkseg>") == 1
        assert "<ele>12.4</ele>" in text


# --- the real gpsd ---------------------------------------------------------------------------------------------------


def _begin(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


@pytest.mark.slow
async def test_the_real_gpsd(tmp_path: Path) -> None:
    """gpsfake feeds gpsd a log by a pseudo-terminal; we read what gpsd makes of it."""
    need("gpsd")
    log = tmp_path / "log.nmea"
    log.write_bytes(
        b"".join(
            sentence(f"GPGGA,0715{second:02}.00,5219.80{second:02},N,00453.6000,E,1,08,1.1,12.4,M,45.0,M,,")
            + sentence(f"GPRMC,0715{second:02}.00,A,5219.80{second:02},N,00453.6000,E,0.50,84.4,221126,,,A")
            for second in range(30)
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [need("gpsfake"), "-n", "-q", "-P", str(port), "-c", "0.2", str(log)]
    fake = await trio.to_thread.run_sync(_begin, command)
    told: list[Located] = []
    enough = trio.Event()

    def locate(one: Located) -> None:
        told.append(one)
        if len(told) >= 3 and one.fix is not None and one.fix.utc:  # the first ones come before the date
            enough.set()

    bench = Position(
        config=Gnss(source=f"gpsd://127.0.0.1:{port}", every_s=0.2),
        receiver=GpsdReceiver(f"gpsd://127.0.0.1:{port}"),
        clock=SystemClock(),
        state=lambda: State.RECORDING,
        locate=locate,
        fault=lambda *_: None,
        held_from=lambda: 0,
        begun=lambda: None,
    )
    try:
        with trio.move_on_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bench.run)
                await enough.wait()
                nursery.cancel_scope.cancel()
    finally:
        fake.terminate()
        with suppress(subprocess.TimeoutExpired):
            fake.wait(10)
    assert len(told) >= 3
    fix = told[-1].fix
    assert fix is not None
    assert (round(fix.latitude, 2), round(fix.longitude, 3), fix.mode) == (52.33, 4.893, 3)
    assert fix.utc.startswith("2026-11-22T07:15:")
