"""A satellite receiver in virtual time, the words that real ones say, and the faults that they have."""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal

import trio

from bwvd.clock import NS, Clock, utc_text
from bwvd.position.gpsd import Gpsd
from bwvd.position.receiver import Feed, Language, ReceiverLost

METRES_A_DEGREE = 111_194.93  # of latitude, on the sphere that `bwvd.position.fix` measures on
READ_BYTES = 4096

GREETING = b'{"class":"VERSION","release":"3.25","rev":"3.25","proto_major":3,"proto_minor":15}\n'
WATCHED = (
    b'{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/ttyACM0","activated":"2026-11-22T07:15:00.000Z"}]}\n'
    b'{"class":"WATCH","enable":true,"json":true}\n'
)
# What a gpsd of another release, or a program that is none, may answer: right JSON, and nothing in it that is ours.
FOREIGN = (
    b'{"class":"VERSION","release":"9.0","proto_major":9,"proto_minor":0}\n'
    b'{"class":"FIX","pos":{"lat":1.0,"lon":2.0},"mode":3}\n'
    b'{"class":["TPV"],"mode":3,"lat":1.0,"lon":2.0}\n[{"class":"TPV","mode":3,"lat":1.0,"lon":2.0}]\n"TPV"\nnull\n'
    b'{"class":"TPV","fix":3,"latitude":1.0,"longitude":2.0}\n{"class":"ERROR","message":"Unrecognized request"}\n'
)


@dataclass(frozen=True, slots=True)
class Solution:
    """What a receiver has worked out of one moment: degrees by WGS 84, metres; `mode` 1 = nothing, 2, 3 dimensions."""

    latitude: float
    longitude: float
    mode: int = 3
    altitude_m: float = 12.4
    error_m: float = 5.0
    satellites: int = 8
    utc_ns: int = 1_795_331_703 * NS  # its own time

    @property
    def utc(self) -> str:
        return utc_text(self.utc_ns)

    def moved(self, north_m: float, east_m: float = 0.0) -> Solution:
        """So many metres away."""
        degrees = east_m / METRES_A_DEGREE / max(0.01, math.cos(math.radians(self.latitude)))
        return replace(self, latitude=self.latitude + north_m / METRES_A_DEGREE, longitude=self.longitude + degrees)


def as_gpsd(one: Solution) -> bytes:
    """As gpsd tells it: the satellites, then time, position and velocity."""
    used = [{"PRN": number + 1, "used": number < one.satellites} for number in range(one.satellites + 2)]
    report: dict[str, object] = {"class": "TPV", "device": "/dev/ttyACM0", "mode": one.mode, "time": one.utc}
    if one.mode >= 2:
        report |= {"lat": round(one.latitude, 9), "lon": round(one.longitude, 9), "eph": one.error_m}
    if one.mode == 3:
        report |= {"altMSL": one.altitude_m, "altHAE": one.altitude_m + 45}
    sky = {"class": "SKY", "uSat": one.satellites, "satellites": used}
    return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in (sky, report))


def as_nmea(one: Solution) -> bytes:
    """As a receiver on a line tells it: GGA, GSA, GSV, RMC."""
    date, time = one.utc[2:10].split("-"), one.utc[11:22].replace(":", "")
    valid, place = one.mode >= 2, "," * 3
    if valid:
        place = f"{_dm(one.latitude, 2)},{'NS'[one.latitude < 0]},{_dm(one.longitude, 3)},{'EW'[one.longitude < 0]}"
    dilution = f"{one.error_m / 5:.1f}" if valid else ""
    height = f"{one.altitude_m:.1f},M,45.0,M" if one.mode == 3 else ",M,,M"
    numbers = range(1, 1 + min(one.satellites, 12))
    used = [f"{number:02}" if valid and number in numbers else "" for number in range(1, 13)]
    seen = [f"{number:02},{20 + 5 * number},{30 * number:03},40" for number in numbers]
    status, mode = ("A", "A") if valid else ("V", "N")
    views = [seen[at : at + 4] for at in range(0, len(seen), 4)]
    return b"".join(
        sentence(text)
        for text in (
            f"GPGGA,{time},{place},{int(valid)},{one.satellites if valid else 0:02},{dilution},{height},,",
            f"GPGSA,A,{one.mode},{','.join(used)},{dilution or 99.9},{dilution or 99.9},{dilution or 99.9}",
            *(f"GPGSV,{len(views)},{at},{len(seen):02},{','.join(four)}" for at, four in enumerate(views, 1)),
            f"GPRMC,{time},{status},{place},0.50,84.4,{''.join(reversed(date))},,,{mode}",
        )
    )


def sentence(text: str) -> bytes:
    """With its sum and its end."""
    total = 0
    for letter in text.encode("ascii"):
        total ^= letter
    return f"${text}*{total:02X}\r\n".encode("ascii")


def _dm(degrees: float, digits: int) -> str:
    """Degrees and minutes, as NMEA writes them: `5219.80000`."""
    whole, minutes = divmod(round(abs(degrees) * 60 * 100_000), 60 * 100_000)
    return f"{whole:0{digits}}{minutes / 100_000:08.5f}"


class VirtualReceiver:
    """`bwvd.position.receiver.Receiver` without a device: it walks north, and says each `every_s` where it is.

    speaks: `gpsd`, its JSON behind a greeting, or `nmea`, sentences.
    every_s: 0 = it says only what `tell` is given.
    where: at the beginning of the world, with its error, its satellites, its height.

    `said` holds (CLOCK_MONOTONIC in ns, solution) of everything that it has said; faults count from the next one on.

    **Synchronization:** trio's thread.
    """

    def __init__(
        self,
        clock: Clock,
        name: str = "gpsd://virtual",
        *,
        speaks: Literal["gpsd", "nmea"] = "gpsd",
        every_s: float = 1.0,
        where: Solution = Solution(52.33, 4.8933),
        north_m_s: float = 1.0,
        present: bool = True,
    ) -> None:
        self.name = name
        self.opened = 0  # how often
        self.said: list[tuple[int, Solution]] = []
        self._clock = clock
        self._speaks = speaks
        self._every_s = every_s
        self._where = where
        self._north_m_s = north_m_s
        self._present = present
        self._queue: deque[tuple[float, bytes]] = deque()  # when it may be received, and what
        self._next_s: float | None = None  # None = nobody has opened it yet
        self._feed: _Feed | None = None
        self._mode = where.mode
        self._silent = self._foreign = self._torn = False
        self._off_s = self._late_s = 0.0
        self._chunk = READ_BYTES
        self._news = trio.Event()

    # --- our end -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Feed]:
        """The feed, while it lasts. What was said before is not heard. Raises ReceiverLost."""
        await trio.lowlevel.checkpoint()
        if not self._present:
            raise ReceiverLost(f"{self.name}: does not answer")
        self._speak()
        self._queue.clear()
        self.opened += 1
        feed = self._feed = _Feed(self)
        if self._next_s is None:
            self._next_s = trio.current_time() + self._every_s
        if self._speaks == "gpsd":
            self._send(FOREIGN if self._foreign else GREETING + WATCHED)
        try:
            yield feed
        finally:
            feed.is_open = False

    def language(self) -> Language:
        if self._speaks == "gpsd":
            return Gpsd()
        from bwvd.position.nmea import Nmea  # here: it is a library of sentences

        return Nmea()

    # --- the receiver ------------------------------------------------------------------------------------------------

    def tell(self, solution: Solution) -> None:
        """Say this one now."""
        self.said.append((self._clock.monotonic_ns(), solution))
        self._send(as_gpsd(solution) if self._speaks == "gpsd" else as_nmea(solution))

    def say(self, data: bytes) -> None:
        """Send any bytes."""
        self._send(data)

    # --- the faults --------------------------------------------------------------------------------------------------

    def lose_fix(self, lost: bool = True) -> None:
        """It goes on speaking, and has no position; or has one again."""
        self._change()
        self._mode = 1 if lost else self._where.mode

    def jump(self, north_m: float) -> None:
        """It is somewhere else from now on: a reflection, or somebody's radio."""
        self._change()
        self._where = self._where.moved(north_m)

    def deceive(self, seconds: float) -> None:
        """Its time is ahead by so much from now on; 0 = right again."""
        self._change()
        self._off_s = seconds

    def hush(self, silent: bool = True) -> None:
        """It is there, and says nothing any more; or speaks again."""
        self._change()
        self._silent = silent

    def delay(self, seconds: float) -> None:
        """What it says arrives so much later from now on."""
        self._change()
        self._late_s = seconds

    def dribble(self, most_bytes: int) -> None:
        """No more bytes arrive at once from now on, as on a slow line."""
        self._chunk = most_bytes

    def tear(self) -> None:
        """What it says next ends in its middle."""
        self._change()
        self._torn = True

    def noise(self, count: int, seed: int = 0) -> bytes:
        """Send `count` random bytes, and return them."""
        data = random.Random(seed).randbytes(count)  # noqa: S311 - noise, not a secret
        self._send(data)
        return data

    def be_foreign(self, foreign: bool = True) -> None:
        """Its words are of another release's, and none of them is known; or are gpsd's again."""
        self._change()
        self._foreign = foreign

    def hang_up(self) -> None:
        """Gone: whoever has it open gets ReceiverLost, and so does who opens it."""
        self._change()
        self._present = False
        self._queue.clear()
        if self._feed is not None:
            self._feed.is_open = False
        self._ring()

    def plug(self) -> None:
        """There again; it has to be opened anew."""
        self._change()
        self._present = True

    # --- its time ----------------------------------------------------------------------------------------------------

    def _change(self) -> None:
        """What is due was said by the state that ends now."""
        self._speak()

    def _speak(self) -> None:
        while self._every_s and self._next_s is not None and self._next_s <= trio.current_time():
            self._next_s += self._every_s
            self._where = self._where.moved(self._north_m_s * self._every_s)
            if self._silent or not self._present:
                continue
            if self._foreign:
                self._send(FOREIGN)
                continue
            utc_ns = self._clock.read().utc_ns + round(self._off_s * NS)
            self.tell(replace(self._where, mode=self._mode, utc_ns=utc_ns))

    def _send(self, data: bytes) -> None:
        if self._torn:
            self._torn, data = False, data[: len(data) * 3 // 4]
        if self._feed is not None and self._feed.is_open and self._present:
            self._queue.append((trio.current_time() + self._late_s, data))
            self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def receive_for(self, feed: _Feed) -> bytes:
        """What has arrived, at least one byte."""
        await trio.lowlevel.checkpoint()
        while True:
            if not feed.is_open:
                raise ReceiverLost(f"{self.name}: hung up")
            self._speak()
            now_s = trio.current_time()
            if self._queue and self._queue[0][0] <= now_s:
                at_s, data = self._queue.popleft()
                if data[self._chunk :]:
                    self._queue.appendleft((at_s, data[self._chunk :]))
                return data[: self._chunk]
            due = [self._queue[0][0]] if self._queue else []
            if self._every_s and self._next_s is not None:
                due.append(self._next_s)
            with trio.move_on_at(min(due, default=math.inf)):
                await self._news.wait()


class _Feed:
    def __init__(self, receiver: VirtualReceiver) -> None:
        self.is_open = True
        self._receiver = receiver

    async def receive(self) -> bytes:
        return await self._receiver.receive_for(self)
