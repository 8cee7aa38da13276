# ruff: noqa: S101  # a conformance suite is made of asserts
"""The checks of every `Receiver` of positions: gpsd, a line with sentences, the virtual one.

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_my_receiver(check, autojump_clock): await check(my_subject())

Each check needs a subject of its own: present and not open. None needs pytest. Virtual time is fine, and quick.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from bwvd.clock import NS
from bwvd.messages import Fix
from bwvd.position.fix import unix_s
from bwvd.position.receiver import Feed, Receiver, ReceiverLost, lines_of
from bwvd.testing.receiver import Solution

PATIENCE_S = 60.0
HERE = Solution(52.33, 4.8933)
NEAR_DEGREES = 1e-6  # a tenth of a metre
NOISE = bytes(range(256)) + b"\n" + b"\xff" * 70 + b"\r\n$GPRMC,,,\r\n{}\n[[[[\n"


@dataclass(frozen=True, slots=True)
class Subject:
    """The receiver under test, and what stands behind it. None = this one can't be made to."""

    receiver: Receiver
    tell: Callable[[Solution], Awaitable[None]]  # it has worked this out, and says so
    hang_up: Callable[[], Awaitable[None]]
    plug: Callable[[], Awaitable[None]]
    words: Callable[[Solution], bytes]  # what it says of one
    say: Callable[[bytes], Awaitable[None]] | None = None  # any bytes
    quiet_s: float = 2.0  # how long to listen for what must not come


class _Listener:
    """An open receiver, and what its lines are read by."""

    def __init__(self, subject: Subject, feed: Feed) -> None:
        self.subject = subject
        self.feed = feed
        self._language = subject.receiver.language()
        self._buffer = bytearray()

    async def fixes(self, for_s: float, *, enough: Callable[[Fix], bool] = lambda _: False) -> list[Fix]:
        """All that come in that time, or up to one that is enough."""
        found: list[Fix] = []
        with trio.move_on_after(for_s):
            while True:
                self._buffer += await self.feed.receive()
                for line in lines_of(self._buffer):
                    if (fix := self._language.take(line, round(trio.current_time() * NS))) is not None:
                        found.append(fix)
                        if enough(fix):
                            return found
        return found

    async def told(self, solution: Solution, right: Callable[[Fix], bool] = lambda _: True) -> Fix:
        """Let it be said, each second until it is heard: a receiver may want to see more than one."""

        def enough(fix: Fix) -> bool:
            return _near(fix, solution) and right(fix)

        with trio.fail_after(PATIENCE_S):
            second = 0
            while True:
                await self.subject.tell(replace(solution, utc_ns=solution.utc_ns + second * NS))
                second += 1
                found = await self.fixes(1.0, enough=enough)
                if found and enough(found[-1]):
                    return found[-1]


def _near(fix: Fix, solution: Solution) -> bool:
    north, east = abs(fix.latitude - solution.latitude), abs(fix.longitude - solution.longitude)
    return max(north, east) <= NEAR_DEGREES


@asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[_Listener]:
    async with subject.receiver.open() as feed:
        yield _Listener(subject, feed)


def _is_one_line(subject: Subject, lost: ReceiverLost) -> None:
    _, _, place = subject.receiver.name.partition(":")
    assert len(str(lost).splitlines()) == 1
    assert place in str(lost), "it does not say which receiver"


async def _is_lost(subject: Subject, listener: _Listener) -> None:
    try:
        with trio.fail_after(PATIENCE_S):
            while True:
                await listener.feed.receive()  # what was said before may still come
    except ReceiverLost as lost:
        _is_one_line(subject, lost)


async def it_says_where_it_is(subject: Subject) -> None:
    async with _opened(subject) as listener:
        fix = await listener.told(HERE, lambda fix: fix.mode == 3 and bool(fix.utc) and fix.satellites == 8)
        assert fix.altitude_m is not None
        assert abs(fix.altitude_m - HERE.altitude_m) < 0.2
        assert fix.error_m is not None
        assert fix.error_m > 0


async def south_and_west_are_negative(subject: Subject) -> None:
    async with _opened(subject) as listener:
        for latitude, longitude in ((-33.8688197, 151.2092955), (-22.9068467, -43.1728965), (0.5, -0.000125)):
            await listener.told(replace(HERE, latitude=latitude, longitude=longitude))


async def in_two_dimensions_there_is_no_height(subject: Subject) -> None:
    async with _opened(subject) as listener:
        fix = await listener.told(replace(HERE, mode=2), lambda fix: fix.mode == 2)
        assert fix.altitude_m is None


async def without_a_fix_there_is_no_position(subject: Subject) -> None:
    async with _opened(subject) as listener:
        await listener.told(HERE)
        for second in range(1, 6):
            await subject.tell(replace(HERE, mode=1, utc_ns=HERE.utc_ns + (60 + second) * NS))
            await listener.fixes(1.0)
        assert await listener.fixes(subject.quiet_s) == [], "the last one was said again"
        await listener.told(replace(HERE.moved(20), utc_ns=HERE.utc_ns + 90 * NS))


async def silence_is_no_position(subject: Subject) -> None:
    async with _opened(subject) as listener:
        assert await listener.fixes(subject.quiet_s) == []


async def its_time_is_its_own(subject: Subject) -> None:
    """Invariant 9: whatever its clock says, it is handed on as it was said."""
    async with _opened(subject) as listener:
        for off_s in (0, 3600):
            said = replace(HERE, utc_ns=HERE.utc_ns + off_s * NS)

            def its_own(fix: Fix, said_s: float = said.utc_ns / NS) -> bool:
                at_s = unix_s(fix.utc)
                return at_s is not None and 0 <= at_s - said_s <= PATIENCE_S

            await listener.told(said, its_own)


async def noise_is_nothing_and_ends_nothing(subject: Subject) -> None:
    if subject.say is None:
        return
    async with _opened(subject) as listener:
        await subject.say(NOISE)
        assert await listener.fixes(subject.quiet_s) == []
        await listener.told(HERE)


async def what_comes_in_pieces_is_whole(subject: Subject) -> None:
    if subject.say is None:
        return
    words = subject.words(HERE)
    async with _opened(subject) as listener:
        for at in (1, len(words) // 2, len(words) - 1):
            await subject.say(words[:at])
            assert await listener.fixes(0.5) == []
            await subject.say(words[at:])
            (fix,) = await listener.fixes(0.5)
            assert _near(fix, HERE)


async def half_of_it_is_nothing(subject: Subject) -> None:
    """Every beginning of what it says, and then another one."""
    if subject.say is None:
        return
    words, other = subject.words(HERE).rstrip(), HERE.moved(50)
    async with _opened(subject) as listener:
        for at in [*range(1, len(words), 7), *range(len(words) - 7, len(words))]:
            await subject.say(words[:at])
            await subject.say(b"\r\n")
            assert await listener.fixes(0.1) == []
            await subject.say(subject.words(other))
            (fix,) = await listener.fixes(0.1)
            assert _near(fix, other)


async def a_cancelled_receive_loses_nothing(subject: Subject) -> None:
    if subject.say is None:
        return
    words = subject.words(HERE)
    async with _opened(subject) as listener:
        await listener.fixes(0.5)
        await subject.say(words[:40])
        with trio.CancelScope() as scope:
            scope.cancel()
            await listener.feed.receive()
        await subject.say(words[40:])
        (fix,) = await listener.fixes(0.5)
        assert _near(fix, HERE)


async def hanging_up_is_heard(subject: Subject) -> None:
    async with _opened(subject) as listener:
        await listener.fixes(0.5)

        async def soon() -> None:
            await trio.testing.wait_all_tasks_blocked()
            await subject.hang_up()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(soon)
            await _is_lost(subject, listener)
        await _is_lost(subject, listener)


async def what_hung_up_can_be_opened_when_it_is_back(subject: Subject) -> None:
    async with _opened(subject):
        await subject.hang_up()
    try:
        with trio.fail_after(PATIENCE_S):
            async with _opened(subject):
                raise AssertionError("a receiver that is not there was opened")
    except ReceiverLost as lost:
        _is_one_line(subject, lost)
    await subject.plug()
    async with _opened(subject) as listener:
        await listener.told(HERE)


async def what_was_said_before_is_not_heard(subject: Subject) -> None:
    """A position that waited in a queue would be dated by when it was read."""
    async with _opened(subject) as listener:
        await listener.told(HERE)
    await subject.tell(HERE.moved(20))
    async with _opened(subject) as listener:
        assert await listener.fixes(subject.quiet_s) == []


async def a_closed_feed_is_lost(subject: Subject) -> None:
    async with _opened(subject) as listener:
        pass
    await _is_lost(subject, listener)


async def each_opening_is_read_anew(subject: Subject) -> None:
    """Half of a position that came before a receiver was lost is no half of one that comes after."""
    assert subject.receiver.language() is not subject.receiver.language()


CHECKS: tuple[Callable[[Subject], Awaitable[None]], ...] = (
    it_says_where_it_is,
    south_and_west_are_negative,
    in_two_dimensions_there_is_no_height,
    without_a_fix_there_is_no_position,
    silence_is_no_position,
    its_time_is_its_own,
    noise_is_nothing_and_ends_nothing,
    what_comes_in_pieces_is_whole,
    half_of_it_is_nothing,
    a_cancelled_receive_loses_nothing,
    hanging_up_is_heard,
    what_hung_up_can_be_opened_when_it_is_back,
    what_was_said_before_is_not_heard,
    a_closed_feed_is_lost,
    each_opening_is_read_anew,
)
