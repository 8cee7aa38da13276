"""The actor that reads the receiver: opens it, again and again where it is lost, and tells where the camera is.

Nothing waits for it. While the loop turns it keeps the newest fix, for the press, and with `in_standby` those of the
time that the loop holds, for the recordings that begin in it; asleep it keeps none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from bwvd.clock import NS, Clock
from bwvd.config.schema import Gnss
from bwvd.messages import Fix, Located, State
from bwvd.position.held import Begun, HeldPositions
from bwvd.position.receiver import Feed, Language, Receiver, ReceiverLost, lines_of
from bwvd.position.watch import News, PositionWatch, Told
from bwvd.service.backoff import Backoff
from bwvd.service.pulse import Pulse
from bwvd.service.supervised import Supervised

LOOK_S = 1.0  # how often it is looked whether a fix is too old, a recording has begun, the loop has gone on
SILENT_S = 15.0  # without a byte: the receiver is stuck, or the baud rate is another one
EARLY_S = 0.3  # a receiver's second is not ours: a fix may come that much earlier than asked
DOUBT_S = 30.0  # after a jump
AGAIN = Backoff(first_s=1.0, limit_s=30.0)

Fault = Callable[[str, bool, str], None]


@dataclass(slots=True)
class Position:
    """One receiver.

    Args:
        state: what the recorder does now.
        locate: told of each position, of its end, and at the start that there is none yet; must not block.
        fault: told "gnss" (no receiver), "gnss_fix" (no position), "gnss_doubt" (one that can't be right).
        held_from: CLOCK_MONOTONIC of the oldest frame that the loop holds; None = it holds none.
        begun: the recording in progress; None = there is none, or it has no frame yet.

    **Synchronization:** trio's thread; one task runs it.
    """

    config: Gnss
    receiver: Receiver
    clock: Clock
    state: Callable[[], State]
    locate: Callable[[Located], None]
    fault: Fault
    held_from: Callable[[], int]
    begun: Callable[[], Begun | None]
    pulse: Pulse = field(default_factory=lambda: Pulse("gnss"))
    last: Fix | None = None  # None while there is none
    _watch: PositionWatch = field(default_factory=PositionWatch)
    _held: HeldPositions = field(default_factory=HeldPositions)
    _said: Located | None = None  # the last that was told
    _told_ns: int | None = None
    _doubt_until_ns: int = 0
    _doubts_clock: bool = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled; a receiver that is lost is opened again."""
        self.locate(Located(self.clock.monotonic_ns(), None))  # there is a receiver, and nothing is known by it yet
        task_status.started()
        supervised = Supervised(AGAIN)
        while True:
            try:
                self.pulse.busy(SILENT_S * 2)
                async with self.receiver.open() as feed:
                    await self._read(feed, self.receiver.language(), supervised)
            except ReceiverLost as lost:
                now_ns = self.clock.monotonic_ns()
                self._news(self._watch.lost(now_ns, str(lost)))
                if supervised.lost(now_ns, str(lost)):
                    self.fault("gnss", True, str(lost))
            self.pulse.idle()
            again_ns = self.clock.monotonic_ns() + round(supervised.delay_s * NS)
            while (left_ns := again_ns - self.clock.monotonic_ns()) > 0:
                await trio.sleep(min(left_ns / NS, LOOK_S))
                self._look(self.clock.monotonic_ns())

    async def _read(self, feed: Feed, language: Language, supervised: Supervised) -> None:
        buffer = bytearray()
        up = False
        heard_ns = self.clock.monotonic_ns()
        while True:
            self.pulse.busy(SILENT_S * 2)
            with trio.move_on_after(LOOK_S) as scope:
                buffer += await feed.receive()
            now_ns = self.clock.monotonic_ns()
            if not scope.cancelled_caught:
                heard_ns = now_ns
                if not up:
                    up = True
                    if supervised.opened(now_ns):
                        self.fault("gnss", False, "")
                for line in lines_of(buffer):
                    if (fix := language.take(line, now_ns)) is not None:
                        self._take(fix)
            elif now_ns - heard_ns >= SILENT_S * NS:
                raise ReceiverLost(f"{self.receiver.name}: silent for {SILENT_S:.0f} s")
            self._look(now_ns)

    def _take(self, fix: Fix) -> None:
        if self.state() is State.ASLEEP:
            return  # and `_look` forgets what there is
        self._news(self._watch.take(fix, self.clock.read()))
        every_s = self.config.every_s - min(0.1 * self.config.every_s, EARLY_S)
        early = self._told_ns is not None and fix.at_ns - self._told_ns < every_s * NS
        if early and self.last is not None:
            return
        self._told_ns, self.last = fix.at_ns, fix
        self._tell(Located(fix.at_ns, fix))

    def _look(self, now_ns: int) -> None:
        """What follows from the time alone, and from what the recorder does."""
        self._end_doubt(now_ns)
        if self.state() is State.ASLEEP:
            self._watch.forget()
            self._forget(now_ns)
            self._held.clear()
            return
        self._news(self._watch.idle(now_ns))
        self._hand_over()
        self._held.let_go(self.held_from())

    def _tell(self, located: Located) -> None:
        self._hand_over()
        self._said = located
        if self.config.in_standby:
            self._held.keep(located)
        self.locate(located)

    def _hand_over(self) -> None:
        """What a recording that has just begun holds from before the press; behind it the last word, which counts."""
        if held := self._held.of_new(self.begun()):
            for one in held:
                self.locate(one)
            if self._said is not None and self._said is not held[-1]:
                self.locate(self._said)

    def _forget(self, now_ns: int) -> None:
        if self.last is not None:
            self.last = None
            self._tell(Located(now_ns, None))

    def _news(self, told: list[News]) -> None:
        for news in told:
            match news.what:
                case Told.FOUND:
                    self.fault("gnss_fix", False, "")
                case Told.LOST:
                    self._forget(news.at_ns)
                    self.fault("gnss_fix", True, news.detail)
                case Told.JUMP:
                    self._doubt_until_ns = news.at_ns + round(DOUBT_S * NS)
                    self.fault("gnss_doubt", True, f"jumped: {news.detail}")
                case Told.CLOCK:
                    self._doubts_clock = True
                    self.fault("gnss_doubt", True, news.detail)
                case Told.CLOCK_OVER:
                    self._doubts_clock = False

    def _end_doubt(self, now_ns: int) -> None:
        if not self._doubts_clock and now_ns >= self._doubt_until_ns:
            self.fault("gnss_doubt", False, "")
