"""The actor that shows events on lamps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from bwvd.clock import NS, Clock
from bwvd.feedback.event_patterns import Interpreter, ShuttingDown
from bwvd.feedback.patterns import Channel
from bwvd.feedback.player import NEVER, PatternPlayer, carried
from bwvd.feedback.ports import Indicator, IndicatorLost, Lamp
from bwvd.messages import Event
from bwvd.service.backoff import Backoff
from bwvd.service.pulse import Pulse
from bwvd.service.supervised import Supervised

# A write to sysfs or to a GPIO line takes microseconds; one on a slow bus a few milliseconds.
ROUND_S = 5.0

FaultCallback = Callable[[str, bool, str], None]
"""Takes a fault's name, whether it is there, and one line of detail. Never blocks."""


async def run_feedback(
    events: trio.MemoryReceiveChannel[Event | ShuttingDown],
    indicators: Sequence[Indicator],
    clock: Clock,
    fault: FaultCallback,
    *,
    stealth: bool = False,
    backoff: Backoff | None = None,
    pulse: Pulse | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Show events until the channel's other end is closed or this is cancelled; then all lamps are dark and let go.

    Waits for nothing but its channel and the next change of a pattern: neither the flash nor a camera can delay what
    the officer is told.

    Args:
        events: what happens; closed here in the end. Whoever sends must not wait for room: what is dropped is told late
            or not at all, and the state's next change sets it right.
        indicators: opened here. One that is absent or lost is a fault `indicator:NAME`, and is tried again; the others
            take over what it showed where they can.
        stealth: nothing is shown; the lamps are opened and kept dark, so that nothing else lights them.
    """
    player = PatternPlayer(stealth=stealth)
    interpreter = Interpreter(player)
    board = _Board(indicators, player, fault, backoff or Backoff())
    pulse = pulse or Pulse("feedback")
    try:
        async with events:
            board.drive(clock.monotonic_ns())
            task_status.started()
            while True:
                now_ns = clock.monotonic_ns()
                next_ns = min(player.next_change(now_ns), board.retry_ns)
                pulse.idle()
                with trio.move_on_after(float("inf") if next_ns == NEVER else max(0, next_ns - now_ns) / NS):
                    interpreter.take(await events.receive(), clock.monotonic_ns())
                pulse.busy(ROUND_S)
                _take_waiting(events, interpreter, clock.monotonic_ns())
                board.drive(clock.monotonic_ns())
    except trio.EndOfChannel:
        pass  # the orderly end
    finally:
        board.close()


def _take_waiting(
    events: trio.MemoryReceiveChannel[Event | ShuttingDown], interpreter: Interpreter, now_ns: int
) -> None:
    """Take everything that is there: lamps show how things stand, not each step on the way there."""
    while True:
        try:
            interpreter.take(events.receive_nowait(), now_ns)
        except (trio.WouldBlock, trio.EndOfChannel):
            return


class _Held:
    """An indicator, and its lamp while there is one."""

    def __init__(self, indicator: Indicator, backoff: Backoff) -> None:
        self.indicator = indicator
        self.device = Supervised(backoff)
        self.lamp: Lamp | None = None
        self.carries: frozenset[Channel] = frozenset()
        self.shown = 0
        self.retry_ns = 0  # the first time at once


class _Board:
    """All lamps, driven to what the player says."""

    def __init__(
        self, indicators: Sequence[Indicator], player: PatternPlayer, fault: FaultCallback, backoff: Backoff
    ) -> None:
        self._held = [_Held(indicator, backoff) for indicator in indicators]
        self._player = player
        self._fault = fault

    @property
    def retry_ns(self) -> int:
        """The time at which the next lost lamp is to be tried again."""
        return min((held.retry_ns for held in self._held if held.lamp is None), default=NEVER)

    def drive(self, now_ns: int) -> None:
        """Open what is due, and give every lamp its level."""
        for held in self._held:
            if held.lamp is None and held.retry_ns <= now_ns:
                self._open(held, now_ns)
        # Each round but the last loses a lamp, whose colours may then be another lamp's to show.
        while not self._give_levels(now_ns):
            pass

    def close(self) -> None:
        for held in self._held:
            if held.lamp is not None:
                held.lamp.close()
                held.lamp = None

    def _give_levels(self, now_ns: int) -> bool:
        """False if a lamp was lost."""
        complete = True
        for held in self._held:
            if held.lamp is None:
                continue
            level = self._player.level_at(now_ns, held.carries)
            if level == held.shown:
                continue
            try:
                held.lamp.set(level)
                held.shown = level
            except IndicatorLost as lost:
                self._lose(held, now_ns, lost)
                complete = False
        return complete

    def _open(self, held: _Held, now_ns: int) -> None:
        try:
            held.lamp = held.indicator.open()
        except IndicatorLost as lost:
            self._lose(held, now_ns, lost)
            return
        held.shown = 0
        self._share_out()
        if held.device.opened(now_ns):
            self._fault(f"indicator:{held.indicator.name}", False, "")

    def _lose(self, held: _Held, now_ns: int, lost: IndicatorLost) -> None:
        if held.lamp is not None:
            held.lamp.close()
            held.lamp = None
        news = held.device.lost(now_ns, str(lost))
        held.retry_ns = now_ns + round(held.device.delay_s * NS)
        self._share_out()
        if news:
            self._fault(f"indicator:{held.indicator.name}", True, str(lost))

    def _share_out(self) -> None:
        """Share the colours out among the lights that are there."""
        lights = [held for held in self._held if held.lamp is not None and held.indicator.kind == "light"]
        for held, channels in zip(lights, carried([held.indicator.colour for held in lights]), strict=True):
            held.carries = channels
        for held in self._held:
            if held.indicator.kind != "light":
                held.carries = frozenset({Channel(held.indicator.kind)})
